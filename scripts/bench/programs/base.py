"""What the bench asks of a program, and what it lends to one."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lan.network import Host
from lan.report import CannotRun, CheckFailed

from ..payload import Payload

# For a process to start, to meet the others, or to answer.
READY_TIMEOUT = 120.0
EXIT_TIMEOUT = 15.0
PROBE_INTERVAL = 0.05


@dataclass(frozen=True)
class Site:
    """Where a node lives: its host and a fresh folder in memory."""

    name: str
    host: Host
    folder: Path


class Node(ABC):
    """One process of a program on one host."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.name = site.name

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """Its process; `None` if it has none yet."""

    @property
    @abstractmethod
    def copy(self) -> Path:
        """Where the files are, or will be."""

    @abstractmethod
    def go(self) -> None:
        """Begins to receive."""

    @abstractmethod
    def wait_done(self, deadline: float) -> float:
        """Waits for the end and returns when that was, on the monotonic clock."""

    def wait_share(self, share: float, deadline: float) -> None:
        """Waits until this share of the payload is here."""
        raise CannotRun(f"{self.name} does not tell how far it is")

    def sent_bytes(self) -> int | None:
        """The payload that it has sent, if it counts that."""
        return None

    def pieces(self) -> list[bool]:
        """Which pieces are here, complete and in their place."""
        raise CannotRun(f"{self.name} does not tell what it has")

    def wrong_bytes_seen(self) -> int:
        """How often it was sent wrong bytes."""
        raise CannotRun(f"{self.name} does not tell whether it was lied to")

    def leave(self) -> None:
        """Ends it as a user does."""
        self.close()

    def cpu_seconds_at_end(self) -> float | None:
        """Processor time of a process that has ended by itself."""
        return None

    def notes(self) -> dict[str, float]:
        """Whatever else is worth keeping."""
        return {}

    @abstractmethod
    def describe(self) -> str:
        """What it said last, for a failure."""

    @abstractmethod
    def close(self) -> None:
        """Ends it, in whatever way."""


class Program(ABC):
    """A way to bring files from one host to others."""

    name: str
    # Whether receivers also send.
    swarm: bool
    # Whether what came is there afterwards, to be compared.
    keeps: bool = True

    @abstractmethod
    def version(self) -> str:
        """What it calls itself, with the options that matter; raises `CannotRun` if it is not here."""

    @abstractmethod
    def source(self, site: Site, payload: Payload) -> Node:
        """A node that serves the payload where it is."""

    @abstractmethod
    def receiver(self, site: Site, payload: Payload, source: Node) -> Node:
        """A node that has nothing and is ready to go."""

    def acquaint(self, nodes: Sequence[Node]) -> None:
        """Returns once all nodes know of each other."""


class CommandNode(Node):
    """A process that is its own transfer: it begins with `go` and ends when everything is here."""

    def __init__(self, site: Site, command: list[str], copy: Path) -> None:
        super().__init__(site)
        self._command = site.host.command(command)
        self._copy = copy
        self._log = site.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._ended_at = 0.0
        self._cpu_seconds = 0.0
        self._reaper: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def copy(self) -> Path:
        return self._copy

    def go(self) -> None:
        self._process = spawn(self._command, self._log)
        self._reaper = threading.Thread(target=self._reap, args=(self._process,), daemon=True)
        self._reaper.start()

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        _, status, usage = os.wait4(process.pid, 0)
        self._ended_at = time.monotonic()
        self._cpu_seconds = usage.ru_utime + usage.ru_stime
        process.returncode = os.waitstatus_to_exitcode(status)
        self._ended.set()

    def wait_done(self, deadline: float) -> float:
        if self._process is None or not self._ended.wait(max(0.0, deadline - time.monotonic())):
            raise CheckFailed(f"{self.name} has not finished in time")
        if self._process.returncode != 0:
            raise CheckFailed(f"{self.name} ended with {self._process.returncode}")
        return self._ended_at

    def cpu_seconds_at_end(self) -> float | None:
        return self._cpu_seconds if self._ended.is_set() else None

    def describe(self) -> str:
        return describe_log(self.name, self._log)

    def close(self) -> None:
        if self._process is not None and self._reaper is not None:
            if not self._ended.is_set():
                self._process.kill()
            self._reaper.join(EXIT_TIMEOUT)


class DaemonNode(Node):
    """A server of files that is ready when a probe says so."""

    def __init__(self, site: Site, command: list[str], probe: list[str], copy: Path) -> None:
        super().__init__(site)
        self._copy = copy
        self._log = site.folder / "log"
        self._process = spawn(site.host.command(command), self._log)
        try:
            wait_probe(site.host.command(probe), lambda: self._process.poll() is None)
        except CannotRun as error:
            self.close()
            raise CannotRun(f"{error}\n{self.describe()}") from error

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def copy(self) -> Path:
        return self._copy

    def go(self) -> None:
        raise CannotRun(f"{self.name} has everything")

    def wait_done(self, deadline: float) -> float:
        raise CannotRun(f"{self.name} has everything")

    def describe(self) -> str:
        return describe_log(self.name, self._log)

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Starts a process that says everything into its log."""
    with log.open("ab") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0)


def wait_probe(command: list[str], alive: Callable[[], bool]) -> None:
    """Tries a command until it succeeds."""
    deadline = time.monotonic() + READY_TIMEOUT
    while alive() and time.monotonic() < deadline:
        if subprocess.run(command, capture_output=True, check=False, timeout=READY_TIMEOUT).returncode == 0:
            return
        time.sleep(PROBE_INTERVAL)
    raise CannotRun(f"`{' '.join(command)}` does not succeed")


def first_line(command: list[str]) -> str:
    """The first line that a program prints about itself."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=READY_TIMEOUT)
    except FileNotFoundError:
        raise CannotRun(f"{command[0]} is not here") from None
    return (done.stdout + done.stderr).strip().splitlines()[0]


def describe_log(name: str, log: Path) -> str:
    """The last lines of a log."""
    lines = log.read_text(errors="replace").splitlines()[-10:] if log.exists() else []
    return "\n".join([f"--- {name}", *(f"  | {line}" for line in lines)])
