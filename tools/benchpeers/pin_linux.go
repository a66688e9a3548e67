package main

import (
	"fmt"
	"time"

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

// processTime returns the processor time that this process has used.
func processTime() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0, fmt.Errorf("processor time: %w", err)
	}
	return time.Duration(t.Nano()), nil
}
