#!/bin/sh
# Prints 1 if this machine can build programs that use Edge TPUs over USB, which takes a C compiler and the headers of
# libusb, else 0. As root on Debian and its like it installs what is missing; elsewhere it prints the command to type.
complete() {
	command -v "${CC:-cc}" >/dev/null && command -v pkg-config >/dev/null && pkg-config --exists libusb-1.0
}
packages="gcc libc6-dev pkg-config libusb-1.0-0-dev"
if ! complete && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	{ apt-get install -y -q $packages || { apt-get update -q && apt-get install -y -q $packages; }; } >/dev/null 2>&1
fi
if complete; then
	echo 1
else
	echo "building without USB, so without Edge TPUs. To use one: sudo apt-get install $packages" >&2
	echo 0
fi
