"""Downloads: sources that come, go and disagree."""

from __future__ import annotations

from lab import MIB, Game, Lab, same
from lan.games import check_manifest, equal_files, make_game


def test_S15_one_source(lab: Lab) -> None:
    """One peer has a game of files of all sizes, a program and an empty folder among them, another gets it.

    What arrives is it, hash by hash, and its files are those of the manifest.
    """
    game = lab.game(mib=32)
    (game.root / "pack/small.bin").chmod(0o755)
    (game.root / "saves").mkdir()
    source = lab.peer("source", has=[game])
    receiver = lab.peer("receiver").ready()
    receiver.sees(game)
    finished = receiver.downloads(game)
    assert finished["bytes"] == finished["fetched_bytes"] == game.bytes and finished["kept_bytes"] == 0
    same(game, receiver.games)
    check_manifest(receiver.games / game.id, receiver.say(f"game {game.id}")["files"])
    source.falls_silent(game)
    assert source.sent(game) >= game.bytes
    source.sees(game, 1)


def test_S16_three_sources(lab: Lab) -> None:
    """Three peers have a game, each sends at most 8 MiB/s; a fourth gets it.

    Each of the three sends at least a tenth of it, and nobody sends much twice.
    """
    game = lab.game(mib=32)
    sources = [lab.peer(f"source-{number}", "--upload-limit", "8MiB", has=[game]) for number in range(3)]
    receiver = lab.peer("receiver").ready()
    receiver.sees(game, 3)
    receiver.downloads(game)
    same(game, receiver.games)
    sent = [source.sent(game) for source in sources]
    assert min(sent) >= game.bytes / 10, f"not all three were used: {sent}"
    assert sum(sent) <= 1.5 * game.bytes, f"{sum(sent)} bytes were sent for {game.bytes}"


def test_S17_source_dies(lab: Lab) -> None:
    """One of two sources is killed when half of the game has arrived.

    The download goes on with the other, also after the loss was told, and finishes; no error is told.
    """
    game = lab.game(mib=24)
    sources = [lab.peer(f"source-{number}", "--upload-limit", "800KiB", has=[game]) for number in range(2)]
    receiver = lab.peer("receiver").ready()
    receiver.sees(game, 2)
    receiver.say(f"download {game.id}")
    receiver.reaches(game, 0.5)
    sources[0].kill()
    receiver.loses(sources[0])
    assert not receiver.told("download_finished"), "it was complete before the loss was noticed"
    receiver.wait("download_finished", game=game.id)
    same(game, receiver.games)
    receiver.never("download_failed", "peer_distrusted")


def test_S18_source_joins(lab: Lab) -> None:
    """A second source starts when half of the game has arrived.

    It is used for the rest.
    """
    game = lab.game(mib=32)
    lab.peer("first", "--upload-limit", "2MiB", has=[game])
    late = lab.peer("late", has=[game], start=False)
    receiver = lab.peer("receiver").ready()
    receiver.sees(game)
    receiver.say(f"download {game.id}")
    receiver.reaches(game, 0.5)
    late.start().ready()
    receiver.wait("download_finished", game=game.id)
    same(game, receiver.games)
    assert late.sent(game) > 0, "the second source was not used"


def test_S19_receiver_killed(lab: Lab) -> None:
    """The receiver is killed when half of the game has arrived, and started again.

    Before, there is no sentinel; the next download keeps most of what was here and is complete.
    """
    game = lab.game(mib=24)
    lab.peer("source", "--upload-limit", "5MiB", has=[game])
    receiver = lab.peer("receiver").ready()
    receiver.sees(game)
    receiver.say(f"download {game.id}")
    had = receiver.reaches(game, 0.5)["bytes_done"]
    receiver.kill()
    assert not (receiver.games / game.id / "version.ini").exists(), "a killed download left a sentinel"
    receiver.restart()
    receiver.sees(game, state="partial")
    finished = receiver.downloads(game)
    same(game, receiver.games)
    assert finished["kept_bytes"] >= had / 2, f"{had} bytes were here and {finished['kept_bytes']} were kept"
    assert finished["fetched_bytes"] + finished["kept_bytes"] == game.bytes
    assert receiver.status()["received_bytes"][game.id] < game.bytes * 0.8, "it was all fetched again"


def test_S20_update(lab: Lab) -> None:
    """A receiver has version 1.0; a source offers 1.1, with a chunk of one file changed and a file more.

    Only what is new travels; what the new version does not have is gone.
    """
    files = [*equal_files(4, 4 * MIB), ("gone.bin", 1000)]
    old, new = lab.game(version="1.0", files=files), lab.game(version="1.1", files=files[:-1])
    changed = new.root / "data/000/002.bin"
    with changed.open("r+b") as file:
        file.seek(MIB + 5)
        file.write(b"patched")
    (new.root / "readme.txt").write_text("new in 1.1\n")
    receiver = lab.peer("receiver", has=[old]).ready()
    source = lab.peer("source", has=[new]).ready()
    receiver.sees(new, latest_version="1.1")
    finished = receiver.downloads(new)
    assert finished["version"] == "1.1"
    same(new, receiver.games)
    fresh = MIB + len("new in 1.1\n")
    assert finished["fetched_bytes"] == fresh, f"{finished['fetched_bytes']} bytes were fetched, not {fresh}"
    assert source.sent(new) <= 2 * fresh


def _disagree(lab: Lab, name: str = "cnctw", swapped: bool = False) -> tuple[Game, Game]:
    """Two payloads of one version of a game: what many have, and what few have."""
    plain, other = lab.game(name, mib=5), lab.game(name, mib=5)
    (other.root / "cheat.dll").write_bytes(b"not what the others have")
    return (other, plain) if swapped else (plain, other)


def test_S21_majority(lab: Lab) -> None:
    """Two peers offer one payload of a version, a third another; for a second game it is the other way round.

    The receiver takes that of the two both times, and is told of the conflict and who offers what.
    """
    games = [_disagree(lab, "first"), _disagree(lab, "second", swapped=True)]
    peers = [lab.peer(f"pc-{number}", has=[pair[number == 2] for pair in games]).ready() for number in range(3)]
    receiver = lab.peer("receiver").ready()
    for many, _ in games:
        receiver.sees(many, 3)
        receiver.downloads(many)
        same(many, receiver.games)
        conflict = receiver.wait("manifest_conflict", game=many.id)
        assert conflict["version"] == "1.0"
        assert conflict["chosen"] == peers[0].say(f"game {many.id}")["manifest"]
        assert conflict["others"] == [
            {"manifest": peers[2].say(f"game {many.id}")["manifest"], "peers": [peers[2].id]}]


def test_S22_catalog_pin(lab: Lab) -> None:
    """Two peers offer one payload of a version, a third another, which the receiver's catalog pins.

    It gets the pinned payload.
    """
    many, few = _disagree(lab)
    peers = [lab.peer(f"pc-{number}", has=[few if number == 2 else many]).ready() for number in range(3)]
    pinned = peers[2].say(f"game {few.id}")["manifest"]
    catalog = lab.catalog({"id": few.id, "version": "1.0", "manifest": pinned})
    receiver = lab.peer("receiver", catalog=catalog).ready()
    receiver.meets(*peers)
    receiver.sees(few)
    receiver.downloads(few)
    same(few, receiver.games)
    assert peers[0].sent(many) == peers[1].sent(many) == 0


def test_S23_newer_than_the_catalog(lab: Lab) -> None:
    """One peer has the catalog's version 1.0, two have 2.0.

    The receiver with the catalog takes 1.0; asked for 2.0 by name, or without a catalog, it is 2.0.
    """
    right, newer = lab.game(mib=2, version="1.0"), lab.game(mib=3, version="2.0")
    peers = [lab.peer(f"pc-{number}", has=[game]).ready() for number, game in enumerate((right, newer, newer))]
    catalog = lab.catalog({"id": right.id, "version": "1.0"})
    receiver = lab.peer("receiver", catalog=catalog).ready()
    receiver.meets(*peers)
    receiver.sees(right)
    assert receiver.downloads(right)["version"] == "1.0"
    same(right, receiver.games)
    free = lab.peer("free").ready()
    free.sees(newer, 3)
    assert free.downloads(newer)["version"] == "2.0"
    same(newer, free.games)


def test_S30_small_files(lab: Lab) -> None:
    """A game of 100,000 files of 100 bytes.

    It arrives whole.
    """
    source = lab.peer("source", start=False)
    game = lab.game("tiny", files=[("readme", 10)])
    make_game(game.root, equal_files(100_000, 100))
    game.link_to(source.games)
    source.start().ready()
    receiver = lab.peer("receiver").ready()
    receiver.until(lambda: receiver.game("tiny"), lambda entry: entry is not None and entry["peers"] == 1,
                   "the game", timeout=240)
    receiver.say("download tiny --no-install")
    receiver.wait("download_finished", 240, game="tiny")
    same(game, receiver.games)
