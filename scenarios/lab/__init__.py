"""The small language of the scenarios.

`Lab` is where one scenario happens: it makes games, networks and peers, and clears all of it away. A
`Peer` is one machine with the program on it, with verbs (`say`, `wait`, `kill`, `cut` …). A backend
says what a machine is: a container or a network namespace. Processes, payloads and comparisons come
from `scripts/lan`, which measures with them.
"""

from __future__ import annotations

from .games import MIB, Game, same, same_installed
from .lab import Lab
from .peer import Peer

__all__ = ["MIB", "Game", "Lab", "Peer", "same", "same_installed"]
