package classifier

import "slices"

// LeaveOut makes the head that Fit makes, and gives for each example, in the order of
// examples, the logits of the head that is made without it (closed forms, no refits).
// With an example its burst is left out. There are none for examples alone in their
// class and, where there are more than 2000, for those that are not left out.
func LeaveOut(examples []Example, method Method, root bool) (*Fitted, [][]float64, error) {
	order := make([]int, len(examples))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return byLabel(examples[a], examples[b]) })
	ordered := make([]Example, len(examples))
	for i, at := range order {
		ordered[i] = examples[at]
	}
	t, recipe, err := choose(ordered, method, root)
	if err != nil {
		return nil, nil, err
	}
	f, left, err := t.fitLeaving(recipe)
	if err != nil {
		return nil, nil, err
	}
	logits := make([][]float64, len(examples))
	for i, row := range left {
		if row == nil {
			continue
		}
		if t.at != nil {
			i = t.at[i]
		}
		logits[order[i]] = make([]float64, len(row))
		axpy(f.scale, row, logits[order[i]])
	}
	return f, logits, nil
}
