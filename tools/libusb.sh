#!/bin/sh
# Prints 1 when programs can be built to reach Edge TPUs over USB, which takes a C compiler and libusb's headers, and 0
# when not: everything else works without. What is missing is installed when that is allowed, or else named once.
there() {
	command -v "${CC:-cc}" >/dev/null && command -v pkg-config >/dev/null && pkg-config --exists libusb-1.0
}
packages="gcc libc6-dev pkg-config libusb-1.0-0-dev"
if ! there && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	{ apt-get install -y -q $packages || { apt-get update -q && apt-get install -y -q $packages; }; } >/dev/null 2>&1
fi
if there; then
	echo 1
else
	echo "built without USB, so without Edge TPUs; for them: sudo apt-get install $packages" >&2
	echo 0
fi
