"""Options and fixtures. Whatever ends a scenario, Ctrl-C too, its machines and folders go."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from lab import Lab
from lab.docker_backend import DockerBackend
from lab.lab import DISK, FOLDER_PREFIX
from lab.machine import Backend
from lab.netns_backend import NetnsBackend

ROOT = Path(__file__).resolve().parent.parent
IMAGE = "lanspread:latest"
MEMORY = Path("/dev/shm")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `run_scenarios.py` passes on."""
    parser.addoption("--backend", choices=("docker", "netns"), default="docker")
    parser.addoption("--image", default=IMAGE, help="the image for --backend docker")
    parser.addoption("--binary", type=Path, help="the program for --backend netns")
    parser.addoption("--logs", type=Path, default=ROOT / "target" / "scenarios", help="logs of what failed")
    parser.addoption("--scratch", type=Path, default=MEMORY if MEMORY.is_dir() else None,
                     help="where games and state lie [default: in memory, else the temporary folder]")
    parser.addoption("--long", action="store_true", help="S56 for ten minutes")


def pytest_configure(config: pytest.Config) -> None:
    """SIGTERM ends like Ctrl-C; what killed runs have left is removed."""
    signal.signal(signal.SIGTERM, _interrupt)
    if config.getoption("--collect-only"):
        return
    (NetnsBackend if config.getoption("--backend") == "netns" else DockerBackend).sweep()
    scratch = config.getoption("--scratch") or Path(tempfile.gettempdir())
    for folder in [*scratch.glob(f"{FOLDER_PREFIX}*"), *DISK.glob(f"{FOLDER_PREFIX}*")]:
        match = re.match(rf"{FOLDER_PREFIX}lanspread-(\d+)-", folder.name)
        if match and not Path("/proc", match[1]).exists():
            for mounted in folder.glob("machines/*/games"):
                subprocess.run(["umount", "-l", mounted], capture_output=True, check=False)
            shutil.rmtree(folder, ignore_errors=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Lets the fixture know whether the scenario failed."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


FAILED = pytest.StashKey[bool]()


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """An empty lab; afterwards the contract is checked and everything removed."""
    number = re.match(r"test_(S\d\d)", request.node.name)
    run = f"lanspread-{os.getpid()}-{number[1] if number else 'x'}"
    made = Lab(_backend(request.config, run), run, request.config.getoption("--scratch"))
    try:
        yield made
        failed = request.node.stash.get(FAILED, True)
        if failed:
            target = request.config.getoption("--logs") / request.node.name
            made.keep_logs(target)
            print(f"{made.describe()}\nlogs and events of every peer: {target}")
        else:
            made.check_contract()
    finally:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        made.close()
        signal.signal(signal.SIGINT, before)


def _backend(config: pytest.Config, run: str) -> Backend:
    if config.getoption("--backend") == "docker":
        image = config.getoption("--image")
        reason = DockerBackend.reason_why_not(image)
        if reason:
            pytest.fail(reason, pytrace=False)
        return DockerBackend(run, image)
    binary = config.getoption("--binary")
    if binary is None or not binary.is_file():
        pytest.fail("--backend netns needs --binary", pytrace=False)
    return NetnsBackend(run, binary.resolve())
