"""What S56 does to its peers, and what must hold afterwards.

One seed decides everything that is done; what the peers make of it depends on their timing, too. A
step is a command or a fault; its answer is what the next step waits for, so nothing sleeps.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from lab import Game, Lab, Peer, same
from lan.games import check_equal
from lan.peer import CommandRefused
from lan.report import CheckFailed, check

PEERS = 6

# A command may meet a game in any state; these are the answers to that.
EXPECTED_CODES = {"busy", "no_source", "unknown_game", "not_downloaded", "not_installed", "installed", "bad_input",
                  "cancelled", "io", "all_sources_failed", "corrupt_source"}

COMMANDS = ("download {}", "download {}", "download {} --no-install", "cancel {}", "install {}", "uninstall {}",
            "stream-install {}", "remove {}", "verify {} --repair")

CALM_SECONDS = 120.0

# What may lie beside the games: the lock of the game directory, and what was there before.
BESIDE = {".lanspread.lock", "bystander.txt"}


class Weather:
    """Six peers, three games, one seed."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.random = random.Random(seed)
        self.games = {
            name: [make(version) for version in ("1.0", "2.0")]
            for name, make in {
                "tree": lambda version: lab.game("tree", mib=8, version=version),
                "zipped": lambda version: lab.archive("zipped", mib=6, version=version),
                "packed": lambda version: lab.archive("packed", mib=6, version=version, archive="data.zip"),
            }.items()}
        self.installed = {game: _installed(lab, game) for versions in self.games.values() for game in versions}
        self.peers = [lab.peer(f"pc-{number}", "--upload-limit", "12MiB", has=self._share(number))
                      for number in range(PEERS)]
        for peer in self.peers:
            (peer.games / "bystander.txt").write_text("not lanspread's")
            peer.ready()
        self.trouble: dict[Peer, Callable[[], object]] = {}
        self.story: list[str] = []

    def _share(self, number: int) -> list[Game]:
        """The first three peers each have one game, its old version at one, its new one at another."""
        names = list(self.games)
        if number < len(names):
            return [self.games[names[number]][0], self.games[names[number - 1]][1]]
        return []

    # # The storm

    def rage(self, seconds: float) -> None:
        """Random steps for so long; never more than half of the peers in trouble."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            peer = self.random.choice(self.peers)
            if peer in self.trouble:
                self._relieve(peer)
            elif self.random.random() < 0.2 and len(self.trouble) < PEERS // 2:
                self._harm(peer)
            else:
                self._command(peer)
        self.lab.note("\n".join(self.story))

    def _harm(self, peer: Peer) -> None:
        harm, relief = self.random.choice((
            (peer.kill, peer.restart), (peer.pause, peer.resume), (peer.cut, peer.heal)))
        self.story.append(f"{harm.__name__} {peer}")
        harm()
        self.trouble[peer] = relief

    def _relieve(self, peer: Peer) -> None:
        self.story.append(f"{self.trouble[peer].__name__} {peer}")
        self.trouble.pop(peer)()

    def _command(self, peer: Peer) -> None:
        line = self.random.choice(COMMANDS).format(self.random.choice(list(self.games)))
        self.story.append(f"{peer}: {line}")
        try:
            peer.say(line)
        except CommandRefused as error:
            check(error.code in EXPECTED_CODES, f"{peer} refused `{line}` with {error.code}")
        peer.status()

    def clear_up(self) -> None:
        """Everyone is well again, knows everyone, and nothing runs any more."""
        for peer in list(self.trouble):
            self._relieve(peer)
        for peer in self.peers:
            peer.until(lambda peer=peer: peer.say("peer-count")["count"], lambda count: count == PEERS - 1,
                       "all the others", CALM_SECONDS)
        for peer in self.peers:
            peer.until(lambda peer=peer: peer.status()["operations"], self._is_calm, "an end of what runs",
                       CALM_SECONDS)
            for name in self.games:
                if any(operation["game"] == name for operation in peer.status()["operations"]):
                    peer.say(f"cancel {name}")

    @staticmethod
    def _is_calm(operations: list[dict]) -> bool:
        """A download that nobody can serve any more may stay."""
        return all(operation["stalled"] for operation in operations)

    # # The oracle

    def check(self) -> None:
        """Every game at every peer is one of what it may be; then whatever is left somewhere can be had."""
        for peer in self.peers:
            for name, versions in self.games.items():
                try:
                    self._check_game(peer, versions)
                except CheckFailed as error:
                    raise CheckFailed(f"{name} at {peer}: {error}") from error
            strays = {entry.name for entry in peer.games.iterdir()} - {*self.games, *BESIDE}
            check(not strays, f"strays at {peer}: {strays}")
            check((peer.games / "bystander.txt").read_text() == "not lanspread's", "a bystander was changed")
        self._everyone_can_have_it()

    def _check_game(self, peer: Peer, versions: list[Game]) -> None:
        root = peer.games / versions[0].id
        if not root.exists():
            return
        sentinel = root / "version.ini"
        if sentinel.exists():
            version = sentinel.read_text().strip()
            same(next(game for game in versions if game.version == version), peer.games)
        reserved = {path.name for path in root.iterdir() if path.name.startswith((".local", ".lanspread", ".version"))}
        check(not reserved, f"left over: {reserved}")
        if (root / "local").exists():
            self._check_installed(root / "local", versions)

    def _check_installed(self, local: Path, versions: list[Game]) -> None:
        """`local/` is one version as a whole."""
        errors = []
        for game in versions:
            try:
                check_equal(self.installed[game], local)
                return
            except CheckFailed as error:
                errors.append(str(error))
        raise CheckFailed(f"local/ is no version: {errors}")

    def _everyone_can_have_it(self) -> None:
        for name in self.games:
            entries = [peer.game(name) for peer in self.peers]
            if all(entry is None or entry["state"] != "downloaded" for entry in entries):
                continue  # the last copy was removed: that was asked for
            for peer in self.peers:
                entry = peer.sees(name, 0)
                newest = entry["latest_version"]
                if entry["state"] != "downloaded" or entry["version"] != newest:
                    peer.downloads(name)
                same(next(game for game in self.games[name] if game.version == newest), peer.games)


def _installed(lab: Lab, game: Game) -> Path:
    """What `local/` of this version is: a plain tree is installed as it is, without its sentinel."""
    if game.installed is not None:
        return game.installed
    folder = lab.folder / "installed" / f"plain-{game.version}"
    game.copy_to(folder)
    (folder / game.id / "version.ini").unlink()
    return folder / game.id
