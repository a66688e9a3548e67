package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imprintkit/imprint/backbone/kernels"
)

// describeMachine returns a sentence with the conditions that the timings depend on: the
// date, the processor, the kernel, the Go version and the implementation.
func describeMachine() (string, error) {
	implementation, err := kernels.Implementation()
	if err != nil {
		return "", err
	}
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s: %s, %d cores", time.Now().UTC().Format(time.DateOnly), cpuField(cpu, "model name"), runtime.NumCPU())
	flags := strings.Fields(cpuField(cpu, "flags") + " " + cpuField(cpu, "Features"))
	var found []string
	for _, f := range []string{"avx2", "avx512_vnni", "avx_vnni", "asimddp"} {
		if slices.Contains(flags, f) {
			found = append(found, f)
		}
	}
	if len(found) > 0 {
		text += " (" + strings.Join(found, ", ") + ")"
	}
	if slices.Contains(flags, "hypervisor") {
		text += ", virtual machine"
	}
	return fmt.Sprintf("%s, Linux %s, %s, kernels %s.", text, strings.TrimSpace(string(release)), runtime.Version(), implementation), nil
}

// cpuField returns the first value of a field of /proc/cpuinfo, or "".
func cpuField(cpu []byte, name string) string {
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `\s*: (.*)$`).FindSubmatch(cpu)
	if m == nil {
		return ""
	}
	return string(m[1])
}

var peakLine = regexp.MustCompile(`(?m)^Benchmark\w*Peak\S*\s.*\s([0-9.]+) GMAC/s`)

// A peak is the path of the compiled benchmarks of package kernels. The Peak benchmarks in that
// file measure the processor's maximum speed with loops of dot products.
type peak string

// newPeak compiles the benchmarks into scratch.
func newPeak(ctx context.Context, scratch string) (peak, error) {
	p := filepath.Join(scratch, "peak")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", p, "./backbone/kernels").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the peak benchmarks: %w: %s", err, out)
	}
	return peak(p), nil
}

// run returns the GMAC/s of one core in the fastest loop. There is one loop per kind of
// instruction; if none runs on this processor, run returns 0.
func (p peak) run(ctx context.Context) (float64, error) {
	out, err := exec.CommandContext(ctx, string(p), "-test.run", "^$", "-test.bench", "Peak", "-test.benchtime", "100ms").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("measure the peak: %w: %s", err, out)
	}
	return bestRate(out)
}

// bestRate returns the largest GMAC/s in the output of benchmarks, or 0.
func bestRate(out []byte) (best float64, err error) {
	for _, m := range peakLine.FindAllSubmatch(out, -1) {
		v, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return 0, fmt.Errorf("measure the peak: %w", err)
		}
		best = max(best, v)
	}
	return best, nil
}
