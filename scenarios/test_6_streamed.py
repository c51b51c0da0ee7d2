"""Streamed installs: the archive is expanded by the sender."""

from __future__ import annotations

from pathlib import Path

from lab import Game, Lab, Peer, same_installed
from lab.archives import damage_zip

# Senders of streamed installs unpack so many at once, and let so many more wait.
SLOTS = 2
QUEUE = 8

SENDING_SECONDS = 60.0


def _stream(receiver: Peer, game: Game) -> None:
    receiver.say(f"stream-install {game.id}")


def _streamed(receiver: Peer, game: Game, timeout: float = 120) -> dict:
    """Waits for the good end of a streamed install and compares what is there."""
    finished = receiver.wait("install_finished", timeout, game=game.id, streamed=True)
    same_installed(game, receiver.games)
    only_installed(receiver.games / game.id)
    return finished


def only_installed(root: Path) -> None:
    """A streamed install leaves `local/` alone: no archive, no sentinel, no staging."""
    assert [entry.name for entry in root.iterdir()] == ["local"], f"{sorted(root.iterdir())}"


def _fails(receiver: Peer, game: Game, timeout: float = 120) -> str:
    """Waits until a streamed install has failed, with either event; the error's code."""
    failed = receiver.either(("download_failed", "install_failed"), timeout, game=game.id)
    assert failed["streamed"] is True, f"{failed}"
    return failed["error"]["code"]


def _damaged(lab: Lab, version: str = "1.0", mib: float = 8) -> Game:
    """A game whose archive breaks in its middle."""
    game = lab.archive(mib=mib, version=version)
    damage_zip(game.root / "setup.eti")
    return game


def _sending(source: Peer, game: Game) -> None:
    source.until(lambda: source.outbound(game), lambda count: count > 0, "an outbound transfer")


def test_S37_streamed_install(lab: Lab) -> None:
    """One peer has a game as an archive, another installs it streamed.

    `local/` is what the archive holds, hash by hash; download and install events say `streamed`.
    """
    game = lab.archive(mib=12)
    source = lab.peer("source", has=[game])
    receiver = lab.peer("receiver").ready()
    receiver.sees(game)
    _stream(receiver, game)
    started = receiver.wait("download_started", game=game.id)
    assert started["streamed"] is True
    finished = _streamed(receiver, game)
    assert finished["version"] == game.version and finished["replaced"] is None
    entry = receiver.sees(game, 1, installed=True)
    assert entry["state"] == "remote" and entry["installed_version"] == game.version
    source.falls_silent(game)


def test_S38_low_disk(lab: Lab) -> None:
    """Two peers have disks with room for the archive or for what it holds, not for both.

    The one that downloads cannot install, for lack of room; the one that streams can.
    """
    game = lab.archive(mib=16)
    lab.peer("source", has=[game])
    ordinary, streaming = (lab.peer(name, disk_mib=26).ready() for name in ("ordinary", "streaming"))
    for peer in (ordinary, streaming):
        peer.sees(game)
    ordinary.say(f"download {game.id}")
    assert ordinary.wait("install_failed", game=game.id)["error"]["code"] == "disk_full"
    _stream(streaming, game)
    _streamed(streaming, game)


def test_S39_no_transfer_is_left(lab: Lab) -> None:
    """After a streamed install of `cnctw`.

    The source's status has no outbound transfer of it; the receiver has `local/` and no archive.
    """
    game = lab.archive("cnctw", mib=12)
    source = lab.peer("source", "--upload-limit", "6MiB", has=[game])
    receiver = lab.peer("receiver").ready()
    receiver.sees(game)
    _stream(receiver, game)
    _sending(source, game)
    _streamed(receiver, game)
    source.falls_silent(game)
    assert "cnctw" not in source.status()["outbound_transfers"]
    assert source.status()["operations"] == receiver.status()["operations"] == []


def test_S40_corrupt_archive(lab: Lab) -> None:
    """The only source's archive is damaged in its middle.

    The receiver is told, nothing is left of the game there; the source has no transfer left.
    """
    game = _damaged(lab)
    source = lab.peer("source", has=[game])
    receiver = lab.peer("receiver").ready()
    receiver.sees(game)
    _stream(receiver, game)
    code = _fails(receiver, game)
    assert code in ("archive_damaged", "all_sources_failed", "corrupt_source"), code
    assert not (receiver.games / game.id).exists(), "a failed streamed install left its folder"
    source.falls_silent(game)
    receiver.sees(game, 1, installed=False)


def test_S41_receiver_cancels(lab: Lab) -> None:
    """A streamed install is cancelled while bytes arrive.

    Nothing is left of it, and the source stops at once.
    """
    game = lab.archive(mib=48)
    source = lab.peer("source", "--upload-limit", "4MiB", has=[game])
    receiver = lab.peer("receiver").ready()
    receiver.sees(game)
    _stream(receiver, game)
    receiver.reaches(game, 0.1)
    cancelled = receiver.say(f"cancel {game.id}")
    assert cancelled["event"] in ("download_cancelled", "install_cancelled") and cancelled["streamed"]
    source.falls_silent(game, 10)
    assert source.sent(game) < 0.8 * game.bytes, "the source went on"
    assert not (receiver.games / game.id).exists()
    receiver.sees(game, 1, installed=False)


def test_S42_receiver_killed(lab: Lab) -> None:
    """The receiver is killed while bytes arrive, and started again.

    The source stops; the restarted one has nothing of the game, and the next attempt succeeds.
    """
    game = lab.archive(mib=24)
    source = lab.peer("source", "--upload-limit", "4MiB", has=[game])
    receiver = lab.peer("receiver").ready()
    receiver.sees(game)
    _stream(receiver, game)
    receiver.reaches(game, 0.2)
    receiver.kill()
    source.falls_silent(game)
    receiver.restart()
    assert not (receiver.games / game.id).exists(), "recovery left the folder of a streamed install"
    receiver.sees(game, 1, installed=False)
    _stream(receiver, game)
    _streamed(receiver, game)


def test_S43_second_source_completes(lab: Lab) -> None:
    """Two sources; the one that streams is killed half way.

    The install completes from the other one, and is right.
    """
    game = lab.archive(mib=24)
    sources = [lab.peer(f"source-{number}", "--upload-limit", "4MiB", has=[game]) for number in range(2)]
    receiver = lab.peer("receiver").ready()
    receiver.sees(game, 2)
    _stream(receiver, game)
    receiver.reaches(game, 0.3)
    first = next(source for source in sources if source.outbound(game))
    first.kill()
    _streamed(receiver, game)
    receiver.never("download_failed", "install_failed")


def test_S44_all_sources_fail(lab: Lab) -> None:
    """Two sources, whose archive is damaged in both.

    Both are tried, the error says that all failed, and the game's folder is gone again.
    """
    game = _damaged(lab)
    sources = [lab.peer(f"source-{number}", has=[game]) for number in range(2)]
    receiver = lab.peer("receiver").ready()
    receiver.sees(game, 2)
    _stream(receiver, game)
    assert _fails(receiver, game) in ("all_sources_failed", "archive_damaged")
    assert not (receiver.games / game.id).exists()
    for source in sources:
        assert source.sent(game) > 0, f"{source} was not tried"
        source.falls_silent(game)


def test_S45_streamed_update(lab: Lab) -> None:
    """A peer has 1.0 installed; an update is streamed from a source whose archive is damaged, then from a good one.

    After the first, `local/` is 1.0 as before; after the second it is 1.1.
    """
    old, bad, good = lab.archive(version="1.0"), _damaged(lab, "1.1"), lab.archive(version="1.1")
    first = lab.peer("first", has=[old]).ready()
    receiver = lab.peer("receiver").ready()
    receiver.sees(old)
    _stream(receiver, old)
    _streamed(receiver, old)
    first.quit()
    source = lab.peer("source", has=[bad]).ready()
    receiver.sees(bad, latest_version="1.1")
    _stream(receiver, bad)
    _fails(receiver, bad)
    same_installed(old, receiver.games)
    only_installed(receiver.games / old.id)
    source.quit()
    lab.peer("better", has=[good]).ready()
    receiver.sees(good, latest_version="1.1", installed_version="1.0")
    _stream(receiver, good)
    assert _streamed(receiver, good)["replaced"] == "1.0"


def test_S46_more_receivers_than_slots(lab: Lab) -> None:
    """Twelve receivers stream from one slow source, which expands for two at once and lets eight wait in line.

    Never more are sent at once or wait, those in line are told so, those it has no place for try again: all get it.
    """
    game = lab.archive(mib=5)
    source = lab.peer("source", "--upload-limit", "8MiB", has=[game]).ready()
    receivers = lab.crowd(SLOTS + QUEUE + 2, "pc")
    for peer in receivers:
        peer.sees(game)
    for peer in receivers:
        _stream(peer, game)
    seen: set[tuple[int, int]] = set()

    def all_done() -> bool:
        status = source.status()
        seen.add((status["outbound_transfers"].get(game.id, 0), status["queued_receivers"].get(game.id, 0)))
        return all(peer.told("install_finished") for peer in receivers)

    source.until(all_done, bool, "all installs", 180)
    for peer in receivers:
        _streamed(peer, game)
    assert max(sending for sending, _ in seen) == SLOTS, f"{seen}"
    assert max(waiting for _, waiting in seen) == QUEUE, f"{seen}"
    in_line = [event for peer in receivers for event in peer.told("queued", game=game.id, peer=source.id)]
    assert {event["position"] for event in in_line} == set(range(1, QUEUE + 1)), f"{in_line}"
    source.falls_silent(game)


def test_S47_network_cut(lab: Lab) -> None:
    """The source's cable is pulled in the middle of a streamed install, and plugged in again.

    The receiver is told within the deadline and has nothing half; the source has no transfer left.
    """
    game = lab.archive(mib=24)
    source = lab.peer("source", "--upload-limit", "4MiB", has=[game])
    receiver = lab.peer("receiver").ready()
    receiver.sees(game)
    _stream(receiver, game)
    receiver.reaches(game, 0.3)
    source.cut()
    _fails(receiver, game)
    assert not (receiver.games / game.id).exists()
    source.falls_silent(game)
    source.heal()
    receiver.sees(game)
    _stream(receiver, game)
    _streamed(receiver, game)
