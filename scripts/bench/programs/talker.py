"""A node that takes commands and tells events as JSON lines: lanspread's shell, or the torrent client."""

from __future__ import annotations

import os
import time
from pathlib import Path

from lan.peer import Event, Peer

from ..payload import GAME
from .base import Node, Site

FAILURES = ("download_failed", "download_cancelled", "runtime_failed")


class TalkingNode(Node):
    """A process behind `lan.peer.Peer`."""

    def __init__(self, site: Site, command: list[str], copy: Path, go: str) -> None:
        super().__init__(site)
        self._copy = copy
        self._go = go
        environment = {key: value for key, value in os.environ.items() if not key.startswith("LANSPREAD_")}
        self.peer = Peer(site.name, site.host.command(command), site.folder / "log", environment)

    @property
    def pid(self) -> int | None:
        return self.peer.process.pid if self.peer.process.poll() is None else None

    @property
    def copy(self) -> Path:
        return self._copy

    def go(self) -> None:
        self.peer.send(self._go)

    def wait_done(self, deadline: float) -> float:
        return self._wait("download_finished", deadline, 1.0).at

    def wait_share(self, share: float, deadline: float) -> None:
        self._wait("download_progress", deadline, share)

    def wrong_bytes_seen(self) -> int:
        return len(self.peer.events("peer_distrusted", reason="wrong_bytes", game=GAME))

    def leave(self) -> None:
        self.peer.quit()

    def _wait(self, name: str, deadline: float, share: float) -> Event:
        return self.peer.wait_event(
            name, max(0.0, deadline - time.monotonic()), unless=FAILURES, game=GAME,
            where=lambda data: data.get("bytes_done", 0) >= share * data.get("bytes_total", 0))

    def describe(self) -> str:
        return self.peer.describe()

    def close(self) -> None:
        self.peer.close()
