package classifier

import "math/rand/v2"

// coralSGD trains like Coral's SoftmaxRegression, on raw embeddings and with the settings of
// Coral's example (google-coral/pycoral, examples/backprop_last_layer.py). The initial weights
// come from a normal distribution with standard deviation 0.05. Training takes 500 steps with a
// learning rate of 0.01 and no regularization, on batches of 100 examples drawn with
// replacement. Coral draws different batches each time; coralSGD always draws the same batches.
// It then multiplies the weights by the mean norm of the embeddings, so that they apply to unit
// embeddings. Because coralSGD is only a baseline, it leaves no examples out.
func (t *training) coralSGD() (*solution, error) {
	const steps, rate, batch, deviation = 500, 1e-2, 100, 5e-2
	random := rand.New(rand.NewPCG(2019, 500))
	l := layer{weights: newTable(len(t.labels), t.dim), bias: make([]float64, len(t.labels))}
	for _, w := range l.weights {
		for j := range w {
			// The sum of twelve uniform numbers is approximately normal, and has the same bits
			// on every processor.
			w[j] = -6
			for range 12 {
				w[j] += random.Float64()
			}
			w[j] *= deviation
		}
	}
	start := newTable(len(t.class), len(t.labels))
	var mean float64
	for i, x := range t.rows() {
		for c, w := range l.weights {
			start[i][c] = t.norm[i] * dot(x, w)
		}
		mean += t.norm[i] / float64(len(t.class))
	}
	d := t.newDescent(start, t.norm)
	p := newTable(batch, len(t.labels))
	drawn := make([]int, batch)
	for range steps {
		for b := range drawn {
			drawn[b] = random.IntN(len(t.class))
			d.logits(p[b], drawn[b])
			ApplySoftmax(p[b])
			p[b][t.class[drawn[b]]]--
		}
		for b, i := range drawn {
			axpy(-rate/batch, p[b], d.factor[i])
		}
	}
	l = d.addTo(l, t, t.norm)
	for _, w := range l.weights {
		for j := range w {
			w[j] *= mean
		}
	}
	return &solution{make([][]float64, len(t.class)), func() layer { return l }}, nil
}
