#!/usr/bin/env bash
# Builds a wheel of the Python package imprintkit, with the shared library inside.
#
#   tools/wheel.sh FOLDER [amd64|arm64]        for this machine's processor by default
#
# It needs Go, python3 and a C compiler for the processor, which CC names. The wheel runs on systems with the glibc that this
# compiler builds for, or newer. With "pip install ziglang", CC="zig-x86_64" or "zig-aarch64" builds for glibc 2.17, on any
# processor.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${1:?FOLDER is missing}
export GOARCH=${2:-$(go env GOARCH)}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

case "${CC:-}" in
zig-*)
	printf '#!/bin/sh\nexec python3 -m ziglang cc -target %s-linux-gnu.2.17 "$@"\n' "${CC#zig-}" >"$scratch/cc"
	chmod +x "$scratch/cc"
	export CC=$scratch/cc ;;
esac
./tools/delegate.sh build "$scratch/libimprint_edgetpu.so"
python3 integrations/python/build.py --library "$scratch/libimprint_edgetpu.so" --version "$(./tools/release.sh --version)" --output "$folder"
