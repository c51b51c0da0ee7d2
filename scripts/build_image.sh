#!/usr/bin/env bash
# Builds the static release binary and an image of it alone, without any registry, and prints its size.
#
#   build_image.sh [--binary FILE] [--tag NAME] [--any-size]
#
# With --binary that static program is used as it is. What did not change is not built again. An image of
# 25 MB or more is an error, unless --any-size says that it may be a build for debugging.
set -euo pipefail
cd "$(dirname "$0")/.."

tag=lanspread:latest
binary=
size_max=25000000
while [ $# -gt 0 ]; do
    case "$1" in
        --binary) binary=$2; shift 2 ;;
        --tag) tag=$2; shift 2 ;;
        --any-size) size_max=0; shift ;;
        *) sed -n 's/^# \{0,1\}//p' "$0" | sed -n 2,7p >&2; exit 2 ;;
    esac
done

if [ -z "$binary" ]; then
    scripts/build_static.sh
    binary="target/$(uname -m)-unknown-linux-gnu/release/lanspread"
fi

sha256=$(sha256sum "$binary" docker/Dockerfile | sha256sum | cut -d' ' -f1)
if [ "$(docker image inspect --format '{{index .Config.Labels "lanspread.sha256"}}' "$tag" 2>/dev/null)" = "$sha256" ]; then
    echo "$tag is up to date"
else
    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
    cp docker/Dockerfile "$context/Dockerfile"
    cp "$binary" "$context/lanspread"
    version=$("$binary" --version | cut -d' ' -f2)
    docker build --quiet --tag "$tag" --build-arg "SHA256=$sha256" --build-arg "VERSION=$version" "$context" >/dev/null
fi

size=$(docker image inspect --format '{{.Size}}' "$tag")
printf '%s: %d bytes\n' "$tag" "$size"
if [ "$size_max" -gt 0 ] && [ "$size" -ge "$size_max" ]; then
    echo "$tag is larger than $size_max bytes" >&2
    exit 1
fi
