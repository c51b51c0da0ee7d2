#!/usr/bin/env bash
# Replaces the open party's certificate authority with a new one. See README.md first.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd -P)"
fresh="$(mktemp -d)"
trap 'rm -rf "$fresh"' EXIT
cargo run --quiet --manifest-path "$here/../../../Cargo.toml" --bin lanspread -- party new "$fresh/party"
install -m 644 "$fresh/party/ca.pem" "$fresh/party/ca-key.pem" "$here/open/"
echo "new open party in $here/open"
