"""What processes cost and what their links carried, read from `/proc` a few times a second."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

INTERVAL = 0.25

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Costs:
    """One node's processes, since the meter started."""

    cpu_seconds: float = 0.0
    memory_peak_bytes: int = 0


@dataclass(frozen=True)
class Traffic:
    """What a host's link has carried, headers included."""

    received: int = 0
    sent: int = 0


@dataclass(frozen=True)
class Point:
    """What every host's link had carried since the start, at a moment."""

    at: float
    traffic: dict[str, Traffic]


@dataclass
class _Watched:
    pid: int
    cpu_before: float
    link_before: Traffic
    costs: Costs = field(default_factory=Costs)
    link: Traffic = field(default_factory=Traffic)


class Meter:
    """Watches the processes that it is told of, until it is stopped."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.points: list[Point] = []
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)

    def start(self) -> None:
        """Time runs from here."""
        self.started = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Looks a last time, and no more."""
        if not self._stop.is_set():
            self._stop.set()
            if self._thread.is_alive():
                self._thread.join()
            self._sample()
            self._note_point()

    def watch(self, name: str, pid: int) -> None:
        """Watches this process and its children from now on."""
        with self._lock:
            self._watched[name] = _Watched(pid, tree_cpu_seconds(pid), link_traffic(pid))

    def ended(self, name: str, cpu_seconds: float) -> None:
        """A watched process has ended and is known to have used this much."""
        with self._lock:
            self._watched[name].costs.cpu_seconds = cpu_seconds

    def costs(self, name: str) -> Costs:
        """What a node has cost."""
        with self._lock:
            return self._watched[name].costs

    def traffic(self, name: str) -> Traffic:
        """What a node's link has carried."""
        with self._lock:
            return self._watched[name].link

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._sample()
            self._note_point()

    def _sample(self) -> None:
        with self._lock:
            for watched in self._watched.values():
                try:
                    cpu = tree_cpu_seconds(watched.pid) - watched.cpu_before
                    link = link_traffic(watched.pid)
                    memory = tree_memory_peak_bytes(watched.pid)
                except (OSError, ValueError, KeyError, IndexError):  # it has ended
                    continue
                watched.costs.cpu_seconds = max(cpu, watched.costs.cpu_seconds)
                watched.costs.memory_peak_bytes = max(memory, watched.costs.memory_peak_bytes)
                watched.link = Traffic(link.received - watched.link_before.received,
                                       link.sent - watched.link_before.sent)

    def _note_point(self) -> None:
        with self._lock:
            traffic = {name: watched.link for name, watched in self._watched.items()}
        self.points.append(Point(time.monotonic() - self.started, traffic))


def tree_cpu_seconds(pid: int) -> float:
    """Processor time of a process, of its children, and of those that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(ticks) for ticks in fields[11:15]) / TICKS
    return own + sum(_or_zero(tree_cpu_seconds, child) for child in children(pid))


def tree_memory_peak_bytes(pid: int) -> int:
    """The largest resident set that a process or one of its children has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            own = int(line.split()[1]) * 1024
            return max([own, *(int(_or_zero(tree_memory_peak_bytes, child)) for child in children(pid))])
    raise ValueError(f"{pid} has no memory")


def link_traffic(pid: int) -> Traffic:
    """What went over `eth0` of the process's host."""
    for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines():
        name, colon, rest = line.partition(":")
        if colon and name.strip() == "eth0":
            fields = rest.split()
            return Traffic(int(fields[0]), int(fields[8]))
    raise ValueError(f"{pid} has no eth0")


def children(pid: int) -> list[int]:
    """The children of a process's main thread."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _or_zero(ask: Callable[[int], float], pid: int) -> float:
    try:
        return ask(pid)
    except (OSError, ValueError, IndexError):
        return 0
