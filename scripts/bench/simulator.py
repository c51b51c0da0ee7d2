"""What the simulator says of a room, to hold what happened against it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from lan.report import CannotRun

# Of what a link carries, in percent; the simulator itself knows payload only.
HEADERS_PERCENT = 5


def find_simulator(root: Path) -> Path:
    """The newest build."""
    built = [path for pattern in ("target/release/examples/simulate", "target/*/release/examples/simulate")
             for path in root.glob(pattern)]
    if not built:
        raise CannotRun("there is no simulator: `cargo build --release -p lanspread-swarm --example simulate` makes it")
    return max(built, key=lambda path: path.stat().st_mtime)


def predict(simulator: Path, receivers: int, size: int, mbit: int) -> float:
    """Seconds until the last of these receivers has finished, if all begin at once."""
    words = [str(simulator), "--receivers", str(receivers), "--size", f"{size // 1024}KiB", "--link", f"{mbit}Mbit",
             "--headers", str(HEADERS_PERCENT)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = re.search(r", last ([0-9.]+) s", done.stdout)
    if done.returncode != 0 or not found:
        raise CannotRun(f"`{' '.join(words)}`: {done.stderr.strip() or done.stdout.strip()}")
    return float(found[1])
