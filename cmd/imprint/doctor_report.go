package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
)

// reportModel is the model that a report runs. reportOutput is the SHA-256 of its output for the input bytes 31·i mod
// 256, computed with the known rules of the Edge TPU's arithmetic.
const (
	reportModel  = "mobilenet_v1_0.25_128_quant_edgetpu"
	reportOutput = "281fb4726e062bab16c060b9230676f09722947e477d67f0ece951c5ab531071"
)

// reportRun runs the model and prints a report that the device's owner can share.
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
	fmt.Fprintln(w, thisBuild().line())
	if b, err := os.ReadFile("/proc/device-tree/model"); err == nil {
		fmt.Fprintf(w, "machine: %s\n", bytes.Trim(b, "\x00"))
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		fmt.Fprintf(w, "kernel: %s\n", bytes.TrimSpace(b))
	}
	// The long timeout also allows slow devices.
	err = measure(c.Context, w, bus, pkg, 100, tpu.Options{Timeout: 10 * time.Second})
	if err != nil {
		fmt.Fprintf(w, "failed: %v\n", err) // the report needs the error too
	}
	return err
}

// measure runs pkg, the report's model, on the first device and prints the times and the outputs.
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

// compiledPackage returns the part of a compiled model that runs on the Edge TPU.
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
