#!/usr/bin/env bash
# Tests the Donkey Car part, alone and in donkeycar's vehicle loop. It needs Python 3.11 and, the first time, pip with
# access to PyPI. If donkeycar cannot be installed, the exit status is 3 and the last line says why.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=5.3.0

command -v python3.11 >/dev/null || { echo "python3.11 is not installed; donkeycar needs it"; exit 3; }
PYTHONDONTWRITEBYTECODE=1 python3.11 integrations/donkeycar/test_part.py

venv=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/imprint/donkeycar-$version
if ! [ -e "$venv/ready" ]; then
	rm -rf "$venv"
	mkdir -p "$(dirname "$venv")"
	{ python3.11 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check "donkeycar==$version"; } ||
		{ echo "pip could not install donkeycar $version"; exit 3; }
	touch "$venv/ready"
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
go build -o "$scratch/imprint" ./cmd/imprint
go run ./tools/photos -out "$scratch/photos" -n 40 -seed 3
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" integrations/donkeycar/test_vehicle.py --imprint "$scratch/imprint" --photos "$scratch/photos"
