package classifier

const (
	// AlikeCosine is from what cosine on two photos of a class hardly differ. Of 3641
	// photos of two sets (clothing and Oxford 17 flowers, Coral's MobileNet v1 1.0 224),
	// 152 have their like in their class; nearly all of those are the same picture twice.
	NearDuplicateCosine = 0.95
	// alikeShare of the mean squared distance of all pairs is the most that those may be
	// apart besides: some backbones find all photos alike. It is as strict on those sets.
	alikeShare = 0.1
)

// bursts puts examples that are not independent of each other together: those of a
// class that have the same Burst, and those that hardly differ. Left out one at a
// time, the others would give the answer away. The examples of a class come one after
// the other. All of a burst are of one class, and in order.
func bursts(examples []Example) [][]int {
	near := NearDuplicateDistance(examples)
	parent := make([]int, len(examples))
	for i := range parent {
		parent[i] = i
	}
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	join := func(i, j int) {
		a, b := root(i), root(j)
		parent[max(a, b)] = min(a, b)
	}
	first, named := 0, make(map[string]int)
	for i := range examples {
		if examples[i].Label != examples[first].Label {
			first = i
			clear(named)
		}
		if name := examples[i].Burst; name != "" {
			if j, ok := named[name]; ok {
				join(i, j)
			} else {
				named[name] = i
			}
		}
		for j := first; j < i; j++ {
			if root(i) != root(j) && alike(examples[i].Unit, examples[j].Unit, near) {
				join(i, j)
			}
		}
	}
	var all [][]int
	at := make(map[int]int)
	for i := range examples {
		r := root(i)
		b, ok := at[r]
		if !ok {
			b = len(all)
			at[r], all = b, append(all, nil)
		}
		all[b] = append(all[b], i)
	}
	return all
}

// Near is the largest |a − b|² of the unit embeddings of photos that hardly differ, among
// examples of all classes.
func NearDuplicateDistance(examples []Example) float64 {
	return min(2-2*NearDuplicateCosine, alikeShare*spread(examples))
}

// spread is the mean of |a − b|² over all pairs.
func spread(examples []Example) float64 {
	n := float64(len(examples))
	if n < 2 {
		return 0
	}
	mean := make([]float64, len(examples[0].Unit))
	var squares float64
	for _, e := range examples {
		axpy(1, e.Unit, mean)
		squares += dot(e.Unit, e.Unit)
	}
	return 2 * (squares - dot(mean, mean)/n) / (n - 1)
}

// alike reports whether |a − b|² is no more than left. Most pairs are farther apart in
// their first values already.
func alike(a, b []float64, left float64) bool {
	const step = 64
	for len(a) > 0 && left >= 0 {
		n := min(step, len(a))
		var sum float64
		for i, v := range a[:n] {
			d := v - b[i]
			sum += float64(d * d)
		}
		left -= sum
		a, b = a[n:], b[n:]
	}
	return left >= 0
}

// alone reports whether nothing is left of the class of a burst without it.
func (t *training) alone(burst []int) bool { return len(burst) == t.count[t.class[burst[0]]] }

// leaveOut reports whether a burst is among those left out, given as its place.
func (t *training) leaveOut(b int) bool {
	return !t.alone(t.burst[b]) && b%((len(t.burst)+mostLeftOut-1)/mostLeftOut) == 0
}
