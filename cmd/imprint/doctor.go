package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "say what keeps an Edge TPU from being used, and how to put it right",
		Description: `Nothing is changed on a device unless --report is given, which boots it and runs
a model: its output is for a report about a run on a device of your own.

Examples:
   imprint doctor
   sudo imprint doctor --fix-udev
   imprint doctor --report > report.txt`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "fix-udev", Usage: "let users of this machine open Edge TPUs: write " + tpu.UdevRulesPath, DefaultText: "no"},
			&cli.BoolFlag{Name: "report", Usage: "run " + reportModel + " on the device and print what it did", DefaultText: "no"},
			&cli.StringFlag{Name: "transcript", Usage: "with --report, write every USB transfer to `FILE`", DefaultText: "none"},
			jsonFlag("what was found"),
		},
		Action: doctor,
	}
}

func doctor(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	if c.IsSet("transcript") && !c.Bool("report") {
		return usagef("--transcript goes with --report")
	}
	if c.Bool("fix-udev") {
		return fixUdev(c.App.Writer)
	}
	bus, err := usb(c)()
	if err == nil {
		defer bus.Close()
	}
	found := tpu.Diagnose(c.Context, bus, err, tpu.ThisMachine())
	if !c.Bool("json") {
		tellFindings(c.App.Writer, found)
	} else if err := printFindings(c.App.Writer, found); err != nil {
		return err
	}
	if slices.ContainsFunc(found, func(f tpu.Finding) bool { return f.Severity == tpu.Problem }) {
		return deviceError{errReported}
	}
	if c.Bool("report") {
		return reportRun(c, bus)
	}
	return nil
}

func tellFindings(w io.Writer, found []tpu.Finding) {
	for _, f := range found {
		where := ""
		if f.Port != (tpu.Port{}) {
			where = "usb:" + f.Port.String() + ": "
		}
		fmt.Fprintf(w, "%v: %s%s\n", f.Severity, where, f.Text)
		if f.Fix != "" {
			fmt.Fprintf(w, "  do: %s\n", f.Fix)
		}
	}
}

func printFindings(w io.Writer, found []tpu.Finding) error {
	type row struct {
		Device   string `json:"device,omitempty"`
		Severity string `json:"severity"`
		State    string `json:"state"`
		Text     string `json:"text"`
		Fix      string `json:"fix,omitempty"`
	}
	rows := []row{}
	for _, f := range found {
		r := row{"", f.Severity.String(), f.State, f.Text, f.Fix}
		if f.Port != (tpu.Port{}) {
			r.Device = "usb:" + f.Port.String()
		}
		rows = append(rows, r)
	}
	return printJSON(w, rows)
}

// fixUdev writes the rules for both identities.
func fixUdev(w io.Writer) error {
	if runtime.GOOS != "linux" {
		return usagef("--fix-udev: only Linux has udev")
	}
	group := "plugdev" // of Debian and its kin: who may use what is plugged in
	if _, err := user.LookupGroup(group); err != nil {
		group = ""
	}
	rules := []byte(tpu.UdevRules(group))
	if old, err := os.ReadFile(tpu.UdevRulesPath); err != nil || !bytes.Equal(old, rules) {
		if err := os.WriteFile(tpu.UdevRulesPath, rules, 0o644); errors.Is(err, fs.ErrPermission) {
			return hinted{err, "sudo imprint doctor --fix-udev"}
		} else if errors.Is(err, fs.ErrNotExist) {
			return hinted{err, "no udev runs here; in a container the rule belongs to the machine around it"}
		} else if err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "%s is written\nnow: sudo udevadm control --reload-rules, then unplug the Edge TPU and plug it in again\n", tpu.UdevRulesPath)
	if group != "" {
		fmt.Fprintf(w, "users who are not at the screen must be in the group %s: sudo usermod -aG %[1]s USER, then log in anew\n", group)
	}
	return nil
}

// What a report runs, and what the arithmetic of the Edge TPU, as it is known, gives for bytes 31·i mod 256 as input.
const (
	reportModel  = "mobilenet_v1_0.25_128_quant_edgetpu"
	reportOutput = "281fb4726e062bab16c060b9230676f09722947e477d67f0ece951c5ab531071"
)

// reportRun runs the model and says what an owner of a device can pass on.
func reportRun(c *cli.Context, bus tpu.Bus) error {
	path, err := models.Store{}.Path(reportModel)
	if err != nil {
		return err
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	pkg, err := compiledPackage(file)
	if err != nil {
		return err
	}
	if name := c.String("transcript"); name != "" {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		defer f.Close()
		bus = tpu.Transcribe(bus, f)
	}
	w := c.App.Writer
	fmt.Fprintf(w, "imprint %s, %s, %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if b, err := os.ReadFile("/proc/device-tree/model"); err == nil {
		fmt.Fprintf(w, "machine: %s\n", bytes.Trim(b, "\x00"))
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		fmt.Fprintf(w, "kernel: %s\n", bytes.TrimSpace(b))
	}
	// What is slow is to be reported, too.
	err = measure(c.Context, w, bus, pkg, 100, tpu.Options{Timeout: 10 * time.Second})
	if err != nil {
		fmt.Fprintf(w, "it failed: %v\n", err) // here, too: the report is what is passed on
	}
	return err
}

// measure opens the first device and runs pkg, which is that of the report's model, on it.
func measure(ctx context.Context, w io.Writer, bus tpu.Bus, pkg *executable.Package, runs int, opts tpu.Options) error {
	start := time.Now()
	d, err := tpu.Open(ctx, bus, tpu.Port{}, opts)
	if err != nil {
		return err
	}
	defer d.Close()
	fmt.Fprintf(w, "device: usb:%v at %v, clock %v, opened in %v\n", d.Port(), d.Status().USB.Speed, opts.Clock, time.Since(start).Round(time.Millisecond))
	start = time.Now()
	m, err := d.Load(ctx, pkg)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "model: %s, loaded in %v\n", reportModel, time.Since(start).Round(10*time.Microsecond))
	input, output := make([]byte, pkg.Main.Inputs[0].TensorSize()), make([]byte, pkg.Main.Outputs[0].TensorSize())
	for i := range input {
		input[i] = byte(31 * i)
	}
	var took []time.Duration
	sums := make(map[[sha256.Size]byte]int)
	for range runs {
		start := time.Now()
		if err := m.Run(ctx, [][]byte{input}, [][]byte{output}); err != nil {
			return err
		}
		took = append(took, time.Since(start))
		sums[sha256.Sum256(output)]++
	}
	slices.Sort(took)
	fmt.Fprintf(w, "%d inferences: fastest %v, median %v, slowest %v\n", len(took), took[0], took[len(took)/2], took[len(took)-1])
	for sum, n := range sums {
		verdict := "as predicted"
		if got := fmt.Sprintf("%x", sum); got != reportOutput {
			verdict = "not as predicted: " + reportOutput
		}
		fmt.Fprintf(w, "output %x, %d times: %s\n", sum, n, verdict)
	}
	if t, err := d.Temperature(ctx); err == nil {
		fmt.Fprintf(w, "temperature: %.1f °C\n", t)
	} else {
		fmt.Fprintf(w, "temperature: %v\n", err)
	}
	s := d.Status()
	fmt.Fprintf(w, "failures %d, recoveries %d, warnings %d, last error: %v\n", s.Failures, s.Recoveries, s.Warnings, s.Err)
	return nil
}

// compiledPackage is what a compiled model runs on the Edge TPU.
func compiledPackage(file []byte) (*executable.Package, error) {
	m, err := tflite.Parse(file)
	if err != nil {
		return nil, err
	}
	for _, s := range m.Subgraphs {
		for _, op := range s.Operators {
			if m.OperatorCodes[op.Opcode].CustomCode == executable.CustomOperator {
				return executable.Parse(op.CustomOptions)
			}
		}
	}
	return nil, dataError{errors.New("the model is not compiled for the Edge TPU")}
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "of unknown version"
}
