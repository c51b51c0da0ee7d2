#!/usr/bin/env python3
"""Runs scenarios by number, each in a pytest of its own, and tells how they went.

    run_scenarios.py                            all of them, in containers
    run_scenarios.py S01 S39 --build-image      these two, with an image of the program as it is now
    run_scenarios.py --backend netns --ci       a subset of a few minutes, in network namespaces
    run_scenarios.py --list                     what there is
    run_scenarios.py --table                    the table of scenarios/README.md, with the last times

One line each as it ends, a summary, JUnit XML. Needs root and `pip install -r scenarios/requirements.txt`.
Exit code 1 if one failed, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
SCENARIOS = ROOT / "scenarios"
RESULTS = ROOT / "target" / "scenarios"

# A scenario that takes longer hangs.
SCENARIO_SECONDS_MAX = 300.0
LONG_SECONDS_MAX = 1200.0

# Every family, and few minutes: what CI runs.
CI = ("S01", "S06", "S07", "S08", "S09", "S10", "S15", "S16", "S17", "S19", "S20", "S21", "S24", "S26", "S30",
      "S31", "S36", "S37", "S39", "S42", "S43", "S48", "S49", "S51", "S54", "S55", "S56", "S58")


@dataclass(frozen=True)
class Scenario:
    """One test function: its number, and its documentation cut in two."""

    number: str
    name: str
    file: Path
    happens: str
    asserted: str


@dataclass(frozen=True)
class Result:
    """How one run of one scenario went; `verdict` is `ok`, `FAILED` or `skipped`."""

    scenario: Scenario
    verdict: str
    seconds: float
    reason: str
    report: Path


_running: set[subprocess.Popen[str]] = set()


def main() -> int:
    """Does what the command line says and returns the exit code."""
    arguments = _parse(sys.argv[1:])
    known = find_scenarios()
    if arguments.list or arguments.table:
        print(_table(known) if arguments.table else "\n".join(f"{s.number} {s.happens}" for s in known))
        return 0
    chosen = _choose(known, arguments)
    if arguments.build_image:
        subprocess.run([ROOT / "scripts" / "build_image.sh"], check=True)
    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    interrupted = False
    results: list[Result] = []
    try:
        results.extend(_run_all(chosen * arguments.repeat, arguments))
    except KeyboardInterrupt:
        interrupted = True
    print(f"\n{_summary(results)}")
    if interrupted:
        print(f"interrupted: {len(chosen) * arguments.repeat - len(results)} more did not run")
    _write_junit(arguments.junit, results)
    _write_times(arguments.backend, results)
    if interrupted:
        return 130
    return 1 if any(result.verdict == "FAILED" for result in results) else 0


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", metavar="SNN", help="scenarios; all of them without any")
    parser.add_argument("--build-image", action="store_true", help="build program and image first")
    parser.add_argument("--backend", choices=("docker", "netns"), default="docker")
    parser.add_argument("--image", default="lanspread:latest", help="for --backend docker")
    parser.add_argument("--binary", type=Path, help="for --backend netns [default: the newest build]")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="so many times in a row")
    parser.add_argument("-j", "--jobs", type=int, default=1, metavar="N", help="so many at once")
    parser.add_argument("--ci", action="store_true", help="the subset that touches every family")
    parser.add_argument("--long", action="store_true", help="S56 for ten minutes")
    parser.add_argument("--junit", type=Path, default=RESULTS / "junit.xml", metavar="FILE")
    parser.add_argument("--list", action="store_true", help="show the scenarios")
    parser.add_argument("--table", action="store_true", help="print the table for the README")
    return parser.parse_args(words)


def find_scenarios() -> list[Scenario]:
    """Every scenario, by number, read from the sources."""
    found = []
    for file in sorted(SCENARIOS.glob("test_*.py")):
        for node in ast.parse(file.read_text()).body:
            match = isinstance(node, ast.FunctionDef) and re.match(r"test_(S\d\d)_", node.name)
            if match and isinstance(node, ast.FunctionDef):
                happens, _, asserted = (ast.get_docstring(node) or "").partition("\n\n")
                found.append(Scenario(match[1], node.name, file, " ".join(happens.split()),
                                      " ".join(asserted.split())))
    return sorted(found, key=lambda scenario: scenario.number)


def _choose(known: list[Scenario], arguments: argparse.Namespace) -> list[Scenario]:
    numbers = [number.upper() for number in arguments.numbers] or (list(CI) if arguments.ci else None)
    if numbers is None:
        return known
    by_number = {scenario.number: scenario for scenario in known}
    missing = [number for number in numbers if number not in by_number]
    if missing:
        sys.exit(f"there is no {', '.join(missing)}; --list shows what there is")
    return [by_number[number] for number in numbers]


# # Running

def _run_all(chosen: list[Scenario], arguments: argparse.Namespace) -> Iterator[Result]:
    """Runs them, `jobs` at once, and yields each when it has ended; Ctrl-C ends those that run."""
    binary = _binary(arguments)
    pool = ThreadPoolExecutor(arguments.jobs)
    futures = [pool.submit(_run, number, scenario, binary, arguments) for number, scenario in enumerate(chosen)]
    try:
        for future in futures:
            yield future.result()
    except KeyboardInterrupt:
        for future in futures:
            future.cancel()
        for process in list(_running):
            process.send_signal(signal.SIGINT)
        raise
    finally:
        pool.shutdown(wait=True)


def _run(number: int, scenario: Scenario, binary: Path | None, arguments: argparse.Namespace) -> Result:
    RESULTS.mkdir(parents=True, exist_ok=True)
    report = RESULTS / f"{scenario.number}-{arguments.backend}-{number}.xml"
    output = report.with_suffix(".out")
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(SCENARIOS / "pytest.ini"),
               f"{scenario.file}::{scenario.name}", f"--junit-xml={report}", f"--backend={arguments.backend}",
               f"--image={arguments.image}", *([f"--binary={binary}"] if binary else []),
               *(["--long"] if arguments.long else [])]
    begun = time.monotonic()
    report.unlink(missing_ok=True)
    with output.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, text=True,
                                   stdin=subprocess.DEVNULL, process_group=0)
        _running.add(process)
        hung = _wait(process, LONG_SECONDS_MAX if arguments.long else SCENARIO_SECONDS_MAX)
        _running.discard(process)
    seconds = time.monotonic() - begun
    verdict, reason = ("FAILED", "it hung") if hung else _verdict(report, process.returncode)
    print(f"{scenario.number} {verdict:7} {seconds:6.1f} s  {scenario.happens}", flush=True)
    if verdict == "FAILED":
        print(f"    {reason}\n    all of it: {output}", flush=True)
    return Result(scenario, verdict, seconds, reason, report)


def _wait(process: subprocess.Popen[str], seconds: float) -> bool:
    """Waits for the end; whether it had to be brought about."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # so that it clears up
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return True
    return False


def _verdict(report: Path, code: int) -> tuple[str, str]:
    """The verdict and, in a line, why."""
    if not report.is_file():
        return "FAILED", f"pytest ended with {code}"
    for kind in ("failure", "error"):
        found = ElementTree.parse(report).find(f".//{kind}")
        if found is not None:
            return "FAILED", (found.get("message") or kind).splitlines()[0][:400]
    skipped = ElementTree.parse(report).find(".//skipped")
    if skipped is not None:
        return "skipped", skipped.get("message") or ""
    return ("ok", "") if code == 0 else ("FAILED", f"pytest ended with {code}")


def _binary(arguments: argparse.Namespace) -> Path | None:
    if arguments.backend == "docker" or arguments.binary:
        return arguments.binary.resolve() if arguments.binary else None
    built = [*ROOT.glob("target/*-linux-*/release/lanspread"), *ROOT.glob("target/release/lanspread")]
    built = built or [*ROOT.glob("target/debug/lanspread")]
    if not built:
        sys.exit("there is no build: scripts/build_static.sh makes one")
    return max(built, key=lambda path: path.stat().st_mtime)


def _interrupt() -> None:
    raise KeyboardInterrupt


# # Telling

def _summary(results: list[Result]) -> str:
    """One line for each scenario, with its fastest and slowest time, and the count."""
    lines = []
    for number in sorted({result.scenario.number for result in results}):
        runs = [result for result in results if result.scenario.number == number]
        good = sum(result.verdict == "ok" for result in runs)
        times = [result.seconds for result in runs]
        verdict = "ok" if good == len(runs) else next(run.verdict for run in runs if run.verdict != "ok")
        lines.append(f"{number}  {good}/{len(runs)}  {min(times):6.1f} to {max(times):6.1f} s  {verdict}")
    good = sum(result.verdict == "ok" for result in results)
    total = sum(result.seconds for result in results)
    return "\n".join([*lines, f"{good} of {len(results)} ok, {total:.0f} s"])


def _write_junit(target: Path, results: list[Result]) -> None:
    """One document of all runs."""
    suites = ElementTree.Element("testsuites")
    for result in results:
        if result.report.is_file():
            suites.extend(ElementTree.parse(result.report).getroot().iter("testsuite"))
    target.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suites).write(target, encoding="utf-8", xml_declaration=True)


def _times_file(backend: str) -> Path:
    return RESULTS / f"times-{backend}.json"


def _write_times(backend: str, results: list[Result]) -> None:
    """The last good time of each scenario, for `--table`."""
    file = _times_file(backend)
    times = json.loads(file.read_text()) if file.is_file() else {}
    times |= {result.scenario.number: round(result.seconds, 1) for result in results if result.verdict == "ok"}
    RESULTS.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(times, indent=0, sort_keys=True))


def _table(known: list[Scenario]) -> str:
    times = {backend: json.loads(_times_file(backend).read_text()) if _times_file(backend).is_file() else {}
             for backend in ("docker", "netns")}
    rows = ["| | what happens | what is asserted | containers | namespaces |", "|---|---|---|---|---|"]
    for scenario in known:
        shown = [f"{times[backend][scenario.number]:.0f} s" if scenario.number in times[backend] else "–"
                 for backend in ("docker", "netns")]
        rows.append(f"| {scenario.number} | {scenario.happens} | {scenario.asserted} | {' | '.join(shown)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    if os.geteuid() != 0 and not {"--list", "--table", "-h", "--help"} & set(sys.argv):
        sys.exit("networks, disks and containers need root")
    sys.exit(main())
