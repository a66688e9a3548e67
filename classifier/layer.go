package classifier

import "fmt"

// A layer is the linear part of a head before calibration. Its inputs are features.
type layer struct {
	weights [][]float64 // one row per class
	bias    []float64
}

// meanRow returns the mean of the rows.
func (l *layer) meanRow() []float64 {
	mean := make([]float64, len(l.weights[0]))
	for _, w := range l.weights {
		axpy(1/float64(len(l.weights)), w, mean)
	}
	return mean
}

// outputs returns the output of each class for the features x.
func (l *layer) outputs(x []float64) []float64 {
	outputs := make([]float64, len(l.weights))
	for c, w := range l.weights {
		outputs[c] = dot(w, x) + l.bias[c]
	}
	return outputs
}

// layer trains a layer with recipe r. For each left-out example, leftOut holds the outputs of a
// layer trained without the example's burst. For other examples it holds nil.
func (t *training) layer(r Recipe) (l layer, leftOut [][]float64, err error) {
	switch r.Method {
	case Mean:
		return t.imprint()
	case Ridge:
		return t.ridge(r.Lambda)
	case LDA:
		if done := t.layers[LDA]; done != nil && r.Lambda == ldaLambda {
			return done.layer, done.leftOut, nil
		}
		return t.lda(r.Lambda)
	case RidgeLDA:
		return t.sum(Ridge, LDA)
	case MeanRidgeLDA:
		return t.sum(Mean, Ridge, LDA)
	case Softmax:
		return t.softmax(r.Lambda)
	case CoralSGD:
		return t.coralSGD()
	}
	return layer{}, nil, fmt.Errorf("unknown head %q", r.Method)
}

// A calibratedLayer is a trained and calibrated layer. It is cached because several methods sum
// the same layers.
type calibratedLayer struct {
	layer
	calibration
	leftOut [][]float64
}

// calibrated trains and calibrates the layer of method m, or returns the cached layer.
func (t *training) calibrated(m Method) (*calibratedLayer, error) {
	if l := t.layers[m]; l != nil {
		return l, nil
	}
	r, err := m.recipe()
	if err != nil {
		return nil, err
	}
	l, leftOut, err := t.layer(r)
	if err != nil {
		return nil, err
	}
	if t.layers == nil {
		t.layers = make(map[Method]*calibratedLayer)
	}
	t.layers[m] = &calibratedLayer{l, t.calibrate(m, leftOut, t.estimate(leftOut).Total), leftOut}
	return t.layers[m], nil
}

// sum returns the sum of the calibrated layers of the given methods.
func (t *training) sum(methods ...Method) (l layer, leftOut [][]float64, err error) {
	l = layer{newTable(len(t.labels), t.dim), make([]float64, len(t.labels))}
	leftOut = make([][]float64, len(t.x))
	for _, m := range methods {
		part, err := t.calibrated(m)
		if err != nil {
			return l, nil, err
		}
		for c, w := range part.weights {
			axpy(part.scale, w, l.weights[c])
		}
		axpy(part.scale, part.bias, l.bias)
		for i, row := range part.leftOut {
			if row == nil {
				continue
			}
			if leftOut[i] == nil {
				leftOut[i] = make([]float64, len(row))
			}
			axpy(part.scale, row, leftOut[i])
		}
	}
	return l, leftOut, nil
}
