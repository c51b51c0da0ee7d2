"""BLAKE3 for checks: the fastest implementation that this machine has.

`b3sum` on the path or the `blake3` module hash everything. Without them a plain Python version remains,
which is a thousand times slower and therefore only fit for a sample.
"""

from __future__ import annotations

import importlib.util
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Iterable

IV = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
MIXED = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)
CHUNK_BYTES, BLOCK_BYTES = 1024, 64
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
MASK = 0xFFFFFFFF

# Hashed by one `b3sum`; far below the limit of a command line.
FILES_PER_CALL = 500


def implementation() -> str:
    """Which of the three is used: `b3sum`, `module` or `python`."""
    if shutil.which("b3sum"):
        return "b3sum"
    return "module" if importlib.util.find_spec("blake3") else "python"


def hash_files(paths: Iterable[Path]) -> list[str]:
    """The hashes in hexadecimal, in the order of the paths."""
    paths = list(paths)
    used = implementation()
    if used == "b3sum":
        return [text for at in range(0, len(paths), FILES_PER_CALL)
                for text in _b3sum(paths[at:at + FILES_PER_CALL])]
    if used == "module":
        import blake3 as module
        return [module.blake3().update_mmap(path).hexdigest() if path.stat().st_size
                else module.blake3(b"").hexdigest() for path in paths]
    return [hash_bytes(path.read_bytes()) for path in paths]


def _b3sum(paths: list[Path]) -> list[str]:
    command = ["b3sum", "--no-names", "--", *map(str, paths)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def hash_bytes(data: bytes) -> str:
    """The hash in plain Python, about half a megabyte a second."""
    chunks = [data[at:at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)] or [b""]
    words = _subtree(chunks, 0, ROOT)
    return struct.pack("<8I", *words).hex()


def _subtree(chunks: list[bytes], first: int, root: int) -> tuple[int, ...]:
    """The chaining value of these chunks, of which the first is number `first`."""
    if len(chunks) == 1:
        return _chunk(chunks[0], first, root)
    left = 1 << ((len(chunks) - 1).bit_length() - 1)
    words = (*_subtree(chunks[:left], first, 0), *_subtree(chunks[left:], first + left, 0))
    return _compress(IV, words, 0, BLOCK_BYTES, PARENT | root)


def _chunk(data: bytes, number: int, root: int) -> tuple[int, ...]:
    value: tuple[int, ...] = IV
    blocks = [data[at:at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)] or [b""]
    for at, block in enumerate(blocks):
        flags = CHUNK_START if at == 0 else 0
        if at == len(blocks) - 1:
            flags |= CHUNK_END | root
        words = struct.unpack("<16I", block.ljust(BLOCK_BYTES, b"\0"))
        value = _compress(value, words, number, len(block), flags)
    return value


def _compress(
    value: tuple[int, ...], words: tuple[int, ...], counter: int, length: int, flags: int
) -> tuple[int, ...]:
    state = [*value, *IV[:4], counter & MASK, counter >> 32, length, flags]
    for round_number in range(7):
        for at, (a, b, c, d) in enumerate(MIXED):
            for rotations, word in (((16, 12), words[2 * at]), ((8, 7), words[2 * at + 1])):
                state[a] = (state[a] + state[b] + word) & MASK
                mixed = state[d] ^ state[a]
                state[d] = (mixed >> rotations[0] | mixed << (32 - rotations[0])) & MASK
                state[c] = (state[c] + state[d]) & MASK
                mixed = state[b] ^ state[c]
                state[b] = (mixed >> rotations[1] | mixed << (32 - rotations[1])) & MASK
        if round_number < 6:
            words = tuple(words[at] for at in PERMUTATION)
    return tuple(low ^ high for low, high in zip(state[:8], state[8:]))
