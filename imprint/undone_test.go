package imprint

import (
	"reflect"
	"testing"

	"github.com/imprintkit/imprint/imprint/internal/store"
)

func TestDescribe(t *testing.T) {
	hat, cap, other := store.Example{Label: "hat", Photo: store.Digest{1}}, store.Example{Label: "cap", Photo: store.Digest{2}}, store.Example{Label: store.NegativeLabel}
	for _, test := range []struct {
		change store.Change
		want   Undone
	}{
		{store.Change{Verb: "add", Added: []store.Example{hat, hat, cap, other}}, Undone{Verb: "add", Photos: map[string]int{"hat": 2, "cap": 1}, Negatives: 1}},
		{store.Change{Verb: "remove", Removed: []store.Example{hat, hat}}, Undone{Verb: "remove", Photos: map[string]int{"hat": 2}}},
		{store.Change{Verb: "remove", Removed: []store.Example{other}}, Undone{Verb: "remove", Photos: map[string]int{}, Negatives: 1}},
		{store.Change{Verb: "rename", From: "duck", To: "goose"}, Undone{Verb: "rename", Photos: map[string]int{}, From: "duck", To: "goose"}},
		{store.Change{Verb: "move", Removed: []store.Example{hat, hat, cap}, Added: []store.Example{{Label: "shoe"}, {Label: "shoe"}, {Label: "shoe"}}}, Undone{Verb: "move", Photos: map[string]int{"hat": 2, "cap": 1}, To: "shoe"}},
		{store.Change{Verb: "retrain"}, Undone{Verb: "retrain", Photos: map[string]int{}}},
		// This merge replaced a cap and added a hat.
		{store.Change{Verb: "merge", Added: []store.Example{hat, cap}, Removed: []store.Example{cap}}, Undone{Verb: "merge", Photos: map[string]int{"hat": 1}}},
	} {
		if got := describe(test.change); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%+v: got %+v, want %+v", test.change, got, test.want)
		}
	}
}
