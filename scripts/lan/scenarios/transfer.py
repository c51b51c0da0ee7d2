"""How fast it is, over which links, and at what cost."""

from __future__ import annotations

import shutil
from pathlib import Path
from statistics import median

from ..games import MIB, Tree, check_equal, check_manifest, copy_game, equal_files, make_game, take_tree
from ..lab import Home, Lab, Transfer
from ..machine import Moment
from ..network import Host
from ..peer import Peer
from ..report import Outcome, check

GIB = 1024 * MIB

# What a source needs to hash a payload and a receiver to hear of it, at the very worst.
OFFERED = 120.0
ARRIVED = 600.0

GAME = "game"


def tree(lab: Lab, outcome: Outcome) -> None:
    """A real tree from this machine arrives byte-identical, executable bits included."""
    files, size = (1500, 48 * MIB) if lab.ci else (6000, GIB)
    source_home, receiver_home = lab.home("source"), lab.home("receiver")
    taken = take_tree(source_home.games / GAME, files, size)
    source = lab.peer("source", source_home, host=lab.host("source"))
    receiver = lab.peer("receiver", receiver_home, host=lab.host("receiver"))
    receiver.wait_game(GAME, OFFERED, sources=1)
    transfer = lab.download(receiver, GAME, ARRIVED)
    compared = check_equal(source_home.games / GAME, receiver_home.games / GAME)
    check(compared == taken, f"{taken} was made, {compared} was compared")
    described = receiver.ask(f'game "{GAME}"')["files"]
    hashed = [file for file in described if (receiver_home.games / GAME / file["path"]).is_file()]
    check(len(hashed) >= taken.files, f"the manifest has {len(hashed)} of {taken.files} files")
    outcome.detail(check_manifest(receiver_home.games / GAME, hashed))
    outcome.detail(f"{source.status()['hashed_bytes']} bytes were hashed by the source")
    outcome.at_least("identical files", compared.files, "", 5000, ci=1)
    outcome.at_least("identical bytes", compared.bytes / GIB, "GiB", 1, ci=0.01)
    outcome.figure("at", transfer.mbit / 1000, "Gbit/s")
    lab.check_contract()


# # One source, one receiver, memory to memory

def speed(lab: Lab, outcome: Outcome) -> None:
    """One source, one receiver, memory to memory, over loopback and between two hosts."""
    _speed(lab, outcome, rounds=1 if lab.ci else 3, hosts=(False, True))


def memory(lab: Lab, outcome: Outcome) -> None:
    """Memory of source and receiver while a large game goes from one to the other."""
    _speed(lab, outcome, rounds=1, hosts=(True,))


def _speed(lab: Lab, outcome: Outcome, rounds: int, hosts: tuple[bool, ...]) -> None:
    size = 192 * MIB if lab.ci else 2 * GIB
    folder = lab.memory(2 * size)
    made = _one_large_game(lab, folder, size)
    peaks = {"source": 0, "receiver": 0}
    for on_hosts in hosts:
        pair = (lab.host("source"), lab.host("receiver")) if on_hosts else (None, None)
        label = "between two hosts" if on_hosts else "over loopback"
        rates = []
        source = lab.peer(f"source {label}".replace(" ", "-"), Home(folder / "source"), host=pair[0])
        for number in range(rounds):
            name = f"receiver-{label.replace(' ', '-')}-{number}"
            receiver_home = lab.home(name, folder)
            receiver = lab.peer(name, receiver_home, host=pair[1],
                                known=() if on_hosts else (source.address,))
            transfer = _measured(lab, outcome, source, receiver, label, peaks)
            rates.append(transfer.mbit / 1000)
            check(transfer.bytes == made.bytes, f"{transfer.bytes} bytes arrived, not {made.bytes}")
            if number == 0:
                check_equal(folder / "source/games" / GAME, receiver_home.games / GAME)
            receiver.quit()
            shutil.rmtree(receiver_home.folder)
        source.quit()
        outcome.at_least(f"{label}, median of {rounds}", median(rates), "Gbit/s", 3, ci=0.05)
    for role, peak in peaks.items():
        outcome.at_most(f"memory of the {role}", peak / MIB, "MiB", 200, ci=400)
    lab.check_contract()


def _one_large_game(lab: Lab, folder: Path, size: int) -> Tree:
    home = lab.home("source", folder)
    return make_game(home.games / GAME, [("data/image.bin", size)])


def _measured(
    lab: Lab, outcome: Outcome, source: Peer, receiver: Peer, label: str, peaks: dict[str, int]
) -> Transfer:
    """One download, with what it cost both sides."""
    receiver.wait_game(GAME, OFFERED, sources=1)
    begun, before = Moment.now(), {peer: peer.usage() for peer in (source, receiver)}
    transfer = lab.download(receiver, GAME, ARRIVED)
    after = {peer: peer.usage() for peer in (source, receiver)}
    cost = {peer: after[peer].cpu_seconds - before[peer].cpu_seconds for peer in after}
    others = begun.others_share(sum(cost.values()))
    for role, peer in (("source", source), ("receiver", receiver)):
        peaks[role] = max(peaks[role], after[peer].memory_peak_bytes)
        outcome.detail(
            f"{label}, {role}: {cost[peer] * GIB / transfer.bytes:.2f} s of processor per GiB; peak memory"
            f" {before[peer].memory_peak_bytes / MIB:.0f} MiB before and"
            f" {after[peer].memory_peak_bytes / MIB:.0f} MiB after, {after[peer].anonymous_bytes / MIB:.0f} MiB"
            " anonymous at the end"
        )
    outcome.detail(f"{label}: {transfer.mbit / 1000:.2f} Gbit/s while others took {others:.0%} of the machine")
    return transfer


def small_files(lab: Lab, outcome: Outcome) -> None:
    """Many files of 10 KiB against one file of the same total, memory to memory."""
    count, each = (4000 if lab.ci else 100_000), 10 * 1024
    folder = lab.memory(4 * count * 12 * 1024)
    source_home = lab.home("source", folder)
    make_game(source_home.games / "many", equal_files(count, each))
    make_game(source_home.games / "one", [("data/image.bin", count * each)])
    lab.peer("source", source_home, host=lab.host("source"))
    receiver_home = lab.home("receiver", folder)
    receiver = lab.peer("receiver", receiver_home, host=lab.host("receiver"))
    seconds = {}
    for game in ("one", "many"):
        receiver.wait_game(game, OFFERED, sources=1)
        transfer = lab.download(receiver, game, ARRIVED)
        seconds[game] = transfer.seconds
        check_equal(source_home.games / game, receiver_home.games / game)
        outcome.detail(f"{game}: {transfer.seconds:.2f} s, {transfer.mbit / 1000:.2f} Gbit/s")
    usage = receiver.usage()
    outcome.detail(f"memory of the receiver: peak {usage.memory_peak_bytes / MIB:.0f} MiB")
    outcome.at_most(f"{count:,} files take the time of one, times", seconds["many"] / seconds["one"], "",
                    2.5, ci=40)
    lab.check_contract()


# # Several sources

def sources(lab: Lab, outcome: Outcome) -> None:
    """Three sources with links of 100 Mbit/s, a receiver with 1 Gbit/s."""
    size = 48 * MIB if lab.ci else 512 * MIB
    rate = _from_three(lab, outcome, size, (100, 100, 100))
    outcome.at_least("three sources of 100 Mbit/s give", rate, "Mbit/s", 270, ci=60)


def uneven_sources(lab: Lab, outcome: Outcome) -> None:
    """One source with 10 Mbit/s and two with 100, a receiver with 1 Gbit/s."""
    size = 48 * MIB if lab.ci else 384 * MIB
    rate = _from_three(lab, outcome, size, (10, 100, 100))
    outcome.at_least("sources of 10, 100 and 100 Mbit/s give", rate, "Mbit/s", 190, ci=40)


def _from_three(lab: Lab, outcome: Outcome, size: int, links_mbit: tuple[int, int, int]) -> float:
    """Downloads from three sources with these links; the payload's rate in Mbit/s."""
    folder = lab.memory(4 * size)
    receiver_host: Host = lab.host("receiver", 1000)
    homes = [lab.home(f"source-{number}", folder) for number in range(3)]
    make_game(homes[0].games / GAME, [("data/image.bin", size - size // 4), ("data/rest.bin", size // 4)])
    for home in homes[1:]:
        copy_game(homes[0].games / GAME, home.games / GAME)
    peers = [lab.peer(f"source-{number}", home, host=lab.host(f"s{number}", mbit))
             for number, (home, mbit) in enumerate(zip(homes, links_mbit))]
    receiver_home = lab.home("receiver", folder)
    receiver = lab.peer("receiver", receiver_home, host=receiver_host)
    receiver.wait_game(GAME, OFFERED, sources=3)
    transfer = lab.download(receiver, GAME, ARRIVED)
    check_equal(homes[0].games / GAME, receiver_home.games / GAME)
    for peer, mbit in zip(peers, links_mbit):
        sent = peer.status()["sent_bytes"].get(GAME, 0)
        outcome.detail(f"{peer.name} with {mbit} Mbit/s sent {sent / MIB:.1f} MiB")
    outcome.detail(lab.milestones(receiver, GAME))
    received = receiver.status()["received_bytes"].get(GAME, 0)
    outcome.detail(f"{received / transfer.bytes - 1:.1%} more than the payload was received, in"
                   f" {transfer.seconds:.1f} s")
    check(transfer.finished["peers"] == 3, f"{transfer.finished['peers']} of 3 sources took part")
    lab.check_contract()
    return transfer.mbit
