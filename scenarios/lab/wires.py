"""Cables and switches, alike for containers and namespaces: `ip` and `tc` on both ends of a veth pair."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from lan.network import ip, shape


@dataclass(frozen=True)
class Port:
    """One cable: the device in the machine, and its other end at the switch.

    `switch` is the switch's namespace, or `None` if the bridges are the host's own.
    """

    namespace: str
    device: str
    switch: str | None
    partner: str
    bridge: str

    def plug(self, bridge: str) -> None:
        """Plugs the cable into another bridge of the switch."""
        ip(*_inside(self.switch), "link", "set", self.partner, "master", bridge)

    def pull(self) -> None:
        """Pulls the cable out of the switch: nothing goes in or out, and the machine is not told."""
        ip(*_inside(self.switch), "link", "set", self.partner, "nomaster")

    def limit(self, mbit: int) -> None:
        """Lets the cable carry so many Mbit/s in each direction."""
        shape(self.namespace, self.device, mbit)
        shape(self.switch, self.partner, mbit)

    def unlimit(self) -> None:
        """Takes `limit` back."""
        for namespace, device in ((self.namespace, self.device), (self.switch, self.partner)):
            subprocess.run(["tc", *_inside(namespace), "qdisc", "del", "dev", device, "root"],
                           capture_output=True, check=False)


def _inside(namespace: str | None) -> list[str]:
    return ["-n", namespace] if namespace else []
