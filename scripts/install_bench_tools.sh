#!/usr/bin/env bash
# Installs what the bench compares with and is made of, where it is missing (Debian, needs root).
set -euo pipefail
missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need nginx nginx-light
need curl curl
need rsync rsync
need openssl openssl
need ip iproute2
need tc iproute2
need python3 python3
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
