//go:build !linux

package main

import (
	"errors"
	"time"
)

var errLinux = errors.New("the TensorFlow Lite library is available for Linux only")

func pin(int) error { return errLinux }

func processTime() (time.Duration, error) { return 0, errLinux }
