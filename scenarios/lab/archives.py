"""Archives with known contents, so that an install can be compared file by file."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path


def pack_zip(folder: Path, archive: Path) -> None:
    """A zip of the folder's contents, stored as they are, with executable bits."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for path in sorted(folder.rglob("*")):
            zipped.write(path, path.relative_to(folder))


def pack_tar(folder: Path, archive: Path) -> None:
    """A tar of the folder's contents."""
    with tarfile.open(archive, "w") as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder)), recursive=False)


def damage_zip(archive: Path) -> None:
    """Changes a byte in the middle of the data, so that a checksum inside no longer fits."""
    middle = archive.stat().st_size // 2
    with archive.open("r+b") as file:
        file.seek(middle)
        byte = file.read(1)
        file.seek(middle)
        file.write(bytes([byte[0] ^ 0xFF]))
        os.fsync(file.fileno())
