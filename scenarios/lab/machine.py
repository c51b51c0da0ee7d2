"""What every backend knows of a machine and of a network, and what a backend must be able to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from .wires import Port


@dataclass(frozen=True)
class Network:
    """A private network: one bridge and its addresses, `prefix`.1 to `prefix`.254."""

    name: str
    bridge: str
    prefix: str

    def address(self, number: int) -> str:
        """The address of the machine with this number."""
        return f"{self.prefix}.{number}"


@dataclass
class Machine:
    """A machine of the LAN. Its folder is the host's; `inside` is what the program there calls it."""

    name: str
    folder: Path
    inside: str
    addresses: dict[str, str]
    networks: list[Network]
    ports: list[Port] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Its address on its first network."""
        return self.addresses[self.networks[0].name]


@dataclass(frozen=True)
class Finished:
    """A verb that has run to its end."""

    code: int
    stdout: str
    stderr: str


class Backend(Protocol):
    """Makes machines and networks, runs the program on them, and removes all of it."""

    name: str

    def network(self, name: str) -> Network:
        """A network of its own; multicast does not leave it."""

    def route(self, one: Network, other: Network) -> None:
        """Lets unicast pass between two networks, as a router does."""

    def machine(self, name: str, folder: Path, networks: list[Network], number: int) -> Machine:
        """A machine with an address on each of these networks; nothing runs there."""

    def start(
        self, machine: Machine, arguments: list[str], stderr: BinaryIO, environment: dict[str, str]
    ) -> Any:
        """Starts the program there: an object with `subprocess.Popen`'s methods, besides `pause` and `resume`."""

    def run(self, machine: Machine, arguments: list[str], timeout: float) -> Finished:
        """Runs the program there to its end, beside the one that `start` started."""

    def close(self) -> None:
        """Removes everything that was made."""
