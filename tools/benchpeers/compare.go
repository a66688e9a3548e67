package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint/modelfile"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tools/tflitepeer"
)

var models = []model{
	{name: "mobilenet_v1_0.25_128_quant"},
	{name: "mobilenet_v1_0.5_160_quant"},
	{name: "mobilenet_v1_1.0_224_quant_embedding_extractor", peak: true},
	{name: "mobilenet_v2_1.0_224_quant"},
	{name: "tf2_mobilenet_v2_1.0_224_ptq", xnnpack: true},
}

type model struct {
	name    string
	xnnpack bool // compare with the XNNPACK delegate instead of the default kernels
	peak    bool // compare with the processor's peak rate
}

// A row contains the measurements of one model.
type row struct {
	model
	macs         int
	ours, theirs [2]time.Duration // on one core and on two cores
	// The next three fields are medians of the ratios within a round, because ratios vary less than
	// times: TensorFlow Lite to imprint, imprint on one core to two, and imprint to the peak.
	speedup      [2]float64
	scaling      float64
	peakFraction float64
	peakRate     float64 // GMAC/s; 0 if not measured
	bytes        string  // difference between imprint's output and the default kernels'
	xnnpackBytes string  // difference between XNNPACK's output and the default kernels'
}

func (r row) String() string {
	return fmt.Sprintf("%s: ours %v, theirs %v, bytes %s", r.name, r.ours, r.theirs, r.bytes)
}

// bench contains the programs to measure.
type bench struct {
	peer, litert     tflitepeer.Peer
	imprint, scratch string
	peak             peak
}

// file returns the path of the model, a reference file or a downloaded model.
func (m model) file() (string, error) {
	folder, found := reference.Folder()
	if path := filepath.Join(folder, "models", m.name+".tflite"); found && fileExists(path) {
		return path, nil
	}
	return modelfile.Locate(m.name)
}

// parse returns the path of the model and its content.
func (m model) parse() (string, *tflite.Model, error) {
	path, err := m.file()
	if err != nil {
		return "", nil, err
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	parsed, err := tflite.Parse(file)
	return path, parsed, err
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// compare measures model m with both programs in alternating rounds.
func (b *bench) compare(ctx context.Context, m model, rounds int) (row, error) {
	r := row{model: m}
	path, parsed, err := m.parse()
	if err != nil {
		return r, err
	}
	r.macs = countMACs(parsed)
	input := noise(parsed)
	if err := b.compareBytes(ctx, &r, path, input); err != nil {
		return r, err
	}
	sides := b.sides(ctx, m, path, input)
	repeat := 0
	var peaks, fractions []float64
	for round := range rounds {
		for i := range sides {
			s := sides[i]
			if round%2 == 1 { // reverse the order
				s = sides[len(sides)-1-i]
			}
			if repeat, err = s.measure(repeat); err != nil {
				return r, err
			}
		}
		if m.peak {
			if err := pin(1); err != nil {
				return r, err
			}
			rate, err := b.peak.run(ctx)
			if err != nil {
				return r, err
			}
			peaks = append(peaks, rate)
			fractions = append(fractions, r.rate(sides[1].medians[round])/rate)
		}
	}
	if m.peak {
		r.peakRate, r.peakFraction = median(peaks), median(fractions)
	}
	for i := range 2 {
		theirs, ours := sides[2*i].medians, sides[2*i+1].medians
		r.theirs[i], r.ours[i], r.speedup[i] = median(theirs), median(ours), median(quotients(theirs, ours))
	}
	r.scaling = median(quotients(sides[1].medians, sides[3].medians))
	return r, nil
}

// A side is one of the two programs on one or two cores.
type side struct {
	threads int
	time    func(repeat int) (time.Duration, error)
	medians []time.Duration // median time of each round
}

// sides returns TensorFlow Lite and imprint on one core, then both on two.
func (b *bench) sides(ctx context.Context, m model, path string, input []byte) []*side {
	var sides []*side
	for threads := 1; threads <= 2; threads++ {
		p := b.peer
		p.Threads, p.XNNPACK = threads, m.xnnpack
		sides = append(sides, &side{threads: threads, time: func(repeat int) (time.Duration, error) {
			t, err := p.Time(ctx, path, input, repeat)
			return t.Median, err
		}}, &side{threads: threads, time: func(repeat int) (time.Duration, error) {
			_, t, err := b.run(ctx, path, input, threads, repeat)
			return t, err
		}})
	}
	return sides
}

// measure runs repeat inferences and appends their median to s. If repeat is 0, it first
// chooses a number that takes about a fifth of a second. It returns the number of
// inferences.
func (s *side) measure(repeat int) (int, error) {
	if err := pin(s.threads); err != nil {
		return 0, err
	}
	if repeat == 0 {
		t, err := s.time(3)
		if err != nil {
			return 0, err
		}
		repeat = min(max(int(200*time.Millisecond/max(t, 1)), 5), 200)
	}
	t, err := s.time(repeat)
	s.medians = append(s.medians, t)
	return repeat, err
}

// rate returns the speed of an inference that takes t, in GMAC/s.
func (r *row) rate(t time.Duration) float64 { return float64(r.macs) / float64(t.Nanoseconds()) }

// quotients returns the quotients a[i]/b[i].
func quotients(a, b []time.Duration) []float64 {
	var q []float64
	for i := range a {
		q = append(q, float64(a[i])/float64(b[i]))
	}
	return q
}

// compareBytes runs every program once and compares the outputs.
func (b *bench) compareBytes(ctx context.Context, r *row, path string, input []byte) error {
	if err := pin(2); err != nil {
		return err
	}
	want, err := b.peer.Run(ctx, path, [][]byte{input})
	if err != nil {
		return err
	}
	for threads := 1; threads <= 2; threads++ {
		got, _, err := b.run(ctx, path, input, threads, 1)
		if err != nil {
			return err
		}
		if r.bytes = difference(got, want[0]); r.bytes != equal {
			break
		}
	}
	if r.xnnpack {
		p := b.peer
		p.XNNPACK = true
		got, err := p.Run(ctx, path, [][]byte{input})
		if err != nil {
			return err
		}
		r.xnnpackBytes = difference(got[0], want[0])
	}
	return nil
}

const equal = "equal"

// difference describes how two outputs of 8-bit values differ. If they don't, it returns equal.
func difference(got, want []byte) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d values, want %d", len(got), len(want))
	}
	n, largest := 0, 0
	for i := range got {
		// Modulo 256, the difference is the same for signed and unsigned codes.
		if d := int(int8(got[i] - want[i])); d != 0 {
			n, largest = n+1, max(largest, d, -d)
		}
	}
	if n == 0 {
		return equal
	}
	return fmt.Sprintf("%d of %d values differ, by up to %d", n, len(want), largest)
}

// run runs imprint and returns its output and the median time of an inference.
func (b *bench) run(ctx context.Context, path string, input []byte, threads, repeat int) ([]byte, time.Duration, error) {
	in, out := filepath.Join(b.scratch, "in"), filepath.Join(b.scratch, "out")
	if err := os.WriteFile(in, input, 0o600); err != nil {
		return nil, 0, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, b.imprint, "run", path, "--input", in, "--output", out, "--json",
		"--repeat", strconv.Itoa(repeat), "--threads", strconv.Itoa(threads))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, 0, fmt.Errorf("run imprint: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var timing struct {
		Median float64 `json:"median_ms"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &timing); err != nil {
		return nil, 0, fmt.Errorf("run imprint: %w", err)
	}
	output, err := os.ReadFile(out)
	return output, time.Duration(timing.Median * float64(time.Millisecond)), err
}

// median returns the median of d.
func median[T time.Duration | float64](d []T) T {
	d = slices.Sorted(slices.Values(d))
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}

// noise returns a pseudo-random input for the model, the same in every run.
func noise(m *tflite.Model) []byte {
	g := &m.Subgraphs[0]
	t := g.Tensors[g.Inputs[0]]
	b := make([]byte, t.NumElements()*t.Type.Size())
	random := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// countMACs returns the number of multiply-accumulate operations in convolutions and
// fully connected layers.
func countMACs(m *tflite.Model) int {
	g := &m.Subgraphs[0]
	n := 0
	for _, op := range g.Operators {
		switch code := m.OperatorCodes[op.Opcode].Builtin; code {
		case tflite.OpConv2D, tflite.OpDepthwiseConv2D, tflite.OpFullyConnected:
			out, weights := g.Tensors[op.Outputs[0]], g.Tensors[op.Inputs[1]]
			each := weights.NumElements() / int(weights.Shape[0]) // weights per output
			if code == tflite.OpDepthwiseConv2D {
				each = weights.NumElements() / int(weights.Shape[3])
			}
			n += out.NumElements() * each
		}
	}
	return n
}
