package emulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// vhci is where Linux's virtual USB host controller (module vhci-hcd) is told what to attach.
const vhci = "/sys/devices/platform/vhci_hcd.0/"

// AttachVHCI plugs the device into the USB of this machine, through Linux's virtual host controller: module vhci-hcd
// must be loaded, and the caller be root. It serves the device until ctx ends or it is unplugged.
func AttachVHCI(ctx context.Context, d *Device) error {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("attach to %s: %w", vhci, err)
	}
	theirs, ours := os.NewFile(uintptr(fds[0]), "vhci"), os.NewFile(uintptr(fds[1]), "emulator")
	c, err := net.FileConn(ours)
	ours.Close()
	if err == nil {
		if err = attachPort(d, theirs); err != nil {
			c.Close()
		}
	}
	theirs.Close() // the kernel has its own reference
	if err != nil {
		return fmt.Errorf("attach to %s: %w", vhci, err)
	}
	return attach(ctx, c, d)
}

// attachPort gives the kernel its end of the connection, for the first free port of the device's speed.
func attachPort(d *Device, socket *os.File) error {
	status, err := os.ReadFile(vhci + "status")
	if err != nil {
		return err
	}
	hub, speed := "ss", linuxSpeed(d.config.Speed)
	if speed == 3 {
		hub = "hs"
	}
	for _, line := range strings.Split(string(status), "\n") {
		f := strings.Fields(line) // hub, port, state, speed, …
		const free = "004"
		if len(f) < 3 || f[0] != hub || f[2] != free {
			continue
		}
		port := strings.TrimLeft(f[1], "0")
		if port == "" {
			port = "0"
		}
		fd := socket.Fd()
		err := os.WriteFile(vhci+"attach", fmt.Appendf(nil, "%s %d %d %d", port, fd, 1<<16|1, speed), 0)
		if !errors.Is(err, syscall.EBUSY) { // taken meanwhile
			return err
		}
	}
	return fmt.Errorf("no free port for %v", d.config.Speed)
}
