//go:build !linux

package emulator

import (
	"context"
	"errors"
)

// AttachVHCI needs Linux.
func AttachVHCI(ctx context.Context, d *Device) error {
	return errors.New("a virtual USB host controller needs Linux")
}
