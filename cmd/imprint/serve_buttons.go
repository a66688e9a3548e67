package main

import (
	"log/slog"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint/serve/input"
)

// buttons returns readers for the buttons and keys that the flags name; each is nil if the flags
// name none.
func buttons(c *cli.Context, log *slog.Logger) (*input.Buttons, *input.Keys, error) {
	var all []input.Button
	for _, s := range c.StringSlice("button") {
		b, err := input.ParseButton(s)
		if err != nil {
			return nil, nil, usageError{err}
		}
		all = append(all, b)
	}
	devices := c.StringSlice("input")
	if len(devices) > 0 && len(all) == 0 {
		return nil, nil, usagef("--input needs --button CODE=ACTION")
	}
	var keys *input.Keys
	onDevices := all
	if c.Bool("keys") {
		keys = &input.Keys{Buttons: all, Terminal: os.Stdin}
		if len(devices) == 0 {
			// Don't also read keyboards as devices, or each key would act twice.
			onDevices = nil
			for _, b := range all {
				if !strings.HasPrefix(b.Name, "KEY_") {
					onDevices = append(onDevices, b)
				}
			}
		}
	}
	if len(onDevices) == 0 {
		return nil, keys, nil
	}
	return &input.Buttons{Buttons: onDevices, Devices: devices, Log: log}, keys, nil
}
