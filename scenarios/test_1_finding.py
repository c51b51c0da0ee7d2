"""Finding each other."""

from __future__ import annotations

import time
from itertools import combinations

from lab import Lab, same

MESH_SECONDS = 5.0
GOODBYE_SECONDS = 5.0
PRUNED_SECONDS = 30.0


def test_S01_two_peers_by_mdns(lab: Lab) -> None:
    """Two peers start on one network and know nothing of each other.

    Each is told of the other; what one has, the other lists and gets.
    """
    game = lab.game(mib=4)
    one = lab.peer("one", has=[game]).ready()
    two = lab.peer("two").ready()
    one.meets(two)
    two.meets(one)
    two.sees(game)
    two.downloads(game)
    same(game, two.games)


def test_S02_full_mesh(lab: Lab) -> None:
    """Ten peers start at once.

    Within 5 s of the last one's start each is connected to the nine others, once.
    """
    peers = lab.crowd(10, "pc")
    latest = max(peer.now.wait_ready().at for peer in peers)
    for one, other in combinations(peers, 2):
        one.meets(other)
        other.meets(one)
    met = max(event.at for peer in peers for event in peer.now.events("peer_joined"))
    assert met - latest < MESH_SECONDS, f"the mesh took {met - latest:.1f} s"
    for peer in peers:
        assert peer.say("peer-count") == {"count": 9}
        assert len(peer.say("peers")["peers"]) == 9
        peer.never("peer_left", "peer_distrusted")


def test_S03_goodbye(lab: Lab) -> None:
    """One of two peers shuts down in order.

    The other hears a goodbye within 5 s, and its game is gone from the list.
    """
    game = lab.game(mib=1)
    leaver = lab.peer("leaver", has=[game]).ready()
    stayer = lab.peer("stayer").ready()
    stayer.sees(game)
    begun = time.monotonic()
    leaver.quit()
    stayer.loses(leaver, "goodbye")
    told = stayer.now.events("peer_left")[0].at
    assert told - begun < GOODBYE_SECONDS, f"the goodbye came after {told - begun:.1f} s"
    stayer.until(lambda: stayer.game(game.id), lambda entry: entry is None, "an empty list")


def test_S04_killed_peer_is_pruned(lab: Lab) -> None:
    """One of three peers is killed.

    The others are told within 30 s and count one peer; its game has no source any more.
    """
    game = lab.game(mib=1)
    victim = lab.peer("victim", has=[game]).ready()
    others = lab.crowd(2, "pc")
    for peer in others:
        peer.meets(victim, *(other for other in others if other is not peer))
        peer.sees(game)
    victim.kill()
    for peer in others:
        left = peer.loses(victim, timeout=PRUNED_SECONDS)
        assert left["reason"] in ("timed_out", "connection_lost")
        assert peer.say("peer-count") == {"count": 1}
        peer.until(lambda peer=peer: peer.game(game.id), lambda entry: entry is None, "an empty list")


def test_S05_restart_with_another_address(lab: Lab) -> None:
    """A peer is killed and comes back on another machine's address with its state directory.

    It is the same peer at the new address, known once, and serves.
    """
    game = lab.game(mib=4)
    stayer = lab.peer("stayer").ready()
    mover = lab.peer("mover", has=[game]).ready()
    identity, before = mover.id, mover.address
    stayer.meets(mover)
    mover.kill()
    lab.moves(mover)
    mover.restart()
    assert mover.now.id == identity, "a restart changed the identity"
    assert mover.address != before
    where = stayer.until(
        lambda: stayer.say("peers")["peers"],
        lambda peers: [peer["addr"] for peer in peers] == [mover.address], "the peer at its new address")
    assert where[0]["id"] == identity
    stayer.sees(game)
    stayer.downloads(game)
    same(game, stayer.games)


def test_S06_across_networks(lab: Lab) -> None:
    """Two networks with a router and no multicast between them; one peer is told an address.

    It meets that peer, and its neighbours, who were told nothing, meet across the router too.
    """
    lab.backend.route(lab.network("left"), lab.network("right"))
    game = lab.game(mib=4)
    left = lab.peer("left", networks=("left",), has=[game]).ready()
    right = lab.peer("right", networks=("right",)).ready()
    neighbour = lab.peer("neighbour", networks=("right",)).ready()
    right.meets(neighbour)
    right.never_meets(left)
    neighbour.never_meets(left)
    right.say(f"connect {left.address}")
    right.meets(left)
    left.meets(right, neighbour)
    neighbour.meets(left)
    neighbour.sees(game)
    neighbour.downloads(game)
    same(game, neighbour.games)


def test_S07_wrong_party(lab: Lab) -> None:
    """A peer of a private party and one of the open party on one network.

    They do not connect, both say why, neither sees the other's games; two of the party do meet.
    """
    party, secret, public = lab.party("ours"), lab.game("secret", mib=1), lab.game("public", mib=1)
    member = lab.peer("member", party=party, has=[secret]).ready()
    stranger = lab.peer("stranger", has=[public]).ready()
    for peer in (member, stranger):
        peer.wait("peer_distrusted", reason="party_mismatch")
    friend = lab.peer("friend", party=party).ready()
    friend.meets(member)
    friend.sees(secret)
    friend.downloads(secret)
    same(secret, friend.games)
    for peer in (member, friend):
        assert peer.game("public") is None
        assert not peer.told("peer_joined", peer=stranger.id)
    assert stranger.game("secret") is None
    stranger.never("peer_joined")


def test_S08_two_interfaces(lab: Lab) -> None:
    """A peer on two networks, one neighbour on each; then the same with one interface named, and new neighbours.

    It finds and serves both; with `--interface` those on the other network find each other and not it.
    """
    game = lab.game(mib=4)
    both = lab.peer("both", networks=("left", "right"), has=[game]).ready()
    for name in ("left", "right"):
        neighbour = lab.peer(f"on-{name}", networks=(name,)).ready()
        neighbour.meets(both)
        neighbour.sees(game)
        neighbour.downloads(game)
        same(game, neighbour.games)
    for peer in lab.peers:
        peer.quit()  # whoever has met it knows its address and dials it once more after its goodbye
    both.restart("--interface", both.machine.address)
    newcomer = lab.peer("new-left", networks=("left",)).ready()
    newcomer.meets(both)
    outside = [lab.peer(f"new-right-{number}", networks=("right",)).ready() for number in range(2)]
    outside[0].meets(outside[1])
    outside[1].meets(outside[0])
    both.never_meets(*outside)
    for peer in outside:
        assert not peer.told("peer_joined", peer=both.id), f"{peer} found what does not look for it"
