package classifier

import (
	"math"
	"math/rand/v2"
)

// Heads that are trained step by step. Their weights are those they began with plus a
// sum of examples, so a step needs only the inner products of examples, and a bias is
// the weight of a feature that is always 1.

const (
	// mostTrained is on how many examples such a head is trained at most.
	mostTrained = 2000
	// mostSteps, and mostWork multiplications, is after what logistic regression ends.
	mostSteps = 200
	mostWork  = 1 << 35
	// patience is for how many steps the examples left out may become no likelier.
	patience = 10
	// parts is into how many groups bursts are put, each to be left out once.
	parts = 5
)

// A descent is a head on its way.
type descent struct {
	start  [][]float64 // logits of each example before the first step
	inner  lower       // products of examples, with 1 for the bias
	factor [][]float64 // of each example in each class's weights
}

// newDescent begins at logits; length gives each example's length, nil is 1.
func (t *training) newDescent(start [][]float64, length []float64) *descent {
	d := &descent{start: start, inner: gram(t.x), factor: newTable(len(t.x), len(t.labels))}
	for i, row := range d.inner {
		for j := range row {
			if length != nil {
				row[j] *= length[i] * length[j]
			}
			row[j]++
		}
	}
	return d
}

// logits writes those of example i into dst.
func (d *descent) logits(dst []float64, i int) {
	copy(dst, d.start[i])
	for j, f := range d.factor {
		axpy(d.inner.at(i, j), f, dst)
	}
}

// layer adds what the steps have added.
func (t *training) descended(l layer, d *descent, length []float64) layer {
	for i, f := range d.factor {
		for c, v := range f {
			l.bias[c] += v
			if length != nil {
				v *= length[i]
			}
			axpy(v, t.x[i], l.weights[c])
		}
	}
	return l
}

// softmax is logistic regression on all examples at once, begun at ridge regression and
// ended when examples left out become no likelier. left has for each example the outputs
// of the layer that is made without its fifth of the bursts.
func (t *training) softmax(lambda float64) (layer, [][]float64, error) {
	left := make([][]float64, len(t.x))
	var folds []*fold
	for part := range min(parts, len(t.burst)) {
		out := make([]bool, len(t.x))
		for b, burst := range t.burst {
			for _, i := range burst {
				out[i] = b%parts == part && !t.alone(burst)
			}
		}
		f, err := t.fold(lambda, out)
		if err != nil {
			return layer{}, nil, err
		}
		folds = append(folds, f)
	}
	best, loss := 0, math.Inf(1)
	steps := min(mostSteps, mostWork/max(parts*len(t.x)*len(t.x)*len(t.labels), 1))
	for step := 0; step <= min(best+patience, steps); step++ {
		var sum float64
		for _, f := range folds {
			sum += f.loss(t)
		}
		if sum < loss*(1-1e-9) {
			best, loss = step, sum
			for _, f := range folds {
				for i, logits := range f.logits {
					if f.out[i] {
						left[i] = append(left[i][:0], logits...)
					}
				}
			}
		}
		for _, f := range folds {
			f.step(t)
		}
	}
	all, err := t.fold(lambda, make([]bool, len(t.x)))
	if err != nil {
		return layer{}, nil, err
	}
	for range best {
		all.step(t)
	}
	return t.descended(all.layer, all.descent, nil), left, nil
}

// A fold is logistic regression without some examples.
type fold struct {
	*descent
	layer  layer
	out    []bool
	logits [][]float64 // after the last step
	n      int         // examples not out
	before [][]float64 // the factors one step ago
	age    float64
}

func (t *training) fold(lambda float64, out []bool) (*fold, error) {
	var examples []Example
	for i, e := range t.examples {
		if !out[i] {
			examples = append(examples, e)
		}
	}
	rest, err := newTraining(examples, t.root)
	if err != nil {
		return nil, err
	}
	l, left, err := rest.ridge(lambda)
	if err != nil {
		return nil, err
	}
	f := &Fitted{Recipe: Recipe{Method: Ridge, Lambda: lambda}, Estimate: rest.estimate(left)}
	scale := rest.scale(left, f)
	start := newTable(len(t.x), len(t.labels))
	for c, w := range l.weights {
		for i := range w {
			w[i] *= scale
		}
		l.bias[c] *= scale
		for i, x := range t.x {
			start[i][c] = dot(x, w) + l.bias[c]
		}
	}
	d := t.newDescent(start, nil)
	return &fold{descent: d, layer: l, out: out, n: len(rest.x), logits: start, before: newTable(len(t.x), len(t.labels))}, nil
}

// step is one of accelerated gradient descent (Nesterov 1983). The loss's gradient
// changes no faster than the weights, because no x with its 1 is longer than √2.
func (f *fold) step(t *training) {
	f.age++
	momentum := (f.age - 1) / (f.age + 2)
	for i := range f.factor {
		for c, v := range f.factor[i] {
			f.factor[i][c], f.before[i][c] = v+float64(momentum*(v-f.before[i][c])), v
		}
	}
	// The gradient is taken where momentum has led.
	p := make([]float64, len(t.labels))
	steps := newTable(len(t.x), len(t.labels))
	for i, c := range t.class {
		if f.out[i] {
			continue
		}
		f.descent.logits(p, i)
		Scores(p)
		p[c]--
		copy(steps[i], p)
	}
	for i, s := range steps {
		axpy(-1/float64(f.n), s, f.factor[i])
	}
	f.logits = newTable(len(t.x), len(t.labels))
	for i := range f.logits {
		if f.out[i] {
			f.descent.logits(f.logits[i], i)
		}
	}
}

// loss is the sum of −log score of the right class over the examples left out.
func (f *fold) loss(t *training) (sum float64) {
	p := make([]float64, len(t.labels))
	for i, c := range t.class {
		if f.out[i] {
			copy(p, f.logits[i])
			Scores(p)
			sum -= log(max(p[c], 1e-300))
		}
	}
	return sum
}

// coralSGD is Coral's SoftmaxRegression with the settings of its example
// (google-coral/pycoral, examples/backprop_last_layer.py): raw embeddings, weights from a
// normal distribution times 0.05, 500 steps of 0.01 on 100 examples each, drawn with
// replacement, without regularisation. Coral draws anew each time; here the draws are
// always the same. The rows are then taken times the mean length of the embeddings, for
// unit vectors. There are no outputs without an example: it is a baseline.
func (t *training) coralSGD() (layer, [][]float64, error) {
	const steps, rate, batch, deviation = 500, 1e-2, 100, 5e-2
	random := rand.New(rand.NewPCG(2019, 500))
	l := layer{weights: newTable(len(t.labels), t.dim), bias: make([]float64, len(t.labels))}
	for _, w := range l.weights {
		for j := range w {
			// The sum of twelve uniform numbers is as good as normal, on every processor.
			w[j] = -6
			for range 12 {
				w[j] += random.Float64()
			}
			w[j] *= deviation
		}
	}
	start := newTable(len(t.x), len(t.labels))
	var mean float64
	for i, x := range t.x {
		for c, w := range l.weights {
			start[i][c] = t.length[i] * dot(x, w)
		}
		mean += t.length[i] / float64(len(t.x))
	}
	d := t.newDescent(start, t.length)
	p := newTable(batch, len(t.labels))
	drawn := make([]int, batch)
	for range steps {
		for b := range drawn {
			drawn[b] = random.IntN(len(t.x))
			d.logits(p[b], drawn[b])
			Scores(p[b])
			p[b][t.class[drawn[b]]]--
		}
		for b, i := range drawn {
			axpy(-rate/batch, p[b], d.factor[i])
		}
	}
	l = t.descended(l, d, t.length)
	for _, w := range l.weights {
		for j := range w {
			w[j] *= mean
		}
	}
	return l, make([][]float64, len(t.x)), nil
}
