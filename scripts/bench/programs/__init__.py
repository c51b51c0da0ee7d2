"""The senders that are compared."""

from __future__ import annotations

from pathlib import Path

from .base import Node, Program, Site
from .https import Https
from .lanspread import Lanspread
from .rsync import Rsync
from .torrent import Torrent
from .transport import Transport

__all__ = ["PROGRAMS", "Https", "Lanspread", "Node", "Program", "Rsync", "Site", "Torrent", "Transport",
           "make_programs"]

PROGRAMS = ("lanspread", "libtorrent", "https", "rsync", "transport")


def make_programs(binary: Path) -> dict[str, Program]:
    """Every program by its name."""
    made: list[Program] = [Lanspread(binary), Torrent(), Https(), Rsync(), Transport(binary)]
    return {program.name: program for program in made}
