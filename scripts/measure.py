#!/usr/bin/env python3
"""Measures lanspread with real processes, and checks what they did.

    measure.py                     everything; needs root for the hosts, which are network namespaces
    measure.py speed tree          these scenarios
    measure.py --ci                a fast subset that checks correctness and generous bounds only
    measure.py --list              what there is

One line per scenario as it ends, a table at the end. Exit code 1 if a check failed, and also if a
target was missed, unless `--report` asks for the figures alone. Needs no package besides Python 3.11.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType

sys.dont_write_bytecode = True

from lan import network  # noqa: E402
from lan.lab import Lab, Settings  # noqa: E402
from lan.memory import memory_kept  # noqa: E402
from lan.report import CannotRun, CheckFailed, Outcome, table, write_json  # noqa: E402
from lan.scenarios import SCENARIOS, Scenario  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM."""


def main() -> int:
    """Runs what the command line asks for and returns the exit code."""
    arguments = parse(sys.argv[1:])
    if arguments.list:
        for scenario in SCENARIOS:
            print(f"{scenario.name:22} {scenario.about}{'' if scenario.fast else ' (not in --ci)'}")
        return 0
    settings = Settings(find_binary(arguments.binary), arguments.ci, arguments.keep)
    print(f"measuring {settings.binary}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    network.sweep()
    outcomes: list[Outcome] = []
    interrupted = False
    try:
        with memory_kept():
            for scenario in chosen(arguments.names, arguments.ci):
                outcomes.append(Outcome(scenario.name, arguments.ci))
                tell(scenario, settings, outcomes[-1], arguments.verbose)
    except Interrupted:
        interrupted = True
        outcomes[-1].error = "interrupted"
    print(f"\n{table(outcomes)}")
    if arguments.json:
        write_json(arguments.json, outcomes, settings.binary)
    if interrupted:
        return 130
    failed = any(outcome.error is not None for outcome in outcomes)
    missed = any(outcome.missed for outcome in outcomes)
    return 1 if failed or (missed and not arguments.report) else 0


def parse(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios; all of them without any")
    parser.add_argument("--binary", type=Path, help="the program [default: the newest build under target/]")
    parser.add_argument("--ci", action="store_true", help="smaller sizes, generous bounds, the fast subset")
    parser.add_argument("--report", action="store_true", help="a missed target is no failure")
    parser.add_argument("--keep", action="store_true", help="keep the folders with games and logs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--list", action="store_true", help="show the scenarios")
    parser.add_argument("-v", "--verbose", action="store_true", help="show details")
    arguments = parser.parse_args(words)
    known = {scenario.name for scenario in SCENARIOS}
    for name in arguments.names:
        if name not in known:
            parser.error(f"there is no scenario {name}; --list shows them")
    return arguments


def find_binary(given: Path | None) -> Path:
    """The program: the one that was named, else an optimised build, else any."""
    if given is not None:
        if not given.is_file():
            sys.exit(f"there is no {given}")
        return given.resolve()
    built = [*ROOT.glob("target/release/lanspread"), *ROOT.glob("target/*-linux-*/release/lanspread")]
    built = built or [*ROOT.glob("target/debug/lanspread")]
    if not built:
        sys.exit("there is no build: `cargo build --release --bin lanspread` makes one")
    return max(built, key=lambda path: path.stat().st_mtime)


def chosen(names: list[str], ci: bool) -> list[Scenario]:
    """The scenarios that were named, else all that belong to this kind of run."""
    if names:
        return [scenario for scenario in SCENARIOS if scenario.name in names]
    return [scenario for scenario in SCENARIOS if scenario.fast or not ci]


def tell(scenario: Scenario, settings: Settings, outcome: Outcome, verbose: bool) -> None:
    """Runs one scenario, clears up after it, and prints its line."""
    begun = time.monotonic()
    outcome.detail(f"the machine's load before it was {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    lab = Lab(settings, outcome)
    try:
        scenario.tell(lab, outcome)
    except CannotRun as error:
        outcome.skipped = str(error)
    except CheckFailed as error:
        outcome.error = str(error)
    except Exception as error:  # a fault of the scenario or of the machine must not end the others
        outcome.error = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    finally:
        story = lab.describe() if outcome.error is not None else ""
        close(lab)
        outcome.seconds = time.monotonic() - begun
    print(outcome.line(), flush=True)
    if verbose:
        for detail in outcome.details:
            print(f"    {detail}")
        print(f"    it took {outcome.seconds:.1f} s", flush=True)
    if story:
        print(story, flush=True)


def close(lab: Lab) -> None:
    """Clears up; whoever presses Ctrl-C a second time still waits for that."""
    before = [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        lab.close()
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before):
            signal.signal(number, handler)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Ends the run at the next safe point, which is right here."""
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main())
