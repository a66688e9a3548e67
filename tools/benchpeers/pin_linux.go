package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// pin has the programs that this thread starts run on the first n cores.
func pin(n int) error {
	var cores unix.CPUSet
	for i := range n {
		cores.Set(i)
	}
	if err := unix.SchedSetaffinity(0, &cores); err != nil {
		return fmt.Errorf("use %d cores: %w", n, err)
	}
	return nil
}
