#!/usr/bin/env bash
# All tests: nextest where it is installed, else cargo test; then the documentation's examples.
set -euo pipefail
cd "$(dirname "$0")/.."
if cargo nextest --version >/dev/null 2>&1; then
    # CI machines are shared and slow at times: what fails there is tried once more, and told as FLAKY.
    profile=default
    if [ -n "${CI:-}" ]; then profile=ci; fi
    cargo nextest run --workspace --profile "$profile"
    cargo test --workspace --doc
else
    cargo test --workspace
fi
