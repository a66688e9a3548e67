#!/usr/bin/env bash
# Downloads the TensorFlow Lite C library 2.9, builds tflitepeer.c with it and prints the path of the binary.
#
# The library comes from the npm package tfjs-tflite-node. The script unpacks the package without installing it, so none
# of its scripts run and no dependencies are downloaded. All files go to $XDG_CACHE_HOME/imprint/tflitepeer.
#
# Exit status: 0 with the path on standard output; 3 with one line on standard error if this machine has no compiler or
# cannot get the library; 1 if the download has the wrong checksum or the program does not compile.
set -euo pipefail

package=tfjs-tflite-node
version=0.0.2
package_sha512=65e77d6e23b3f65916b1e92f3f07449b15e7b235c99d93bc88e574b36636d10535e5cc223de7731440588866caeec998a6426940d358f52ba4a0a9948bd6e4f7

unavailable() { echo "tflitepeer: $*" >&2; exit 3; }
broken() { echo "tflitepeer: $*" >&2; exit 1; }

case "$(uname -s)/$(uname -m)" in
Linux/x86_64)
	platform=linux_amd64
	library_sha256=dc89b4cd86d956516570bd483668e6dd98907f49901d0567dedc69a29a56b7f7 ;;
Linux/aarch64)
	platform=linux_arm64
	library_sha256=ec0dee4fb3418e680d010248ac1e304d9656cc5c8de54caaf91d666712e2f633 ;;
*)
	unavailable "$package $version has no library for $(uname -s) on $(uname -m)" ;;
esac

source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/tflitepeer.c
[ -n "${XDG_CACHE_HOME:-}${HOME:-}" ] || unavailable "neither XDG_CACHE_HOME nor HOME is set"
home=${XDG_CACHE_HOME:-$HOME/.cache}/imprint/tflitepeer/$version-$platform
library=$home/tensorflow/lib/libtensorflowlite_c.so
# The name depends on the source, so that an old binary never runs after a change of the source.
binary=$home/tflitepeer-$(sha256sum "$source" | cut -c1-16)

sum_of() { "$1" "$2" | cut -d' ' -f1; }

compiler=$(command -v "${CC:-cc}" || true)
[ -n "$compiler" ] || unavailable "no C compiler (${CC:-cc}) found"

mkdir -p "$home" || unavailable "cannot create $home"
# Another run may be installing the library.
exec 9>"$home/lock"
! command -v flock >/dev/null || flock 9
# This folder is next to the destination, so that one rename moves files into place, even if another run installs them
# at the same time.
fresh=$(mktemp -d "$home/new.XXXXXX")
trap 'rm -rf "$fresh"' EXIT

is_library() { [ -f "$1" ] && [ "$(sum_of sha256sum "$1")" = "$library_sha256" ]; }

if ! is_library "$library"; then
	command -v npm >/dev/null || unavailable "npm is not installed; it downloads $package"
	if ! (cd "$fresh" && npm pack --ignore-scripts --loglevel=error "$package@$version") >/dev/null 2>"$fresh/npm.err"; then
		unavailable "npm cannot download $package@$version: $(tr -s '\n' ' ' <"$fresh/npm.err" | cut -c1-300)"
	fi
	tarball=$fresh/$package-$version.tgz
	[ "$(sum_of sha512sum "$tarball")" = "$package_sha512" ] || broken "$package@$version does not have SHA-512 $package_sha512"
	tar -xzf "$tarball" -C "$fresh" package/cc_deps/include "package/cc_deps/$platform/libtensorflowlite_c.so"
	mv "$fresh/package/cc_deps/$platform" "$fresh/package/cc_deps/lib"
	is_library "$fresh/package/cc_deps/lib/libtensorflowlite_c.so" ||
		broken "the library in $package@$version does not have SHA-256 $library_sha256"
	rm -rf "$home/tensorflow"
	# Another run may have put the same library there in the meantime.
	mv -T "$fresh/package/cc_deps" "$home/tensorflow" 2>/dev/null || is_library "$library" || broken "cannot write $home/tensorflow"
fi

if ! [ -x "$binary" ]; then
	"$compiler" -std=c11 -O2 -Wall -Wextra -Werror -I"$home/tensorflow/include" -o "$fresh/tflitepeer" "$source" \
		-L"$home/tensorflow/lib" -ltensorflowlite_c -Wl,-rpath,"$home/tensorflow/lib" || broken "$source does not compile"
	mv "$fresh/tflitepeer" "$binary"
fi
echo "$binary"
