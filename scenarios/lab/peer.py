"""One machine with the program on it, and the verbs of a scenario.

Waiting takes events as the shell's own `wait` does: one that has come already counts, and is taken by
one `wait` only. A wait for the end of something fails at once when it ends otherwise.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lan import peer as process
from lan.report import check

from .games import Game
from .machine import Finished, Machine

if TYPE_CHECKING:
    from .lab import Lab

Json = dict[str, Any]

# Generous: a slow machine must not fail a scenario whose subject is not speed.
PATIENCE_SECONDS = 90.0
PROGRESS_INTERVAL = 0.02

# What ends a wait for an end with an error.
OTHERWISE = {
    "download_finished": ("download_failed", "download_cancelled"),
    "download_failed": ("download_finished", "download_cancelled"),
    "install_finished": ("install_failed", "install_cancelled", "download_failed", "download_cancelled"),
    "install_failed": ("install_finished", "install_cancelled"),
    "download_progress": ("download_finished", "download_failed", "download_cancelled"),
    "verify_finished": ("verify_failed",),
    "uninstall_finished": ("uninstall_failed",),
}


class Peer:
    """A machine and the process that runs on it."""

    def __init__(self, lab: Lab, machine: Machine, options: list[str], verb: list[str]) -> None:
        self.lab = lab
        self.machine = machine
        self.options = options
        self.verb_words = verb
        self.past: list[process.Peer] = []
        self._taken: set[int] = set()
        self._asked: dict[str, int] = {}
        self._identity: str | None = None
        self._mbit: int | None = None

    def __repr__(self) -> str:
        return self.name

    # # What it is

    @property
    def name(self) -> str:
        """Its name, as its neighbours are told."""
        return self.machine.name

    @property
    def games(self) -> Path:
        """Its game directory, as the host sees it."""
        return self.machine.folder / "games"

    @property
    def state(self) -> Path:
        """Its state directory, as the host sees it."""
        return self.machine.folder / "state"

    @property
    def now(self) -> process.Peer:
        """The process that was started last."""
        return self.past[-1]

    @property
    def id(self) -> str:
        """Its identity, 64 hexadecimal digits."""
        if self._identity is None:
            self._identity = self.now.id
        return self._identity

    @property
    def address(self) -> str:
        """`IP:PORT` where its neighbours reach it."""
        return f"{self.machine.address}:{self.now.address.rpartition(':')[2]}"

    # # Its life

    def start(self, *options: str) -> Peer:
        """Starts the program, with more options if there are any; returns at once."""
        arguments = [*self.lab.common_options(self.machine), *self.options, *options, *self.verb_words]
        log = self.lab.logs / f"{self.name}-{len(self.past)}.log"
        self._taken.clear()
        self._asked.clear()
        self.past.append(process.Peer(
            self.name, arguments, log, self.lab.environment,
            lambda words, stderr, env: self.lab.backend.start(self.machine, words, stderr, env)))
        if self._mbit is not None:
            self.shape(self._mbit)
        return self

    def ready(self) -> Peer:
        """Waits until it listens and has looked at its games."""
        self.now.wait_ready(PATIENCE_SECONDS)
        return self

    def kill(self) -> None:
        """`kill -9`."""
        self.now.kill()

    def kill_when(self, condition: Callable[[], bool], timeout: float = PATIENCE_SECONDS) -> None:
        """`kill -9` in the very moment when the condition holds: for windows of microseconds."""
        deadline, pid = time.monotonic() + timeout, self.now.process.pid
        while not condition():
            check(time.monotonic() < deadline, f"{self}: waited {timeout:g} s for the moment to kill it")
        os.kill(pid, signal.SIGKILL)
        self.now.wait_exit()

    def quit(self) -> None:
        """Shuts it down in order."""
        self.now.send("quit")
        self.ended()

    def ended(self, code: int = 0, timeout: float = PATIENCE_SECONDS) -> None:
        """Waits until it has ended, with this exit code."""
        found = self.now.wait_exit(timeout)
        check(found == code, f"{self} ended with exit code {found}, not {code}")

    def restart(self, *options: str) -> Peer:
        """Starts it again after a `kill` or `quit`."""
        return self.start(*options).ready()

    def pause(self) -> None:
        """Freezes the process."""
        self.now.process.pause()

    def resume(self) -> None:
        """Lets a frozen process go on."""
        self.now.process.resume()

    # # Its network

    def cut(self) -> None:
        """Pulls its cables."""
        for port in self.machine.ports:
            port.pull()

    def heal(self) -> None:
        """Plugs its cables in where they belong."""
        for port in self.machine.ports:
            port.plug(port.bridge)

    def shape(self, mbit: int) -> None:
        """Lets its cables carry so many Mbit/s in each direction."""
        self._mbit = mbit
        for port in self.machine.ports:
            port.limit(mbit)

    # # Talking

    def say(self, line: str, timeout: float = PATIENCE_SECONDS) -> Json:
        """Types a line and returns the data of its reply, which must be ok."""
        for word in line.split()[1:]:
            self._asked[word.strip('"')] = self.now.mark()
        return self.now.ask(line, timeout)

    def refuses(self, line: str) -> str:
        """Types a line that must be refused, and returns the error's code."""
        reply = self.now.reply(self.now.send(line), line)
        check(not reply["ok"], f"{self} did not refuse `{line}`: {reply}")
        return reply["error"]["code"]

    def verb(self, *words: str, timeout: float = PATIENCE_SECONDS) -> Finished:
        """Runs a single operation on the machine, on the same directories, beside what runs there."""
        arguments = [*self.lab.common_options(self.machine), *words]
        return self.lab.backend.run(self.machine, arguments, timeout)

    def verb_anywhere(self, *words: str) -> Finished:
        """Runs the program on the machine with nothing but these words."""
        return self.lab.backend.run(self.machine, list(words), PATIENCE_SECONDS)

    def status(self) -> Json:
        """What it says it is doing."""
        return self.now.status()

    def game(self, game: str) -> Json | None:
        """The game's entry in its list."""
        return self.now.game(game)

    # # Waiting

    def wait(
        self, event: str, timeout: float = PATIENCE_SECONDS, where: Callable[[Json], bool] | None = None,
        **fields: Any,
    ) -> Json:
        """The first event of this name with these fields that no `wait` has taken.

        With a `game`, one that came after the last line about that game.
        """
        since = self._asked.get(fields.get("game", ""), 0)
        otherwise = OTHERWISE.get(event, ()) if "game" in fields else ()

        def fits(data: Json) -> bool:
            if id(data) in self._taken:
                return False
            if data["event"] in otherwise:
                return data["game"] == fields["game"]
            return all(data.get(key) == value for key, value in fields.items()) and (
                where is None or where(data))

        found = self.now.wait_any((event, *otherwise), timeout, since, fits)
        self._taken.add(id(found.data))
        check(found.name == event, f"{self}: {found.name} instead of {event}: {found.data}")
        return found.data

    def either(
        self, events: tuple[str, ...], timeout: float = PATIENCE_SECONDS,
        where: Callable[[Json], bool] | None = None, **fields: Any,
    ) -> Json:
        """The first event with one of these names that no `wait` has taken."""
        since = self._asked.get(fields.get("game", ""), 0)
        found = self.now.wait_any(events, timeout, since, lambda data: (
            id(data) not in self._taken and all(data.get(key) == value for key, value in fields.items())
            and (where is None or where(data))))
        self._taken.add(id(found.data))
        return found.data

    def told(self, event: str, **fields: Any) -> list[Json]:
        """Every such event since this process started."""
        return [found.data for found in self.now.events(event, **fields)]

    def never(self, *events: str) -> None:
        """Raises if one of these events has come."""
        for event in events:
            check(not self.told(event), f"{self} said {self.told(event)[:1]}")

    def until(
        self, ask: Callable[[], Any], fits: Callable[[Any], bool], what: str, timeout: float = PATIENCE_SECONDS
    ) -> Any:
        """Asks again, at each event and at least ten times a second, until the answer fits."""
        return self.now.poll(ask, fits, timeout, what)

    def sees(self, game: Game | str, sources: int = 1, **fields: Any) -> Json:
        """Waits until its list has the game with at least so many sources and these fields."""
        name = game if isinstance(game, str) else game.id
        return self.now.wait_game(
            name, PATIENCE_SECONDS, sources,
            where=lambda entry: all(entry[key] == value for key, value in fields.items()))

    def meets(self, *others: Peer) -> None:
        """Waits until it has been told of these peers."""
        for other in others:
            self.wait("peer_joined", peer=other.id)

    def never_meets(self, *others: Peer) -> None:
        """Raises if this peer and one of the others know each other."""
        for other in others:
            known = [peer["id"] for peer in self.say("peers")["peers"]]
            check(other.id not in known, f"{self} knows {other}")

    def loses(self, other: Peer, reason: str | None = None, timeout: float = PATIENCE_SECONDS) -> Json:
        """Waits until it has been told that a peer is gone."""
        left = self.wait("peer_left", timeout, peer=other.id)
        check(reason in (None, left["reason"]), f"{other} left {self} as {left['reason']}, not {reason}")
        return left

    # # Transfers

    def downloads(self, game: Game | str, *words: str) -> Json:
        """Downloads a game without an install, to its end; the `download_finished` event."""
        name = game if isinstance(game, str) else game.id
        self.say(" ".join(["download", name, "--no-install", *words]))
        return self.wait("download_finished", game=name)

    def reaches(self, game: Game | str, share: float, timeout: float = PATIENCE_SECONDS) -> Json:
        """Waits for the progress event at or past this share of the whole."""
        name = game if isinstance(game, str) else game.id
        return self.wait("download_progress", timeout, game=name,
                         where=lambda data: data["bytes_done"] >= share * data["bytes_total"])

    def outbound(self, game: Game | str) -> int:
        """How many transfers of the game it says it is sending right now."""
        return self.status()["outbound_transfers"].get(game if isinstance(game, str) else game.id, 0)

    def sent(self, game: Game | str) -> int:
        """Payload bytes of the game it has sent since its start."""
        return self.status()["sent_bytes"].get(game if isinstance(game, str) else game.id, 0)

    def falls_silent(self, game: Game | str, timeout: float = 30.0) -> None:
        """Waits until it sends nothing of the game any more."""
        self.until(lambda: self.outbound(game), lambda count: count == 0,
                   f"no outbound transfer of {game}", timeout)

    def close(self) -> None:
        """Ends whatever runs."""
        for one in self.past:
            one.close()
