"""Figures, their targets, and how they are shown."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class CheckFailed(Exception):
    """Something that must be true is not."""


class CannotRun(Exception):
    """The machine lacks something that the scenario needs."""


def check(condition: object, message: str) -> None:
    """Raises `CheckFailed` with `message` unless `condition` holds."""
    if not condition:
        raise CheckFailed(message)


@dataclass(frozen=True)
class Figure:
    """One measured number and what it should be."""

    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; `None` without a target."""
        if self.at_most is None and self.at_least is None:
            return None
        return ((self.at_most is None or self.value <= self.at_most)
                and (self.at_least is None or self.value >= self.at_least))

    def __str__(self) -> str:
        text = f"{self.what} {_number(self.value)} {self.unit}".rstrip()
        bound = self.at_most if self.at_most is not None else self.at_least
        if bound is None:
            return text
        sign = "at most" if self.at_most is not None else "at least"
        return f"{text} (target {sign} {_number(bound)}) {'ok' if self.met else 'MISSED'}"


@dataclass
class Outcome:
    """What one scenario came to. Scenarios write into it as they go."""

    name: str
    ci: bool
    figures: list[Figure] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    error: str | None = None
    skipped: str | None = None
    seconds: float = 0.0

    def at_most(self, what: str, value: float, unit: str, target: float, ci: float | None = None) -> None:
        """Notes a figure that should be small. A fast run holds it against `ci` alone."""
        self.figures.append(Figure(what, value, unit, at_most=ci if self.ci else target))

    def at_least(self, what: str, value: float, unit: str, target: float, ci: float | None = None) -> None:
        """Notes a figure that should be large. A fast run holds it against `ci` alone."""
        self.figures.append(Figure(what, value, unit, at_least=ci if self.ci else target))

    def figure(self, what: str, value: float, unit: str) -> None:
        """Notes a figure without a target."""
        self.figures.append(Figure(what, value, unit))

    def detail(self, text: str) -> None:
        """Notes what is shown with `-v`."""
        self.details.append(text)

    @property
    def missed(self) -> bool:
        """Whether a target was missed."""
        return any(figure.met is False for figure in self.figures)

    @property
    def verdict(self) -> str:
        """One word."""
        if self.error is not None:
            return "FAILED"
        if self.skipped is not None:
            return "skipped"
        return "MISSED" if self.missed else "ok"

    def line(self) -> str:
        """The whole outcome on one line."""
        parts = [str(figure) for figure in self.figures]
        if self.error is not None:
            parts.append(f"FAILED: {self.error}")
        elif self.skipped is not None:
            parts.append(f"skipped: {self.skipped}")
        return f"{self.name}: {'; '.join(parts) or 'ok'}"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "seconds": round(self.seconds, 3),
            "error": self.error,
            "skipped": self.skipped,
            "details": self.details,
            "figures": [
                {"what": figure.what, "value": figure.value, "unit": figure.unit,
                 "at_most": figure.at_most, "at_least": figure.at_least, "met": figure.met}
                for figure in self.figures
            ],
        }


def table(outcomes: list[Outcome]) -> str:
    """Every figure of every scenario, aligned."""
    rows = [("scenario", "figure", "value", "target", "")]
    for outcome in outcomes:
        for figure in outcome.figures:
            verdict = {None: "", True: "ok", False: "MISSED"}[figure.met]
            rows.append((outcome.name, figure.what, f"{_number(figure.value)} {figure.unit}".rstrip(),
                         _bound(figure), verdict))
        if outcome.error is not None or outcome.skipped is not None or not outcome.figures:
            rows.append((outcome.name, "", "", "", outcome.verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[4]]).rstrip()
             for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def write_json(path: Path, outcomes: list[Outcome], binary: Path) -> None:
    """Writes everything, with what is needed to compare it with another run."""
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    document = {
        "binary": str(binary),
        "version": version.stdout.strip(),
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "scenarios": [outcome.as_json() for outcome in outcomes],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def _bound(figure: Figure) -> str:
    if figure.at_most is not None:
        return f"<= {_number(figure.at_most)}"
    return f">= {_number(figure.at_least)}" if figure.at_least is not None else ""


def _number(value: float) -> str:
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
