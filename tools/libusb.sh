#!/bin/sh
# Prints 1 if this machine can build with libusb, which needs a C compiler and libusb's headers, and 0 if not. Without it,
# Edge TPUs are reached through the kernel's usbfs on Linux. As root on Debian it installs what is missing; otherwise it
# prints the command.
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
	echo "built without libusb; on Linux, Edge TPUs work without it. To add it: sudo apt-get install $packages" >&2
	echo 0
fi
