#!/usr/bin/env python3
"""Runs the demonstration and draws what it printed as docs/demo.svg.

`python3 scripts/draw_demo.py [BINARY]`; the binary is target/release/lanspread unless named.
"""

import html
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "demo.svg"
CHAR_WIDTH = 7.8
LINE_HEIGHT = 18
MARGIN = 16
COLUMNS_MAX = 118


def wrapped(line: str) -> list[str]:
    """The line cut at spaces into rows of at most COLUMNS_MAX characters."""
    rows = [""]
    for word in line.split(" "):
        if rows[-1] and len(rows[-1]) + 1 + len(word) > COLUMNS_MAX:
            rows.append("    " + word)
        else:
            rows[-1] = f"{rows[-1]} {word}" if rows[-1] else word
    return rows


def draw(lines: list[str]) -> str:
    """An SVG picture of a terminal that shows these lines."""
    rows = [row for line in lines for row in (wrapped(line) if line.strip() else [""])]
    width = round(max(map(len, rows)) * CHAR_WIDTH + 2 * MARGIN)
    height = len(rows) * LINE_HEIGHT + 2 * MARGIN
    text = "\n".join(
        f'<text x="{MARGIN}" y="{MARGIN + LINE_HEIGHT * (at + 0.75):.0f}" '
        f'fill="{"#8bd5a0" if row.startswith("$") else "#d8dee9"}" xml:space="preserve">{html.escape(row)}</text>'
        for at, row in enumerate(rows)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13">\n'
        f'<rect width="100%" height="100%" rx="8" fill="#1f2430"/>\n{text}\n</svg>\n'
    )


def main() -> None:
    """Runs the demonstration and writes the picture."""
    binary = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "target/release/lanspread")
    ran = subprocess.run([binary, "demo"], capture_output=True, text=True, check=True)
    shown = ran.stdout.split("Everything checked")[0].rstrip().splitlines()
    TARGET.write_text(draw(["$ lanspread demo", *shown]), encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {len(shown)} lines")


if __name__ == "__main__":
    main()
