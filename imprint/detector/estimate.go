package detector

import (
	"cmp"
	"slices"

	"github.com/imprintkit/imprint/backbone/detect"
)

// overlapLimit is the IoU from which a worse box is a duplicate of a better one. The usual 0.6 leaves
// more duplicates of a class that is known from few photos.
const overlapLimit = 0.45

// center shifts the logits of all classes so that detections with a score above 0.5 have the highest F1
// among the photos, each left out. It returns the mean average precision of these detections.
func (f *fit) center(keep bool) float64 {
	limit := overlapLimit
	if keep {
		limit = float64(f.p.head.Params.IoUThreshold)
	}
	lists, objects := make([][]scored, f.classes), make([]int, f.classes)
	n := 0
	for _, e := range f.examples {
		found, logits := f.leftOut(n, e.boxes, float32(limit))
		for class := range f.classes {
			lists[class] = append(lists[class], judge(found, logits, e.views[0].truths, class)...)
		}
		for _, t := range e.views[0].truths {
			objects[t.class]++
		}
		n += len(e.views)
	}
	mean := 0.0
	for class := range f.classes {
		mean += averagePrecision(lists[class], objects[class]) / float64(f.classes)
		threshold := bestThreshold(lists[class], objects[class])
		for _, offsets := range f.calibrations[class].offset {
			for a := range offsets {
				offsets[a] -= threshold
			}
		}
	}
	return mean
}

// leftOut returns the detections in a view and their logits, best first, as predicted without its photo.
func (f *fit) leftOut(view int, boxes []detect.Box, limit float32) (found []detect.Detection, logits []float64) {
	best := make([]float64, len(boxes))
	classes := make([]int, len(boxes))
	for class := range f.classes {
		f.eachPrediction(view, class, func(row, level, anchor int, own, mean float64) {
			if v := f.calibrations[class].logit(level, anchor, own, mean); class == 0 || v > best[row] {
				best[row], classes[row] = v, class
			}
		})
	}
	order := make([]int, len(boxes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(best[b], best[a]) })
	for _, row := range order {
		b := boxes[row]
		if slices.ContainsFunc(found, func(d detect.Detection) bool { return d.Box.IoU(b) > limit }) {
			continue
		}
		found, logits = append(found, detect.Detection{Class: classes[row], Box: b}), append(logits, best[row])
		if len(found) == f.p.head.Params.MaxDetections {
			break
		}
	}
	return found, logits
}
