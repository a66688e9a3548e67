package classifier

import "math"

// knownGroups holds groups of examples that groupWithin has found before.
type knownGroups struct {
	// group holds, for each example, the number of its group among the examples of its class that
	// were grouped before, and −1 for other examples.
	group   []int
	margins map[string]margin  // of each class
	ready   func(from, to int) // sets the unit vectors of a range of examples
}

// A margin is a range of distances of near-duplicates for which the groups of a class are the same:
// from Low, the largest distance that has joined two groups, up to High. All examples in different
// groups are at least High apart.
type margin struct{ Low, High float64 }

// marginWidth is the factor from the distance of near-duplicates to the largest High of a margin. The
// distance changes by less than that while few examples are added to many.
const marginWidth = 1.02

// holds reports whether the groups hold for a distance. The distances in m are not exact.
func (m margin) holds(limit float64) bool {
	const rounding = 1e-9
	return m.Low*(1+rounding) <= limit && limit < m.High*(1-rounding)
}

// join joins the near-duplicates of the class from examples[first] on.
func (k *knownGroups) join(sets disjointSets, examples []Example, first int, limit float64) {
	label, group := examples[first].Label, k.group[first:len(examples)]
	m := k.margins[label]
	compare := func(i, j int) {
		a, b := examples[first+i].Unit, examples[first+j].Unit
		if sets.root(first+i) == sets.root(first+j) {
			return
		}
		switch d := distanceUpTo(a, b, m.High); {
		case d >= m.High && d > limit: // limit is 0 if all photos are identical
		case within(a, b, limit):
			sets.join(first+i, first+j)
			m.Low = max(m.Low, d)
		default:
			m.High = d
		}
	}
	var fresh []int
	firstGroup, lastGroup := math.MaxInt, -1
	for i, g := range group {
		if g < 0 {
			fresh = append(fresh, i)
		} else {
			firstGroup, lastGroup = min(firstGroup, g), max(lastGroup, g)
		}
	}
	const most = 50 // comparing more than one in 50 with all examples takes longer than comparing all pairs
	if m.holds(limit) && len(fresh) <= len(group)/most {
		member := make([]int, max(lastGroup-firstGroup+1, 0)) // an example of each group, plus 1, or 0
		for i, g := range group {
			if g < 0 {
				continue
			}
			if j := &member[g-firstGroup]; *j > 0 {
				sets.join(first+i, first+*j-1)
			} else {
				*j = i + 1
			}
		}
		if len(fresh) > 0 {
			k.ready(first, len(examples))
		}
		for _, i := range fresh {
			for j := range group {
				compare(i, j)
			}
		}
	} else {
		k.ready(first, len(examples))
		m = margin{High: limit * marginWidth}
		eachClosePair(examples[first:], m.High, compare)
	}
	k.margins[label] = m
}

// distanceUpTo returns |a − b|², or a partial sum of at least most.
func distanceUpTo(a, b []float64, most float64) (sum float64) {
	const step = 64
	for len(a) > 0 && sum < most {
		n := min(step, len(a))
		for i, v := range a[:n] {
			d := v - b[i]
			sum += float64(d * d)
		}
		a, b = a[n:], b[n:]
	}
	return sum
}
