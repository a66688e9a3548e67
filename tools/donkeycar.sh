#!/usr/bin/env bash
# Tests the Donkey Car part in donkeycar's own vehicle loop. Status 3, with the reason on the last line, where donkeycar
# cannot be had: it needs Python 3.11 and, once, pip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=5.3.0

command -v python3.11 >/dev/null || { echo "donkeycar needs python3.11"; exit 3; }
PYTHONDONTWRITEBYTECODE=1 python3.11 integrations/donkeycar/test_part.py

venv=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/imprint/donkeycar-$version
if ! [ -e "$venv/ready" ]; then
	rm -rf "$venv"
	mkdir -p "$(dirname "$venv")"
	{ python3.11 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check "donkeycar==$version"; } ||
		{ echo "donkeycar $version could not be installed with pip"; exit 3; }
	touch "$venv/ready"
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
go build -o "$scratch/imprint" ./cmd/imprint
go run ./tools/photos -out "$scratch/photos" -n 40 -seed 3
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" integrations/donkeycar/test_vehicle.py --imprint "$scratch/imprint" --photos "$scratch/photos"
