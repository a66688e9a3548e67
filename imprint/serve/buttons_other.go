//go:build !linux

package serve

import (
	"errors"
	"os"
)

var errLinuxOnly = errors.New("buttons and keys are read on Linux only")

func buttonCode(string) (uint16, bool) { return 0, false }

type machineInputs struct{}

func (machineInputs) list([]string) (map[string]string, error) { return nil, errLinuxOnly }

func (machineInputs) open(string) (inputDevice, error) { return nil, errLinuxOnly }

func byKey(*os.File) (func(), error) { return nil, errLinuxOnly }

func readKeys(*os.File) ([]byte, error) { return nil, errLinuxOnly }
