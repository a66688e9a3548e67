package detector

import (
	"context"
	"math"

	"golang.org/x/sync/errgroup"
)

// A fit has the regressions and calibrations of all levels and new classes.
type fit struct {
	p        *predictors
	classes  int
	examples []example
	levels   []levelFit
	// calibrations, one for each class, turn predictions into logits.
	calibrations []calibration
}

// A levelFit is what one level learned.
type levelFit struct {
	filter filter // rows are anchors, then classes
	// own are the predictions of regressions that did not see the photo, by view. A view has
	// places, then anchors, then classes.
	own [][]float32
}

// newFit trains on examples, whose order decides which of them are left out together.
func newFit(ctx context.Context, p *predictors, examples []example, classes, threads int) (*fit, error) {
	f := &fit{p: p, classes: classes, examples: examples, levels: make([]levelFit, len(p.levels))}
	var g errgroup.Group
	g.SetLimit(threads)
	for i := range p.levels {
		g.Go(func() error {
			if ctx.Err() == nil {
				f.levels[i] = f.fitLevel(i)
			}
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for class := range classes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f.calibrations = append(f.calibrations, calibrate(p.levels, f.samples(class)))
	}
	return f, nil
}

// eachView calls do with the number of each view and its photo's number.
func (f *fit) eachView(do func(n, photo int, v *view)) {
	n := 0
	for i := range f.examples {
		for j := range f.examples[i].views {
			do(n, i, &f.examples[i].views[j])
			n++
		}
	}
}

// fitLevel fits the regression of a level, and those that leave out a part of the photos.
func (f *fit) fitLevel(number int) levelFit {
	l := &f.p.levels[number]
	rows := l.anchors * f.classes
	parts := make([]*sums, min(folds, len(f.examples)))
	for i := range parts {
		parts[i] = newSums(l.dim, rows)
	}
	var s sparse
	f.eachView(func(_, photo int, v *view) {
		targets := f.targets(l, v)
		for place := range l.places {
			s.read(f.p, l, v.features[number], place)
			parts[photo%len(parts)].add(s.index, s.value, targets[place])
		}
	})
	total := newSums(l.dim, rows)
	for _, p := range parts {
		total.plus(p)
	}
	fitted := levelFit{filter: total.regress()}
	left := make([]filter, len(parts))
	for i, p := range parts {
		if len(parts) == 1 {
			left[i] = fitted.filter // of one photo, nothing can be left out
			continue
		}
		left[i] = total.minus(p).regress()
	}
	values := make([]float64, rows)
	f.eachView(func(_, photo int, v *view) {
		own := make([]float32, 0, l.places*rows)
		for place := range l.places {
			s.read(f.p, l, v.features[number], place)
			left[photo%len(parts)].predict(values, s.index, s.value)
			for _, x := range values {
				own = append(own, float32(x))
			}
		}
		fitted.own = append(fitted.own, own)
	})
	return fitted
}

// A target is what a row of the regression should predict at a place.
type target struct {
	row   int
	value int64
}

// targets returns the targets of a level other than 0, by place.
func (f *fit) targets(l *level, v *view) [][]target {
	list := make([][]target, l.places)
	for _, m := range v.matches {
		row := m.row - l.row
		if row < 0 || row >= l.places*l.anchors {
			continue
		}
		part := min((float64(m.iou)-lowOverlap)/(fullOverlap-lowOverlap), 1)
		list[row/l.anchors] = append(list[row/l.anchors], target{row%l.anchors*f.classes + m.class, int64(math.Round(float64(part * targetUnit)))})
	}
	return list
}

// sparse are the features of a place that are not zero, as differences from the zero point.
type sparse struct {
	index []int
	value []int64
}

func (s *sparse) read(p *predictors, l *level, features []byte, place int) {
	s.index, s.value = s.index[:0], s.value[:0]
	t := p.model.Subgraphs[0].Tensors[l.features].Type
	for i := range l.dim {
		if v := code(t, features, place*l.dim+i) - l.zero; v != 0 {
			s.index, s.value = append(s.index, i), append(s.value, int64(v))
		}
	}
}

// eachPrediction calls do for every anchor of a view and a class: its row, the row's level and
// anchor, its own prediction and the mean at its place.
func (f *fit) eachPrediction(view, class int, do func(row, level, anchor int, own, mean float64)) {
	for n, l := range f.p.levels {
		values := f.levels[n].own[view]
		for place := range l.places {
			at := values[place*l.anchors*f.classes:][:l.anchors*f.classes]
			mean := 0.0
			for a := range l.anchors {
				mean += float64(at[a*f.classes+class])
			}
			mean /= float64(l.anchors)
			for a := range l.anchors {
				do(l.row+place*l.anchors+a, n, a, float64(at[a*f.classes+class]), mean)
			}
		}
	}
}

// samples returns the boxes to calibrate a class with. All right boxes of a view together have the
// same weight as those of another view.
func (f *fit) samples(class int) []sample {
	var list []sample
	views, wrong := 0, 0
	f.eachView(func(n, _ int, v *view) {
		iou := make(map[int]float32)
		right := 0
		for _, m := range v.matches {
			if m.class == class {
				iou[m.row] = m.iou
				if m.iou >= positiveOverlap {
					right++
				}
			}
		}
		if right > 0 {
			views++
		}
		f.eachPrediction(n, class, func(row, level, anchor int, own, mean float64) {
			s := sample{level: level, anchor: anchor, own: own, mean: mean}
			switch v := iou[row]; {
			case v >= positiveOverlap:
				s.right, s.weight = true, positiveWeight/float64(right)
			case v >= negativeOverlap:
				return
			default:
				wrong++
			}
			list = append(list, s)
		})
	})
	for i := range list {
		if s := &list[i]; s.right {
			s.weight /= float64(views)
		} else {
			s.weight = 1 / float64(wrong)
		}
	}
	return list
}

// filters returns for each level the weights and biases that predict logits. Rows are anchors, then
// classes.
func (f *fit) filters() []filter {
	list := make([]filter, len(f.levels))
	for n, l := range f.p.levels {
		from := f.levels[n].filter
		list[n] = filter{make([][]float64, len(from.weights)), make([]float64, len(from.bias))}
		for class := range f.classes {
			var part filter
			for a := range l.anchors {
				part.weights = append(part.weights, from.weights[a*f.classes+class])
				part.bias = append(part.bias, from.bias[a*f.classes+class])
			}
			part = f.calibrations[class].apply(n, part)
			for a := range l.anchors {
				list[n].weights[a*f.classes+class], list[n].bias[a*f.classes+class] = part.weights[a], part.bias[a]
			}
		}
	}
	return list
}

// highest returns the highest logit of each level in photos that were left out, at least 0.
func (f *fit) highest() []float64 {
	highest := make([]float64, len(f.levels))
	f.eachView(func(n, _ int, _ *view) {
		for class := range f.classes {
			f.eachPrediction(n, class, func(_, level, anchor int, own, mean float64) {
				highest[level] = max(highest[level], f.calibrations[class].logit(level, anchor, own, mean))
			})
		}
	})
	return highest
}
