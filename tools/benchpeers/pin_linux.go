package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// pin limits this thread, and the programs that it starts, to the first n cores.
func pin(n int) error {
	var cores unix.CPUSet
	for i := range n {
		cores.Set(i)
	}
	if err := unix.SchedSetaffinity(0, &cores); err != nil {
		return fmt.Errorf("pin to %d cores: %w", n, err)
	}
	return nil
}
