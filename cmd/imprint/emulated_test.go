package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
)

// emulated is the command on a machine with as many Edge TPUs as $DEVICES says,
// which can run the file $COMPILED, made from $TWIN.
func emulated() {
	os.Exit(run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr, emulatedUSB))
}

func emulatedUSB() (tpu.Bus, error) {
	n, err := strconv.Atoi(os.Getenv("DEVICES"))
	if err != nil {
		return nil, err
	}
	compiled, err := os.ReadFile(os.Getenv("COMPILED"))
	if err != nil {
		return nil, err
	}
	twin, err := os.ReadFile(os.Getenv("TWIN"))
	if err != nil {
		return nil, err
	}
	var devices []*emulator.Device
	for i := range n {
		d := emulator.New(emulator.Config{Port: tpu.Port{Bus: 2, Path: fmt.Sprint(i + 1)}, Application: true})
		if err := d.Register(compiled, twin); err != nil {
			return nil, err
		}
		devices = append(devices, d)
	}
	return emulator.NewBus(devices...), nil
}
