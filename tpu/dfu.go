package tpu

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Requests of the USB standard Device Firmware Upgrade 1.1. wIndex is the number of the interface.
const (
	dfuOut = 0x21 // request types, host to device and device to host
	dfuIn  = 0xa1

	dfuDetach    = 0
	dfuDownload  = 1
	dfuUpload    = 2
	dfuGetStatus = 3

	dfuStateIdle         = 2
	dfuStateDownloadIdle = 5
)

// maxFirmware is the maximum number of bytes that are read back. The boot ROM has 32 KiB of memory.
const maxFirmware = 64 << 10

// load sends the firmware to the boot ROM and reads it back. The device runs the firmware after the next reset of its
// port.
func (l *link) load(firmware []byte) error {
	iface, block, err := l.upgradeInterface()
	if err != nil {
		return fmt.Errorf("boot ROM: find firmware interface: %w", err)
	}
	if err := l.conn.Claim(l.deadline.arm(l.timeout), int(iface)); err != nil {
		return fmt.Errorf("boot ROM: claim interface: %w", l.failure(err))
	}
	for number, rest := uint16(0), firmware; ; number++ {
		n := min(block, len(rest))
		if err := l.control(dfuOut, dfuDownload, number, iface, rest[:n]); err != nil {
			return fmt.Errorf("send firmware block %d: %w", number, err)
		}
		want := byte(dfuStateDownloadIdle)
		if n == 0 {
			want = dfuStateIdle
		}
		var status [6]byte
		if err := l.control(dfuIn, dfuGetStatus, 0, iface, status[:]); err != nil {
			return fmt.Errorf("firmware block %d: read status: %w", number, err)
		}
		if status[0] != 0 || status[4] != want {
			return fmt.Errorf("firmware block %d: %w: boot ROM in status %d and state %d, want 0 and %d",
				number, ErrDevice, status[0], status[4], want)
		}
		if n == 0 {
			break
		}
		rest = rest[n:]
	}
	return l.verify(firmware, iface, block)
}

// verify reads the firmware back. The boot ROM may return more bytes than it was sent.
func (l *link) verify(firmware []byte, iface uint16, block int) error {
	var back []byte
	p := make([]byte, block)
	for number := uint16(0); ; number++ {
		n, err := l.conn.Control(l.deadline.arm(l.timeout), dfuIn, dfuUpload, number, iface, p)
		if err != nil {
			return fmt.Errorf("read back firmware block %d: %w", number, l.failure(err))
		}
		if back = append(back, p[:n]...); n < block {
			break
		}
		if len(back) > maxFirmware {
			return fmt.Errorf("read back firmware: %w: more bytes than the boot ROM can hold", ErrDevice)
		}
	}
	if !bytes.HasPrefix(back, firmware) {
		return fmt.Errorf("read back firmware: %w: the bytes differ from those sent", ErrDevice)
	}
	return nil
}

// upgradeInterface finds the firmware interface in the device's configuration, and its block size in bytes.
func (l *link) upgradeInterface() (iface uint16, block int, err error) {
	var p [521]byte // the size that libedgetpu requests
	n, err := l.conn.Control(l.deadline.arm(l.timeout), 0x80, 6, 0x0200, 0, p[:])
	if err != nil {
		return 0, 0, fmt.Errorf("read configuration: %w", l.failure(err))
	}
	return parseUpgradeInterface(p[:n])
}

// parseUpgradeInterface finds the interface and block size in a configuration descriptor.
func parseUpgradeInterface(p []byte) (iface uint16, block int, err error) {
	found := false
	for len(p) >= 2 && p[0] >= 2 && int(p[0]) <= len(p) {
		d := p[:p[0]]
		switch {
		case d[1] == 4 && len(d) >= 9:
			// An interface without endpoints, of the application-specific class and the firmware upgrade subclass.
			if found = d[4] == 0 && d[5] == 0xfe && d[6] == 1; found {
				iface = uint16(d[2])
			}
		case d[1] == 0x21 && len(d) >= 7 && found:
			if d[2]&3 != 3 {
				return 0, 0, fmt.Errorf("%w: the firmware interface cannot both download and upload", ErrDevice)
			}
			if block = int(binary.LittleEndian.Uint16(d[5:])); block == 0 {
				return 0, 0, fmt.Errorf("%w: the firmware interface has a block size of 0", ErrDevice)
			}
			return iface, block, nil
		}
		p = p[len(d):]
	}
	return 0, 0, fmt.Errorf("%w: no firmware interface in its configuration", ErrDevice)
}
