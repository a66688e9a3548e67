package kernels

import (
	"math"
	"slices"
)

// suppression is the scratch memory of one run of a detection.
type suppression struct {
	boxes    []float32 // corners, four for each box
	scores   []float32 // of one class, or the best of each box
	order    []uint64  // boxes by score; see rank
	selected []int32   // boxes that no better box suppresses
	row      []float32 // scores of one box
	sorted   []int32   // its classes, best first

	// The best detections of the classes so far in the regular form, best first, and the memory
	// for the next ones.
	found, next             []int32 // index of the score: box·columns + column
	foundValues, nextValues []float32
}

func (k *detection) Parts() int { return 1 }

func (k *detection) Scratch() int {
	n := k.boxes.n
	return 8*n + 4*(4*n+n+n+2*k.columns+4*k.MaxDetections) + 10*8 // carve skips up to 8 bytes
}

func (k *detection) carve(scratch []byte) suppression {
	n := k.boxes.n
	return suppression{
		order: carve[uint64](&scratch, n),
		boxes: carve[float32](&scratch, 4*n), scores: carve[float32](&scratch, n), selected: carve[int32](&scratch, n),
		row: carve[float32](&scratch, k.columns), sorted: carve[int32](&scratch, k.columns),
		found: carve[int32](&scratch, k.MaxDetections), next: carve[int32](&scratch, k.MaxDetections),
		foundValues: carve[float32](&scratch, k.MaxDetections), nextValues: carve[float32](&scratch, k.MaxDetections),
	}
}

func (k *detection) Run(a *Args, _, _ int) {
	for _, out := range a.Outs {
		clear(out)
	}
	memory := k.carve(a.Scratch)
	s := &memory
	k.boxes.Decode(s.boxes, a.In[0])
	found := 0
	if k.Regular {
		found = k.regular(s, a)
	} else {
		found = k.fast(s, a)
	}
	putFloat(a.Outs[3], 0, float32(found))
}

// score returns element i of the scores.
func (k *detection) score(a *Args, i int) float32 {
	if k.scores != nil {
		return k.scores[a.In[1][i]]
	}
	return floatAt(a.In[1], i)
}

// put writes a detection to the outputs.
func (k *detection) put(s *suppression, a *Args, at, box, class int, score float32) {
	for i, v := range s.boxes[4*box:][:4] {
		putFloat(a.Outs[0], 4*at+i, v)
	}
	putFloat(a.Outs[1], at, float32(class))
	putFloat(a.Outs[2], at, score)
}

// fast suppresses boxes by the score of their best class. It returns the number of boxes.
func (k *detection) fast(s *suppression, a *Args) int {
	offset := k.columns - k.Classes
	for box := range s.scores {
		first := box*k.columns + offset
		best := k.score(a, first)
		for i := first + 1; i < first+k.Classes; i++ {
			if v := k.score(a, i); v > best {
				best = v
			}
		}
		s.scores[box] = best
	}
	selected := k.suppress(s, k.MaxDetections)
	row := s.row[:k.Classes]
	for i, box := range selected {
		for c := range row {
			row[c] = k.score(a, int(box)*k.columns+offset+c)
		}
		top := sortTop(s.sorted, row, min(k.ClassesPerBox, k.Classes))
		for j, c := range top {
			k.put(s, a, i*k.ClassesPerBox+j, int(box), int(c), row[c])
		}
	}
	return len(selected)
}

// regular suppresses the boxes of each class and keeps the best of all classes. It returns the
// number of detections.
func (k *detection) regular(s *suppression, a *Args) int {
	offset, found := k.columns-k.Classes, 0
	for column := offset; column < k.columns; column++ {
		for box := range s.scores {
			s.scores[box] = k.score(a, box*k.columns+column)
		}
		found = k.merge(s, found, column, k.suppress(s, min(k.PerClass, k.MaxDetections)))
	}
	for i, at := range s.found[:found] {
		k.put(s, a, i, int(at)/k.columns, int(at)%k.columns-offset, s.foundValues[i])
	}
	return found
}

// merge adds the boxes of a column, best first, to the best detections and returns their number. Of
// equal scores, those of the new column come first, as in TensorFlow Lite on one thread.
func (k *detection) merge(s *suppression, found, column int, boxes []int32) int {
	n := min(found+len(boxes), k.MaxDetections)
	old := 0
	for i := range n {
		if len(boxes) > 0 && (old == found || s.scores[boxes[0]] >= s.foundValues[old]) {
			s.next[i], s.nextValues[i] = int32(int(boxes[0])*k.columns+column), s.scores[boxes[0]]
			boxes = boxes[1:]
		} else {
			s.next[i], s.nextValues[i] = s.found[old], s.foundValues[old]
			old++
		}
	}
	s.found, s.next = s.next, s.found
	s.foundValues, s.nextValues = s.nextValues, s.foundValues
	return n
}

// suppress returns up to limit boxes, best first, that have at least the threshold's score and do
// not overlap a better one by more than the IoU threshold. A score of NaN is below every threshold.
func (k *detection) suppress(s *suppression, limit int) []int32 {
	n := 0
	for box, v := range s.scores {
		if v >= k.ScoreThreshold {
			s.order[n] = rank(v, box)
			n++
		}
	}
	left := s.order[:n]
	slices.Sort(left)
	selected := s.selected[:0]
	for len(left) > 0 && len(selected) < limit {
		best := int32(left[0])
		selected = append(selected, best)
		kept := left[:0]
		for _, r := range left[1:] {
			if !(overlap(s.boxes[4*best:][:4], s.boxes[4*int32(r):][:4]) > k.IoUThreshold) {
				kept = append(kept, r)
			}
		}
		left = kept
	}
	return selected
}

// rank returns a number that is smaller for a higher score, and for equal scores smaller for a
// smaller index, which it holds in the lower half.
func rank(score float32, index int) uint64 {
	bits := math.Float32bits(score + 0) // −0 becomes 0
	if bits>>31 == 0 {
		bits ^= 1<<31 - 1
	}
	return uint64(bits)<<32 | uint64(index)
}

// overlap returns the intersection over union of two boxes, 0 if one of them is empty.
func overlap(a, b []float32) float32 {
	areaA := float32((a[2] - a[0]) * (a[3] - a[1]))
	areaB := float32((b[2] - b[0]) * (b[3] - b[1]))
	if areaA <= 0 || areaB <= 0 {
		return 0
	}
	h := max(min(a[2], b[2])-max(a[0], b[0]), 0)
	w := max(min(a[3], b[3])-max(a[1], b[1]), 0)
	both := float32(h * w)
	return both / (areaA + areaB - both)
}

// sortTop returns the indices of the n largest values, largest first, in memory of index. Equal
// values come in the order of std::partial_sort in GNU's C++ library, which TensorFlow Lite uses,
// or by index if n is 1. index must be as long as values.
func sortTop(index []int32, values []float32, n int) []int32 {
	if n == 1 {
		best := 0
		for i, v := range values {
			if v > values[best] {
				best = i
			}
		}
		index[0] = int32(best)
		return index[:1]
	}
	index = index[:len(values)]
	for i := range index {
		index[i] = int32(i)
	}
	// A heap of the best n has the worst of them on top.
	heap := index[:n]
	for i := n/2 - 1; i >= 0; i-- {
		sift(heap, values, i, heap[i])
	}
	for i := n; i < len(index) && n > 0; i++ {
		if values[index[i]] > values[heap[0]] {
			top := index[i]
			index[i] = heap[0]
			sift(heap, values, 0, top)
		}
	}
	for end := n - 1; end > 0; end-- {
		last := heap[end]
		heap[end] = heap[0]
		sift(heap[:end], values, 0, last)
	}
	return heap
}

// sift puts x at a free place of a heap, as the C++ library does: it moves the place down to a
// leaf, and then x up from there.
func sift(heap []int32, values []float32, at int, x int32) {
	top := at
	for child := 2*at + 2; child <= len(heap); child = 2*at + 2 {
		if child == len(heap) || values[heap[child]] > values[heap[child-1]] {
			child--
		}
		heap[at] = heap[child]
		at = child
	}
	for at > top {
		parent := (at - 1) / 2
		if !(values[heap[parent]] > values[x]) {
			break
		}
		heap[at] = heap[parent]
		at = parent
	}
	heap[at] = x
}
