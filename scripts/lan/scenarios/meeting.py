"""Who finds whom, how fast, and who must not."""

from __future__ import annotations

from statistics import median
from time import monotonic

from ..games import make_game, mixed_files
from ..lab import Lab
from ..network import Host
from ..peer import Peer
from ..report import Outcome, check

# A peer that is not seen by then is not found at all.
LOST = 40.0


def discovery(lab: Lab, outcome: Outcome) -> None:
    """Two hosts on mDNS: how soon they see each other, a goodbye, and a kill.

    The second one starts last, each time with a new identity; the time runs from its start until both
    have been told.
    """
    first_host, second_host = lab.host("first"), lab.host("second")
    first = lab.peer("first", lab.home("first"), host=first_host)
    first.wait_ready()
    joined, goodbyes = [], []
    for number in range(2 if lab.ci else 10):
        seconds, second = _meet(lab, first, second_host, f"second-{number}")
        joined.append(seconds)
        since, second_id = first.mark(), second.id
        number_of_line = second.send("quit")
        second.reply(number_of_line, "quit")
        left_from = second.wait_event("shutting_down", LOST).at
        left = first.wait_event("peer_left", LOST, since, peer=second_id)
        goodbyes.append(max(0.0, left.at - left_from))
        check(left.data["reason"] == "goodbye", f"a peer that quit left with {left.data['reason']}")
        check(second.wait_exit() == 0, "`quit` did not end with exit code 0")
    _, second = _meet(lab, first, second_host, "killed")
    since, second_id = first.mark(), second.id
    second.kill()
    killed_at = monotonic()
    left = first.wait_event("peer_left", LOST, since, peer=second_id)
    outcome.detail(f"joined after {[round(seconds, 2) for seconds in joined]} s")
    outcome.detail(f"goodbye seen after {[round(seconds, 2) for seconds in goodbyes]} s")
    outcome.detail(f"the killed peer left with {left.data['reason']}")
    outcome.at_most(f"both see each other, median of {len(joined)}", median(joined), "s", 1.5, ci=10)
    outcome.at_most("a goodbye, slowest", max(goodbyes), "s", 2, ci=10)
    outcome.at_most("a killed peer is gone", left.at - killed_at, "s", 15, ci=30)


def _meet(lab: Lab, first: Peer, host: Host, name: str) -> tuple[float, Peer]:
    """Starts a second peer; the seconds from its start until both have been told of the other."""
    since = first.mark()
    second = lab.peer(name, lab.home(name), host=host)
    second.wait_ready()
    here = first.wait_event("peer_joined", LOST, since, peer=second.id)
    there = second.wait_event("peer_joined", LOST, peer=first.id)
    return max(here.at, there.at) - second.started, second




def parties(lab: Lab, outcome: Outcome) -> None:
    """A private party's peer and an open one do not connect, and both say why."""
    folder = lab.disk / "party"
    made = lab.verb("party", "new", str(folder))
    check(made.code == 0, f"`party new` ended with {made.code}: {made.stderr}")
    private_home, open_home, friend_home = (lab.home(name) for name in ("private", "open", "friend"))
    make_game(private_home.games / "secret", mixed_files(100_000))
    private = lab.peer("private", private_home, party=folder)
    stranger = lab.peer("open", open_home, known=(private.address,))
    told = stranger.wait_event("peer_distrusted", LOST, reason="party_mismatch")
    also_told = private.wait_event("peer_distrusted", LOST, reason="party_mismatch")
    outcome.figure("the open one is told", told.at - stranger.started, "s")
    outcome.figure("the private one is told", also_told.at - stranger.started, "s")
    for peer in (private, stranger):
        check(not peer.events("peer_joined"), f"{peer.name} met a peer of another party")
    check(stranger.game("secret") is None, "the open peer sees the private party's game")
    verb = lab.verb("--game-dir", str(friend_home.games), "--state-dir", str(friend_home.state),
                    "--no-mdns", "--listen", "127.0.0.1:0", "--peer", private.address,
                    "--wait", "5", "download", "secret")
    check(verb.code == 7, f"a download across parties ended with {verb.code}, not 7: {verb.stderr}")
    friend = lab.peer("friend", lab.home("member"), party=folder, known=(private.address,))
    friend.wait_event("peer_joined", LOST, peer=private.id)
    lab.download(friend, "secret", LOST)
    lab.check_contract()


def manual_peer_exchange(lab: Lab, outcome: Outcome) -> None:
    """Without mDNS: two peers that both know a third learn of each other from it."""
    middle = lab.peer("middle", lab.home("middle"))
    left = lab.peer("left", lab.home("left"), known=(middle.address,))
    left.wait_event("peer_joined", LOST, peer=middle.id)
    right_home = lab.home("right")
    make_game(right_home.games / "far", mixed_files(1_000_000))
    right = lab.peer("right", right_home, known=(middle.address,))
    right.wait_ready()
    met = max(left.wait_event("peer_joined", LOST, peer=right.id).at,
              right.wait_event("peer_joined", LOST, peer=left.id).at)
    outcome.figure("they meet", met - right.started, "s")
    middle.kill()
    left.wait_game("far", LOST, sources=1)
    lab.download(left, "far", LOST)
    lab.check_contract()
