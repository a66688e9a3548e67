package emulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// vhci is the control folder of Linux's virtual USB host controller (module vhci-hcd).
const vhci = "/sys/devices/platform/vhci_hcd.0/"

// FreeVHCIPort returns a free port for the device on Linux's virtual USB host controller. The module vhci-hcd must be
// loaded.
func FreeVHCIPort(d *Device) (int, error) {
	hub := "ss"
	if linuxSpeed(d.config.Speed) == 3 {
		hub = "hs"
	}
	ports, err := vhciPorts()
	if err != nil {
		return 0, err
	}
	for _, p := range ports {
		if p.hub == hub && p.free {
			return p.number, nil
		}
	}
	return 0, fmt.Errorf("%s: no free port for %v", vhci, d.config.Speed)
}

type vhciPort struct {
	hub    string // hs or ss
	number int
	free   bool
}

func vhciPorts() (ports []vhciPort, err error) {
	b, err := os.ReadFile(vhci + "status")
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line) // hub, port, state, speed, …, after a header line
		if len(f) < 3 {
			continue
		}
		if n, err := strconv.Atoi(f[1]); err == nil {
			ports = append(ports, vhciPort{f[0], n, f[2] == "004"})
		}
	}
	return ports, nil
}

// AttachVHCI plugs the device into a port of this machine's virtual USB host controller and serves it until ctx ends,
// the device is unplugged, or the machine detaches it. The caller must be root. AttachVHCI waits until the port is
// free.
func AttachVHCI(ctx context.Context, d *Device, port int) error {
	c, err := connectVHCI(ctx, d, port)
	if err != nil {
		return fmt.Errorf("attach to port %d of %s: %w", port, vhci, err)
	}
	return attach(ctx, c, d)
}

// connectVHCI passes one end of a connection to the kernel and returns the other.
func connectVHCI(ctx context.Context, d *Device, port int) (net.Conn, error) {
	for {
		ports, err := vhciPorts()
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(ports, func(p vhciPort) bool { return p.number == port })
		if i < 0 {
			return nil, errors.New("no such port")
		}
		if ports[i].free {
			break
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	theirs, ours := os.NewFile(uintptr(fds[0]), "vhci"), os.NewFile(uintptr(fds[1]), "emulator")
	defer theirs.Close()     // the kernel keeps its own reference
	defer ours.Close()       // as does the returned Conn
	const device = 1<<16 | 2 // bus and device numbers of the device here; the kernel does not use them
	line := fmt.Appendf(nil, "%d %d %d %d", port, theirs.Fd(), device, linuxSpeed(d.config.Speed))
	if err := os.WriteFile(vhci+"attach", line, 0); err != nil {
		return nil, err
	}
	return net.FileConn(ours)
}
