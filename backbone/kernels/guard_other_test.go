//go:build !linux

package kernels

import "testing"

// guarded returns n bytes. Only on Linux are they next to inaccessible pages.
func guarded(t testing.TB, n int, atEnd bool) []byte { return make([]byte, n) }
