#!/bin/sh
# Prints 1 if this machine can build with libusb, which needs a C compiler and libusb's headers, and 0 if not. Without
# libusb, imprint reaches Edge TPUs on Linux through the kernel's usbfs. As root on Debian, this script announces and
# installs the missing packages; otherwise it prints the command to install them. With IMPRINT_USB=none or
# IMPRINT_USB=usbfs, it prints 0 and installs nothing.
there() {
	command -v "${CC:-cc}" >/dev/null && command -v pkg-config >/dev/null && pkg-config --exists libusb-1.0
}
missing() {
	for package in gcc libc6-dev pkg-config libusb-1.0-0-dev; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || printf ' %s' "$package"
	done
}
case "${IMPRINT_USB:-}" in
none | usbfs)
	echo 0
	exit
	;;
esac
if ! there && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	packages=$(missing)
	echo "to reach Edge TPUs through libusb, installing$packages (IMPRINT_USB=usbfs builds without them)" >&2
	install() { apt-get install -y -q --no-install-recommends $packages; }
	{ install || { apt-get update -q && install; }; } >/dev/null 2>&1
fi
if there; then
	echo 1
else
	echo "built without libusb; on Linux, Edge TPUs work without it. To add it: sudo apt-get install --no-install-recommends gcc libc6-dev pkg-config libusb-1.0-0-dev" >&2
	echo 0
fi
