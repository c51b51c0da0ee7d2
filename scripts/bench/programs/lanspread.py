"""lanspread itself: shells that find each other by mDNS."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lan.games import CHUNK_BYTES, SENTINEL

from ..payload import GAME, Payload
from .base import READY_TIMEOUT, Node, Program, Site, first_line
from .talker import TalkingNode


class Lanspread(Program):
    """One shell with the game; every receiver is one more shell."""

    name = "lanspread"
    swarm = True

    def __init__(self, binary: Path) -> None:
        self._binary = binary

    def version(self) -> str:
        return f"{first_line([str(self._binary), '--version'])} (static release build, mDNS)"

    def source(self, site: Site, payload: Payload) -> Node:
        return LanspreadNode(site, self._binary, payload.parent)

    def receiver(self, site: Site, payload: Payload, source: Node) -> Node:
        games = site.folder / "games"
        games.mkdir()
        return LanspreadNode(site, self._binary, games)

    def acquaint(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            assert isinstance(node, LanspreadNode)
            node.wait_met(len(nodes) - 1)


class LanspreadNode(TalkingNode):
    """A shell."""

    def __init__(self, site: Site, binary: Path, games: Path) -> None:
        command = [str(binary), "--json", "--config", os.devnull, "--name", site.name,
                   "--game-dir", str(games), "--state-dir", str(site.folder / "state"), "--reserve", "16MiB", "shell"]
        super().__init__(site, command, games / GAME, f"download {GAME} --no-install")

    def wait_met(self, others: int) -> None:
        """Returns once it is connected with that many peers and the game is here or can be fetched."""
        self.peer.poll(lambda: self.peer.ask("peer-count")["count"], lambda count: count >= others,
                       READY_TIMEOUT, f"{others} peers")
        self.peer.wait_game(GAME, READY_TIMEOUT,
                            where=lambda entry: entry["state"] == "downloaded" or entry["peers"] > 0)

    def sent_bytes(self) -> int | None:
        return int(self.peer.status()["sent_bytes"].get(GAME, 0))

    def pieces(self) -> list[bool]:
        return [piece for path in sorted(self.copy.rglob("*")) if path.is_file() and path.name != SENTINEL
                for piece in written_chunks(path)]

    def notes(self) -> dict[str, float]:
        finished = self.peer.events("download_finished", game=GAME)
        return {"received_payload": self.peer.status()["received_bytes"].get(GAME, 0),
                "seconds_told": finished[-1].data["seconds"] if finished else 0.0}


def written_chunks(path: Path) -> list[bool]:
    """Which chunks of a file have been written. Nothing is written that was not verified."""
    size = path.stat().st_size
    written = [False] * -(-size // CHUNK_BYTES)
    with path.open("rb") as file:
        begin = end = 0
        while end < size:
            try:
                begin = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # only a hole is left
                break
            end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            first, last = -(-begin // CHUNK_BYTES), len(written) if end == size else end // CHUNK_BYTES
            written[first:last] = [True] * max(0, last - first)
    return written
