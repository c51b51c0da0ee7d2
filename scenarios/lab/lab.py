"""Where one scenario happens; `close` leaves nothing of it behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lan.games import make_game, mixed_files
from lan.report import check

from .archives import pack_zip
from .games import MIB, Game
from .machine import Backend, Network
from .peer import Peer

# Small, so that a small disk does.
RESERVE = "1MiB"

FOLDER_PREFIX = "lanspread-scenario-"

# What lies here outlasts a restart of the machine, so it is no memory disk.
DISK = Path("/var/tmp")


class Lab:
    """Games, networks and peers of one scenario."""

    def __init__(self, backend: Backend, run: str, scratch: Path | None = None) -> None:
        self.backend = backend
        self.peers: list[Peer] = []
        self._prefix = f"{FOLDER_PREFIX}{run}-"
        self._disks: list[Path] = []
        self.folder = Path(tempfile.mkdtemp(prefix=self._prefix, dir=scratch))
        self.logs = self.folder / "logs"
        self.logs.mkdir()
        self._networks: dict[str, Network] = {}
        self._machines = 0
        self._mounts: list[Path] = []
        self.environment = {key: value for key, value in os.environ.items()
                            if not key.startswith("LANSPREAD_") or key == "LANSPREAD_LOG"}

    # # Games

    def game(
        self, name: str = "cnctw", mib: float = 16, version: str = "1.0",
        files: Iterable[tuple[str, int]] | None = None,
    ) -> Game:
        """A game of files of many sizes, about `mib` MiB together, or of these (path, bytes)."""
        root = self._master(name, version)
        make_game(root, files or mixed_files(int(mib * MIB)), version)
        return Game(name, version, root)

    def archive(
        self, name: str = "cnctw", mib: float = 8, version: str = "1.0", archive: str = "setup.eti", salt: str = "",
    ) -> Game:
        """A game that is one zip of about `mib` MiB, of files of many sizes and one program."""
        root = self._master(name, version)
        installed = self.folder / "installed" / root.parent.name / name
        make_game(installed, mixed_files(int(mib * MIB)), version)
        program = installed / "bin" / "play.sh"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho {name} {version}{salt}\n")
        program.chmod(0o755)
        root.mkdir(parents=True)
        pack_zip(installed, root / archive)
        (root / "version.ini").write_text(f"{version}\n")
        return Game(name, version, root, installed)

    def _master(self, name: str, version: str) -> Path:
        games = self.folder / "masters"
        count = len(list(games.iterdir())) if games.is_dir() else 0
        return games / f"{count}-{version}" / name

    def catalog(self, *games: dict[str, Any]) -> dict[str, Any]:
        """A catalog's document; `peer(catalog=…)` takes it."""
        return {"games": [{"name": entry["id"], **entry} for entry in games]}

    def party(self, name: str) -> Path:
        """A party of its own, made by the program; `peer(party=…)` takes it."""
        maker = self.peer(f"maker-of-{name}").ready()
        done = maker.verb_anywhere("party", "new", f"{maker.machine.inside}/{name}")
        check(done.code == 0, f"`party new` failed: {done.stderr}")
        maker.quit()
        return maker.machine.folder / name

    # # Networks and peers

    def network(self, name: str = "lan") -> Network:
        """The network of this name, made if it is missing."""
        if name not in self._networks:
            self._networks[name] = self.backend.network(name)
        return self._networks[name]

    def common_options(self, machine: Any) -> list[str]:
        """The options that every process on the machine gets."""
        return ["--json", "--config", "/dev/null", "--name", machine.name, "--game-dir",
                f"{machine.inside}/games", "--state-dir", f"{machine.inside}/state", "--reserve", RESERVE]

    def peer(
        self, name: str, *options: str, has: Iterable[Game] = (), networks: tuple[str, ...] = ("lan",),
        disk_mib: int | None = None, catalog: dict[str, Any] | None = None, party: Path | None = None,
        verb: tuple[str, ...] = ("shell",), folder: Path | None = None, start: bool = True, on_disk: bool = False,
    ) -> Peer:
        """A machine with these games, and the program started on it.

        With `disk_mib` its games lie on a disk of that size; `folder` shares another machine's folders;
        `on_disk` is for what needs a real disk, which a sync takes time on.
        """
        self._machines += 1
        if on_disk:
            folder = self._on_disk()
        home = folder or self.folder / "machines" / name
        (home / "games").mkdir(parents=True, exist_ok=True)
        if disk_mib is not None:
            self._mount(home / "games", disk_mib)
        for game in has:
            game.copy_to(home / "games")
        machine = self.backend.machine(name, home, [self.network(each) for each in networks], self._machines)
        more = list(options)
        if catalog is not None:
            (home / "catalog.json").write_text(json.dumps(catalog))
            more += ["--catalog", f"{machine.inside}/catalog.json"]
        if party is not None:
            shutil.copytree(party, home / "party")
            more += ["--party", f"{machine.inside}/party"]
        peer = Peer(self, machine, more, list(verb))
        self.peers.append(peer)
        return peer.start() if start else peer

    def moves(self, peer: Peer) -> None:
        """Gives a stopped peer a machine with another address; its folders come along."""
        self._machines += 1
        old = peer.machine
        peer.machine = self.backend.machine(
            f"{old.name}-moved", old.folder, old.networks, self._machines)
        peer.machine.name = old.name

    def crowd(self, count: int, name: str, *options: str, has: Iterable[Game] = ()) -> list[Peer]:
        """So many alike peers, all ready."""
        games = list(has)
        peers = [self.peer(f"{name}-{number}", *options, has=games) for number in range(count)]
        return [peer.ready() for peer in peers]

    # # Disks

    def _on_disk(self) -> Path:
        """One more folder of this lab, on a disk."""
        self._disks.append(Path(tempfile.mkdtemp(prefix=self._prefix, dir=DISK)))
        return self._disks[-1]

    def _mount(self, folder: Path, mib: int) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "lanspread-scenario", folder],
                       check=True, capture_output=True)
        self._mounts.append(folder)

    def resize(self, peer: Peer, mib: int) -> None:
        """Makes a peer's small disk larger or smaller while it is in use."""
        subprocess.run(["mount", "-o", f"remount,size={mib}m", peer.games], check=True, capture_output=True)

    # # The end

    def check_contract(self) -> None:
        """Raises if a peer wrote something else than lines of the contract, or a part of it failed."""
        for peer in self.peers:
            for one in peer.past:
                check(not one.strange_lines(), f"{peer} wrote {one.strange_lines()[:1]}")
                failed = [event.data for event in one.events("runtime_failed")]
                check(not failed, f"a part of {peer} failed: {failed[:1]}")

    def note(self, text: str) -> None:
        """Keeps a text with the logs."""
        (self.logs / "story.txt").write_text(f"{text}\n")

    def describe(self) -> str:
        """The last events and log lines of every process."""
        return "\n".join(one.describe() for peer in self.peers for one in peer.past)

    def keep_logs(self, target: Path) -> None:
        """Copies every log, and every event with its time, to `target`."""
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.logs, target)
        for peer in self.peers:
            for number, one in enumerate(peer.past):
                lines = [f"{event.at - one.started:.3f} {json.dumps(event.data)}" for event in one.all_events()]
                (target / f"{peer.name}-{number}.events").write_text("\n".join([*lines, ""]))

    def close(self) -> None:
        """Ends every process and removes machines, networks, disks and folders."""
        for peer in self.peers:
            peer.close()
        self.backend.close()
        for folder in self._mounts:
            subprocess.run(["umount", "-l", folder], capture_output=True, check=False)
        for folder in (self.folder, *self._disks):
            shutil.rmtree(folder, ignore_errors=True)
