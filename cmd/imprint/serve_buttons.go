package main

import (
	"log/slog"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint/serve"
)

// buttonFlags bind buttons and keys to actions.
func buttonFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "button", Usage: "let a button of a gamepad, a keyboard or gpio-keys do something: `CODE=ACTION`, as BTN_SOUTH=teach:cone (while it is held), BTN_TR=reload, KEY_U=undo or KEY_D=remove:cone", DefaultText: "none"},
		&cli.StringSliceFlag{Name: "input", Usage: "take buttons of the input device `FILE`, as /dev/input/event3", DefaultText: "all devices that have them"},
		&cli.BoolFlag{Name: "keys", Usage: "read KEY_ buttons from the terminal, where the first press begins to teach and the next one ends it; R reloads, U undoes", DefaultText: "no"},
	}
}

// buttons are the readers of buttons and keys that the flags ask for; nil where none.
func buttons(c *cli.Context, log *slog.Logger) (*serve.Buttons, *serve.Keys, error) {
	var all []serve.Button
	for _, s := range c.StringSlice("button") {
		b, err := serve.ParseButton(s)
		if err != nil {
			return nil, nil, usageError{err}
		}
		all = append(all, b)
	}
	devices := c.StringSlice("input")
	if len(devices) > 0 && len(all) == 0 {
		return nil, nil, usagef("--input needs --button CODE=ACTION")
	}
	var keys *serve.Keys
	onDevices := all
	if c.Bool("keys") {
		keys = &serve.Keys{Buttons: all, Terminal: os.Stdin}
		if len(devices) == 0 {
			// A keyboard at this machine is a device too: a key would count twice.
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
	return &serve.Buttons{Buttons: onDevices, Devices: devices, Log: log}, keys, nil
}
