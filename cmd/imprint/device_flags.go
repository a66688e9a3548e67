package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/pool"
)

// deviceFlags say what models run on.
func deviceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "device", Usage: "run models on `DEVICE`: auto, cpu, tpu (all Edge TPUs) or usb:BUS-PORT, several with commas between", DefaultText: "auto: compiled models on Edge TPUs, others on the CPU"},
		&cli.StringFlag{Name: "twin", Usage: "what a compiled model was made from, `FILE`: it runs on the CPU when there is no Edge TPU", DefaultText: "fail without an Edge TPU"},
		&cli.StringFlag{Name: "clock", Usage: "run Edge TPUs at `SPEED`: low, medium, high or max; " + tpu.TemperatureNotice, DefaultText: "high"},
		&cli.StringFlag{Name: "arithmetic", Usage: "let the CPU round like `WHAT`: tflite, or edgetpu to predict what an Edge TPU will say", DefaultText: "tflite"},
	}
}

// Keys of the app's metadata.
const (
	usbKey     = "usb"     // func() (tpu.Bus, error): the bus that devices are found on
	devicesKey = "devices" // *imprint.Devices, once a command has made them
)

// devices are those that the flags name. They are closed when the command ends.
func devices(c *cli.Context) (*pool.Pool, error) {
	o := pool.Options{Device: text(c, "device"), Warn: func(err error) { warn(c, "%v", err) }}
	if c.String("template") == "" && c.String("layout") != string(classifier.TPU) { // of which --twin is a part
		o.Uncompiled = text(c, "twin")
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

// usb gives the bus that devices are found on.
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

// onDevices names what was not computed on the CPU alone, for the end of a line.
func onDevices(counts map[string]int) string {
	if len(counts) == 0 || len(counts) == 1 && counts[backbone.CPU] > 0 {
		return ""
	}
	var parts []string
	for device, n := range counts {
		part := device
		if len(counts) > 1 {
			part = fmt.Sprintf("%s: %d", device, n)
		}
		parts = append(parts, part)
	}
	slices.Sort(parts)
	return ", on " + strings.Join(parts, ", ")
}
