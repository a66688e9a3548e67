package executable

import (
	"reflect"
	"testing"
)

// TestAssignPlaces checks the assignment of places that hold the constants of several layers.
func TestAssignPlaces(t *testing.T) {
	for _, test := range []struct {
		name      string
		got, want [][]int // for each layer, the instructions that hold its constants
	}{
		{"none", nil, nil},
		{"one layer", [][]int{{5, 9}}, [][]int{{5, 9}}},
		{"equal layers around another", [][]int{{1, 2, 8}, {5}, {1, 2, 8}}, [][]int{{1, 2}, {5}, {8}}},
		{"a layer without a place", [][]int{{1, 3}, {2}, {1, 3}, {1, 3}}, [][]int{{1}, {2}, {3}, {3}}},
		{"as many equal layers as places", [][]int{{1, 2}, {1, 2}}, [][]int{{1}, {2}}},
		{"more places than equal layers", [][]int{{1, 2, 3}, {1, 2, 3}}, [][]int{{1, 2}, {2, 3}}},
		{"another order than the model's", [][]int{{2, 3}, {1}, {2, 3}}, [][]int{{2, 3}, {1}, {2, 3}}},
		{"interleaved", [][]int{{1, 3}, {2, 4}}, [][]int{{1, 3}, {2, 4}}},
	} {
		places := func(layers [][]int) (p [][]StagePlace) {
			for _, l := range layers {
				var all []StagePlace
				for _, i := range l {
					all = append(all, StagePlace{Chunk: i / 4, Instruction: i % 4})
				}
				p = append(p, all)
			}
			return p
		}
		got, want := places(test.got), places(test.want)
		AssignPlaces(got)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", test.name, got, want)
		}
	}
}
