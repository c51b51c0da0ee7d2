"""Memory that a virtual machine keeps.

A virtual machine may report its free pages to its host, which takes them away. Whoever touches such a page next waits
until the host has found another: up to two seconds for each GiB, which a copy in memory is then measured to take.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: The smallest block of free pages that is reported, as a power of two; above the largest one nothing is.
REPORTING_ORDER = Path("/sys/module/page_reporting/parameters/page_reporting_order")
NOTHING_IS_REPORTED = "11"

PIECE = bytes(16 * 1024 * 1024)


@contextmanager
def memory_kept() -> Iterator[None]:
    """Has no free memory reported to a host while this lasts; nothing where that cannot be set."""
    before = _set_order(NOTHING_IS_REPORTED)
    try:
        yield
    finally:
        if before is not None:
            _set_order(before)


def touch(folder: Path, size: int) -> None:
    """Has the host find `size` bytes, once, before anything is measured: writes and removes a file in memory."""
    file = folder / "touched"
    try:
        with file.open("wb") as out:
            for _ in range(-(-size // len(PIECE))):
                out.write(PIECE)
    finally:
        file.unlink(missing_ok=True)


def _set_order(order: str) -> str | None:
    """Sets it and returns what it was before, or `None` if it cannot be set."""
    try:
        before = REPORTING_ORDER.read_text().strip()
        REPORTING_ORDER.write_text(order)
    except OSError:
        return None
    return before
