"""The picture beside the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .record import PLOT, Record
from .scenarios import COPIES, SCENARIOS

COLOURS = {"lanspread": "#0b6e99", "libtorrent": "#d9822b", "https": "#7a7a7a", "rsync": "#b5b5b5",
           "transport": "#8f6bb3"}
LABELS = {"https": "nginx + curl", "transport": "s2n-quic alone"}

# Copies one by one would make everything else small.
SECONDS_SHOWN_FLOORS = 3.0

MIB = 1024 * 1024


def draw(record: Record) -> Path:
    """Draws what the record has, and returns the picture's path."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(13, 9))
    _bars(axes[0][0], record, [scenario.name for scenario in SCENARIOS if scenario.name.startswith("shaped")],
          "All begin together: the last receiver")
    _bars(axes[0][1], record, [scenario.name for scenario in SCENARIOS if not scenario.name.startswith("shaped")],
          "Other rooms: the last receiver, or who counts")
    _curves(axes[1][0], record, "shaped-8")
    _costs(axes[1][1], record, "unshaped")
    figure.tight_layout()
    path = record.folder / PLOT
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return path


def _bars(axis: Any, record: Record, names: list[str], title: str) -> None:
    """Seconds of each program, with the floor as a line; what is far above is cut and labelled."""
    known = record.known()
    shown = [scenario for scenario in SCENARIOS if scenario.name in names and scenario.name in record.scenarios]
    axis.set_title(title)
    axis.set_ylabel("seconds")
    if not shown:
        return
    floors = [scenario.floor for scenario in shown if scenario.floor]
    top = max(floors, default=10.0) * SECONDS_SHOWN_FLOORS
    labelled: set[str] = set()
    for place, scenario in enumerate(shown):
        programs = [program for program in scenario.programs if known.seconds(scenario.name, program) is not None]
        width = 0.8 / max(1, len(programs))
        for number, program in enumerate(programs):
            seconds = known.seconds(scenario.name, program) or 0.0
            left = place - 0.4 + (number + 0.5) * width
            axis.bar(left, min(seconds, top), width * 0.92, color=COLOURS[program],
                     label=None if program in labelled else LABELS.get(program, program))
            labelled.add(program)
            axis.annotate(f"{seconds:.0f}" if seconds >= 100 else f"{seconds:.1f}", (left, min(seconds, top)),
                          ha="center", va="bottom", fontsize=7)
        if scenario.floor:
            axis.plot([place - 0.42, place + 0.42], [scenario.floor] * 2, color="black", linewidth=1,
                      label=None if "floor" in labelled else "floor: payload over one link")
            labelled.add("floor")
    axis.set_ylim(0, top * 1.06)
    axis.set_xticks(range(len(shown)), [scenario.name for scenario in shown], rotation=20, ha="right")
    axis.legend(fontsize=8)


def _curves(axis: Any, record: Record, name: str) -> None:
    """What a receiver's link has carried on average, and the source's, over time, in each program's middle round."""
    axis.set_title(f"{name}: what the links have carried")
    axis.set_xlabel("seconds")
    axis.set_ylabel("MiB, headers included")
    known = record.known()
    for program, colour in COLOURS.items():
        told = known.rounds(name, program)
        if not told or program in COPIES:
            continue
        curve = sorted(told, key=lambda round_: round_.last)[len(told) // 2].curve
        seconds = [point[0] for point in curve]
        axis.plot(seconds, [point[2] / MIB for point in curve], color=colour,
                  label=f"{program}: received, mean of the receivers")
        axis.plot(seconds, [point[1] / MIB for point in curve], color=colour, linestyle=":",
                  label=f"{program}: sent by the source")
    if axis.lines:
        axis.legend(fontsize=8)


def _costs(axis: Any, record: Record, name: str) -> None:
    """Processor time of both ends."""
    axis.set_title(f"{name}: CPU seconds per GiB")
    known = record.known()
    programs = [program for program in COLOURS if known.rounds(name, program)]
    for offset, role in ((-0.2, "source"), (0.2, "receiver")):
        values = [sorted(getattr(told, f"{role}_cpu_seconds_per_gib") or 0.0 for told in known.rounds(name, program))
                  for program in programs]
        medians = [value[len(value) // 2] for value in values]
        axis.bar([place + offset for place in range(len(programs))], medians, 0.38, label=role,
                 color="#4c72b0" if role == "source" else "#55a868")
    axis.set_xticks(range(len(programs)), [LABELS.get(program, program) for program in programs])
    if programs:
        axis.legend(fontsize=8)
