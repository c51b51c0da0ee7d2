"""Machines that are containers of the engine, on its bridge networks, by the Docker SDK.

A machine's container lives as long as its process: a start after a kill is a new container with the
same folder and address. Its network namespace gets a name, `ip netns attach`, for `ip` and `tc`.
"""

from __future__ import annotations

import json
import random
import subprocess
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

from docker.errors import APIError, DockerException, NotFound
from docker.types import EndpointConfig, IPAMConfig, IPAMPool
from lan.network import ip, sweep
from lan.report import CannotRun

import docker

from .container import ContainerProcess
from .machine import Finished, Machine, Network
from .wires import Port

LABEL = "lanspread.run"
INSIDE = "/data"
PROGRAM = "/lanspread"
SUBNET_ATTEMPTS_MAX = 50


class DockerBackend:
    """See `machine.Backend`. Needs root, the engine and the image."""

    name = "docker"

    def __init__(self, run: str, image: str) -> None:
        self._run = run
        self._image = image
        self._client = docker.from_env()
        self._networks: list[Any] = []
        self._processes: dict[str, ContainerProcess] = {}
        self._containers: list[Any] = []
        self._namespaces: list[str] = []
        self._routes: list[list[str]] = []

    @staticmethod
    def reason_why_not(image: str) -> str | None:
        """Why nothing can run here, or `None`."""
        try:
            docker.from_env().images.get(image)
        except NotFound:
            return f"there is no image {image}: scripts/build_image.sh makes it"
        except DockerException as error:
            return f"no Docker engine answers: {error}"
        return None

    @staticmethod
    def sweep() -> None:
        """Removes containers, networks and names of runs that were killed."""
        client = docker.from_env()
        for kind in (client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True),
                     client.networks.list(filters={"label": LABEL})):
            for thing in kind:
                labels = getattr(thing, "labels", None) or thing.attrs["Labels"]
                if not Path("/proc", labels[LABEL].split("-")[1]).exists():
                    _remove(thing)
        sweep()

    def network(self, name: str) -> Network:
        """A bridge network with a free subnet; addresses go through it unchanged."""
        label = f"{self._run}-{name}"
        for _ in range(SUBNET_ATTEMPTS_MAX):
            prefix = f"10.{random.randint(80, 250)}.{random.randint(0, 250)}"
            pool = IPAMPool(subnet=f"{prefix}.0/24", gateway=f"{prefix}.254")
            try:
                made = self._client.networks.create(
                    label, driver="bridge", ipam=IPAMConfig(pool_configs=[pool]), labels={LABEL: self._run},
                    options={"com.docker.network.bridge.enable_ip_masquerade": "false"},
                )
            except APIError as error:
                if "overlap" in str(error):
                    continue
                raise
            self._networks.append(made)
            return Network(label, f"br-{made.id[:12]}", prefix)
        raise CannotRun("no free subnet was found")

    def route(self, one: Network, other: Network) -> None:
        """The engine keeps its networks apart; the chain for such rules lets these two through."""
        for source, target in ((one, other), (other, one)):
            rule = ["DOCKER-USER", "-i", source.bridge, "-o", target.bridge, "-j", "ACCEPT"]
            subprocess.run(["iptables", "-w", "-I", *rule], check=True, capture_output=True)
            self._routes.append(rule)

    def machine(self, name: str, folder: Path, networks: list[Network], number: int) -> Machine:
        """Only its description: the container comes with the process."""
        addresses = {network.name: network.address(number) for network in networks}
        return Machine(name, folder, INSIDE, addresses, networks)

    def start(
        self, machine: Machine, arguments: list[str], stderr: BinaryIO, environment: dict[str, str]
    ) -> ContainerProcess:
        """A new container, whose only process is the program."""
        first = machine.networks[0]
        container = self._client.containers.create(
            self._image, [*arguments], hostname=machine.name, stdin_open=True, labels={LABEL: self._run},
            volumes={str(machine.folder): {"bind": INSIDE, "mode": "rw"}}, network=first.name,
            networking_config={first.name: self._endpoint(machine, first)}, healthcheck={"test": ["NONE"]},
            environment={key: value for key, value in environment.items() if key.startswith("LANSPREAD_")},
        )
        self._containers.append(container)
        for network in machine.networks[1:]:
            self._client.networks.get(network.name).connect(
                container, ipv4_address=machine.addresses[network.name])
        process = ContainerProcess(container, stderr)
        machine.ports = self._ports(machine, process)
        self._processes[machine.name] = process
        return process

    def _endpoint(self, machine: Machine, network: Network) -> EndpointConfig:
        version = self._client.api._version
        return EndpointConfig(version, ipv4_address=machine.addresses[network.name])

    def _ports(self, machine: Machine, process: ContainerProcess) -> list[Port]:
        """The cables; none if the program has ended already, which whoever waits for it finds out."""
        namespace = f"{self._run}-{machine.name}-{len(self._namespaces)}"
        try:
            ip("netns", "attach", namespace, str(process.pid))
            self._namespaces.append(namespace)
            return [_port(namespace, machine.addresses[network.name], network) for network in machine.networks]
        except CannotRun:
            if process.ends_soon():
                return []
            raise

    def run(self, machine: Machine, arguments: list[str], timeout: float) -> Finished:
        """A verb in the machine's container."""
        container = self._processes[machine.name].container
        done = container.exec_run([PROGRAM, *arguments], demux=True)
        stdout, stderr = (part.decode(errors="replace") if part else "" for part in done.output)
        return Finished(done.exit_code, stdout, stderr)

    def close(self) -> None:
        """Removes containers, names, rules and networks, in this order."""
        for container in self._containers:
            _remove(container)
        for namespace in self._namespaces:
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)
        for rule in self._routes:
            subprocess.run(["iptables", "-w", "-D", *rule], capture_output=True, check=False)
        for network in self._networks:
            _remove(network)
        self._client.close()


def _remove(thing: Any) -> None:
    """Removes a container with whatever runs in it, or a network, unless somebody else does."""
    try:
        if hasattr(thing, "kill"):
            thing.remove(force=True, v=True)
        else:
            thing.remove()
    except NotFound:
        pass
    except APIError as error:
        if error.status_code != HTTPStatus.CONFLICT:
            raise


def _port(namespace: str, address: str, network: Network) -> Port:
    """The cable with this address: the engine numbers the devices of a container in any order."""
    read = subprocess.run(["ip", "-n", namespace, "-json", "address", "show", "to", address],
                          capture_output=True, text=True, check=False)
    found = [entry["ifname"] for entry in json.loads(read.stdout or "[]") if entry.get("addr_info")]
    if not found:
        raise CannotRun(f"nothing in {namespace} has {address}: {read.stderr}")
    return Port(namespace, found[0], None, _partner(namespace, found[0]), network.bridge)


def _partner(namespace: str, device: str) -> str:
    """The host's end of a container's cable."""
    read = subprocess.run(["ip", "netns", "exec", namespace, "cat", f"/sys/class/net/{device}/iflink"],
                          capture_output=True, text=True, check=False)
    index = read.stdout.strip()
    for entry in Path("/sys/class/net").iterdir():
        try:
            if (entry / "ifindex").read_text().strip() == index:
                return entry.name
        except OSError:
            continue  # a device of another run has just gone
    raise CannotRun(f"the host has no end of {device} of {namespace}")
