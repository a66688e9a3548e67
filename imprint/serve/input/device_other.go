//go:build !linux

package input

import (
	"errors"
	"os"
)

var errLinuxOnly = errors.New("buttons and keys need Linux")

func buttonCode(string) (uint16, bool) { return 0, false }

type machine struct{}

func (machine) list([]string) (map[string]string, error) { return nil, errLinuxOnly }

func (machine) open(string) (device, error) { return nil, errLinuxOnly }

func cbreakMode(*os.File) (func(), error) { return nil, errLinuxOnly }

func readKeys(*os.File) ([]byte, error) { return nil, errLinuxOnly }
