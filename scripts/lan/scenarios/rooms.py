"""Rooms with more machines than one would exchange chunks with."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..games import MIB, check_equal, make_game
from ..lab import Lab
from ..peer import Peer
from ..report import Outcome, check

# More than that are never neighbours for one payload where there are more than 32 others.
NEIGHBOURS_MAX = 16

RATE_MBIT = 50

# Everybody shakes hands with everybody, on the processors of one machine.
MEETING_SECONDS_PER_PAIR = 0.05
MEETING_SECONDS = 60.0

#: Machines that start together where it is not their meeting that counts.
COME_TOGETHER = 20

#: A machine stops listening for others when nobody new has come for 20 seconds.
SETTLING_SECONDS = 30.0

GAME = "crowded"


def crowd(lab: Lab, outcome: Outcome) -> None:
    """More machines than there are neighbours fetch one game together, and then a late one does."""
    count, size = 40, (16 if lab.ci else 64) * MIB
    room = lab.memory((count + 3) * size)
    homes = [lab.home(f"machine-{number}", room) for number in range(count)]
    make_game(homes[0].games / GAME, [("data.bin", size)])
    peers = [lab.peer(home.folder.name, home, host=lab.host(home.folder.name, RATE_MBIT)) for home in homes]
    _meet(peers, len(peers) - 1)
    receivers = peers[1:]
    since, begun = [peer.mark() for peer in receivers], time.monotonic()
    for peer in receivers:
        peer.ask(f"download {GAME} --no-install")
    most = _most_neighbours(peers, receivers, since)
    seconds = [lab.arrival(peer, GAME, 300, mark, begun).seconds
               for peer, mark in zip(receivers, since, strict=True)]
    late_home = lab.home("late", room)
    late = lab.peer("late", late_home, host=lab.host("late", RATE_MBIT))
    _meet([late], len(peers))
    late.wait_game(GAME, MEETING_SECONDS, sources=len(peers))
    took = lab.download(late, GAME, 120)
    for home in [*homes[1:], late_home]:
        check_equal(homes[0].games / GAME, home.games / GAME)
    outcome.detail(f"the last of {len(receivers)} after {max(seconds):.1f} s, the late one in {took.seconds:.1f} s")
    outcome.at_most("neighbours of one machine, the most", most, "", NEIGHBOURS_MAX, ci=2 * NEIGHBOURS_MAX)
    outcome.at_least("neighbours of one machine, the most, at least", most, "", 8, ci=8)
    lab.check_contract()


def _most_neighbours(peers: Sequence[Peer], receivers: Sequence[Peer], since: Sequence[int]) -> int:
    """The most that any of them has for the game just before the first of them has finished: in the beginning they know
    few, and have all whom they know.
    """
    most = 0
    while not any(peer.events("download_finished", mark) for peer, mark in zip(receivers, since, strict=True)):
        most = max(peer.status()["neighbours"].get(GAME, 0) for peer in peers)
    return most


def idle_room(lab: Lab, outcome: Outcome) -> None:
    """Two hundred machines that know each other and do nothing: what that costs each."""
    count, settling, watched = (12, 0.0, 5.0) if lab.ci else (200, SETTLING_SECONDS, 60.0)
    room = lab.memory(count * MIB)
    homes = [lab.home(f"machine-{number}", room) for number in range(count)]
    make_game(homes[0].games / GAME, [("data.bin", MIB)])
    peers: list[Peer] = []
    # All at once they would keep two cores busy for minutes, which is not what is measured here.
    for begin in range(0, count, COME_TOGETHER):
        come = homes[begin:begin + COME_TOGETHER]
        peers += [lab.peer(home.folder.name, home, host=lab.host(home.folder.name)) for home in come]
        _meet(peers[begin:], len(peers) - 1)
    _meet(peers, count - 1)
    time.sleep(settling)
    before, begun = sum(peer.usage().cpu_seconds for peer in peers), time.monotonic()
    time.sleep(watched)
    spent = sum(peer.usage().cpu_seconds for peer in peers) - before
    share = spent / (time.monotonic() - begun) / count * 100
    check(all(peer.status()["peers"] == count - 1 for peer in peers), "somebody was lost while nothing happened")
    memory = max(peer.usage().memory_peak_bytes for peer in peers)
    outcome.at_most(f"of a core, each of {count} idle machines", share, "%", 1.0, ci=5.0)
    outcome.figure("memory of one, the most", memory / MIB, "MiB")
    lab.check_contract()


def _meet(peers: Sequence[Peer], others: int) -> None:
    """Waits until each of them is connected with so many others."""
    timeout = MEETING_SECONDS + MEETING_SECONDS_PER_PAIR * others * len(peers)
    for peer in peers:
        peer.wait_ready()
    for peer in peers:
        peer.poll(lambda peer=peer: peer.ask("peer-count")["count"], lambda known: known >= others, timeout,
                  f"{others} peers")
