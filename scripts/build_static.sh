#!/usr/bin/env bash
# Builds the fully static release binary and prints where it is and how large.
set -euo pipefail
cd "$(dirname "$0")/.."
target="$(uname -m)-unknown-linux-gnu"
RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --bin lanspread --target "$target"
binary="target/$target/release/lanspread"
if file "$binary" 2>/dev/null | grep -q "dynamically linked"; then
    echo "$binary is not static" >&2
    exit 1
fi
printf '%s: %d bytes\n' "$binary" "$(stat -c %s "$binary")"
