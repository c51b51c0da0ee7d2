"""The figures of every scenario that was told, with what is needed to compare them, and their table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from lan.games import MIB
from lan.report import Figure

from .gathering import Round
from .scenarios import SCENARIOS, Known, Scenario

ROUNDS = "rounds.json"
TABLE = "README.md"
PLOT = "bench.png"

Json = dict[str, Any]

INTRODUCTION = f"""\
# lanspread beside the others

What `just bench` measures: hosts are network namespaces on one bridge (MTU 1500, each link shaped in both directions
with `tbf`, 1 MiB of queue per port), sources and targets are in memory, every copy is compared with its source by
SHA-256. A virtual machine's host gives it that memory before a scenario begins and does not take it back during
one, or its first touch would cost up to two seconds for each GiB. Programs take turns within a scenario, and who
begins changes from round to round. Medians, with the fastest and the slowest in brackets; one figure is held against
another only if both are of the same run. What copies one by one is measured once where there are several receivers.

Seconds run from the moment when the first receiver is told to begin until the last one says that everything is there.
A floor is the payload over one link, without headers, which cost 5 % more. *Copies* is what the source has sent
over the payload as its link counts, which sees the headers of QUIC's packets but not most of TCP's (a segment that
the kernel cuts late counts as one packet). CPU seconds are those of the processes, for each GiB of the payload, up to the
moment when the last receiver had finished; a receiver of a swarm sends, too. lanspread and HTTPS encrypt, the others
do not. What others have taken of the machine includes the kernel's share of the network that it books on nobody;
where it is large the figures say little. Every round is in [{ROUNDS}]({ROUNDS}).

![figures]({PLOT})
"""


def machine() -> Json:
    """What the figures depend on."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return {"cores": os.cpu_count(), "processor": model, "memory_gib": round(int(memory.split()[1]) / 1024**2, 1),
            "kernel": platform.release(), "system": _system()}


def _system() -> str:
    lines = Path("/etc/os-release").read_text().splitlines() if Path("/etc/os-release").exists() else []
    return next((line.partition("=")[2].strip('"') for line in lines if line.startswith("PRETTY_NAME=")), "Linux")


class Record:
    """What is in a folder: the rounds, the table and the plot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / ROUNDS
        self.scenarios: dict[str, Json] = json.loads(path.read_text()) if path.exists() else {}

    def note(self, scenario: Scenario, rounds: dict[str, list[Round]], circumstances: Json) -> None:
        """Takes the rounds of a scenario instead of those of an earlier run, and writes everything."""
        self.scenarios[scenario.name] = circumstances | {
            "rounds": {program: [told.as_json() for told in tellings] for program, tellings in rounds.items()}}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / ROUNDS).write_text(json.dumps(self.scenarios, separators=(",", ":")) + "\n")
        (self.folder / TABLE).write_text(self.document())

    def known(self) -> Known:
        """Everything that was told."""
        return Known({name: {program: [Round(**told) for told in tellings]
                             for program, tellings in kept["rounds"].items()}
                      for name, kept in self.scenarios.items()},
                     {name: kept["run"] for name, kept in self.scenarios.items()},
                     {name: kept["predicted"] for name, kept in self.scenarios.items() if "predicted" in kept})

    def figures(self, names: Sequence[str] | None = None) -> list[Figure]:
        """What must come of the scenarios that were told."""
        known = self.known()
        return [figure for scenario in SCENARIOS if scenario.name in (names or self.scenarios)
                for figure in scenario.judge(known)]

    def failures(self, names: Sequence[str]) -> list[str]:
        """Rounds of these scenarios that went wrong."""
        return [f"{name}, {program}: {told['error']}" for name in names if name in self.scenarios
                for program, tellings in self.scenarios[name]["rounds"].items()
                for told in tellings if told.get("error")]

    def document(self) -> str:
        """All of it in Markdown."""
        return (f"{INTRODUCTION}\n## Figures\n\n{self.table()}\n\n## Targets\n\n{self.targets()}\n\n"
                f"## Circumstances\n\n{self.circumstances()}\n")

    def table(self, names: Sequence[str] | None = None) -> str:
        """One line per scenario and program."""
        head = ("scenario", "program", "seconds", "rounds", "in floors", "copies", "CPU s/GiB source, receiver",
                "peak MiB source, receiver", "machine taken by others")
        lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        known = self.known()
        for scenario in SCENARIOS:
            if scenario.name in self.scenarios and scenario.name in (names or self.scenarios):
                lines += _rows(scenario, known, list(self.scenarios[scenario.name]["rounds"]))
        return "\n".join(lines)

    def targets(self, names: Sequence[str] | None = None) -> str:
        """One line per target."""
        lines = ["| figure | value | target | |", "|---|---|---|---|"]
        for figure in self.figures(names):
            sign = "at most" if figure.at_most is not None else "at least"
            bound = figure.at_most if figure.at_most is not None else figure.at_least
            verdict = "met" if figure.met else "**missed**"
            lines.append(f"| {figure.what} | {figure.value:.2f} {figure.unit} | {sign} {bound:g} | {verdict} |")
        return "\n".join(lines)

    def circumstances(self) -> str:
        """Machine, versions, dates and commands; scenarios of one run share a paragraph."""
        groups: dict[str, list[str]] = {}
        for name, kept in self.scenarios.items():
            computer, versions = kept["machine"], kept["versions"]
            text = (f"{kept['date']}, `{kept['command']}`, {computer['cores']} cores ({computer['processor']}), "
                    f"{computer['memory_gib']} GiB, {computer['system']}, Linux {computer['kernel']}.\n"
                    + "\n".join(f"* {program}: {version}" for program, version in versions.items()))
            groups.setdefault(text, []).append(name)
        return "\n\n".join(f"**{', '.join(names)}**: {text}" for text, names in groups.items())


def _rows(scenario: Scenario, known: Known, programs: list[str]) -> list[str]:
    lines = []
    for number, program in enumerate(programs):
        told, failed = known.rounds(scenario.name, program), known.failed(scenario.name, program)
        first = f"{scenario.name}: {scenario.about}; {scenario.what}" if number == 0 else ""
        count = f"{len(told)}" + (f", {failed} failed" if failed else "")
        if not told:
            lines.append(f"| {first} | {program} | – | {count} | | | | | |")
            continue
        seconds = [round_.notes.get("seconds", round_.last) for round_ in told]
        spread = f" ({min(seconds):.1f}–{max(seconds):.1f})" if len(seconds) > 1 else ""
        floors = f"{median(seconds) / scenario.floor:.2f}" if scenario.floor else ""
        lines.append(
            f"| {first} | {program} | {median(seconds):.1f}{spread} | {count} | {floors} "
            f"| {_median(told, 'copies_on_link', 1, '.2f')} "
            f"| {_median(told, 'source_cpu_seconds_per_gib', 1, '.1f')}, "
            f"{_median(told, 'receiver_cpu_seconds_per_gib', 1, '.1f')} "
            f"| {_median(told, 'source_memory_bytes', MIB, '.0f')}, {_median(told, 'receiver_memory_bytes', MIB, '.0f')} "
            f"| {_median(told, 'others_share', 1, '.0%')} |")
    return lines


def _median(told: Sequence[Round], name: str, unit: float, form: str) -> str:
    values = [value for value in (getattr(round_, name) for round_ in told) if value is not None]
    return format(median(values) / unit, form) if values else "–"


def describe(told: Round, size: int) -> str:
    """One round on one line, as it ends."""
    if told.error is not None:
        return f"{told.program}: FAILED: {told.error}"
    times = sorted(told.receivers.values())
    words = [f"{told.program}: last {told.last:.2f} s"]
    if len(times) > 1:
        words.append(f"first {times[0]:.2f}, median {median(times):.2f}")
    words += [f"{what} {value:.2f}" if value < 1000 else f"{what} {value / size:.3f} copies"
              for what, value in told.notes.items()]
    if told.copies_on_link is not None:
        counted = f" ({told.copies_counted:.2f} of payload)" if told.copies_counted is not None else ""
        words.append(f"the source sent {told.copies_on_link:.2f} copies{counted}")
    words.append(f"CPU s/GiB {told.source_cpu_seconds_per_gib or 0:.2f} and {told.receiver_cpu_seconds_per_gib or 0:.2f}")
    words.append(f"peak MiB {(told.source_memory_bytes or 0) / MIB:.0f} and {(told.receiver_memory_bytes or 0) / MIB:.0f}")
    words.append(f"others took {told.others_share:.0%} of the machine")
    return "; ".join(words)


__all__ = ["PLOT", "Record", "describe", "machine"]
