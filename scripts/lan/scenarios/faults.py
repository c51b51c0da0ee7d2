"""What breaks, and what must happen then. All on loopback, with known addresses."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic

from ..games import CHUNK_BYTES, MIB, SENTINEL, check_equal, copy_game, flip_byte, make_game, mixed_files
from ..lab import Home, Lab
from ..peer import Peer
from ..report import Outcome, check

GAME = "game"
OFFERED = 120.0
ARRIVED = 180.0

# Events that nobody should see when only a peer has gone.
TROUBLE = ("download_failed", "runtime_failed", "peer_distrusted", "download_cancelled", "lagged")


def _sources(lab: Lab, count: int, size: int, *options: str) -> tuple[list[Home], list[Peer]]:
    """`count` sources of the same game of many files."""
    homes = [lab.home(f"source-{number}") for number in range(count)]
    make_game(homes[0].games / GAME, mixed_files(size))
    for home in homes[1:]:
        copy_game(homes[0].games / GAME, home.games / GAME)
    return homes, [lab.peer(f"source-{number}", home, *options) for number, home in enumerate(homes)]


def _addresses(peers: list[Peer]) -> tuple[str, ...]:
    return tuple(peer.address for peer in peers)


def receiver_killed(lab: Lab, outcome: Outcome) -> None:
    """`kill -9` of the receiver at 50 %: what the next attempt fetches again."""
    size = (96 if lab.ci else 512) * MIB
    homes, peers = _sources(lab, 2, size)
    home, known = lab.home("receiver"), _addresses(peers)
    receiver = lab.peer("receiver", home, "--download-limit", f"{size // 6}", known=known)
    receiver.wait_game(GAME, OFFERED, sources=2)
    receiver.ask(f"download {GAME}")
    progress = lab.progress(receiver, GAME, 0.5, ARRIVED)
    receiver.kill()
    had = max(event.data["bytes_done"] for event in receiver.events("download_progress", game=GAME))
    total = progress["bytes_total"]
    check(not (home.games / GAME / SENTINEL).exists(), "a killed download left a sentinel")
    again = lab.peer("receiver-again", home, known=known)
    entry = again.wait_game(GAME, OFFERED, sources=2)
    check(entry["state"] == "partial", f"after a kill the game is {entry['state']}, not partial")
    transfer = lab.download(again, GAME, ARRIVED)
    check_equal(homes[0].games / GAME, home.games / GAME)
    received = again.status()["received_bytes"].get(GAME, 0)
    fetched_again = max(0, received - (total - had))
    outcome.detail(f"had {had} of {total}, then kept {transfer.finished['kept_bytes']} and received"
                   f" {received}")
    outcome.at_most("fetched again", 100 * fetched_again / had, "% of what it had", 5, ci=50)
    lab.check_contract()


def source_killed(lab: Lab, outcome: Outcome) -> None:
    """`kill -9` of one of three sources at 50 %: it finishes, and no error is shown."""
    size = (96 if lab.ci else 384) * MIB
    limit = size // 18
    homes, peers = _sources(lab, 3, size, "--upload-limit", str(limit))
    home = lab.home("receiver")
    receiver = lab.peer("receiver", home, known=_addresses(peers))
    receiver.wait_game(GAME, OFFERED, sources=3)
    since, begun = receiver.mark(), monotonic()
    receiver.ask(f"download {GAME}")
    progress = lab.progress(receiver, GAME, 0.5, ARRIVED)
    victim = peers[1]
    victim_id, killed_at = victim.id, monotonic()
    victim.kill()
    transfer = lab.arrival(receiver, GAME, ARRIVED, since, begun)
    check_equal(homes[0].games / GAME, home.games / GAME)
    for name in TROUBLE:
        check(not receiver.events(name), f"a source died and the receiver said {name}")
    left = progress["bytes_total"] - progress["bytes_done"]
    outcome.figure("finished after the kill in", begun + transfer.seconds - killed_at, "s")
    outcome.figure("two sources need for the rest", left / (2 * limit), "s")
    outcome.detail(f"left: {[event.data for event in receiver.events('peer_left', peer=victim_id)]}")
    lab.check_contract()


def stall(lab: Lab, outcome: Outcome) -> None:
    """All sources gone: told as stalled, and it goes on by itself when one returns."""
    size = (64 if lab.ci else 192) * MIB
    homes, peers = _sources(lab, 2, size, "--upload-limit", str(size // 10))
    home, known = lab.home("receiver"), _addresses(peers)
    receiver = lab.peer("receiver", home, known=known)
    receiver.wait_game(GAME, OFFERED, sources=2)
    since, begun = receiver.mark(), monotonic()
    receiver.ask(f"download {GAME}")
    lab.progress(receiver, GAME, 0.5, ARRIVED)
    for peer in peers:
        peer.kill()
    killed_at = monotonic()
    stalled = receiver.wait_event("download_stalled", 120, since, game=GAME, unless=("download_failed",))
    operations = receiver.status()["operations"]
    check(len(operations) == 1 and operations[0]["stalled"], f"status shows {operations}")
    returned = lab.peer("source-returned", homes[0], listen=known[0])
    ready = returned.wait_ready()
    transfer = lab.arrival(receiver, GAME, ARRIVED, since, begun)
    check_equal(homes[0].games / GAME, home.games / GAME)
    outcome.at_most("told after", stalled.at - killed_at, "s", 60, ci=90)
    outcome.figure("the rest is here after the return in", begun + transfer.seconds - ready.at, "s")
    lab.check_contract()


def give_up(lab: Lab, outcome: Outcome) -> None:
    """All sources gone: a one-shot verb gives up after `--give-up` with exit code 3."""
    size = (64 if lab.ci else 192) * MIB
    _, peers = _sources(lab, 1, size, "--upload-limit", str(size // 10))
    home = lab.home("receiver")
    peers[0].wait_ready()
    verb = lab.peer("verb", home, "--give-up", "3s", known=_addresses(peers), verb=("download", GAME))
    lab.progress(verb, GAME, 0.3, OFFERED + ARRIVED)
    peers[0].kill()
    killed_at = monotonic()
    code = verb.wait_exit(120)
    gone = monotonic() - killed_at
    stalled = verb.wait_event("download_stalled", 1, game=GAME)
    check(code == 3, f"it gave up with exit code {code}, not 3")
    check(not (home.games / GAME / SENTINEL).exists(), "giving up left a sentinel")
    outcome.figure("stalled after", stalled.at - killed_at, "s")
    outcome.at_most("then gave up after --give-up 3s in", killed_at + gone - stalled.at, "s", 5, ci=15)


# # Wrong bytes

def flipped_byte(lab: Lab, outcome: Outcome) -> None:
    """A byte flipped on one of two disks after indexing: refused, fetched elsewhere, the peer named.

    The bad source is the faster one, so that the bad chunk is asked of it first. One bad chunk is named
    in the log or by an event; a peer with several is dropped, which is an event.
    """
    size = (48 if lab.ci else 96) * MIB
    for label, chunks in (("one", [10]), ("several", list(range(4, 16)))):
        homes = [lab.home(f"{label}-{role}") for role in ("good", "bad")]
        make_game(homes[0].games / GAME, [("data/image.bin", size)])
        copy_game(homes[0].games / GAME, homes[1].games / GAME)
        good = lab.peer(f"{label}-good", homes[0], "--upload-limit", "4MiB")
        bad = lab.peer(f"{label}-bad", homes[1], "--upload-limit", "64MiB")
        known = _addresses([good, bad])
        named = _download_around(lab, label, known, homes, bad, chunks)
        outcome.detail(f"{label} bad chunk(s): the bad source was named by {named}")
        for peer in (good, bad):
            peer.quit()
    lab.check_contract()


def _download_around(
    lab: Lab, label: str, known: tuple[str, ...], homes: list[Home], bad: Peer, chunks: list[int]
) -> str:
    """Spoils chunks on the bad source and downloads until it was asked for one; how it was named."""
    spoiled = False
    for attempt in range(4):
        home = lab.home(f"{label}-receiver-{attempt}")
        receiver = lab.peer(f"{label}-receiver-{attempt}", home, known=known)
        receiver.wait_game(GAME, OFFERED, sources=2)
        if not spoiled:
            spoil(homes[1].games / GAME / "data/image.bin", chunks)
            spoiled = True
        lab.download(receiver, GAME, ARRIVED)
        check_equal(homes[0].games / GAME, home.games / GAME)
        told = receiver.events("peer_distrusted", peer=bad.id, reason="wrong_bytes", game=GAME)
        in_log = [line for line in receiver.log_text().splitlines()
                  if "wrong bytes" in line and (bad.id[:8] in line or bad.name in line)]
        check(len(receiver.events("peer_distrusted")) == len(told), "a peer that is not bad was distrusted")
        receiver.quit()
        if told or (in_log and label == "one"):
            return "an event" if told else "the log alone"
        nameless = "wrong bytes" in receiver.log_text()
        check(not nameless, f"wrong bytes came ({label}), and the operator was not told from whom")
    check(False, "the bad source was never asked for its bad chunk")
    return ""


def only_source_corrupt(lab: Lab, outcome: Outcome) -> None:
    """A byte flipped on the only source's disk after indexing: a clear error, no sentinel."""
    homes, peers = _sources(lab, 1, 32 * MIB)
    home = lab.home("receiver")
    receiver = lab.peer("receiver", home, known=_addresses(peers))
    receiver.wait_game(GAME, OFFERED, sources=1)
    spoil(homes[0].games / GAME / "pack/big.bin", [3])
    since, begun = receiver.mark(), monotonic()
    receiver.ask(f"download {GAME}")
    failed = receiver.wait_event("download_failed", 120, since, game=GAME, unless=("download_finished",))
    error = failed.data["error"]
    check(error["code"] == "corrupt_source", f"the error is {error}")
    check(not (home.games / GAME / SENTINEL).exists(), "a corrupt download left a sentinel")
    entry = receiver.game(GAME)
    check(entry is not None and entry["state"] == "partial", f"the list shows {entry}")
    outcome.detail(f"error: {error['message']}")
    outcome.at_most("told after", failed.at - begun, "s", 30, ci=60)
    lab.check_contract()


def spoil(path: Path, chunks: list[int]) -> None:
    """Flips one byte in each of these chunks and writes it through to the disk."""
    for chunk in chunks:
        flip_byte(path, chunk * CHUNK_BYTES + 4321)
    with path.open("rb") as file:
        os.fsync(file.fileno())
