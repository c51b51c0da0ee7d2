"""The transport alone, which hashes and stores nothing: what any download over it cannot pass."""

from __future__ import annotations

from pathlib import Path

from lan.report import CannotRun

from ..payload import Payload
from .base import CommandNode, DaemonNode, Node, Program, Site

PORT = 9443


class Transport(Program):
    """One server; a receiver fetches as many bytes as the payload has, and keeps none."""

    name = "transport"
    swarm = False
    keeps = False

    def __init__(self, binary: Path) -> None:
        """`binary` is lanspread's; the example is built beside it."""
        self.binary = binary.parent / "examples" / "raw_transport"

    def version(self) -> str:
        if not self.binary.is_file():
            raise CannotRun(f"there is no {self.binary}: `just raw-transport` makes it")
        return "s2n-quic with its defaults, 8 streams of 1 MiB at a time, nothing hashed or stored"

    def source(self, site: Site, payload: Payload) -> Node:
        address = f"{site.host.address}:{PORT}"
        return DaemonNode(site, [str(self.binary), "serve", address, str(site.folder / "cert.pem")],
                          self._fetch(address, site, 1), payload.root)

    def receiver(self, site: Site, payload: Payload, source: Node) -> Node:
        return CommandNode(site, self._fetch(f"{source.site.host.address}:{PORT}", source.site, payload.bytes),
                           site.folder)

    def _fetch(self, address: str, source: Site, size: int) -> list[str]:
        return [str(self.binary), "fetch", address, str(source.folder / "cert.pem"), str(size)]
