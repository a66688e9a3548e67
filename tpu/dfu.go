package tpu

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Requests of USB's Device Firmware Upgrade 1.1, to the interface in wIndex.
const (
	dfuOut = 0x21 // request types
	dfuIn  = 0xa1

	dfuDetach    = 0
	dfuDownload  = 1
	dfuUpload    = 2
	dfuGetStatus = 3

	dfuStateIdle         = 2
	dfuStateDownloadIdle = 5
)

// maxFirmware bounds what is read back; the boot ROM's memory is 32 KiB.
const maxFirmware = 64 << 10

// load gives the boot ROM its firmware, and reads it back. The device runs it after the next reset of its port.
func (l *link) load(firmware []byte) error {
	iface, block, err := l.upgradeInterface()
	if err != nil {
		return fmt.Errorf("boot ROM: %w", err)
	}
	if err := l.conn.Claim(l.watch.arm(l.timeout), int(iface)); err != nil {
		return fmt.Errorf("boot ROM: %w", l.failure(err))
	}
	for number, rest := uint16(0), firmware; ; number++ {
		n := min(block, len(rest))
		if err := l.control(dfuOut, dfuDownload, number, iface, rest[:n]); err != nil {
			return fmt.Errorf("firmware, block %d: %w", number, err)
		}
		want := byte(dfuStateDownloadIdle)
		if n == 0 {
			want = dfuStateIdle
		}
		var status [6]byte
		if err := l.control(dfuIn, dfuGetStatus, 0, iface, status[:]); err != nil {
			return fmt.Errorf("firmware, block %d: status: %w", number, err)
		}
		if status[0] != 0 || status[4] != want {
			return fmt.Errorf("firmware, block %d: %w: boot ROM has status %d and state %d, want 0 and %d",
				number, ErrDevice, status[0], status[4], want)
		}
		if n == 0 {
			break
		}
		rest = rest[n:]
	}
	return l.verify(firmware, iface, block)
}

// verify reads the firmware back: the boot ROM may have more to give than it was given.
func (l *link) verify(firmware []byte, iface uint16, block int) error {
	var back []byte
	p := make([]byte, block)
	for number := uint16(0); ; number++ {
		n, err := l.conn.Control(l.watch.arm(l.timeout), dfuIn, dfuUpload, number, iface, p)
		if err != nil {
			return fmt.Errorf("read firmware back, block %d: %w", number, l.failure(err))
		}
		if back = append(back, p[:n]...); n < block {
			break
		}
		if len(back) > maxFirmware {
			return fmt.Errorf("read firmware back: %w: boot ROM does not come to an end", ErrDevice)
		}
	}
	if !bytes.HasPrefix(back, firmware) {
		return fmt.Errorf("read firmware back: %w: it is not what was sent", ErrDevice)
	}
	return nil
}

// upgradeInterface finds the interface for firmware in the configuration, and the length of its blocks.
func (l *link) upgradeInterface() (iface uint16, block int, err error) {
	var p [521]byte // as libedgetpu asks for
	n, err := l.conn.Control(l.watch.arm(l.timeout), 0x80, 6, 0x0200, 0, p[:])
	if err != nil {
		return 0, 0, fmt.Errorf("read configuration: %w", l.failure(err))
	}
	return parseUpgradeInterface(p[:n])
}

func parseUpgradeInterface(p []byte) (iface uint16, block int, err error) {
	found := false
	for len(p) >= 2 && p[0] >= 2 && int(p[0]) <= len(p) {
		d := p[:p[0]]
		switch {
		case d[1] == 4 && len(d) >= 9:
			// No endpoints, application specific class, firmware upgrade.
			if found = d[4] == 0 && d[5] == 0xfe && d[6] == 1; found {
				iface = uint16(d[2])
			}
		case d[1] == 0x21 && len(d) >= 7 && found:
			if d[2]&3 != 3 {
				return 0, 0, fmt.Errorf("%w: it takes firmware or gives it back, not both", ErrDevice)
			}
			if block = int(binary.LittleEndian.Uint16(d[5:])); block == 0 {
				return 0, 0, fmt.Errorf("%w: firmware in blocks of 0 bytes", ErrDevice)
			}
			return iface, block, nil
		}
		p = p[len(d):]
	}
	return 0, 0, fmt.Errorf("%w: no interface for firmware in its configuration", ErrDevice)
}
