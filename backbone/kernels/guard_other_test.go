//go:build !linux

package kernels

import "testing"

// guarded gives n bytes; only on Linux does it matter where they are.
func guarded(t testing.TB, n int, atEnd bool) []byte { return make([]byte, n) }
