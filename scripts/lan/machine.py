"""What the whole machine is doing, so that a figure from a busy one can be told from a bad one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from time import monotonic


@dataclass(frozen=True)
class Moment:
    """A time, and the processor seconds that everything together had used by then."""

    at: float
    busy_seconds: float

    @staticmethod
    def now() -> Moment:
        """This moment, from `/proc/stat`."""
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, fields)
        ticks = user + nice + system + irq + softirq + steal
        return Moment(monotonic(), ticks / os.sysconf("SC_CLK_TCK"))

    def others_share(self, ours_seconds: float) -> float:
        """The share of the machine, 0 to 1, that others have taken since, if `ours_seconds` was ours."""
        now = Moment.now()
        capacity = (now.at - self.at) * (os.cpu_count() or 1)
        return max(0.0, now.busy_seconds - self.busy_seconds - ours_seconds) / capacity if capacity else 0.0
