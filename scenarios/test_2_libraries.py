"""Libraries: what peers list of each other, and what they keep to themselves."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import Lab, same

MANY_GAMES = 1000


def test_S09_merged_list(lab: Lab) -> None:
    """Two peers have a game in different versions and sizes, one has another game, a third has nothing.

    Everyone lists both games, with the newest version, its size, and how many can serve them.
    """
    old, new = lab.game("cnctw", 2, "1.9"), lab.game("cnctw", 3, "1.10")
    other = lab.game("other", 1, "2.0a")
    first = lab.peer("first", has=[old, other])
    second = lab.peer("second", has=[new])
    third = lab.peer("third")
    entry = third.sees("cnctw", latest_version="1.10", state="remote", installed=False, bytes=new.bytes, peers=2)
    assert entry["name"] and entry["version"] is None, f"nothing is here, but {entry}"
    third.sees("other", latest_version="2.0a", bytes=other.bytes, peers=1)
    first.sees("cnctw", version="1.9", latest_version="1.10", state="downloaded", peers=1)
    second.sees("cnctw", version="1.10", latest_version="1.10", state="downloaded", peers=1)
    second.sees("other", state="remote", peers=1)
    listed = [entry["id"] for entry in third.say("list")["games"]]
    assert listed == ["cnctw", "other"]
    files = {file["path"]: file["size"] for file in third.say("fetch cnctw")["files"]}
    assert files == sizes(new.root)


def sizes(root: Path) -> dict[str, int]:
    """Every payload file under a game root, with its size."""
    return {str(path.relative_to(root)): path.stat().st_size
            for path in root.rglob("*") if path.is_file() and path.name != "version.ini"}


def test_S10_game_appears_changes_disappears(lab: Lab) -> None:
    """A game is copied into a running peer's folder, later replaced by a newer version, then deleted.

    A neighbour sees each of it without asking, and gets exactly the newer version in between.
    """
    old, new = lab.game(mib=2, version="1.0"), lab.game(mib=3, version="2.0")
    owner, neighbour = lab.crowd(2, "pc")
    neighbour.meets(owner)
    old.copy_to(owner.games)
    neighbour.sees(old, latest_version="1.0", bytes=old.bytes)
    new.copy_to(owner.games)
    neighbour.sees(new, latest_version="2.0", bytes=new.bytes)
    neighbour.downloads(new)
    same(new, neighbour.games)
    shutil.rmtree(owner.games / new.id)
    neighbour.sees(new, 0, peers=0)
    owner.sees(new, 1, state="remote")


def test_S11_not_in_the_catalog(lab: Lab) -> None:
    """A peer with a catalog has a game that is not in it; another with that catalog has a neighbour with it.

    The game is neither listed nor served by the first, and the second neither lists nor downloads it.
    """
    known, unknown = lab.game("known", 1), lab.game("unknown", 1)
    catalog = lab.catalog({"id": "known", "version": "1.0"})
    strict = lab.peer("strict", has=[known, unknown], catalog=catalog).ready()
    open_minded = lab.peer("open").ready()
    open_minded.sees(known)
    for peer in (strict, open_minded):
        assert peer.game("unknown") is None, f"{peer} lists a game that no catalog has"
    assert open_minded.refuses("download unknown") == "no_source"
    generous = lab.peer("generous", has=[unknown]).ready()
    open_minded.sees(unknown)
    strict.meets(generous)
    reader = lab.peer("reader", catalog=catalog).ready()
    reader.meets(strict, generous)
    reader.sees(known)
    assert reader.game("unknown") is None
    assert reader.refuses("download unknown") == "unknown_game"


def test_S12_half_copied_game(lab: Lab) -> None:
    """A game's folder is there without its sentinel, as while it is copied; then the sentinel comes.

    Before, nobody is offered the game; afterwards it is listed and served whole.
    """
    game, beacon = lab.game(mib=2), lab.game("beacon", mib=0.1)
    owner = lab.peer("owner", start=False)
    game.copy_to(owner.games)
    sentinel = owner.games / game.id / "version.ini"
    sentinel.unlink()
    owner.start().ready()
    neighbour = lab.peer("neighbour").ready()
    neighbour.meets(owner)
    beacon.copy_to(owner.games)  # once this one is seen, the owner has looked at everything
    neighbour.sees(beacon)
    assert neighbour.game(game.id) is None, "a game without a sentinel is offered"
    assert neighbour.refuses(f"download {game.id}") in ("unknown_game", "no_source")
    sentinel.write_text("1.0\n")
    neighbour.sees(game)
    neighbour.downloads(game)
    same(game, neighbour.games)


def test_S13_set_game_dir(lab: Lab) -> None:
    """A running peer is given another game directory; later again, while it downloads.

    The old games are withdrawn and the new ones offered; during the download it is refused as busy.
    """
    old, new, far = lab.game("old", 1), lab.game("new", 2), lab.game("far", 8)
    owner = lab.peer("owner", "--download-limit", "2MiB", has=[old]).ready()
    neighbour = lab.peer("neighbour", has=[far]).ready()
    neighbour.sees(old)
    elsewhere = owner.machine.folder / "elsewhere"
    elsewhere.mkdir()
    new.copy_to(elsewhere)
    owner.say(f"set-game-dir {owner.machine.inside}/elsewhere")
    neighbour.sees(new)
    neighbour.until(lambda: neighbour.game("old"), lambda entry: entry is None, "the old game's end")
    assert [entry["id"] for entry in owner.say("list")["games"] if entry["state"] == "downloaded"] == ["new"]
    neighbour.downloads(new)
    same(new, neighbour.games)
    owner.sees(far)
    owner.say("download far --no-install")
    owner.reaches(far, 0.1)
    assert owner.refuses(f"set-game-dir {owner.machine.inside}/games") == "busy"
    owner.wait("download_finished", game="far")
    same(far, elsewhere)


def test_S14_a_thousand_games(lab: Lab) -> None:
    """A peer has 1,000 games of two files.

    Two neighbours list all of them with their sizes, one from the start, one that comes later; that one gets the last.
    """
    owner = lab.peer("owner", start=False)
    for number in range(MANY_GAMES):
        root = owner.games / f"game-{number:04}"
        (root / "data").mkdir(parents=True)
        (root / "data" / "one.bin").write_bytes(number.to_bytes(4, "big") * 64)
        (root / "two.txt").write_text(f"game {number}\n")
        (root / "version.ini").write_text(f"1.{number}\n")
    owner.start().ready()
    for name in ("early", "late"):
        neighbour = lab.peer(name).ready()
        listed = neighbour.until(
            lambda neighbour=neighbour: neighbour.say("list")["games"],
            lambda games: sum(entry["peers"] == 1 for entry in games) == MANY_GAMES, "all games")
        assert [(entry["id"], entry["latest_version"], entry["bytes"]) for entry in listed] == [
            (f"game-{number:04}", f"1.{number}", 256 + len(f"game {number}\n")) for number in range(MANY_GAMES)]
    neighbour.downloads("game-0999")
    for path in ("game-0999/data/one.bin", "game-0999/two.txt", "game-0999/version.ini"):
        assert (neighbour.games / path).read_bytes() == (owner.games / path).read_bytes()
