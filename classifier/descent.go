package classifier

// maxDescentExamples is the approximate maximum number of examples for gradient descent.
const maxDescentExamples = 2000

// A descent trains a head by gradient descent. The weights are always the initial weights plus
// a weighted sum of examples, so a step needs only the inner products of examples. A bias is
// the weight of a feature that is always 1.
type descent struct {
	start  [][]float64 // initial logits of each example
	inner  lower       // inner products of examples, plus 1 for the bias
	factor [][]float64 // factor of each example in each class's weights
}

// newDescent returns a descent with the initial logits start. It multiplies the features of
// example i by norm[i], or by 1 if norm is nil.
func (t *training) newDescent(start [][]float64, norm []float64) *descent {
	d := &descent{start: start, inner: t.innerProducts(), factor: newTable(len(t.class), len(t.labels))}
	for i, row := range d.inner {
		for j := range row {
			if norm != nil {
				row[j] *= norm[i] * norm[j]
			}
			row[j]++
		}
	}
	return d
}

// logits writes the logits of example i to dst.
func (d *descent) logits(dst []float64, i int) {
	copy(dst, d.start[i])
	for j, f := range d.factor {
		axpy(d.inner.at(i, j), f, dst)
	}
}

// addTo adds the sum of d's steps to the weights and biases of l in place, and returns l. norm
// must be the slice that was passed to newDescent.
func (d *descent) addTo(l layer, t *training, norm []float64) layer {
	x := make([]float64, t.dim)
	for i, f := range d.factor {
		t.row(i, x)
		for c, v := range f {
			l.bias[c] += v
			if norm != nil {
				v *= norm[i]
			}
			axpy(v, x, l.weights[c])
		}
	}
	return l
}
