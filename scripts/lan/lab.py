"""One scenario's folders, hosts and processes; `close` leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from .games import MIB
from .network import Host, Network, call, run_name
from .peer import Peer
from .report import CannotRun, Outcome, check

MEMORY_DISK = Path("/dev/shm")

# The peers of a lab never ask for more free room than this, so that small disks do.
RESERVE = "16MiB"

VERB_TIMEOUT = 60.0


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    binary: Path
    ci: bool = False
    keep: bool = False


@dataclass(frozen=True)
class Finished:
    """A verb that has run to its end."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Home:
    """The two folders of one peer."""

    folder: Path

    @property
    def games(self) -> Path:
        """Its game directory."""
        return self.folder / "games"

    @property
    def state(self) -> Path:
        """Its state directory."""
        return self.folder / "state"


@dataclass(frozen=True)
class Transfer:
    """One download, from the command to its last event."""

    seconds: float
    bytes: int
    finished: dict

    @property
    def mbit(self) -> float:
        """Payload per second, in Mbit/s."""
        return self.bytes * 8 / 1e6 / self.seconds


@dataclass
class Lab:
    """Where one scenario happens."""

    settings: Settings
    outcome: Outcome
    peers: list[Peer] = field(default_factory=list)
    _folders: list[Path] = field(default_factory=list)
    _mounts: list[Path] = field(default_factory=list)
    _network: Network | None = None
    _disk: Path | None = None
    _memory: Path | None = None

    def __post_init__(self) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("LANSPREAD_")}
        log = os.environ.get("LANSPREAD_LOG")
        self.environment = inherited | ({"LANSPREAD_LOG": log} if log else {})

    @property
    def ci(self) -> bool:
        """Whether this is a fast run."""
        return self.settings.ci

    # # Folders

    @property
    def disk(self) -> Path:
        """A fresh folder on the disk for temporary files."""
        if self._disk is None:
            self._disk = self._folder(None)
        return self._disk

    def memory(self, bytes_needed: int) -> Path:
        """A fresh folder in memory; on the disk, and noted, where memory has not that much room."""
        if self._memory is None:
            if not MEMORY_DISK.is_dir() or not os.access(MEMORY_DISK, os.W_OK):
                self.outcome.detail("no memory disk: on the disk for temporary files instead")
                self._memory = self.disk
            else:
                self._memory = self._folder(MEMORY_DISK)
        if shutil.disk_usage(self._memory).free < bytes_needed + 64 * MIB:
            self.outcome.detail(f"{self._memory} has no room for {bytes_needed} bytes: on the disk instead")
            self._memory = self.disk
        if shutil.disk_usage(self._memory).free < bytes_needed + 64 * MIB:
            raise CannotRun(f"{self._memory} has no room for {bytes_needed} bytes")
        return self._memory

    def _folder(self, inside: Path | None) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="lanspread-measure-", dir=inside))
        self._folders.append(folder)
        return folder

    def home(self, name: str, inside: Path | None = None) -> Home:
        """The folders of a peer, made if they are missing."""
        home = Home((inside or self.disk) / name)
        home.games.mkdir(parents=True, exist_ok=True)
        return home

    def own_disk(self, name: str, size: int) -> Path:
        """A fresh file system in memory that nobody else uses, so that what lies there can be counted."""
        if os.geteuid() != 0:
            raise CannotRun("a disk of its own needs root")
        folder = self.disk / name
        folder.mkdir()
        call("mount", "-t", "tmpfs", "-o", f"size={size}", f"lanspread-{name}", str(folder))
        self._mounts.append(folder)
        return folder

    # # Hosts

    def host(self, name: str, mbit: int | None = None) -> Host:
        """A host on this lab's network; with `mbit`, with a link of that rate."""
        if self._network is None:
            self._network = Network(run_name(self.outcome.name[:12]))
        return self._network.host(name, mbit)

    def plug(self, host: Host, plugged: bool) -> None:
        """Pulls a host's cable, or plugs it in again."""
        assert self._network is not None
        self._network.plug(host, plugged)

    # # Processes

    def peer(
        self, name: str, home: Home, *options: str, host: Host | None = None,
        verb: tuple[str, ...] = ("shell",), known: tuple[str, ...] = (), listen: str | None = None,
        party: Path | None = None,
    ) -> Peer:
        """Starts a process. On a host it uses mDNS; without one, loopback and the `known` addresses."""
        command = [str(self.settings.binary), "--json", "--config", os.devnull, "--name", name,
                   "--game-dir", str(home.games), "--state-dir", str(home.state), "--reserve", RESERVE]
        if host is None:
            command += ["--no-mdns", "--listen", listen or "127.0.0.1:0"]
        for address in known:
            command += ["--peer", address]
        if party is not None:
            command += ["--party", str(party)]
        command += [*options, *verb]
        if host is not None:
            command = host.command(command)
        peer = Peer(name, command, self.disk / f"{name}.log", self.environment)
        self.peers.append(peer)
        return peer

    def verb(self, *arguments: str, timeout: float = VERB_TIMEOUT) -> Finished:
        """Runs the program to its end."""
        command = [str(self.settings.binary), "--config", os.devnull, *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False,
                                  stdin=subprocess.DEVNULL, env=self.environment)
        except subprocess.TimeoutExpired:
            check(False, f"`{' '.join(command)}` did not end within {timeout:g} s")
            raise
        return Finished(done.returncode, done.stdout, done.stderr)

    # # Steps that many scenarios share

    def download(self, receiver: Peer, game: str, timeout: float) -> Transfer:
        """Downloads a game and waits for its end."""
        since, begun = receiver.mark(), time.monotonic()
        receiver.ask(f'download "{game}" --no-install')
        return self.arrival(receiver, game, timeout, since, begun)

    def arrival(self, receiver: Peer, game: str, timeout: float, since: int, begun: float) -> Transfer:
        """Waits for the end of a download that has begun."""
        finished = receiver.wait_event(
            "download_finished", timeout, since, game=game,
            unless=("download_failed", "download_cancelled", "runtime_failed"),
        )
        return Transfer(finished.at - begun, finished.data["bytes"], finished.data)

    def progress(self, receiver: Peer, game: str, share: float, timeout: float, since: int = 0) -> dict:
        """The first progress event at or past this share of the whole."""
        event = receiver.wait_event(
            "download_progress", timeout, since, game=game, unless=("download_failed", "download_finished"),
            where=lambda data: data["bytes_done"] >= share * data["bytes_total"],
        )
        return event.data

    def milestones(self, receiver: Peer, game: str) -> str:
        """When the last download of the game had how much, in words."""
        started = receiver.events("download_started", game=game)[-1]
        told = [event for event in receiver.events("download_progress", game=game) if event.at >= started.at]
        words = []
        for share in (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0):
            past = [event for event in told if event.data["bytes_done"] >= share * event.data["bytes_total"]]
            if past:
                words.append(f"{share:.0%} after {past[0].at - started.at:.1f} s")
        return ", ".join(words)

    def check_contract(self) -> None:
        """Every line on stdout was one of the contract."""
        for peer in self.peers:
            check(not peer.strange_lines(), f"{peer.name} wrote to stdout: {peer.strange_lines()[:1]}")

    def describe(self) -> str:
        """What the processes said last."""
        return "\n".join(peer.describe() for peer in self.peers)

    def close(self) -> None:
        """Ends every process and removes every host and folder."""
        for peer in self.peers:
            peer.close()
        if self._network is not None:
            self._network.close()
        for folder in self._mounts:
            subprocess.run(["umount", str(folder)], capture_output=True, check=False)
        for folder in self._folders:
            if self.settings.keep:
                print(f"kept: {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
