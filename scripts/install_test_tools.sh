#!/usr/bin/env bash
# Installs what the tests of archives pack with and check with, where it is missing (Debian, needs root).
set -euo pipefail
missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need 7z p7zip-full
need bsdtar libarchive-tools
need zstd zstd
need xz xz-utils
need gzip gzip
need unar unar
need python3 python3
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -qq
    apt-get install -y -qq "${missing[@]}"
fi
