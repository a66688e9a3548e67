//go:build !linux

package emulator

import (
	"context"
	"errors"
)

var errNoVHCI = errors.New("a virtual USB host controller needs Linux")

// FreeVHCIPort needs Linux.
func FreeVHCIPort(d *Device) (int, error) { return 0, errNoVHCI }

// AttachVHCI needs Linux.
func AttachVHCI(ctx context.Context, d *Device, port int) error { return errNoVHCI }
