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

// models are the models to measure, each found among the pulled ones or beside the checkout.
var models = []model{
	{name: "mobilenet_v1_0.25_128_quant"},
	{name: "mobilenet_v1_0.5_160_quant"},
	{name: "mobilenet_v1_1.0_224_quant_embedding_extractor", peak: true},
	{name: "mobilenet_v2_1.0_224_quant"},
	{name: "tf2_mobilenet_v2_1.0_224_ptq", xnnpack: true},
}

type model struct {
	name    string
	xnnpack bool // what it is compared with, instead of the default kernels
	peak    bool // compared with the most that the processor can do
}

// A row is what was measured of one model.
type row struct {
	model
	macs         int
	ours, theirs [2]time.Duration // on one core and on two
	// Medians of the ratios in each round, which vary less than the times: theirs to
	// ours, ours on one core to two, and of the peak if that was measured.
	ratio        [2]float64
	gain, share  float64
	peakRate     float64 // thousand million MACs a second
	equal        string  // our bytes against those of the default kernels
	xnnpackEqual string  // and XNNPACK's, if that was measured
}

func (r row) String() string {
	return fmt.Sprintf("%s: ours %v, theirs %v, bytes %s", r.name, r.ours, r.theirs, r.equal)
}

// bench is the two programs to measure.
type bench struct {
	peer             tflitepeer.Peer
	imprint, scratch string
	peak             peak
}

// file is where the model is.
func (m model) file() (string, error) {
	folder, found := reference.Folder()
	if path := filepath.Join(folder, "models", m.name+".tflite"); found && fileExists(path) {
		return path, nil
	}
	return modelfile.Locate(m.name)
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (b *bench) compare(ctx context.Context, m model, rounds int) (row, error) {
	r := row{model: m}
	path, err := m.file()
	if err != nil {
		return r, err
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	parsed, err := tflite.Parse(file)
	if err != nil {
		return r, err
	}
	r.macs = multiplications(parsed)
	input := noise(parsed)
	if err := b.compareBytes(ctx, &r, path, input); err != nil {
		return r, err
	}
	type side struct {
		threads int
		time    func(repeat int) (time.Duration, error)
		medians []time.Duration
	}
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
	repeat := 0
	var peaks, shares []float64
	for round := range rounds {
		for i := range sides {
			s := sides[i]
			if round%2 == 1 { // who went first goes last
				s = sides[len(sides)-1-i]
			}
			if err := pin(s.threads); err != nil {
				return r, err
			}
			if repeat == 0 { // a fifth of a second on the slower side
				t, err := s.time(3)
				if err != nil {
					return r, err
				}
				repeat = min(max(int(200*time.Millisecond/max(t, 1)), 5), 200)
			}
			t, err := s.time(repeat)
			if err != nil {
				return r, err
			}
			s.medians = append(s.medians, t)
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
			shares = append(shares, r.rate(sides[1].medians[round])/rate)
		}
	}
	if m.peak {
		r.peakRate, r.share = median(peaks), median(shares)
	}
	for i := range 2 {
		theirs, ours := sides[2*i].medians, sides[2*i+1].medians
		r.theirs[i], r.ours[i], r.ratio[i] = median(theirs), median(ours), median(quotients(theirs, ours))
	}
	r.gain = median(quotients(sides[1].medians, sides[3].medians))
	return r, nil
}

// rate is the speed of an inference in thousand million MACs a second.
func (r *row) rate(t time.Duration) float64 { return float64(r.macs) / float64(t.Nanoseconds()) }

func quotients(a, b []time.Duration) []float64 {
	var q []float64
	for i := range a {
		q = append(q, float64(a[i])/float64(b[i]))
	}
	return q
}

// compareBytes runs the input through all once.
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
		if r.equal = difference(got, want[0]); r.equal != equal {
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
		r.xnnpackEqual = difference(got[0], want[0])
	}
	return nil
}

const equal = "equal"

// difference says how two outputs of 8-bit codes differ.
func difference(got, want []byte) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d instead of %d", len(got), len(want))
	}
	n, most := 0, 0
	for i := range got {
		// Modulo 256, so that signed and unsigned codes are the same.
		if d := int(int8(got[i] - want[i])); d != 0 {
			n, most = n+1, max(most, d, -d)
		}
	}
	if n == 0 {
		return equal
	}
	return fmt.Sprintf("%d of %d differ, by up to %d", n, len(want), most)
}

// run runs our command, and returns its output and the median time of an inference.
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

// median is the middle one; of an even number the mean of the two in the middle.
func median[T time.Duration | float64](d []T) T {
	d = slices.Sorted(slices.Values(d))
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}

// noise is an input for the model, the same in every run.
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

// multiplications counts those of convolutions and fully connected layers.
func multiplications(m *tflite.Model) int {
	g := &m.Subgraphs[0]
	n := 0
	for _, op := range g.Operators {
		switch code := m.OperatorCodes[op.Opcode].Builtin; code {
		case tflite.OpConv2D, tflite.OpDepthwiseConv2D, tflite.OpFullyConnected:
			out, weights := g.Tensors[op.Outputs[0]], g.Tensors[op.Inputs[1]]
			each := weights.NumElements() / int(weights.Shape[0]) // weights of one output
			if code == tflite.OpDepthwiseConv2D {
				each = weights.NumElements() / int(weights.Shape[3])
			}
			n += out.NumElements() * each
		}
	}
	return n
}
