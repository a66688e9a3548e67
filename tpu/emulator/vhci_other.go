//go:build !linux

package emulator

import (
	"context"
	"errors"
)

var errNoVHCI = errors.New("virtual USB host controllers exist on Linux only")

// FreeVHCIPort works on Linux only.
func FreeVHCIPort(d *Device) (int, error) { return 0, errNoVHCI }

// AttachVHCI works on Linux only.
func AttachVHCI(ctx context.Context, d *Device, port int) error { return errNoVHCI }
