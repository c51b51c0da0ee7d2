"""Hosts that are network namespaces on one bridge.

The bridge lives in a namespace of its own, so that neither the machine's firewall nor its bridges have
a say, and so that removing the namespaces removes everything. Needs root and `iproute2`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .report import CannotRun

PREFIX = "lanspread"
SUBNET = "10.77.0"
MTU_BYTES = 1500

# What a cheap switch or a network card holds back per port before it drops.
QUEUE_BYTES = 1024 * 1024

# Link addresses that all hosts together know: 250 hosts that know each other. The system's own limit is 1024.
NEIGHBOURS_MAX = 65536
NEIGHBOUR_LIMITS = ("gc_thresh1", "gc_thresh2", "gc_thresh3")

# Programs of one user that watch folders: one a host. The system's own limit is 128.
WATCHERS_MAX = 1024
INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")

# Below 64 KiB a token bucket would have to cut what the kernel hands over in one piece.
BURST_BYTES_MIN = 64 * 1024

NAMESPACES = Path("/run/netns")


@dataclass(frozen=True)
class Host:
    """One machine of the LAN."""

    namespace: str
    address: str

    def command(self, arguments: list[str]) -> list[str]:
        """The command line that runs `arguments` on this host, as the very process that is started."""
        return ["ip", "netns", "exec", self.namespace, *arguments]


@dataclass
class Network:
    """A bridge and its hosts. `close` removes all of it."""

    run: str
    hosts: list[Host] = field(default_factory=list)

    def __post_init__(self) -> None:
        if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("tc"):
            raise CannotRun("hosts are network namespaces: this needs root, `ip` and `tc`")
        make_room_for_neighbours()
        self.switch = f"{self.run}-switch"
        ip("netns", "add", self.switch)
        try:
            ip("-n", self.switch, "link", "add", "lan", "mtu", str(MTU_BYTES), "type", "bridge",
               "stp_state", "0", "mcast_snooping", "0")
            ip("-n", self.switch, "link", "set", "lan", "up")
        except BaseException:
            self.close()
            raise

    def host(self, name: str, mbit: int | None = None) -> Host:
        """A new host; with `mbit`, its link carries that many Mbit/s in each direction."""
        number = len(self.hosts) + 1
        host = Host(f"{self.run}-{name}", f"{SUBNET}.{number}")
        port = f"port{number}"
        ip("netns", "add", host.namespace)
        self.hosts.append(host)
        ip("-n", self.switch, "link", "add", port, "mtu", str(MTU_BYTES), "type", "veth",
           "peer", "name", "eth0", "mtu", str(MTU_BYTES), "netns", host.namespace)
        ip("-n", self.switch, "link", "set", port, "master", "lan", "up")
        ip("-n", host.namespace, "link", "set", "lo", "up")
        ip("-n", host.namespace, "link", "set", "eth0", "up")
        ip("-n", host.namespace, "address", "add", f"{host.address}/24",
           "broadcast", f"{SUBNET}.255", "dev", "eth0")
        ip("-n", host.namespace, "route", "add", "default", "dev", "eth0")
        if mbit is not None:
            shape(host.namespace, "eth0", mbit)
            shape(self.switch, port, mbit)
        return host

    def plug(self, host: Host, plugged: bool) -> None:
        """Pulls the host's cable out at the switch, or plugs it in again."""
        port = f"port{self.hosts.index(host) + 1}"
        ip("-n", self.switch, "link", "set", port, "up" if plugged else "down")

    def close(self) -> None:
        """Removes every namespace, with its links."""
        for namespace in [*(host.namespace for host in self.hosts), self.switch]:
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)
        self.hosts.clear()


def run_name(label: str) -> str:
    """A name that no other run has."""
    return f"{PREFIX}-{os.getpid()}-{label}"


def sweep() -> None:
    """Removes namespaces of runs that were killed before they could do it themselves."""
    if not NAMESPACES.is_dir() or os.geteuid() != 0:
        return
    for entry in NAMESPACES.iterdir():
        match = re.fullmatch(rf"{PREFIX}-(\d+)-.*", entry.name)
        if match and not Path("/proc", match[1]).exists():
            subprocess.run(["ip", "netns", "delete", entry.name], capture_output=True, check=False)


def make_room_for_neighbours() -> None:
    """Raises limits that all hosts share: link addresses, of which each knows all others', and programs that watch folders."""
    for limit in NEIGHBOUR_LIMITS:
        path = Path("/proc/sys/net/ipv4/neigh/default", limit)
        if path.exists() and int(path.read_text()) < NEIGHBOURS_MAX:
            path.write_text(f"{NEIGHBOURS_MAX}\n")
    if INOTIFY_LIMIT.exists() and int(INOTIFY_LIMIT.read_text()) < WATCHERS_MAX:
        INOTIFY_LIMIT.write_text(f"{WATCHERS_MAX}\n")


def shape(namespace: str | None, device: str, mbit: int) -> None:
    """Lets a device send no more than that many Mbit/s, with a queue as a cheap switch has it.

    The device is the machine's own if there is no namespace.
    """
    inside = ["-n", namespace] if namespace else []
    burst = max(BURST_BYTES_MIN, mbit * 125)  # what one millisecond carries
    call("tc", *inside, "qdisc", "replace", "dev", device, "root", "tbf",
         "rate", f"{mbit}mbit", "burst", str(burst), "limit", str(QUEUE_BYTES))


def ip(*arguments: str) -> None:
    """Calls `ip`; raises `CannotRun` with what it said."""
    call("ip", *arguments)


def call(*command: str) -> None:
    """Runs a program to its end; raises `CannotRun` with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotRun(f"`{' '.join(command)}`: {done.stderr.strip()}")
