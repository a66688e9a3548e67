package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
)

// emulated runs the command with $DEVICES emulated Edge TPUs. If $COMPILED is set, the devices run
// that model, and $UNCOMPILED is its uncompiled form; without it, they output a fixed pattern. $STATE is the state of the devices: boot,
// slow, permission or busy. Without $STATE, they are ready.
func emulated() {
	os.Exit(run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr, emulatedUSB))
}

func emulatedUSB() (tpu.Bus, error) {
	n, err := strconv.Atoi(os.Getenv("DEVICES"))
	if err != nil {
		return nil, err
	}
	var compiled, uncompiled []byte
	if name := os.Getenv("COMPILED"); name != "" {
		if compiled, err = os.ReadFile(name); err != nil {
			return nil, err
		}
		if name := os.Getenv("UNCOMPILED"); name != "" {
			if uncompiled, err = os.ReadFile(name); err != nil {
				return nil, err
			}
		}
	}
	var devices []*emulator.Device
	for i := range n {
		config := emulator.Config{Port: tpu.Port{Bus: 2, Path: fmt.Sprint(i + 1)}, Application: true}
		var refusal error
		switch os.Getenv("STATE") {
		case "boot":
			config.Application = false
		case "slow":
			config.Speed = tpu.HighSpeed
		case "permission":
			refusal = tpu.ErrPermission
		case "busy":
			refusal = tpu.ErrBusy
		}
		d := emulator.New(config)
		d.Refuse(refusal)
		if compiled != nil {
			if err := d.Register(compiled, uncompiled); err != nil {
				return nil, err
			}
		}
		devices = append(devices, d)
	}
	return emulator.NewBus(devices...), nil
}
