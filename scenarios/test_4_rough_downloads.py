"""Downloads among bad sources, full disks and crowds."""

from __future__ import annotations

import os
import time
from pathlib import Path

from lab import MIB, Game, Lab, Peer, same
from lab.games import spoil

STALLED_SECONDS = 90.0


def test_S24_flipped_bytes(lab: Lab) -> None:
    """The faster of two sources has bytes that changed on its disk unseen.

    The wrong chunks are fetched elsewhere, the source is named and dropped, the game arrives right.
    """
    game = lab.game(files=[("data/image.bin", 24 * MIB)])
    good = lab.peer("good", "--upload-limit", "3MiB", has=[game]).ready()
    bad = lab.peer("bad", "--upload-limit", "30MiB", has=[game]).ready()
    receiver = lab.peer("receiver").ready()
    receiver.sees(game, 2)
    spoil(bad.games / game.id / "data/image.bin", list(range(24)))
    receiver.downloads(game)
    same(game, receiver.games)
    receiver.wait("peer_distrusted", peer=bad.id, reason="wrong_bytes", game=game.id, dropped=False)
    receiver.wait("peer_distrusted", peer=bad.id, reason="wrong_bytes", game=game.id, dropped=True)
    assert not receiver.told("peer_distrusted", peer=good.id)


def test_S25_slow_source(lab: Lab) -> None:
    """One of two sources has a link slower by ten, 10 instead of 100 Mbit/s.

    The game takes no longer than from the fast one alone, and a quarter.
    """
    game = lab.game(files=[("data/image.bin", 32 * MIB)])
    fast = lab.peer("fast", has=[game]).ready()
    fast.shape(100)
    alone = _seconds(lab, game, "alone", sources=1)
    lab.peer("slow", has=[game]).ready().shape(10)
    both = _seconds(lab, game, "both", sources=2)
    assert both <= 1.25 * alone, f"{both:.1f} s with a slow source besides, {alone:.1f} s without"


def _seconds(lab: Lab, game: Game, name: str, sources: int) -> float:
    """How long a new peer takes for the game, whose sources it has all met; then it is gone."""
    peer = lab.peer(name).ready()
    peer.sees(game, sources)
    begun = time.monotonic()
    peer.downloads(game)
    seconds = time.monotonic() - begun
    same(game, peer.games)
    peer.quit()
    lab.peers[0].loses(peer, "goodbye")
    return seconds


def test_S26_disk_full(lab: Lab) -> None:
    """A receiver's disk is too small from the start; then large enough, but filled up by others half way.

    Both times it fails and says how much is missing; with room again it goes on with what it has.
    """
    game = lab.game(mib=24)
    lab.peer("source", "--upload-limit", "5MiB", has=[game])
    receiver = lab.peer("receiver", disk_mib=12).ready()
    receiver.sees(game)
    receiver.say(f"download {game.id} --no-install")
    _fails_for_lack_of_room(receiver, game.id)
    lab.resize(receiver, 48)
    receiver.say(f"download {game.id} --no-install")
    receiver.reaches(game, 0.4)
    ballast = receiver.games / "ballast.tmp"
    _fill(ballast)
    _fails_for_lack_of_room(receiver, game.id)
    assert not (receiver.games / game.id / "version.ini").exists()
    ballast.unlink()
    finished = receiver.downloads(game)
    same(game, receiver.games)
    assert finished["kept_bytes"] >= 0.3 * game.bytes, f"only {finished['kept_bytes']} bytes were kept"


def _fails_for_lack_of_room(receiver: Peer, game: str) -> None:
    error = receiver.wait("download_failed", game=game)["error"]
    assert error["code"] == "disk_full", f"{error}"
    assert any(character.isdigit() for character in error["message"]), f"no number in {error['message']!r}"


def _fill(ballast: Path) -> None:
    """Writes until the disk has no room."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\1" * 65536)
        except OSError:
            os.fsync(file.fileno())


def test_S27_eight_receivers(lab: Lab) -> None:
    """Eight peers want the game of one at once.

    All get it, most of them serve others, and the source sends at most twice its size.
    """
    game = lab.game(mib=96)
    source = lab.peer("source", "--upload-limit", "16MiB", has=[game]).ready()
    receivers = lab.crowd(8, "pc")
    for peer in receivers:
        peer.sees(game)
        peer.meets(*(other for other in receivers if other is not peer))
    for peer in receivers:
        peer.say(f"download {game.id} --no-install")
    for peer in receivers:
        peer.wait("download_finished", 180, game=game.id)
        same(game, peer.games)
    sent = source.sent(game)
    assert sent <= 2 * game.bytes, f"the source sent {sent / game.bytes:.2f} times the game"
    serving = sum(peer.sent(game) > 0 for peer in receivers)
    assert serving >= 6, f"only {serving} of 8 served others"


def test_S28_serves_while_downloading(lab: Lab) -> None:
    """A receiver has half of a game when another peer begins.

    The second gets chunks from the first one before that is complete.
    """
    game = lab.game(mib=24)
    lab.peer("source", "--upload-limit", "2MiB", has=[game]).ready()
    first, second = lab.crowd(2, "pc")
    first.sees(game)
    second.meets(first)
    first.say(f"download {game.id} --no-install")
    first.reaches(game, 0.4)
    second.say(f"download {game.id} --no-install")
    first.until(lambda: first.sent(game), lambda sent: sent > 0, "chunks sent by an incomplete peer")
    assert not first.told("download_finished"), "it was complete before it served"
    for peer in (first, second):
        peer.wait("download_finished", 120, game=game.id)
        same(game, peer.games)


def test_S29_stalled_and_back(lab: Lab) -> None:
    """Nobody has the game; then somebody, who is killed half way and returns after a while.

    First it is refused; then the download stalls, says so, stays, and goes on by itself.
    """
    game = lab.game(mib=16)
    receiver = lab.peer("receiver").ready()
    assert receiver.refuses(f"download {game.id}") in ("no_source", "unknown_game")
    source = lab.peer("source", "--upload-limit", "3MiB", has=[game]).ready()
    receiver.sees(game)
    receiver.say(f"download {game.id} --no-install")
    receiver.reaches(game, 0.5)
    source.kill()
    receiver.wait("download_stalled", STALLED_SECONDS, game=game.id)
    [operation] = receiver.status()["operations"]
    assert operation["stalled"] and operation["kind"] == "download"
    source.restart()
    receiver.wait("download_finished", game=game.id)
    same(game, receiver.games)
    receiver.never("download_failed")
