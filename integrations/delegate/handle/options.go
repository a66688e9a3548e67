package handle

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/integrations/delegate/host"
	"github.com/imprintkit/imprint/tpu"
)

// options are the parsed options of a call.
type options struct {
	imprint.Options
	labels  string        // file of labels
	device  string        // for package pool: "", "cpu" or "tpu"
	devices []host.Option // for package host
	clock   tpu.Clock
}

// The names of the options.
var (
	workspaceOptions = []string{"backbone", "embedding", "resize", "head", "layout", "compiled", "uncompiled", "keep_classes", "unknown",
		"none", "existing", "threads", "arithmetic", "device", "clock", "emulator"}
	modelOptions   = []string{"labels", "embedding", "resize", "uncompiled", "threads", "arithmetic", "device", "clock", "emulator"}
	retrainOptions = []string{"head", "unknown"}
	exportOptions  = []string{"labels", "layout", "keep_classes"}
)

// parse reads options with the given names. Errors wrap host.ErrOption.
func parse(given []host.Option, names []string) (*options, error) {
	o := new(options)
	for _, option := range given {
		if !slices.Contains(names, option.Name) {
			return nil, fmt.Errorf("%w %q: the options are %s", host.ErrOption, option.Name, strings.Join(names, ", "))
		}
		if err := o.set(option.Name, option.Value); err != nil {
			return nil, fmt.Errorf("%w %s=%q: %w", host.ErrOption, option.Name, option.Value, err)
		}
	}
	return o, nil
}

func (o *options) set(name, value string) (err error) {
	texts := map[string]*string{
		"backbone": &o.Backbone, "embedding": &o.Embedding, "compiled": &o.Compiled, "uncompiled": &o.Uncompiled, "labels": &o.labels, "none": &o.None,
	}
	switch name {
	case "head":
		o.Head, err = unlessEmpty(value, classifier.ParseMethod)
	case "layout":
		o.Layout, err = unlessEmpty(value, classifier.ParseLayout)
	case "resize":
		if o.Resize = dataset.Resize(value); o.Resize != imprint.AutoResize {
			o.Resize, err = unlessEmpty(value, dataset.ParseResize)
		}
	case "arithmetic":
		o.Arithmetic, err = unlessEmpty(value, backbone.ParseArithmetic)
	case "threads":
		if o.Threads, err = strconv.Atoi(value); err != nil || o.Threads < 0 || o.Threads > 1024 {
			err = errors.New("want a number from 0 to 1024")
		}
	case "keep_classes":
		var keep bool
		keep, err = parseBool(value)
		o.KeepClasses = &keep
	case "existing":
		o.Existing, err = parseBool(value)
	case "unknown":
		o.Unknown, err = parseRate(value)
	case "clock":
		o.clock, err = unlessEmpty(value, tpu.ParseClock)
	case "emulator":
		o.devices = append(o.devices, host.Option{Name: "emulator", Value: value})
	case "device":
		o.setDevice(value)
	default:
		*texts[name] = value
	}
	return err
}

// unlessEmpty returns the zero value for "", and otherwise calls parse.
func unlessEmpty[T any](value string, parse func(string) (T, error)) (v T, err error) {
	if value == "" {
		return v, nil
	}
	return parse(value)
}

func parseBool(value string) (bool, error) {
	switch value {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("want true or false")
}

// parseRate reads the false-accept rate of the answer "unknown".
func parseRate(value string) (*float64, error) {
	rate := 0.0
	if value != "off" {
		var err error
		if rate, err = strconv.ParseFloat(value, 64); err != nil || !(rate >= 0 && rate <= 0.5) {
			return nil, errors.New("want a rate from 0 to 0.5, or off")
		}
	}
	return &rate, nil
}

// setDevice separates the devices that package pool knows by a word from those that package host
// finds.
func (o *options) setDevice(value string) {
	switch value {
	case "", "auto", "cpu":
		o.device = value
	case "usb", "tpu":
		o.device = "tpu"
	default:
		o.devices = append(o.devices, host.Option{Name: "device", Value: value})
	}
}
