package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imprintkit/imprint/backbone/kernels"
)

// describeMachine names what a timing depends on.
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
	about := fmt.Sprintf("%s, %s with %d cores", time.Now().UTC().Format(time.DateOnly), cpuField(cpu, "model name"), runtime.NumCPU())
	flags := strings.Fields(cpuField(cpu, "flags") + " " + cpuField(cpu, "Features"))
	var found []string
	for _, f := range []string{"avx2", "avx512_vnni", "avx_vnni", "asimddp"} {
		if slices.Contains(flags, f) {
			found = append(found, f)
		}
	}
	if len(found) > 0 {
		about += " (" + strings.Join(found, ", ") + ")"
	}
	if slices.Contains(flags, "hypervisor") {
		about += " of a virtual machine"
	}
	return fmt.Sprintf("%s, Linux %s, %s, kernels %s.", about, strings.TrimSpace(string(release)), runtime.Version(), implementation), nil
}

// cpuField is the first value of a field of /proc/cpuinfo, or "".
func cpuField(cpu []byte, name string) string {
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `\s*: (.*)$`).FindSubmatch(cpu)
	if m == nil {
		return ""
	}
	return string(m[1])
}

var peakLine = regexp.MustCompile(`(?m)^Benchmark\w*Peak\S*\s.*\s([0-9.]+) GMAC/s`)

// peak is how many thousand million multiplications a second the loop of dot
// products does on one core that package kernels has for this, the best of
// several; 0 if it has none for this processor.
func peak(ctx context.Context) (float64, error) {
	if err := pin(1); err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "Peak", "-count", "5", "-benchtime", "100ms", "./backbone/kernels").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("measure the peak: %w: %s", err, out)
	}
	best := 0.0
	for _, m := range peakLine.FindAllSubmatch(out, -1) {
		v, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return 0, err
		}
		best = max(best, v)
	}
	return best, nil
}
