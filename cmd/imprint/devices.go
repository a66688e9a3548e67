package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/modelfile"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/pool"
)

func devicesCommand() *cli.Command {
	return &cli.Command{
		Name:  "devices",
		Usage: "list the plugged-in Edge TPUs",
		Description: `List the plugged-in Edge TPUs by the names that --device takes.

Examples:
   imprint devices
   imprint devices --json

A device in boot mode gets its firmware when it is first used.`,
		Flags:  []cli.Flag{jsonFlag("the devices")},
		Action: listDevices,
	}
}

func listDevices(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	bus, err := usb(c)()
	if err != nil {
		return err
	}
	defer bus.Close()
	list, err := tpu.List(c.Context, bus)
	if err != nil {
		return err
	}
	type row struct {
		Device string `json:"device"`
		State  string `json:"state"`
		ID     string `json:"id"`
		Speed  string `json:"speed"`
	}
	rows := []row{}
	for _, info := range list {
		r := row{"usb:" + info.Port.String(), "firmware runs", fmt.Sprintf("%04x:%04x", info.Vendor, info.Product), info.Speed.String()}
		if info.Boot() {
			r.State = "boot mode"
		}
		rows = append(rows, r)
	}
	if asJSON(c) {
		return printJSON(c.App.Writer, rows)
	}
	if len(rows) == 0 {
		return tpu.ErrNoDevice
	}
	var lines [][]string
	for i, r := range rows {
		line := []string{r.Device, deviceState(list[i].Boot()), r.Speed}
		if verbose(c) {
			line = append(line, r.ID)
		}
		lines = append(lines, line)
	}
	say(c, table(lines, 0)...)
	return nil
}

// These are keys of the app's metadata.
const (
	usbKey     = "usb"     // a func() (tpu.Bus, error) that opens the USB bus
	devicesKey = "devices" // a *pool.Pool, once a command has called devices
)

// devices opens a pool of the devices that the flags name. run closes the pool.
func devices(c *cli.Context) (*pool.Pool, error) {
	o := pool.Options{Device: text(c, "device"), Warn: func(err error) { warn(c, "%v", err) }}
	if c.String("compiled") == "" && c.String("layout") != string(classifier.TPU) { // otherwise --uncompiled belongs to --compiled
		o.Uncompiled = text(c, "uncompiled")
	}
	if err := mustBeModel(o.Uncompiled); err != nil {
		return nil, err
	}
	if o.Uncompiled != "" {
		var err error
		if o.Uncompiled, err = modelfile.Locate(o.Uncompiled); err != nil {
			return nil, err
		}
	}
	o.USB = usb(c)
	if s := text(c, "clock"); s != "" {
		var err error
		if o.TPU.Clock, err = tpu.ParseClock(s); err != nil {
			return nil, usageError{err}
		}
		if o.TPU.Clock == tpu.ClockMax {
			warn(c, "%s", tpu.TemperatureNotice)
		}
	}
	d, err := pool.New(o)
	if err != nil {
		return nil, err
	}
	c.App.Metadata[devicesKey] = d
	return d, nil
}

func usb(c *cli.Context) func() (tpu.Bus, error) {
	f, _ := c.App.Metadata[usbKey].(func() (tpu.Bus, error))
	return f
}

func closeDevices(app *cli.App) error {
	if d, ok := app.Metadata[devicesKey].(io.Closer); ok {
		return d.Close()
	}
	return nil
}

func arithmetic(c *cli.Context) (backbone.Arithmetic, error) {
	s := text(c, "arithmetic")
	if s == "" {
		return backbone.TFLite, nil
	}
	a, err := backbone.ParseArithmetic(s)
	if err != nil {
		return a, usageError{err}
	}
	return a, nil
}
