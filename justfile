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

# The whole job on one machine.
demo:
    cargo run --release --bin lanspread -- demo

# A static binary for any Linux of this architecture.
static:
    scripts/build_static.sh

# Figures over real processes and network namespaces (needs root): `just measure speed`, or all of them.
measure *WHAT:
    python3 scripts/measure.py {{WHAT}}
