#!/usr/bin/env python3
"""A BitTorrent client on libtorrent that is told what to do on stdin and tells what happens on stdout.

Its lines are those of `lanspread --json shell`: commands one per line, replies and events as JSON.
Commands: `peers ADDRESS…`, `download`, `status`, `quit`.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from typing import Any

import libtorrent as lt

PROGRESS_SECONDS = 0.25

SETTINGS: dict[str, Any] = {
    "user_agent": "bench",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification
                  | lt.alert.category_t.storage_notification,
}

_printing = threading.Lock()


def main() -> None:
    """Runs until `quit` or the end of input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--torrent", required=True)
    parser.add_argument("--game", required=True)
    parser.add_argument("--seed", action="store_true")
    arguments = parser.parse_args()
    client = Client(arguments)
    threading.Thread(target=client.watch, daemon=True).start()
    for number, line in enumerate(sys.stdin, start=1):
        command, *words = line.split()
        if command == "quit":
            break
        data = client.carry_out(command, words)
        tell({"type": "reply", "line": number, "command": command, "ok": data is not None, "data": data or {}})


class Client:
    """One session with one torrent."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.info = lt.torrent_info(arguments.torrent)
        self.peers: list[tuple[str, int]] = []
        self.torrent: Any = None
        self.session = lt.session({**SETTINGS, "listen_interfaces": arguments.address})
        if arguments.seed:
            self.add(seed=True)

    def carry_out(self, command: str, words: list[str]) -> dict[str, Any] | None:
        """One command's reply; `None` if there is no such command."""
        if command == "peers":
            self.peers = [(host, int(port)) for host, _, port in (word.partition(":") for word in words)]
            return {}
        if command == "download":
            self.add(seed=False)
            return {}
        if command == "status":
            if self.torrent is None:
                return {"sent_bytes": 0, "pieces": ""}
            status = self.torrent.status()
            return {"sent_bytes": status.total_payload_upload,
                    "pieces": "".join("1" if piece else "0" for piece in status.pieces)}
        return None

    def add(self, seed: bool) -> None:
        """Begins to serve, or to download from and with the peers."""
        parameters = lt.add_torrent_params()
        parameters.ti = self.info
        parameters.save_path = self.arguments.folder
        parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        if seed:
            parameters.flags |= lt.torrent_flags.seed_mode
        parameters.peers = self.peers
        self.torrent = self.session.add_torrent(parameters)
        for peer in self.peers:
            self.torrent.connect_peer(peer)

    def watch(self) -> None:
        """Tells what the session tells, and a few times a second how far it is."""
        told = 0.0
        ready = False
        while True:
            self.session.wait_for_alert(int(PROGRESS_SECONDS * 1000))
            for alert in self.session.pop_alerts():
                if isinstance(alert, lt.listen_succeeded_alert) and not ready:
                    ready = True
                    self.event("ready", listen=self.arguments.address)
                elif isinstance(alert, lt.torrent_finished_alert) and not self.arguments.seed:
                    self.event("download_finished", bytes=self.info.total_size())
                    self.torrent.flush_cache()
                elif isinstance(alert, lt.cache_flushed_alert) and not self.arguments.seed:
                    self.event("cache_flushed")
                elif isinstance(alert, lt.hash_failed_alert):
                    self.event("peer_distrusted", reason="wrong_bytes")
                elif isinstance(alert, (lt.listen_failed_alert, lt.torrent_error_alert, lt.file_error_alert)):
                    self.event("download_failed", error={"code": "internal", "message": alert.message()})
            if self.torrent is not None and time.monotonic() - told >= PROGRESS_SECONDS:
                told = time.monotonic()
                status = self.torrent.status()
                self.event("download_progress", bytes_done=status.total_wanted_done,
                           bytes_total=status.total_wanted, peers=status.num_peers)

    def event(self, name: str, **fields: Any) -> None:
        """One event about the game."""
        tell({"type": "event", "event": name, "game": self.arguments.game, **fields})


def tell(message: dict[str, Any]) -> None:
    """One line."""
    with _printing:
        print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
