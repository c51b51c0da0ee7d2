"""rsync from its daemon: the plain copy without encryption."""

from __future__ import annotations

from ..payload import GAME, Payload
from .base import CommandNode, DaemonNode, Node, Program, Site, first_line

PORT = 8730

CONFIGURATION = """
pid file = {folder}/rsyncd.pid
use chroot = no
uid = root
gid = root
max connections = 0
[games]
path = {root}
read only = yes
"""


class Rsync(Program):
    """One daemon; every receiver is one `rsync -a`."""

    name = "rsync"
    swarm = False

    def version(self) -> str:
        return " ".join(first_line(["rsync", "--version"]).split()[:3]) + " (daemon, -a)"

    def source(self, site: Site, payload: Payload) -> Node:
        configuration = site.folder / "rsyncd.conf"
        configuration.write_text(CONFIGURATION.format(folder=site.folder, root=payload.parent))
        command = ["rsync", "--daemon", "--no-detach", "--config", str(configuration), "--port", str(PORT)]
        return DaemonNode(site, command, ["rsync", _url(site.host.address)], payload.root)

    def receiver(self, site: Site, payload: Payload, source: Node) -> Node:
        copy = site.folder / GAME
        command = ["rsync", "-a", f"{_url(source.site.host.address)}games/{GAME}/", f"{copy}/"]
        return CommandNode(site, command, copy)


def _url(address: str) -> str:
    return f"rsync://{address}:{PORT}/"
