"""Rough weather."""

from __future__ import annotations

import os
import random
import time

import pytest
from lab import Lab, Peer, same
from weather import Weather

PARTITION_SECONDS = 20.0
SHORT_SECONDS = 20.0
LONG_SECONDS = 600.0

YEAR_SECONDS = 365 * 24 * 3600


def test_S55_partition(lab: Lab) -> None:
    """Six peers; three of them are cut off from the others, together, for 20 s.

    Each half loses the other and goes on by itself; healed, all find each other and what they lack.
    """
    game, other = lab.game("left", mib=4), lab.game("right", mib=4)
    left = [lab.peer(f"left-{number}", has=[game] if number == 0 else []).ready() for number in range(3)]
    right = [lab.peer(f"right-{number}", has=[other] if number == 0 else []).ready() for number in range(3)]
    everyone = left + right
    for peer in everyone:
        peer.meets(*(one for one in everyone if one is not peer))
    island = lab.network("island")
    begun = time.monotonic()
    for peer in right:
        for port in peer.machine.ports:
            port.plug(island.bridge)
    for peer in everyone:
        for gone in right if peer in left else left:
            peer.loses(gone)
        assert peer.say("peer-count") == {"count": 2}
    left[1].downloads(game)
    right[1].downloads(other)
    left[1].until(lambda: time.monotonic() - begun, lambda seconds: seconds > PARTITION_SECONDS, "its end")
    for peer in everyone:
        assert peer.say("peer-count") == {"count": 2}, "the partition leaks"
    for peer in right:
        peer.heal()
    for peer in everyone:
        peer.until(lambda peer=peer: peer.say("peer-count")["count"], lambda count: count == 5, "all peers again")
    left[2].sees(other, 2)
    left[2].downloads(other)
    right[2].sees(game, 2)
    right[2].downloads(game)
    for peer, wanted in ((left[1], game), (right[1], other), (left[2], other), (right[2], game)):
        same(wanted, peer.games)


def test_S56_random_weather(lab: Lab, request: pytest.FixtureRequest) -> None:
    """Six peers and three games in two versions: random kills, pauses, cuts, downloads, installs, cancels.

    At the end every game at every peer is absent, partial, old or new, with right hashes, nothing strays, all agree.
    """
    seconds = LONG_SECONDS if request.config.getoption("--long") else SHORT_SECONDS
    seed = int(os.environ.get("LANSPREAD_SEED", "0")) or random.randrange(1, 1 << 32)
    print(f"LANSPREAD_SEED={seed}")
    weather = Weather(lab, seed)
    weather.rage(seconds)
    weather.clear_up()
    weather.check()


def test_S57_clock_jumps(lab: Lab) -> None:
    """Files from next year and from 1970, a peer that is frozen for longer than the others wait, in a download.

    Nothing is served that is not right, and it goes on: the frozen one finds back and finishes.
    """
    game, late = lab.game(mib=24), lab.game("late", mib=2)
    source = lab.peer("source", "--upload-limit", "6MiB", start=False)
    game.copy_to(source.games)
    _date(source, game.id, time.time() + YEAR_SECONDS)
    source.start().ready()
    receiver = lab.peer("receiver").ready()
    receiver.sees(game)
    receiver.say(f"download {game.id} --no-install")
    receiver.reaches(game, 0.3)
    receiver.pause()
    source.loses(receiver)
    receiver.resume()
    receiver.wait("download_finished", game=game.id)
    same(game, receiver.games)
    late.copy_to(source.games)
    _date(source, late.id, 0)
    receiver.sees(late)
    (source.games / late.id / "maps/01.map").write_bytes(b"changed after 1970")
    _date(source, late.id, 1)
    (late.root / "maps/01.map").write_bytes(b"changed after 1970")
    receiver.sees(late, bytes=late.bytes)
    receiver.downloads(late)
    same(late, receiver.games)
    source.quit()
    source.restart()
    assert source.status()["hashed_bytes"] == 0, "what did not change was hashed again"


def _date(peer: Peer, game: str, seconds: float) -> None:
    """Dates every file and folder of a game."""
    for path in [*(peer.games / game).rglob("*"), peer.games / game]:
        os.utime(path, (seconds, seconds))


def test_S58_two_processes(lab: Lab) -> None:
    """A second `serve` on the same directories, then verbs on them, while the first one runs.

    The second refuses with exit code 6 and names the first; the verbs attach to it and it goes on.
    """
    game = lab.game(mib=2)
    first = lab.peer("first", has=[game], verb=("serve",)).ready()
    second = lab.peer("second", verb=("serve",), folder=first.machine.folder)
    second.ended(code=6)
    assert "first" in second.now.log_text(), f"the refusal does not name the first: {second.now.log_text()}"
    status = first.verb("status")
    assert status.code == 0 and first.id in status.stdout, f"{status}"
    listed = first.verb("list")
    assert listed.code == 0 and game.id in listed.stdout, f"{listed}"
    verified = first.verb("verify", game.id)
    assert verified.code == 0, f"{verified}"
    guest = lab.peer("guest").ready()
    guest.sees(game)
    guest.downloads(game)
    same(game, guest.games)
    assert not first.told("shutting_down")
    first.now.terminate()
    first.ended()
