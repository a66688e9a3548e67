package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// A litertRow compares a model on one core with LiteRT and its XNNPACK delegate, in processor time.
type litertRow struct {
	name         string
	ours, theirs cpuTimes
	medians      float64 // ratio of the medians within a turn: the median
	bytes        string  // difference between LiteRT's output and imprint's
}

// cpuTimes are processor times of an inference: the best of all, and the median of the turns' medians.
type cpuTimes struct{ Best, Median time.Duration }

// turns is the number of measurements of LiteRT and of imprint for each round of the other comparisons. Many short turns
// are less sensitive to other work on the machine.
const turns = 3

// compareLiteRT measures a model in alternating turns.
func (b *bench) compareLiteRT(ctx context.Context, m model, rounds int) (litertRow, error) {
	r := litertRow{name: m.name}
	path, parsed, err := m.parse()
	if err != nil {
		return r, err
	}
	input := noise(parsed)
	if err := pin(1); err != nil {
		return r, err
	}
	p := b.litert
	p.XNNPACK = true
	got, err := p.Run(ctx, path, [][]byte{input})
	if err != nil {
		return r, err
	}
	want, _, err := b.run(ctx, path, input, 1, 1)
	if err != nil {
		return r, err
	}
	r.bytes = difference(got[0], want)
	var medians [2][]time.Duration
	bests := [2]time.Duration{time.Hour, time.Hour}
	repeat := 3
	for turn := range turns*rounds + 1 {
		for i := range 2 {
			side := (i + turn) % 2
			var t cpuTimes
			if side == 0 {
				t, err = timeOurs(ctx, path, input, repeat)
			} else {
				timing, failed := p.Time(ctx, path, input, repeat)
				t, err = cpuTimes{timing.CPUMin, timing.CPUMedian}, failed
			}
			if err != nil {
				return r, err
			}
			bests[side] = min(bests[side], t.Best)
			medians[side] = append(medians[side], t.Median)
		}
		if turn == 0 { // it only finds out how many inferences take about a tenth of a second
			repeat = min(max(int(100*time.Millisecond/medians[1][0]), 10), 200)
			medians = [2][]time.Duration{}
		}
	}
	r.ours, r.theirs = cpuTimes{bests[0], median(medians[0])}, cpuTimes{bests[1], median(medians[1])}
	r.medians = median(quotients(medians[1], medians[0]))
	return r, nil
}

// timeOurs times imprint's interpreter in another process of this program.
func timeOurs(ctx context.Context, path string, input []byte, repeat int) (cpuTimes, error) {
	self, err := os.Executable()
	if err != nil {
		return cpuTimes{}, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, self, "-invoke", path, "-repeat", strconv.Itoa(repeat))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	out, err := cmd.Output()
	if err != nil {
		return cpuTimes{}, fmt.Errorf("time imprint: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var t cpuTimes
	err = json.Unmarshal(out, &t)
	return t, err
}

// invoke runs a model on one input and prints the processor times, after an untimed inference.
func invoke(ctx context.Context, path string, repeat int, stdin io.Reader, stdout io.Writer) error {
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	m, err := tflite.Parse(file)
	if err != nil {
		return err
	}
	in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{Threads: 1})
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := io.ReadFull(stdin, in.Input(0)); err != nil {
		return fmt.Errorf("read the input: %w", err)
	}
	var times []time.Duration
	for i := range repeat + 1 {
		start, err := processTime()
		if err != nil {
			return err
		}
		if err := in.Invoke(ctx); err != nil {
			return err
		}
		end, err := processTime()
		if err != nil {
			return err
		}
		if i > 0 {
			times = append(times, end-start)
		}
	}
	return json.NewEncoder(stdout).Encode(cpuTimes{slices.Min(times), median(times)})
}

// litertTable returns the comparison with LiteRT as Markdown.
func litertTable(machine string, rows []litertRow, rounds int) string {
	var w strings.Builder
	fmt.Fprintf(&w, "%s\n\n", machine)
	fmt.Fprintf(&w, "LiteRT 2.3 (ai-edge-litert 2.3.0) with XNNPACK, its default, on one core. Times are milliseconds of processor time per inference: the best, and the median of %d alternating turns. The last ratio is the median of the ratios within a turn.\n", turns*rounds)
	fmt.Fprintf(&w, "\n| model | LiteRT, best | imprint, best | speedup | LiteRT, median | imprint, median | speedup | LiteRT's output, compared with imprint's |\n")
	fmt.Fprintf(&w, "|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&w, "| %s | %s | %s | **%.2f×** | %s | %s | **%.2f×** | %s |\n", r.name, ms(r.theirs.Best), ms(r.ours.Best),
			float64(r.theirs.Best)/float64(r.ours.Best), ms(r.theirs.Median), ms(r.ours.Median), r.medians, r.bytes)
	}
	return w.String()
}
