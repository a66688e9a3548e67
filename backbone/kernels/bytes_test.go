package kernels

import (
	"testing"
	"unsafe"
)

// A holder is a kernel that only holds memory.
type holder struct {
	Kernel
	a, b  []int32
	rows  [][2][]byte
	inner *holder
}

func TestBytes(t *testing.T) {
	shared := make([]int32, 10)
	k := &holder{a: shared, b: shared, rows: [][2][]byte{{make([]byte, 3, 5), nil}}}
	k.inner = &holder{Kernel: k, a: make([]int32, 1)} // a cycle
	self := Bytes(new(holder))
	if got, want := Bytes(k), 2*self+40+int(unsafe.Sizeof(k.rows[0]))+5+4; got != want {
		t.Errorf("got %d bytes, want %d", got, want)
	}
}
