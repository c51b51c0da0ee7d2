#!/usr/bin/env bash
# Fuzzes each target for some seconds (60, or the first argument), from what the builders of the tests
# make and what was found before; further arguments name targets. A finding ends it and lies in
# fuzz/artifacts.
#
# The compiler is the one that everything else is built with: it has libFuzzer's coverage once it is told
# that it may, but no standard library for sanitizers.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz

seconds=${1:-60}
targets=("${@:2}")
if [ "${#targets[@]}" -eq 0 ]; then mapfile -t targets < <(cargo fuzz list); fi

cargo run --quiet -p lanspread-testkit --no-default-features --example fuzz_seeds -- fuzz/corpus
find crates/archive/tests/fixtures -name '*.rar' -size -64k -exec cp -t fuzz/corpus/archive_rar {} +
for target in "${targets[@]}"; do
    printf '\n== %s\n' "$target"
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none "$target" -- \
        -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1
done
