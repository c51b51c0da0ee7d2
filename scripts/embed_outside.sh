#!/usr/bin/env bash
# Builds and runs a crate outside of the workspace that depends on lanspread-peer by path: what an embedder
# does. It shares the workspace's target folder, lock file and profiles, so that little is built again.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd -P)"
outside="$(mktemp -d)"
trap 'rm -rf "$outside"' EXIT
mkdir "$outside/src"
cat > "$outside/Cargo.toml" <<TOML
[package]
name = "embedder"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
lanspread-peer = { path = "$root/crates/peer" }
tokio = { version = "1", features = ["rt-multi-thread", "macros"] }

$(sed -n '/^\[profile.dev/,/^\[profile.release/p' "$root/Cargo.toml" | sed '$d' | sed '/^# Plans/,/^opt-level/d')
TOML
cat > "$outside/src/main.rs" <<'RUST'
use lanspread_peer::{PeerConfig, Services, start_peer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("a directory is missing")?;
    let peer = start_peer(PeerConfig::isolated(dir.as_ref()), Services::default(), None).await?;
    println!("{} runs outside of the workspace", peer.id().short());
    peer.shutdown().await;
    Ok(())
}
RUST
cp "$root/Cargo.lock" "$outside/"
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}" \
    cargo run --quiet --manifest-path "$outside/Cargo.toml" -- "$outside/peer"
