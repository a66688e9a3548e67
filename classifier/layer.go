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

// A solution is the result of training a layer.
type solution struct {
	// leftOut holds, for each left-out example, the outputs of a layer trained without the
	// example's burst. For other examples it holds nil.
	leftOut [][]float64
	// layer computes the layer, which Auto needs for only one of its recipes.
	layer func() layer
}

// layer trains a layer with recipe r, and returns it with the outputs for left-out examples.
func (t *training) layer(r Recipe) (l layer, leftOut [][]float64, err error) {
	s, err := t.solve(r)
	if err != nil {
		return layer{}, nil, err
	}
	return s.layer(), s.leftOut, nil
}

// solve trains a layer with recipe r.
func (t *training) solve(r Recipe) (*solution, error) {
	switch r.Method {
	case Mean:
		return t.imprint()
	case Ridge:
		return t.ridge(r.Lambda)
	case LDA:
		if done := t.layers[LDA]; done != nil && r.Lambda == ldaLambda && !t.coarse {
			return done.solution, nil
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
	return nil, fmt.Errorf("unknown head %q", r.Method)
}

// A calibratedLayer is a trained and calibrated layer. It is cached because several methods sum
// the same layers.
type calibratedLayer struct {
	*solution
	calibration
}

// calibrated trains and calibrates the layer of method m as a part of a sum, or returns the cached layer.
func (t *training) calibrated(m Method) (*calibratedLayer, error) {
	if l := t.layers[m]; l != nil {
		return l, nil
	}
	if t.layers == nil {
		t.layers = make(map[Method]*calibratedLayer)
	}
	if t.coarse && m != Mean {
		ridge, lda, err := t.ridgeAndLDA()
		if err != nil {
			return nil, err
		}
		t.addLayer(Ridge, ridge)
		t.addLayer(LDA, lda)
		return t.layers[m], nil
	}
	r, err := m.recipe()
	if err != nil {
		return nil, err
	}
	s, err := t.solve(r)
	if err != nil {
		return nil, err
	}
	t.addLayer(m, s)
	return t.layers[m], nil
}

func (t *training) addLayer(m Method, s *solution) {
	t.layers[m] = &calibratedLayer{s, t.calibrate(m, s.leftOut, countRows(s.leftOut))}
}

// sum returns the sum of the calibrated layers of the given methods.
func (t *training) sum(methods ...Method) (*solution, error) {
	all := t.leftOutRows(len(t.labels))
	leftOut := make([][]float64, len(t.class))
	var parts []*calibratedLayer
	for _, m := range methods {
		part, err := t.calibrated(m)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		for i, row := range part.leftOut {
			if row != nil {
				leftOut[i] = all[i]
				axpy(part.scale, row, all[i])
			}
		}
	}
	return &solution{leftOut, func() layer {
		l := layer{newTable(len(t.labels), t.dim), make([]float64, len(t.labels))}
		for _, part := range parts {
			p := part.layer()
			for c, w := range p.weights {
				axpy(part.scale, w, l.weights[c])
			}
			axpy(part.scale, p.bias, l.bias)
		}
		return l
	}}, nil
}

// countRows returns the number of rows that are not nil.
func countRows(rows [][]float64) (n int) {
	for _, row := range rows {
		if row != nil {
			n++
		}
	}
	return n
}
