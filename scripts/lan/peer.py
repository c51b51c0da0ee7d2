"""One `lanspread` process: commands in, replies and events out, both as JSON lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .report import CheckFailed

# What a reply may take that needs no network and no disk to speak of.
REPLY_TIMEOUT = 30.0

# From a closed stdin or a signal to the end of the process.
EXIT_TIMEOUT = 30.0

LOG_LINES_SHOWN = 25
EVENTS_SHOWN = 12

Json = dict[str, Any]


class PeerError(CheckFailed):
    """A peer did not do what it was waited for, or has died."""


class CommandRefused(CheckFailed):
    """A reply that is not ok."""

    def __init__(self, peer: str, command: str, error: Json) -> None:
        super().__init__(f"{peer}: `{command}` was refused: {error.get('code')}: {error.get('message')}")
        self.code: str = error.get("code", "")


@dataclass(frozen=True)
class Event:
    """An event line and when it was read."""

    at: float
    data: Json

    @property
    def name(self) -> str:
        """The event's name."""
        return self.data["event"]


@dataclass(frozen=True)
class Usage:
    """What a process has cost so far."""

    memory_peak_bytes: int
    anonymous_bytes: int
    cpu_seconds: float


def start_here(
    command: list[str], stderr: BinaryIO, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Starts a process of this machine, in its own process group: a Ctrl-C in the terminal is ours to pass on."""
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
        env=environment, process_group=0,
    )


class Peer:
    """A running process. It is a shell unless the command line says another verb."""

    def __init__(
        self, name: str, command: list[str], log: Path, environment: dict[str, str],
        start: Callable[..., Any] | None = None,
    ) -> None:
        """`start` takes what `start_here` takes and returns what behaves like its process."""
        self.name = name
        self.command = command
        self.log = log
        self.started = time.monotonic()
        self._events: list[Event] = []
        self._replies: dict[int, Json] = {}
        self._strange: list[str] = []
        self._lines_sent = 0
        self._ended = False
        self._changed = threading.Condition()
        with log.open("ab") as stderr:
            self.process = (start or start_here)(command, stderr, environment)
        self._reader = threading.Thread(target=self._read, name=f"{name} stdout", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            now = time.monotonic()
            try:
                message = json.loads(line)
                kind = message["type"]
            except (ValueError, KeyError, TypeError):
                kind, message = "strange", line.decode(errors="replace")
            with self._changed:
                if kind == "event":
                    self._events.append(Event(now, message))
                elif kind == "reply":
                    self._replies[message["line"]] = message
                else:
                    self._strange.append(str(message))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    # # Commands

    def send(self, line: str) -> int:
        """Sends one line and returns its number."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise PeerError(f"{self.name} is gone: `{line}` could not be sent") from error
        self._lines_sent += 1
        return self._lines_sent

    def ask(self, line: str, timeout: float = REPLY_TIMEOUT) -> Json:
        """Sends one line and returns its reply's data."""
        reply = self.reply(self.send(line), line, timeout)
        if not reply["ok"]:
            raise CommandRefused(self.name, line, reply.get("error", {}))
        return reply.get("data", {})

    def reply(self, number: int, line: str, timeout: float = REPLY_TIMEOUT) -> Json:
        """The whole reply to a line that was sent."""
        return self._wait(lambda: self._replies.get(number), timeout, f"a reply to `{line}`")

    def status(self) -> Json:
        """The data of `status`."""
        return self.ask("status")

    def game(self, game: str) -> Json | None:
        """The game's entry in `list`."""
        return next((entry for entry in self.ask("list")["games"] if entry["id"] == game), None)

    # # Events

    def mark(self) -> int:
        """How many events there were so far; `since` of the other methods."""
        with self._changed:
            return len(self._events)

    def all_events(self) -> list[Event]:
        """Every event so far."""
        with self._changed:
            return list(self._events)

    def events(self, name: str, since: int = 0, **fields: Any) -> list[Event]:
        """Every event of this name with these fields."""
        with self._changed:
            return [event for event in self._events[since:] if _matches(event, name, fields)]

    def wait_event(
        self, name: str, timeout: float, since: int = 0, unless: tuple[str, ...] = (),
        where: Callable[[Json], bool] | None = None, **fields: Any,
    ) -> Event:
        """The first event of this name with these fields, also one that has come already.

        An event named in `unless` ends the waiting with an error.
        """
        def is_it(event: Event) -> bool:
            if event.name in unless:
                raise PeerError(f"{self.name}: {event.name} instead of {name}: {event.data}")
            return _matches(event, name, fields) and (where is None or where(event.data))

        described = f"{name} {fields}" if fields else name
        return self._wait_first(is_it, timeout, since, described)

    def wait_any(
        self, names: tuple[str, ...], timeout: float, since: int, where: Callable[[Json], bool]
    ) -> Event:
        """The first event with one of these names for which `where` holds."""
        return self._wait_first(
            lambda event: event.name in names and where(event.data), timeout, since, " or ".join(names)
        )

    def _wait_first(
        self, is_it: Callable[[Event], bool], timeout: float, since: int, described: str
    ) -> Event:
        """The first event for which `is_it` holds; each one is looked at once."""
        position = since

        def look() -> Event | None:
            nonlocal position
            while position < len(self._events):
                event = self._events[position]
                position += 1
                if is_it(event):
                    return event
            return None

        return self._wait(look, timeout, described)

    def wait_ready(self, timeout: float = 60.0) -> Event:
        """The `ready` event."""
        return self.wait_event("ready", timeout)

    @property
    def id(self) -> str:
        """The peer's id."""
        return self.wait_ready().data["peer"]

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.wait_ready().data["listen"]

    def wait_game(
        self, game: str, timeout: float, sources: int = 0, state: str | None = None,
        where: Callable[[Json], bool] | None = None,
    ) -> Json:
        """The game's entry in `list` once it has `sources` peers and this state."""
        def fits(entry: Json | None) -> bool:
            return (entry is not None and entry["peers"] >= sources
                    and state in (None, entry["state"]) and (where is None or where(entry)))

        return self.poll(lambda: self.game(game), fits, timeout,
                         f"{game} with {sources} sources and state {state or 'any'}")

    def poll(
        self, ask: Callable[[], Any], fits: Callable[[Any], bool], timeout: float, what: str,
        interval: float = 0.1,
    ) -> Any:
        """Asks again after every event, and at least every `interval`, until the answer fits."""
        deadline = time.monotonic() + timeout
        while True:
            seen = self.mark()
            answer = ask()
            if fits(answer):
                return answer
            if time.monotonic() > deadline:
                self._fail(f"waited {timeout:g} s for {what}; last: {answer}")
            with self._changed:
                self._changed.wait_for(lambda: len(self._events) > seen or self._ended, interval)

    # # The process

    def usage(self) -> Usage:
        """Memory and processor time, from `/proc`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        values = {key: rest.split() for key, _, rest in
                  (line.partition(":") for line in status.splitlines())}
        times = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(times[11]) + int(times[12])
        return Usage(
            memory_peak_bytes=int(values["VmHWM"][0]) * 1024,
            anonymous_bytes=int(values["RssAnon"][0]) * 1024,
            cpu_seconds=ticks / os.sysconf("SC_CLK_TCK"),
        )

    def threads(self) -> int:
        """How many threads it has right now."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def descriptors(self, under: Path | None = None) -> int:
        """How many files, sockets and pipes it has open; with `under`, how many files below that folder."""
        folder, count = Path(f"/proc/{self.process.pid}/fd"), 0
        for name in os.listdir(folder):
            try:
                target = os.readlink(folder / name)
            except FileNotFoundError:  # closed since it was listed
                continue
            count += under is None or target.startswith(f"{under}/")
        return count

    def kill(self) -> None:
        """`kill -9`, and the end of it."""
        self.process.kill()
        self.process.wait(EXIT_TIMEOUT)

    def quit(self) -> int:
        """Shuts a shell down in order and returns its exit code."""
        self.send("quit")
        return self.wait_exit()

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_exit()

    def wait_exit(self, timeout: float = EXIT_TIMEOUT) -> int:
        """The exit code of a process that is about to end."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._fail(f"waited {timeout:g} s for its end")
        self._reader.join(EXIT_TIMEOUT)
        return code

    def close(self) -> None:
        """Ends the process in whatever way, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(EXIT_TIMEOUT)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass

    def strange_lines(self) -> list[str]:
        """What came on stdout and is not a line of the contract."""
        with self._changed:
            return list(self._strange)

    def log_text(self) -> str:
        """What it wrote to standard error."""
        return self.log.read_text(errors="replace")

    def describe(self) -> str:
        """Its last events and log lines, for a failure."""
        code = self.process.poll()
        lines = [f"--- {self.name}, {'running' if code is None else f'exit code {code}'}: "
                 f"{' '.join(self.command)}"]
        with self._changed:
            lines += [f"  {event.at - self.started:8.2f} s {json.dumps(event.data)[:300]}"
                      for event in self._events[-EVENTS_SHOWN:]]
        lines += [f"  | {line}" for line in self.log_text().splitlines()[-LOG_LINES_SHOWN:]]
        return "\n".join(lines)

    def _wait(self, look: Callable[[], Any], timeout: float, what: str) -> Any:
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                found = look()
                if found is not None:
                    return found
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    break
                self._changed.wait(left)
        self._fail(f"waited {timeout:g} s for {what}" if not self._ended else f"ended before {what}")

    def _fail(self, what: str) -> Any:
        raise PeerError(f"{self.name}: {what}")


def _matches(event: Event, name: str, fields: Json) -> bool:
    return event.name == name and all(event.data.get(key) == value for key, value in fields.items())
