"""Games of a scenario: made once, copied to the peers that have them, compared with what arrived."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from lan.games import MIB, SENTINEL, check_equal, flip_byte, make_game
from lan.report import check

__all__ = ["MIB", "SENTINEL", "Game", "flip_byte", "make_game", "same", "same_installed", "spoil"]


@dataclass(frozen=True)
class Game:
    """The master copy of one version of a game, and of what its archives hold, if it has any."""

    id: str
    version: str
    root: Path
    installed: Path | None = None

    @property
    def bytes(self) -> int:
        """Payload bytes."""
        return sum(path.stat().st_size for path in self.root.rglob("*")
                   if path.is_file() and path.name != SENTINEL)

    def copy_to(self, games: Path, keep: str = "") -> None:
        """Puts a copy into a game directory, in the place of any other version but its entry `keep`."""
        target = games / self.id
        target.mkdir(parents=True, exist_ok=True)
        for entry in target.iterdir():
            if entry.name != keep:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        sentinel = self.root / SENTINEL
        shutil.copytree(self.root, target, dirs_exist_ok=True, ignore=lambda _, names: {SENTINEL} & set(names))
        shutil.copy2(sentinel, target / SENTINEL)

    def link_to(self, games: Path) -> None:
        """Puts hard links into a game directory: for many files that nobody changes."""
        shutil.copytree(self.root, games / self.id, copy_function=os.link)


def same(game: Game, games: Path) -> None:
    """Raises unless the game directory has exactly this game, hash by hash; `local/` is not looked at."""
    root = games / game.id
    check((root / SENTINEL).is_file(), f"{game.id} has no {SENTINEL}")
    check_equal(game.root, root)


def same_installed(game: Game, games: Path) -> None:
    """Raises unless `local/` is exactly what the game's archives hold, hash by hash, and nothing else is left."""
    assert game.installed is not None, f"{game.id} is no archive"
    check_equal(game.installed, games / game.id / "local")
    left = [entry.name for entry in (games / game.id).iterdir()
            if entry.name.startswith((".local", ".lanspread", ".version"))]
    check(not left, f"an install of {game.id} left {left}")


def spoil(path: Path, chunks: list[int]) -> None:
    """Flips a byte in each of these chunks, through to the disk, unseen by size and time."""
    for chunk in chunks:
        flip_byte(path, chunk * MIB + 4321)
    with path.open("rb") as file:
        os.fsync(file.fileno())
