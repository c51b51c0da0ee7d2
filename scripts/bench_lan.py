#!/usr/bin/env python3
"""Measures lanspread beside libtorrent, nginx with curl, and rsync, on a LAN of network namespaces.

    bench_lan.py                       everything; more than an hour
    bench_lan.py shaped-8 unshaped     these scenarios
    bench_lan.py shaped                a group: shaped, trouble, small
    bench_lan.py --list                what there is

Figures go to a table, a plot and the rounds themselves in --out; scenarios that were measured there before
and are not named stay as they are. Exit code 1 if a round failed or a target was missed, unless `--report`
asks for the figures alone. Needs root, scripts/install_bench_tools.sh and scripts/bench/requirements.txt.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

sys.dont_write_bytecode = True

from bench.gathering import Round, memory_folder, require_memory, sweep  # noqa: E402
from bench.payload import make_payload  # noqa: E402
from bench.programs import PROGRAMS, Program, make_programs  # noqa: E402
from bench.record import Record, describe, machine  # noqa: E402
from bench.scenarios import GROUPS, SCENARIOS, Scenario  # noqa: E402
from bench.simulator import find_simulator, predict  # noqa: E402
from lan.memory import memory_kept, touch  # noqa: E402
from lan.report import CannotRun  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM."""


def main() -> int:
    """Runs what the command line asks for and returns the exit code."""
    arguments = parse(sys.argv[1:])
    if arguments.list:
        for scenario in SCENARIOS:
            print(f"{scenario.name:12} {scenario.about}; {', '.join(scenario.programs)}")
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    sweep()
    chosen = [scenario for scenario in SCENARIOS if scenario.name in arguments.names]
    record = Record(arguments.out)
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    try:
        programs = make_programs(find_binary(arguments.binary))
        with memory_kept():
            for scenario in chosen:
                run(scenario, [programs[name] for name in scenario.programs if name in arguments.programs],
                    record, arguments.runs, started)
    except Interrupted:
        return 130
    except CannotRun as error:
        print(f"cannot run: {error}", file=sys.stderr)
        return 2
    from bench.plot import draw
    print(f"\n{record.table(arguments.names)}\n\n{record.targets(arguments.names)}\n\n{draw(record)}")
    failures = record.failures(arguments.names)
    for failure in failures:
        print(f"FAILED: {failure}")
    missed = any(figure.met is False for figure in record.figures(arguments.names))
    return 1 if failures or (missed and not arguments.report) else 0


def parse(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios or groups; all without any")
    parser.add_argument("--binary", type=Path, help="lanspread [default: the newest static or release build]")
    parser.add_argument("--programs", type=lambda text: text.split(","), default=list(PROGRAMS), metavar="A,B",
                        help=f"only these of {','.join(PROGRAMS)}")
    parser.add_argument("--runs", type=int, default=3, help="rounds of each program [default: 3]")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/bench", metavar="DIR",
                        help="where the figures go [default: docs/bench]")
    parser.add_argument("--report", action="store_true", help="a missed target is no failure")
    parser.add_argument("--list", action="store_true", help="show the scenarios")
    arguments = parser.parse_args(words)
    names = [name for given in arguments.names for name in GROUPS.get(given, (given,))]
    known = [scenario.name for scenario in SCENARIOS]
    for name in names:
        if name not in known:
            parser.error(f"there is no scenario {name}; --list shows them")
    for name in arguments.programs:
        if name not in PROGRAMS:
            parser.error(f"there is no program {name}")
    arguments.names = names or known
    return arguments


def find_binary(given: Path | None) -> Path:
    """The program: the one that was named, else the newest optimised build."""
    built = [given] if given else [*ROOT.glob("target/release/lanspread"), *ROOT.glob("target/*/release/lanspread")]
    built = [path for path in built if path.is_file()]
    if not built:
        raise CannotRun("there is no build: `just static` makes one" if given is None else f"there is no {given}")
    return max(built, key=lambda path: path.stat().st_mtime).resolve()


def run(scenario: Scenario, programs: list[Program], record: Record, runs: int, started: str) -> None:
    """Tells one scenario with each program in turn, and notes it."""
    print(f"{scenario.name}: {scenario.about}", flush=True)
    memory_bytes = scenario.shape.bytes * (scenario.receivers + 3)
    require_memory(memory_bytes)
    circumstances = {
        "date": started[:10], "run": started, "command": command(), "machine": machine(),
        "versions": {program.name: program.version() for program in programs}}
    if scenario.predicted:
        assert scenario.mbit is not None
        circumstances["predicted"] = predict(
            find_simulator(ROOT), scenario.receivers, scenario.shape.bytes, scenario.mbit)
    rounds: dict[str, list[Round]] = {program.name: [] for program in programs}
    folder = memory_folder()
    try:
        touch(folder, memory_bytes)
        payload = make_payload(folder / "payload", scenario.shape)
        for number in range(runs):
            turn = number % len(programs)
            for program in [*programs[turn:], *programs[:turn]]:
                if number == 0 or program.name not in scenario.once:
                    rounds[program.name].append(scenario.tell(program, payload))
                    print(f"  {number + 1}, {describe(rounds[program.name][-1], payload.bytes)}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    record.note(scenario, rounds, circumstances)


def command() -> str:
    """How this was called, without the places of this machine."""
    words = sys.argv[1:]
    kept = [word for number, word in enumerate(words)
            if not word.startswith(("--out", "--binary"))
            and (number == 0 or words[number - 1] not in ("--out", "--binary"))]
    return shlex.join(["scripts/bench_lan.py", *kept])


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Ends the run at the next safe point, which is right here."""
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main())
