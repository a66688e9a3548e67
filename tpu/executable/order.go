package executable

import (
	"cmp"
	"slices"
)

// maxCandidates limits the work of [AssignPlaces]. Coral's models have fewer than 10,000
// candidates.
const maxCandidates = 1 << 20

// AssignPlaces decides which layer each place of a stage belongs to. candidates[l] lists
// the places that hold the constants of layer l. Layers with equal constants have the same
// candidates, but a compiler writes layers in the order of the uncompiled model. So AssignPlaces
// considers all assignments in which no place belongs to an earlier layer than the place before
// it, and of these the assignments with the most layers. It removes a place from a layer's
// candidates if none of them assigns the place to the layer.
//
// If there is no such assignment, or if a layer would lose all its places, the compiler did not keep
// the order. Then AssignPlaces changes nothing.
func AssignPlaces(candidates [][]StagePlace) {
	places := slices.Concat(candidates...)
	if len(places) == 0 || len(places) > maxCandidates {
		return
	}
	slices.SortFunc(places, func(a, b StagePlace) int {
		return cmp.Or(cmp.Compare(a.Chunk, b.Chunk), cmp.Compare(a.Instruction, b.Instruction))
	})
	places = slices.Compact(places)
	index := make(map[StagePlace]int, len(places))
	for i, p := range places {
		index[p] = i
	}
	layers := make([][]int, len(places)) // the layers that place i may belong to, in order
	for l, all := range candidates {
		for _, p := range all {
			layers[index[p]] = append(layers[index[p]], l)
		}
	}
	upTo, from := mostLayers(layers), mirror(mostLayers(mirror(layers, -1)), 1)
	most := slices.Max(upTo[len(places)-1])
	if most == 0 {
		return
	}
	assigned := make([][]StagePlace, len(candidates))
	for l, all := range candidates {
		for _, p := range all {
			i := index[p]
			j, _ := slices.BinarySearch(layers[i], l)
			if upTo[i][j] > 0 && from[i][j] > 0 && upTo[i][j]+from[i][j]-1 == most {
				assigned[l] = append(assigned[l], p)
			}
		}
		if len(all) > 0 && len(assigned[l]) == 0 {
			return
		}
	}
	copy(candidates, assigned)
}

// mostLayers returns, for each layer j that place i may belong to, the most layers of an assignment
// of the places up to i in which place i belongs to that layer. It returns 0 if there is no
// assignment.
func mostLayers(layers [][]int) [][]int {
	most := make([][]int, len(layers))
	for i, all := range layers {
		most[i] = make([]int, len(all))
		if i == 0 {
			for j := range all {
				most[i][j] = 1
			}
			continue
		}
		earlier, k := 0, 0 // the most layers of an assignment whose last layer is before l
		for j, l := range all {
			for ; k < len(layers[i-1]) && layers[i-1][k] < l; k++ {
				earlier = max(earlier, most[i-1][k])
			}
			if earlier > 0 {
				most[i][j] = earlier + 1
			}
			if k < len(layers[i-1]) && layers[i-1][k] == l {
				most[i][j] = max(most[i][j], most[i-1][k])
			}
		}
	}
	return most
}

// mirror returns rows in reverse order, each with its numbers in reverse order and multiplied by
// factor.
func mirror(rows [][]int, factor int) [][]int {
	out := make([][]int, len(rows))
	for i, row := range rows {
		r := make([]int, len(row))
		for j, v := range row {
			r[len(row)-1-j] = factor * v
		}
		out[len(rows)-1-i] = r
	}
	return out
}
