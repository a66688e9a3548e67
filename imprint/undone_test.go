package imprint

import (
	"reflect"
	"testing"
)

func TestUndone(t *testing.T) {
	hat, cap, other := example{Label: "hat"}, example{Label: "cap"}, example{Label: negative}
	for _, test := range []struct {
		change change
		want   Undone
	}{
		{change{Verb: "add", Added: []example{hat, hat, cap, other}}, Undone{Verb: "add", Photos: map[string]int{"hat": 2, "cap": 1}, Negatives: 1}},
		{change{Verb: "remove", Removed: []example{hat, hat}}, Undone{Verb: "remove", Photos: map[string]int{"hat": 2}}},
		{change{Verb: "remove", Removed: []example{other}}, Undone{Verb: "remove", Photos: map[string]int{}, Negatives: 1}},
		{change{Verb: "rename", From: "duck", To: "goose"}, Undone{Verb: "rename", Photos: map[string]int{}, From: "duck", To: "goose"}},
		{change{Verb: "retrain"}, Undone{Verb: "retrain", Photos: map[string]int{}}},
		// The merge has replaced a cap and added a hat.
		{change{Verb: "merge", Added: []example{hat, cap}, Removed: []example{cap}}, Undone{Verb: "merge", Photos: map[string]int{"hat": 1}}},
	} {
		if got := test.change.undone(); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%+v: got %+v, want %+v", test.change, got, test.want)
		}
	}
}
