package kernels

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// guarded returns n bytes that start or, if atEnd is set, end at a page without access. A
// page without access lies on the other side too.
func guarded(t testing.TB, n int, atEnd bool) []byte {
	t.Helper()
	page := os.Getpagesize()
	size := (n + page - 1) / page * page
	all, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(all); err != nil {
			t.Error(err)
		}
	})
	inner := all[page : page+size]
	if size == 0 {
		return inner
	}
	if err := unix.Mprotect(inner, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		t.Fatal(err)
	}
	if atEnd {
		inner = inner[size-n:]
	}
	return inner[:n:n]
}
