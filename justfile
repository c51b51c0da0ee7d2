# The words that a person and CI both use.

# What is there to do?
default:
    @just --list

# Formats everything.
fmt:
    cargo fmt --all

# Formatting as CI sees it.
fmt-check:
    cargo fmt --all --check

# Lints, all targets, warnings are errors.
clippy:
    cargo clippy --workspace --all-targets -- -D warnings

# All tests of the workspace, and the compiled examples in the documentation.
test:
    scripts/test.sh

# Licences, banned crates, sources.
deny:
    cargo deny check licenses bans sources

# The documentation, warnings are errors.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Everything that must pass before a commit.
check: fmt-check clippy test deny doc

# The test suite ten times in a row: it must never fail.
test-ten:
    for run in 1 2 3 4 5 6 7 8 9 10; do cargo nextest run --workspace || exit 1; done

# A thousand random sequences of operations against a model; about ten minutes.
random-sequences COUNT="1000" SEED="0":
    LANSPREAD_SEQUENCES={{COUNT}} LANSPREAD_SEED={{SEED}} cargo test -p lanspread-peer --test installs -- \
        --nocapture random_sequences

# Entries of 3 GiB in the fast formats: 12 GiB of disk, and minutes.
big-archives:
    cargo test --release -p lanspread-archive --test round_trip -- --ignored --test-threads 1

# Unpacking against what the decoding libraries do by themselves: `just unpack-speed 500 5` (MB, runs).
unpack-speed *ARGUMENTS:
    cargo run --release -p lanspread-archive --example unpack_speed -- {{ARGUMENTS}}

# The whole job on one machine.
demo:
    cargo run --release --bin lanspread -- demo

# A static binary for any Linux of this architecture.
static:
    scripts/build_static.sh

# Figures over real processes and network namespaces (needs root): `just measure speed`, or all of them.
measure *WHAT:
    python3 scripts/measure.py {{WHAT}}

# What the bench holds downloads against: the transport without anything around it.
raw-transport:
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --example raw_transport --target {{arch()}}-unknown-linux-gnu

# lanspread beside libtorrent, nginx with curl, and rsync (needs root): `just bench shaped-8`, or more than an hour.
bench *WHAT: raw-transport
    scripts/install_bench_tools.sh
    scripts/build_static.sh
    cargo build --release --package lanspread-swarm --example simulate
    python3 -m venv target/bench
    target/bench/bin/pip install --quiet --requirement scripts/bench/requirements.txt
    target/bench/bin/python scripts/bench_lan.py {{WHAT}}

# A real process killed at every operation of every transaction, and at every one of its recovery.
crash-sweep:
    LANSPREAD_CRASH_SWEEP_WHOLE=1 cargo nextest run --profile sweep -p lanspread-install -E 'test(kill_sweep)' --no-capture

# Fuzzes each target of fuzz/ for a minute: readers of archives, documents, frames, paths.
fuzz-short *ARGS:
    scripts/fuzz_short.sh {{ARGS}}

# Many real peers in containers, every scenario of scenarios/README.md (needs root).
scenarios *ARGS:
    scripts/run_scenarios.py --build-image {{ARGS}}

# One scenario: `just scenario S39`, `just scenario S39 --backend netns --repeat 3`.
scenario *ARGS:
    scripts/run_scenarios.py --build-image {{ARGS}}
