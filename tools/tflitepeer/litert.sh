#!/usr/bin/env bash
# Installs LiteRT 2.3 and prints the path of a program that runs litert.py with it. The exit status is that of venv.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$("$here/venv.sh" ai-edge-litert==2.3.0)
# The name depends on the source, so that an old program never runs after a change of the source.
program=$venv/bin/litertpeer-$(sha256sum "$here/litert.py" | cut -c1-16)
if ! [ -x "$program" ]; then
	fresh=$(mktemp "$program.XXXXXX")
	{ echo "#!$venv/bin/python" && cat "$here/litert.py"; } >"$fresh"
	chmod 755 "$fresh"
	mv "$fresh" "$program"
fi
echo "$program"
