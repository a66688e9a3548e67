//go:build !linux

package main

import "errors"

func pin(int) error { return errors.New("the TensorFlow Lite library is available for Linux only") }
