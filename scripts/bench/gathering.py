"""One round: a program's nodes in a room of their own, watched while they send."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lan import network
from lan.games import copy_game
from lan.lab import MEMORY_DISK
from lan.machine import Moment
from lan.network import Network, run_name
from lan.report import CannotRun, check

from .meter import Meter
from .payload import GAME, GIB, Payload
from .programs import Node, Program, Site

# Past this many floors, and a minute for the slowest machine, a round has failed.
PATIENCE_FLOORS = 3.0
PATIENCE_SECONDS = 60.0

# The first and the last seconds of a round, in which a swarm is not in full swing.
EDGE_SECONDS = 4.0

# Of the points of a curve, every fourth goes into the record: one a second.
POINTS_KEPT = 4

# Nobody tells when the last piece has left the source, so it is looked for.
PIECES_INTERVAL = 0.1

FOLDER_PREFIX = "lanspread-bench"


@dataclass
class Round:
    """What one round came to. Times are seconds since the first receiver began, if nothing else is said."""

    program: str
    receivers: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    # The source's bytes over the payload's: on its link, headers included, and as it counts itself.
    copies_on_link: float | None = None
    copies_counted: float | None = None
    source_cpu_seconds_per_gib: float | None = None
    receiver_cpu_seconds_per_gib: float | None = None
    source_memory_bytes: int | None = None
    receiver_memory_bytes: int | None = None
    # Of the whole machine, what neither these nodes nor idleness took.
    others_share: float = 0.0
    # [seconds, bytes that the source has sent, mean bytes that a receiver has received]
    curve: list[list[float]] = field(default_factory=list)
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def last(self) -> float:
        """When the last receiver had finished."""
        return max(self.receivers.values())

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return {key: value for key, value in vars(self).items() if value is not None}


class Gathering:
    """A room with one source; receivers and others are added, begin, and are waited for."""

    def __init__(self, program: Program, payload: Payload, mbit: int | None) -> None:
        self.program, self.payload, self.mbit = program, payload, mbit
        self.nodes: dict[str, Node] = {}
        self.round = Round(program.name)
        self._meter = Meter()
        self._watched: set[str] = set()
        self._began: dict[str, float] = {}
        self._moment = Moment.now()
        self._folder = memory_folder()
        try:
            self._network = Network(run_name("bench"))
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        try:
            self.source = self.add_source("source", payload)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    # # Who is there

    def add_source(self, name: str, payload: Payload) -> Node:
        """A node that has this payload."""
        node = self.program.source(self._site(name, self.mbit), payload)
        self.nodes[name] = node
        return node

    def add_receivers(self, count: int) -> list[Node]:
        """Nodes that have nothing, named by their numbers."""
        first = sum(1 for name in self.nodes if name.startswith("receiver"))
        return [self.add_receiver(f"receiver-{first + number + 1}") for number in range(count)]

    def add_receiver(self, name: str, mbit: int | None = None) -> Node:
        """A node that has nothing, with a link of its own rate if one is named."""
        node = self.program.receiver(self._site(name, mbit or self.mbit), self.payload, self.source)
        self.nodes[name] = node
        return node

    def twin(self, name: str) -> Payload:
        """A second copy of the payload, in this room's folder."""
        parent = self._folder / f"{name}-payload"
        copy_game(self.payload.root, parent / GAME)
        return Payload(self.payload.shape, parent, self.payload.hashes)

    def _site(self, name: str, mbit: int | None) -> Site:
        folder = self._folder / name
        folder.mkdir()
        return Site(name, self._network.host(name, mbit), folder)

    # # What happens

    @property
    def floor(self) -> float:
        """Seconds that the payload takes over one link; of a link without a rate, at a tenth of a GiB/s."""
        return self.payload.bytes * 8 / 1e6 / self.mbit if self.mbit else self.payload.bytes / GIB * 10

    def acquaint(self) -> None:
        """Returns once everybody knows everybody."""
        self.program.acquaint(list(self.nodes.values()))

    def begin(self, receivers: Iterable[Node]) -> None:
        """Lets these receivers begin at once; the first call starts the clock."""
        if not self._began:
            for node in self.nodes.values():
                self._watch(node)
            self._moment = Moment.now()
            self._meter.start()
        for node in receivers:
            self._began[node.name] = time.monotonic()
            node.go()
            self._watch(node)

    def _watch(self, node: Node) -> None:
        if node.pid is not None and node.name not in self._watched:
            self._watched.add(node.name)
            self._meter.watch(node.name, node.pid)

    def deadline(self, copies: int = 1) -> float:
        """When patience ends, if that many copies follow one another."""
        return time.monotonic() + copies * self.floor * PATIENCE_FLOORS + PATIENCE_SECONDS

    def finish(self, receivers: Iterable[Node], copies: int = 1, leaves: Iterable[str] = ()) -> None:
        """Waits for these receivers, notes everything and checks their copies.

        Nodes that have left count no more.
        """
        receivers, gone, deadline = list(receivers), set(leaves), self.deadline(copies)
        first = min(self._began.values())
        for node in receivers:
            self.round.receivers[node.name] = node.wait_done(deadline) - first
        self._meter.stop()
        for node in receivers:
            ended = node.cpu_seconds_at_end()
            if ended is not None:
                self._meter.ended(node.name, ended)
        self._note(receivers, gone)
        if self.program.keeps:
            for node in receivers:
                self.payload.check_copy(node.copy)

    def _idle(self, names: list[str], mbit: int) -> dict[str, float]:
        """For how long the receivers' links stood idle on average, in the beginning, at the end, and between."""
        whole = max(self.round.receivers.values())
        idle = {"idle begin": 0.0, "idle middle": 0.0, "idle end": 0.0}
        before = 0.0, 0.0
        for point in self._meter.points:
            at = min(point.at, whole)
            received = sum(point.traffic[name].received for name in names if name in point.traffic) / len(names)
            part = "begin" if at < EDGE_SECONDS else "end" if before[0] >= whole - EDGE_SECONDS else "middle"
            idle[f"idle {part}"] += (at - before[0]) - (received - before[1]) * 8 / 1e6 / mbit
            before = at, received
        return idle

    def elapsed(self) -> float:
        """Seconds since the first receiver began."""
        return time.monotonic() - min(self._began.values())

    def since_own_start(self, node: Node) -> float:
        """How long a receiver took that began later than the others."""
        return self.round.receivers[node.name] - (self._began[node.name] - min(self._began.values()))

    def _note(self, receivers: list[Node], gone: set[str]) -> None:
        round_, size = self.round, self.payload.bytes
        round_.others_share = self._moment.others_share(
            sum(self._meter.costs(name).cpu_seconds for name in self._watched))
        costs = [self._meter.costs(node.name) for node in receivers]
        round_.receiver_cpu_seconds_per_gib = sum(cost.cpu_seconds for cost in costs) / len(costs) * GIB / size
        round_.receiver_memory_bytes = max(cost.memory_peak_bytes for cost in costs)
        round_.source_memory_bytes = self._meter.costs(self.source.name).memory_peak_bytes
        round_.copies_on_link = self._meter.traffic(self.source.name).sent / size
        if self.source.name not in gone:
            round_.source_cpu_seconds_per_gib = self._meter.costs(self.source.name).cpu_seconds * GIB / size
            counted = self.source.sent_bytes()
            round_.copies_counted = None if counted is None else counted / size
        if self.mbit:
            round_.notes |= self._idle([node.name for node in receivers], self.mbit)
        names = [node.name for node in receivers]
        for point in self._meter.points[::POINTS_KEPT]:
            received = [point.traffic[name].received for name in names if name in point.traffic]
            sent = point.traffic[self.source.name].sent if self.source.name in point.traffic else 0
            if received:
                round_.curve.append([round(point.at, 2), sent, round(sum(received) / len(names))])
        for node in receivers:
            for what, value in node.notes().items():
                round_.notes[what] = max(value, round_.notes.get(what, 0.0))
        check(round_.receivers, "nobody received anything")

    def wait_sent_once(self, receivers: list[Node]) -> None:
        """Returns once every piece is at one of the receivers at least."""
        deadline = self.deadline()
        while True:
            held = [node.pieces() for node in receivers]
            if all(held) and all(any(column) for column in zip(*held, strict=True)):
                return
            check(time.monotonic() < deadline, "the source has not sent every byte in time")
            time.sleep(PIECES_INTERVAL)

    def describe(self) -> str:
        """What everybody said last."""
        return "\n".join(node.describe() for node in self.nodes.values())

    def close(self) -> None:
        """Ends every process and removes every host and folder."""
        self._meter.stop()
        for node in self.nodes.values():
            node.close()
        self._network.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def memory_folder() -> Path:
    """A fresh folder in memory that names the process which must remove it."""
    return Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}-{os.getpid()}-", dir=MEMORY_DISK))


def sweep() -> None:
    """Removes hosts and folders of runs that were killed before they could do it themselves."""
    network.sweep()
    for folder in MEMORY_DISK.glob(f"{FOLDER_PREFIX}-*-*"):
        pid = folder.name.removeprefix(f"{FOLDER_PREFIX}-").partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


def require_memory(bytes_needed: int) -> None:
    """Raises unless the memory disk has that much room."""
    if not MEMORY_DISK.is_dir() or shutil.disk_usage(MEMORY_DISK).free < bytes_needed:
        raise CannotRun(f"{MEMORY_DISK} has no room for {bytes_needed / GIB:.1f} GiB")
