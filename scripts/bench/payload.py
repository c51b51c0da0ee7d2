"""What is sent, made once for all programs, and the check that it arrived."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lan.games import MIB, SENTINEL, equal_files, make_game
from lan.report import check

GAME = "game"
GIB = 1024 * MIB


@dataclass(frozen=True)
class Shape:
    """The files of a payload, by path and size."""

    label: str
    files: tuple[tuple[str, int], ...]

    @property
    def bytes(self) -> int:
        """All files together."""
        return sum(size for _, size in self.files)


def one_file(size: int) -> Shape:
    """One file of this size."""
    return Shape(f"one file of {size / MIB:.0f} MiB", (("data/image.bin", size),))


def many_files(count: int, each: int) -> Shape:
    """Many small files."""
    return Shape(f"{count:,} files of {each / 1024:.0f} KiB", tuple(equal_files(count, each)))


def tree() -> Shape:
    """One file of 2 GiB and 200 of 1 MiB: 2.19 GiB."""
    files = [("data/image.bin", 2 * GIB), *equal_files(200, MIB, "small")]
    return Shape("2.19 GiB: one file of 2 GiB, 200 of 1 MiB", tuple(files))


@dataclass(frozen=True)
class Payload:
    """A payload on the source's disk: the folder `game` inside `parent`."""

    shape: Shape
    parent: Path
    hashes: dict[str, str]

    @property
    def bytes(self) -> int:
        """What the files have together, without the few bytes of the sentinel."""
        return self.shape.bytes

    @property
    def root(self) -> Path:
        """The folder that is sent."""
        return self.parent / GAME

    @property
    def paths(self) -> list[str]:
        """Every file, relative to the root."""
        return sorted(self.hashes)

    def check_copy(self, copy: Path) -> None:
        """Raises unless `copy` has these files with these hashes, and no others."""
        found = hash_tree(copy)
        missing, extra = sorted(self.hashes.keys() - found.keys()), sorted(found.keys() - self.hashes.keys())
        check(not missing, f"{len(missing)} files are missing in {copy}, such as {missing[:1]}")
        check(not extra, f"{len(extra)} files are only in {copy}, such as {extra[:1]}")
        for path, digest in self.hashes.items():
            check(found[path] == digest, f"{copy / path} has other bytes than its source")


def make_payload(parent: Path, shape: Shape) -> Payload:
    """Makes the files, with lanspread's sentinel beside them, and hashes them."""
    make_game(parent / GAME, shape.files)
    payload = Payload(shape, parent, hash_tree(parent / GAME))
    check(len(payload.hashes) == len(shape.files) + 1, "not every file of the payload was made")
    check(SENTINEL in payload.hashes, "the payload has no sentinel")
    return payload


def hash_tree(root: Path) -> dict[str, str]:
    """The SHA-256 of every file below `root`, by its path."""
    paths = [Path(here, name) for here, _, names in os.walk(root) for name in names]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {str(path.relative_to(root)): digest for path, digest in zip(paths, pool.map(_sha256, paths))}


def spoil(root: Path, paths: Iterable[str]) -> None:
    """Changes one byte of every MiB of these files, and hides that from their sizes and times."""
    for path in paths:
        before = (root / path).stat()
        with (root / path).open("r+b", buffering=0) as file:
            for offset in range(0, before.st_size, MIB):
                file.seek(offset)
                byte = file.read(1)
                file.seek(offset)
                file.write(bytes([byte[0] ^ 0x10]))
        os.utime(root / path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
