"""libtorrent, with its defaults where they serve a LAN: what most BitTorrent programs are made of."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lan.report import CannotRun

from ..payload import GAME, Payload
from .base import READY_TIMEOUT, Node, Program, Site
from .talker import TalkingNode

CLIENT = Path(__file__).parent / "torrent_client.py"
PORT = 6881


class Torrent(Program):
    """One seed; every receiver is told the addresses of the seed and of all other receivers."""

    name = "libtorrent"
    swarm = True

    def version(self) -> str:
        try:
            import libtorrent
        except ImportError:
            raise CannotRun("libtorrent is not here; scripts/bench/requirements.txt has it") from None
        return f"libtorrent {libtorrent.__version__} (TCP, no encryption, no tracker, no DHT, peers told by address)"

    def source(self, site: Site, payload: Payload) -> Node:
        return TorrentNode(site, payload.parent, _torrent(payload), seed=True)

    def receiver(self, site: Site, payload: Payload, source: Node) -> Node:
        return TorrentNode(site, site.folder, _torrent(payload), seed=False)

    def acquaint(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            assert isinstance(node, TorrentNode)
            node.peer.wait_event("ready", READY_TIMEOUT)
        for node in nodes:
            assert isinstance(node, TorrentNode)
            node.peer.ask("peers " + " ".join(
                f"{other.site.host.address}:{PORT}" for other in nodes if other is not node))


class TorrentNode(TalkingNode):
    """One session of libtorrent in a process of its own."""

    def __init__(self, site: Site, folder: Path, torrent: Path, seed: bool) -> None:
        command = [sys.executable, str(CLIENT), "--address", f"{site.host.address}:{PORT}", "--folder", str(folder),
                   "--torrent", str(torrent), "--game", GAME, *(["--seed"] if seed else [])]
        super().__init__(site, command, folder / GAME, "download")

    def wait_done(self, deadline: float) -> float:
        """As soon as it says so. What it still has in memory is written before anybody looks at the files."""
        done = super().wait_done(deadline)
        self.peer.wait_event("cache_flushed", READY_TIMEOUT)
        return done

    def pieces(self) -> list[bool]:
        return [digit == "1" for digit in self.peer.status()["pieces"]]

    def sent_bytes(self) -> int | None:
        return int(self.peer.status()["sent_bytes"])


def _torrent(payload: Payload) -> Path:
    """The torrent file, made once."""
    path = payload.parent.parent / f"{payload.parent.name}.torrent"
    if not path.exists():
        import libtorrent
        files = libtorrent.list_files(str(payload.root))
        creator = libtorrent.create_torrent(files, flags=libtorrent.create_torrent.v1_only)
        libtorrent.set_piece_hashes(creator, str(payload.parent))
        path.write_bytes(libtorrent.bencode(creator.generate()))
    return path
