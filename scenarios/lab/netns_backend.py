"""Machines that are network namespaces. Their bridges live in one more, the switch, which also routes."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from typing import BinaryIO

from lan.network import ip, sweep
from lan.peer import start_here

from .machine import Finished, Machine, Network
from .wires import Port

MTU_BYTES = 1500


class NetnsProcess:
    """A process in a namespace."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.stdin, self.stdout, self.pid = process.stdin, process.stdout, process.pid
        self.poll, self.wait, self.kill = process.poll, process.wait, process.kill
        self.send_signal = process.send_signal

    def pause(self) -> None:
        """Freezes it."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self._process.send_signal(signal.SIGCONT)


class NetnsBackend:
    """See `machine.Backend`. Needs root and `iproute2`."""

    name = "netns"

    def __init__(self, run: str, binary: Path) -> None:
        self._run = run
        self._binary = binary
        self._switch = f"{run}-switch"
        self._namespaces: list[str] = []
        self._networks = 0
        self._ports = 0
        self._add(self._switch)

    @staticmethod
    def sweep() -> None:
        """Removes what killed runs have left."""
        if shutil.which("ip"):
            sweep()

    def _add(self, namespace: str) -> None:
        ip("netns", "add", namespace)
        self._namespaces.append(namespace)
        ip("-n", namespace, "link", "set", "lo", "up")

    def network(self, name: str) -> Network:
        """A bridge in the switch."""
        self._networks += 1
        network = Network(name, f"lan{self._networks}", f"10.77.{self._networks}")
        ip("-n", self._switch, "link", "add", network.bridge, "mtu", str(MTU_BYTES), "type", "bridge",
           "stp_state", "0", "mcast_snooping", "0")
        ip("-n", self._switch, "link", "set", network.bridge, "up")
        return network

    def route(self, one: Network, other: Network) -> None:
        """The switch becomes both networks' router."""
        for network in (one, other):
            ip("-n", self._switch, "address", "add", f"{network.prefix}.254/24", "dev", network.bridge)
        ip("netns", "exec", self._switch, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def machine(self, name: str, folder: Path, networks: list[Network], number: int) -> Machine:
        """A namespace with a cable to each network."""
        namespace = f"{self._run}-{name}"
        self._add(namespace)
        addresses = {network.name: network.address(number) for network in networks}
        machine = Machine(name, folder, str(folder), addresses, networks)
        machine.ports = [self._cable(namespace, f"eth{at}", network, network.address(number))
                         for at, network in enumerate(networks)]
        ip("-n", namespace, "route", "add", "default", "via", f"{networks[0].prefix}.254")
        return machine

    def _cable(self, namespace: str, device: str, network: Network, address: str) -> Port:
        self._ports += 1
        partner = f"port{self._ports}"
        ip("-n", self._switch, "link", "add", partner, "mtu", str(MTU_BYTES), "type", "veth",
           "peer", "name", device, "mtu", str(MTU_BYTES), "netns", namespace)
        ip("-n", self._switch, "link", "set", partner, "master", network.bridge, "up")
        ip("-n", namespace, "link", "set", device, "up")
        ip("-n", namespace, "address", "add", f"{address}/24", "broadcast", f"{network.prefix}.255",
           "dev", device)
        return Port(namespace, device, self._switch, partner, network.bridge)

    def _command(self, machine: Machine, arguments: list[str]) -> list[str]:
        return ["ip", "netns", "exec", machine.ports[0].namespace, str(self._binary), *arguments]

    def start(
        self, machine: Machine, arguments: list[str], stderr: BinaryIO, environment: dict[str, str]
    ) -> NetnsProcess:
        """The process itself: `ip netns exec` becomes the program."""
        return NetnsProcess(start_here(self._command(machine, arguments), stderr, environment))

    def run(self, machine: Machine, arguments: list[str], timeout: float) -> Finished:
        """A verb on the machine."""
        done = subprocess.run(self._command(machine, arguments), capture_output=True, text=True,
                              timeout=timeout, check=False, stdin=subprocess.DEVNULL)
        return Finished(done.returncode, done.stdout, done.stderr)

    def close(self) -> None:
        """Removes the namespaces, and with them the links."""
        for namespace in reversed(self._namespaces):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)
        self._namespaces.clear()
