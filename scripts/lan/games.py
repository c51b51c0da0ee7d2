"""Payloads: made the same way every time, copied, spoiled and compared."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator

from . import blake3
from .report import CannotRun, check

MIB = 1024 * 1024
CHUNK_BYTES = MIB
SENTINEL = "version.ini"

# Files that plain Python hashes when there is nothing faster, and how large one may be.
SAMPLE_BYTES = 2 * MIB
SAMPLE_FILE_BYTES_MAX = 200 * 1024

# Longer paths are left out of a real tree.
PATH_LENGTH_MAX = 240

# One block of noise; files are windows of it at changing offsets, so that no two chunks are alike.
_NOISE = random.Random("lanspread").randbytes(2 * MIB)


@dataclass(frozen=True)
class Tree:
    """What a payload consists of, without its sentinel."""

    files: int
    bytes: int


def make_game(root: Path, files: Iterable[tuple[str, int]], version: str = "1.0") -> Tree:
    """Makes the game root with these files (path, size) and its sentinel."""
    count = total = 0
    for number, (path, size) in enumerate(files):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for piece in _content(number, size):
                file.write(piece)
        count, total = count + 1, total + size
    (root / SENTINEL).write_text(f"{version}\n")
    return Tree(count, total)


def _content(number: int, size: int) -> Iterator[bytes]:
    for chunk in range(-(-size // CHUNK_BYTES)):
        length = min(CHUNK_BYTES, size - chunk * CHUNK_BYTES)
        label = hashlib.sha256(f"{number} {chunk}".encode()).digest()
        start = int.from_bytes(label[:4], "big") % MIB
        yield (label + _NOISE[start:start + length])[:length]


def equal_files(count: int, size: int, folder: str = "data") -> list[tuple[str, int]]:
    """`count` files of `size` bytes, at most a thousand to a folder."""
    return [(f"{folder}/{number // 1000:03}/{number % 1000:03}.bin", size) for number in range(count)]


def mixed_files(total_bytes: int) -> list[tuple[str, int]]:
    """Files of many sizes, boundary sizes among them, of about `total_bytes` together."""
    files = [("empty", 0), ("one byte", 1), ("short", CHUNK_BYTES - 1), ("exact", CHUNK_BYTES),
             ("long", CHUNK_BYTES + 1)]
    files += [(f"maps/{number:02}.map", 700 * number + 13) for number in range(60)]
    rest = max(total_bytes - sum(size for _, size in files), 3)
    return files + [("pack/big.bin", rest // 2), ("pack/middle.bin", rest // 3),
                    ("pack/small.bin", rest - rest // 2 - rest // 3)]


# # Real files

_PORTABLE = re.compile(r"[A-Za-z0-9_+@=][A-Za-z0-9_+@=. ,-]{0,99}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)(\..*)?", re.IGNORECASE)


def take_tree(root: Path, files_min: int, bytes_min: int) -> Tree:
    """Copies files of this machine into a game root: real names, sizes and executable bits.

    The large ones first, until there is enough of them, then small ones until there are enough files.
    """
    found = list(_real_files())
    found.sort(key=lambda item: (-item[2], item[1]))
    chosen: list[tuple[Path, str, int]] = []
    total = 0
    for item in found:
        if total >= bytes_min or len(chosen) * 10 >= files_min:
            break
        chosen.append(item)
        total += item[2]
    rest = found[len(chosen):]
    step = max(1, len(rest) // max(1, files_min - len(chosen)))
    chosen += rest[::step][:max(0, files_min - len(chosen))]
    total = sum(size for _, _, size in chosen)
    if len(chosen) < files_min or total < bytes_min:
        raise CannotRun(f"this machine has only {len(chosen)} files with {total} bytes to show")
    for source, path, _ in chosen:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644)
    (root / "an empty folder").mkdir()
    (root / SENTINEL).write_text("1.0\n")
    return Tree(len(chosen), total)


def _real_files() -> Iterator[tuple[Path, str, int]]:
    """Regular files with names that every system can store: source, path in the game, size."""
    for label, folder in _real_folders():
        spelled: dict[str, str] = {}
        for here, folders, names in os.walk(folder):
            inside = Path(label, Path(here).relative_to(folder))
            folders[:] = [name for name in sorted(folders) if _is_new(spelled, f"{inside}/{name}")]
            for name in sorted(names):
                source, path = Path(here, name), f"{inside}/{name}"
                status = source.lstat()
                if (stat.S_ISREG(status.st_mode) and os.access(source, os.R_OK)
                        and _is_new(spelled, path)):
                    yield source, path, status.st_size


def _is_new(spelled: dict[str, str], path: str) -> bool:
    """Whether every system can store this path besides the others: no two differ in case alone."""
    if not _is_portable(Path(path).name) or len(path) > PATH_LENGTH_MAX:
        return False
    return spelled.setdefault(path.lower(), path) == path


def _real_folders() -> Iterator[tuple[str, Path]]:
    rustc = shutil.which("rustc")
    if rustc:
        done = subprocess.run([rustc, "--print", "sysroot"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            yield "rust", Path(done.stdout.strip())
    yield from (("lib", Path("/usr/lib")), ("share", Path("/usr/share")))


def _is_portable(name: str) -> bool:
    return (_PORTABLE.fullmatch(name) is not None and _RESERVED.fullmatch(name) is None
            and not name.endswith((".", " ")) and name.lower() not in ("thumbs.db", "desktop.ini"))


# # Copies

def copy_game(source: Path, target: Path) -> None:
    """A second, independent copy, with times kept."""
    shutil.copytree(source, target)


def flip_byte(path: Path, offset: int) -> None:
    """Changes one byte in place and hides it from the file's size and time, as a failing disk does."""
    before = path.stat()
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x10]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# # Comparing

def check_equal(source: Path, copy: Path) -> Tree:
    """Raises unless `copy` is `source`, byte for byte, with its executable bits and empty folders."""
    here, there = _entries(source), _entries(copy)
    missing, extra = sorted(here.keys() - there.keys()), sorted(there.keys() - here.keys())
    check(not missing, f"{len(missing)} entries are missing in the copy, such as {missing[:1]}")
    check(not extra, f"{len(extra)} entries are only in the copy, such as {extra[:1]}")
    for path, entry in here.items():
        check(entry == there[path], f"{path}: {entry} became {there[path]}")
    files = [path for path, entry in here.items() if entry is not None]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pairs = pool.map(lambda path: (path, _sha256(source / path), _sha256(copy / path)), files)
        for path, before, after in pairs:
            check(before == after, f"{path} has other bytes in the copy")
    payload = [here[path] for path in files if path != SENTINEL]
    return Tree(len(payload), sum(entry[0] for entry in payload if entry))


def _entries(root: Path) -> dict[str, tuple[int, bool] | None]:
    """Files with size and executable bit, and folders as `None`; never what is installed."""
    entries: dict[str, tuple[int, bool] | None] = {}
    for here, folders, names in os.walk(root):
        if Path(here) == root:
            folders[:] = [name for name in folders if name != "local"]
        for name in folders:
            entries[str(Path(here, name).relative_to(root))] = None
        for name in names:
            status = Path(here, name).lstat()
            check(stat.S_ISREG(status.st_mode), f"{name} is not a regular file")
            path = str(Path(here, name).relative_to(root))
            entries[path] = (status.st_size, bool(status.st_mode & stat.S_IXUSR))
    return entries


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def check_manifest(root: Path, described: list[dict[str, Any]]) -> str:
    """Raises unless the files under `root` have the sizes and BLAKE3 hashes of a `game` reply.

    Returns in words how many were hashed.
    """
    for file in described:
        size = (root / file["path"]).stat().st_size
        check(size == file["size"], f"{file['path']} has {size} bytes, not {file['size']}")
    chosen = described
    if blake3.implementation() == "python":
        chosen = _sample(described)
    hashes = blake3.hash_files(root / file["path"] for file in chosen)
    for file, found in zip(chosen, hashes):
        check(found == file["hash"], f"{file['path']} hashes to {found}, not {file['hash']}")
    how = {"b3sum": "by b3sum", "module": "by the blake3 module",
           "python": "in plain Python, a sample: neither b3sum nor the blake3 module is here"}
    return f"{len(chosen)} of {len(described)} hashes checked {how[blake3.implementation()]}"


def _sample(described: list[dict[str, Any]]) -> list[dict[str, Any]]:
    small = [file for file in described if file["size"] <= SAMPLE_FILE_BYTES_MAX]
    random.Random(1).shuffle(small)
    chosen, total = [], 0
    for file in small:
        if total + file["size"] <= SAMPLE_BYTES:
            chosen.append(file)
            total += file["size"]
    return chosen[:2000]
