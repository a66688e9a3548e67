package detector

import (
	"cmp"
	"slices"

	"github.com/imprintkit/imprint/backbone/detect"
)

// A scored is a detection that is right if it is the best of the boxes for an object and overlaps it by half.
type scored struct {
	score float64
	right bool
}

// judge says which detections of a class in a photo are right. Each object counts for the first
// detection that overlaps it most of all objects and by half.
func judge(found []detect.Detection, logits []float64, truths []truth, class int) []scored {
	var list []scored
	used := make([]bool, len(truths))
	for i, d := range found {
		if d.Class != class {
			continue
		}
		best, most := -1, float32(positiveOverlap)
		for j, t := range truths {
			if v := d.Box.IoU(t.box); t.class == class && v >= most && (best < 0 || v > most) {
				best, most = j, v
			}
		}
		s := scored{score: float64(d.Score)}
		if logits != nil {
			s.score = logits[i]
		}
		if best >= 0 && !used[best] {
			used[best], s.right = true, true
		}
		list = append(list, s)
	}
	return list
}

// averagePrecision returns the area below the curve of precision over recall, for detections of one
// class in all photos and the number of objects. At each recall, the precision is the highest at this
// or a higher recall, as in the Pascal VOC challenges since 2010.
func averagePrecision(list []scored, objects int) float64 {
	slices.SortStableFunc(list, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	precision := make([]float64, len(list))
	right := 0
	for i, s := range list {
		if s.right {
			right++
		}
		precision[i] = float64(right) / float64(i+1)
	}
	area, highest := 0.0, 0.0
	for i := len(list) - 1; i >= 0; i-- {
		highest = max(highest, precision[i])
		if list[i].right {
			area += highest
		}
	}
	return area / float64(objects)
}

// bestThreshold returns the score from which on detections of one class have the highest F1, the
// harmonic mean of precision and recall. list is sorted by score.
func bestThreshold(list []scored, objects int) float64 {
	best, threshold := -1.0, 0.0
	right := 0
	for i, s := range list {
		if s.right {
			right++
		}
		next := s.score - 1
		if i+1 < len(list) {
			if next = list[i+1].score; next == s.score {
				continue
			}
		}
		if f1 := 2 * float64(right) / float64(i+1+objects); f1 > best {
			best, threshold = f1, (s.score+next)/2
		}
	}
	return threshold
}
