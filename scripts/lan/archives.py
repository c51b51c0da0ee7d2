"""Archives of whole folders, as people make them: packed by other people's tools where there are free ones."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .report import CannotRun

_PIECE_BYTES = 1024 * 1024


def pack(folder: Path, archive: Path) -> None:
    """Packs everything in the folder; the archive's name says how."""
    for ending, packer in PACKERS.items():
        if archive.name.endswith(f".{ending}"):
            archive.parent.mkdir(parents=True, exist_ok=True)
            return packer(folder, archive)
    raise ValueError(f"{archive.name} has no known ending")


def damage(archive: Path) -> None:
    """Changes a byte in the middle, so that a checksum inside no longer fits."""
    with archive.open("r+b") as file:
        middle = archive.stat().st_size // 2
        file.seek(middle)
        byte = file.read(1)
        file.seek(middle)
        file.write(bytes([byte[0] ^ 0xFF]))


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def _pack_tar_zst(folder: Path, archive: Path) -> None:
    if not shutil.which("tar") or not shutil.which("zstd"):
        raise CannotRun("this needs `tar` and `zstd`")
    tar = subprocess.Popen(["tar", "-C", str(folder), "-c", "."], stdout=subprocess.PIPE)
    zstd = subprocess.run(["zstd", "-q", "-3", "-T0", "-o", str(archive)], stdin=tar.stdout, check=False)
    if tar.stdout is not None:
        tar.stdout.close()
    if tar.wait() != 0 or zstd.returncode != 0:
        raise CannotRun(f"`tar | zstd` could not make {archive}")


def _pack_zip(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False) as zipped:
        for path in _entries(folder):
            zipped.write(path, path.relative_to(folder))


# # RAR 5, stored: nothing free packs it

_RAR_SIGNATURE = b"Rar!\x1a\x07\x01\x00"
_RAR_MAIN, _RAR_FILE, _RAR_END = 1, 2, 5
_RAR_HAS_DATA, _RAR_FOLDER, _RAR_HAS_CRC, _RAR_UNIX = 2, 1, 4, 1


def _pack_rar(folder: Path, archive: Path) -> None:
    with archive.open("wb") as out:
        out.write(_RAR_SIGNATURE + _block(_vints(_RAR_MAIN, 0, 0)))
        for path in _entries(folder):
            _add(out, path, str(path.relative_to(folder)).encode())
        out.write(_block(_vints(_RAR_END, 0, 0)))


def _add(out: BinaryIO, path: Path, name: bytes) -> None:
    status = path.stat()
    kind, size = (_RAR_FOLDER, 0) if path.is_dir() else (0, status.st_size)
    crc = 0 if path.is_dir() else _crc32(path)
    out.write(_block(
        _vints(_RAR_FILE, _RAR_HAS_DATA, size, kind | _RAR_HAS_CRC, size, status.st_mode)
        + struct.pack("<I", crc) + _vints(0, _RAR_UNIX, len(name)) + name))
    if size:
        with path.open("rb") as file:
            shutil.copyfileobj(file, out, _PIECE_BYTES)


def _crc32(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            crc = zlib.crc32(piece, crc)
    return crc


def _block(header: bytes) -> bytes:
    """A header with its size and its checksum in front."""
    sized = _vints(len(header)) + header
    return struct.pack("<I", zlib.crc32(sized)) + sized


def _vints(*numbers: int) -> bytes:
    """Numbers of variable length: seven bits a byte, the low ones first."""
    out = bytearray()
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)


PACKERS: dict[str, Callable[[Path, Path], None]] = {
    "tar.zst": _pack_tar_zst, "zip": _pack_zip, "rar": _pack_rar,
}
