"""The senders that are compared."""

from __future__ import annotations

from pathlib import Path

from .base import Node, Program, Site
from .https import Https
from .lanspread import Lanspread
from .rsync import Rsync
from .torrent import Torrent

__all__ = ["PROGRAMS", "Https", "Lanspread", "Node", "Program", "Rsync", "Site", "Torrent", "make_programs"]

PROGRAMS = ("lanspread", "libtorrent", "https", "rsync")


def make_programs(binary: Path) -> dict[str, Program]:
    """Every program by its name."""
    made: list[Program] = [Lanspread(binary), Torrent(), Https(), Rsync()]
    return {program.name: program for program in made}
