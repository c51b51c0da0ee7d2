"""A container's process, with the methods of `subprocess.Popen` that `lan.peer` uses."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from typing import Any, BinaryIO

from docker.errors import APIError, NotFound
from docker.utils.socket import STDOUT, frames_iter

# From the end of a container's process to the engine's word of it, on a busy machine.
ENDING_SECONDS = 5.0

ATTACH = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}


class _Input:
    """The write end of an attached container's standard input."""

    def __init__(self, attached: socket.socket) -> None:
        self._attached = attached

    def write(self, data: bytes) -> None:
        """Sends all of it; `BrokenPipeError` if the container has ended."""
        try:
            self._attached.sendall(data)
        except OSError as error:
            raise BrokenPipeError from error

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The program reads the end of its input."""
        try:
            self._attached.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class ContainerProcess:
    """Starts a container that was created, and stands for its only process."""

    def __init__(self, container: Any, stderr: BinaryIO) -> None:
        self.container = container
        self._attached = container.attach_socket(params=ATTACH)
        raw = getattr(self._attached, "_sock", self._attached)
        raw.settimeout(None)
        self.stdin = _Input(raw)
        reading, writing = os.pipe()
        self.stdout = os.fdopen(reading, "rb")
        self._code: int | None = None
        self._ended = threading.Event()
        container.start()
        container.reload()
        self.pid: int = container.attrs["State"]["Pid"]
        log = os.dup(stderr.fileno())
        pump = threading.Thread(target=self._pump, args=(writing, log), daemon=True)
        pump.start()

    def _pump(self, stdout: int, stderr: int) -> None:
        """Copies both outputs until they end, then waits for the exit code."""
        try:
            for stream, data in frames_iter(self._attached, tty=False):
                _write_all(stdout if stream == STDOUT else stderr, data)
        except (OSError, ValueError):
            pass  # the container was removed while it was read
        try:
            self._code = self.container.wait()["StatusCode"]
        except (NotFound, APIError, OSError):
            self._code = -signal.SIGKILL
        self._ended.set()
        os.close(stdout)
        os.close(stderr)

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        return self._code if self._ended.is_set() else None

    def ends_soon(self) -> bool:
        """Whether it has ended or is about to."""
        return self._ended.wait(ENDING_SECONDS)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code when it has ended; raises as `subprocess.Popen.wait` does."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(self.container.name, timeout or 0)
        assert self._code is not None
        return self._code

    def send_signal(self, number: int) -> None:
        """Sends a signal to the program, if it still runs."""
        try:
            self.container.kill(number)
        except (APIError, NotFound):
            if self.poll() is None and not self._ended.wait(5):
                raise

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def pause(self) -> None:
        """Freezes it."""
        self.container.pause()

    def resume(self) -> None:
        """Lets it go on."""
        self.container.unpause()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]
