#!/usr/bin/env bash
# All tests: nextest where it is installed, else cargo test; then the documentation's examples.
set -euo pipefail
cd "$(dirname "$0")/.."
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace
    cargo test --workspace --doc
else
    cargo test --workspace
fi
