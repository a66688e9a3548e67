#!/usr/bin/env bash
# Runs Frigate's Edge TPU detector plug-in, unmodified, with the delegate and an emulated device, and compares its detections
# with imprint's and TensorFlow Lite's.
#
#   tools/frigate.sh COMPILED UNCOMPILED PHOTO...
#
# COMPILED is a detector (SSD) for the Edge TPU that was made from UNCOMPILED. It needs Go, a C compiler, Python 3.11 and, the
# first time, git and pip with network access. FRIGATE names a folder with Frigate's sources; by default they are cloned. If
# something cannot be downloaded, the exit status is 3 and the last line says what.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: tools/frigate.sh COMPILED UNCOMPILED PHOTO..." >&2; exit 2; }
arguments=()
for file in "$@"; do arguments+=("$(realpath "$file")"); done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
commit=e3fa70189324e5eb3b1dba756c153f6696f457de # July 2026
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/imprint

unavailable() { echo "$*"; exit 3; }
if [ -z "${FRIGATE:-}" ]; then
	FRIGATE=$cache/frigate-$commit
	if ! [ -e "$FRIGATE/frigate" ]; then
		rm -rf "$FRIGATE"
		mkdir -p "$FRIGATE"
		{ git -C "$FRIGATE" init -q && git -C "$FRIGATE" fetch -q --depth 1 https://github.com/blakeblackshear/frigate "$commit" &&
			git -C "$FRIGATE" checkout -q FETCH_HEAD -- frigate; } || unavailable "git could not fetch Frigate"
	fi
fi
command -v python3.11 >/dev/null || unavailable "python3.11 is not installed"
venv=$cache/frigate-plugin
if ! [ -e "$venv/ready" ]; then
	rm -rf "$venv"
	mkdir -p "$cache"
	{ python3.11 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check ai-edge-litert==2.3.0 'numpy<2' \
		opencv-python-headless==4.11.0.86 pydantic==2.10.6; } || unavailable "pip could not install what the plug-in needs"
	touch "$venv/ready"
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
CGO_ENABLED=0 go build -o "$scratch" ./cmd/imprint
./tools/delegate.sh build "$scratch/libedgetpu.so.1.0"
IMPRINT_EDGETPU_EMULATOR=${arguments[1]} LD_LIBRARY_PATH=$scratch PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" \
	integrations/delegate/test_frigate.py --frigate "$FRIGATE" --imprint "$scratch/imprint" --model "${arguments[0]}" \
	--uncompiled "${arguments[1]}" "${arguments[@]:2}"
