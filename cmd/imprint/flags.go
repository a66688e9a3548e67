package main

import (
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/tpu"
)

const defaultWorkspace = ".imprint"

// workspaceFlags returns the flags that are valid both before and after the command's name.
func workspaceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "workspace", Usage: "use the workspace in `DIR`", DefaultText: defaultWorkspace},
		&cli.StringFlag{Name: "backbone", Category: advanced, Usage: "embed photos with `MODEL`, a file, a name from imprint models list, or auto: add and retrain choose by your photos", DefaultText: "the workspace's backbone, or the built-in one"},
		&cli.StringFlag{Name: "embedding", Category: advanced, Usage: "use `TENSOR` of the backbone, a name or an index, as the embedding", DefaultText: "the input of its last layer"},
		&cli.IntFlag{Name: "threads", Category: advanced, Usage: "use at most `N` cores", DefaultText: "all"},
	}
}

// deviceFlags returns the flags that select the devices that models run on.
func deviceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "device", Category: advanced, Usage: "run models on `DEVICE`: auto, cpu, tpu (all Edge TPUs), or usb:BUS-PORT, several separated by commas", DefaultText: "auto: compiled models on Edge TPUs, others on the CPU"},
		&cli.StringFlag{Name: "uncompiled", Category: advanced, Usage: "without an Edge TPU, run the uncompiled `MODEL`, a file or name, on the CPU", DefaultText: "fail without an Edge TPU"},
		&cli.StringFlag{Name: "clock", Category: advanced, Usage: "run Edge TPUs at `SPEED`: " + orList(clocks) + "; " + tpu.TemperatureNotice, DefaultText: "high"},
		&cli.StringFlag{Name: "arithmetic", Category: advanced, Usage: "on the CPU, round by `RULE`: " + orList(arithmetics), DefaultText: "tflite"},
	}
}

// withWorkspace appends the workspace flags to a command's own flags.
func withWorkspace(own ...cli.Flag) []cli.Flag { return append(own, workspaceFlags()...) }

// withDevices appends the workspace and device flags to a command's own flags.
func withDevices(own ...cli.Flag) []cli.Flag { return withWorkspace(append(own, deviceFlags()...)...) }

// labelFlag returns the flag that selects a class. otherwise describes the default.
func labelFlag(usage, otherwise string) cli.Flag {
	return &cli.StringFlag{Name: "label", Aliases: []string{"l"}, Usage: usage, DefaultText: otherwise}
}

func listFlag() cli.Flag {
	return &cli.StringFlag{Name: "list", Usage: "read the paths of photos from `FILE`, one per line, each optionally followed by a tab or comma and a label; - is standard input", DefaultText: "none"}
}

func negativeFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "negative", Usage: "add `PHOTOS`, a photo or folder, of things outside your classes, to help reject them", DefaultText: "none"}
}

func unknownRateFlag() cli.Flag {
	return &cli.StringFlag{Name: "unknown", Usage: "answer \"unknown\" for things outside your classes; a proportion `RATE` of them, such as 0.05, may slip through; off never answers so", DefaultText: "the workspace's, or 0.05 where possible"}
}

func noneFlag() cli.Flag {
	return &cli.StringFlag{Name: "none", Category: advanced, Usage: "call the answer \"unknown\" `LABEL` in the model, for programs that expect another name", DefaultText: "the workspace's, or unknown"}
}

func resizeFlag() cli.Flag {
	return &cli.StringFlag{Name: "resize", Category: advanced, Usage: "resize photos by `MODE`: " + orList(resizeModes) + "; the mode can't change once there are photos", DefaultText: "the workspace's or the model's, or crop"}
}

// autoResizeFlag returns resizeFlag for commands that can choose the mode by accuracy.
func autoResizeFlag() cli.Flag {
	f := resizeFlag().(*cli.StringFlag)
	f.Usage = "resize photos by `MODE`: " + orList(autoResizeModes) + "; the mode can't change once there are photos"
	return f
}

func layoutFlag() cli.Flag {
	return &cli.StringFlag{Name: "layout", Category: advanced, Usage: "write the last layer as `LAYOUT`: " + orList(layouts), DefaultText: "the workspace's, or float"}
}

func exportLayoutFlag() cli.Flag {
	f := layoutFlag().(*cli.StringFlag)
	f.Usage = "write the last layer as `LAYOUT`: " + orList(exportLayouts)
	return f
}

func compiledFlag() cli.Flag {
	return &cli.StringFlag{Name: "compiled", Category: advanced, Usage: "for the tpu layout, write the last layer into the compiled `MODEL`, a file or name", DefaultText: "the workspace's"}
}

func uncompiledFlag() cli.Flag {
	return &cli.StringFlag{Name: "uncompiled", Category: advanced, Usage: "read the uncompiled form of the compiled model from `MODEL`, a file or name", DefaultText: "the compiled model's name without _edgetpu, or the workspace's"}
}

func headFlag() cli.Flag {
	return &cli.StringFlag{Name: "head", Category: advanced, Usage: "train the last layer with `METHOD`: " + orList(methods), DefaultText: "the workspace's, or auto"}
}

func keepFlag() cli.Flag {
	return &cli.BoolFlag{Name: "keep-classes", Category: advanced, Usage: "keep the backbone's own classes in front of yours", DefaultText: "the workspace's, or no"}
}

func jsonFlag(what string) cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print " + what + " as JSON", DefaultText: "no"}
}

// text returns the value of a string flag that may appear before or after the command's name.
func text(c *cli.Context, name string) string {
	for _, l := range c.Lineage() {
		if l.IsSet(name) {
			return l.String(name)
		}
	}
	return ""
}

// setText changes the value of a string flag that was given before or after the command's name.
func setText(c *cli.Context, name, value string) error {
	for _, l := range c.Lineage() {
		if l.IsSet(name) {
			return l.Set(name, value)
		}
	}
	return nil
}

// threads returns the value of --threads, or 0, which means all cores.
func threads(c *cli.Context) (int, error) {
	for _, l := range c.Lineage() {
		if !l.IsSet("threads") {
			continue
		}
		n := l.Int("threads")
		if n < 1 || n > 1024 {
			return 0, usagef("--threads %d: must be 1 to 1024", n)
		}
		return n, nil
	}
	return 0, nil
}

// resizeMode returns the value of --resize. Only add and eval accept auto.
func resizeMode(c *cli.Context) (dataset.Resize, error) {
	given := c.String("resize")
	if given == "" {
		return "", nil
	}
	auto := c.Command.Name == "add" || c.Command.Name == "eval"
	if auto && given == string(imprint.AutoResize) {
		return imprint.AutoResize, nil
	}
	mode, err := dataset.ParseResize(given)
	if err != nil && auto {
		err = usagef("%w, or auto", err)
	} else if err != nil {
		err = usageError{err}
	}
	return mode, err
}

// unknownRate sets o.Unknown to the value of --unknown, if the flag is given.
func unknownRate(c *cli.Context, o *imprint.Options) error {
	if !c.IsSet("unknown") {
		return nil
	}
	rate := 0.0
	if given := c.String("unknown"); given != "off" {
		var err error
		if rate, err = strconv.ParseFloat(given, 64); err != nil {
			return hinted{usagef("--unknown %q is not a number", given), "give a rate such as 0.05 for 5 %, or off"}
		}
	}
	if !(rate >= 0 && rate <= 0.5) {
		return usagef("--unknown %v: must be 0 to 0.5, such as 0.05", rate)
	}
	o.Unknown = &rate
	return nil
}
