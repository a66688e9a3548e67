#!/usr/bin/env bash
# Installs a version of TensorFlow Lite for Python, such as ai-edge-litert==2.3.0, into a virtual environment of its own and
# prints the environment's path, in $XDG_CACHE_HOME/imprint.
#
#   tools/tflitepeer/venv.sh PACKAGE==VERSION
#
# Exit status: 3 with one line on standard error if this machine has no python3.11 or pip cannot install the package.
set -euo pipefail
unavailable() { echo "$*" >&2; exit 3; }

package=${1:?PACKAGE==VERSION is missing}
command -v python3.11 >/dev/null || unavailable "python3.11 is not installed; $package needs it"
venv=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/imprint/$package
mkdir -p "$(dirname "$venv")"
# Another run may be installing the package.
exec 9>"$venv.lock"
! command -v flock >/dev/null || flock 9
if ! [ -e "$venv/ready" ]; then
	rm -rf "$venv"
	# Some versions were built for the first generation of numpy.
	{ python3.11 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check "$package" 'numpy<2'; } >&2 ||
		unavailable "pip could not install $package"
	touch "$venv/ready"
fi
echo "$venv"
