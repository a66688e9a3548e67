package store

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/imprintkit/imprint/imprint/fleet"
)

// claim returns what a workspace says about a photo that it added at a second.
func claim(from, label string, second int64) Claim {
	return Claim{From: from, Label: label, Path: from + ".jpg", Time: time.Unix(second, 0).UTC(), Raw: []byte{1, 2, 3}}
}

// TestSettle settles claims in all kinds of orders.
func TestSettle(t *testing.T) {
	other := claim("d", "cat", 0)
	other.Raw = []byte{9, 9, 9}
	tests := []struct {
		name   string
		claims []Claim
		rule   fleet.Rule
		label  string
		from   string
	}{
		{"one", []Claim{claim("a", "cat", 5)}, fleet.Refuse, "cat", "a"},
		{"agreed", []Claim{claim("a", "cat", 5), claim("b", "cat", 3)}, fleet.Newest, "cat", "b"},
		{"oldest", []Claim{claim("a", "cat", 5), claim("b", "dog", 3), claim("c", "cat", 4)}, fleet.Oldest, "dog", "b"},
		{"newest", []Claim{claim("a", "cat", 5), claim("b", "dog", 3), claim("c", "cat", 4)}, fleet.Newest, "cat", "c"},
		{"majority", []Claim{claim("a", "cat", 5), claim("b", "dog", 3), claim("c", "cat", 4)}, fleet.Majority, "cat", "c"},
		{"tied majority", []Claim{claim("a", "cat", 5), claim("b", "dog", 3)}, fleet.Majority, "dog", "b"},
		{"negative", []Claim{claim("a", NegativeLabel, 1), claim("b", "dog", 3)}, fleet.Oldest, NegativeLabel, "a"},
		{"same time", []Claim{claim("b", "dog", 3), claim("a", "cat", 3)}, fleet.Oldest, "cat", "a"},
		{"other embedding", []Claim{claim("a", "cat", 5), claim("c", "cat", 6), other}, fleet.Oldest, "cat", "d"},
	}
	for _, tt := range tests {
		r := rand.New(rand.NewPCG(1, 2))
		var first Example
		for i := range 20 {
			r.Shuffle(len(tt.claims), reflect.Swapper(tt.claims))
			e := Settle(Example{Photo: Digest{7}}, tt.claims, tt.rule)
			if e.Label != tt.label || e.From != tt.from || e.Photo != (Digest{7}) {
				t.Errorf("%s: got label %q of %s, want %q of %s", tt.name, e.Label, e.From, tt.label, tt.from)
			}
			if err := e.checkClaims(3); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			if i == 0 {
				first = e
			} else if !reflect.DeepEqual(e, first) {
				t.Errorf("%s: got %+v, in another order %+v", tt.name, e, first)
			}
			if again := Settle(Example{Photo: Digest{7}}, e.Claims(), tt.rule); !reflect.DeepEqual(again, e) {
				t.Errorf("%s: got %+v for the claims of %+v", tt.name, again, e)
			}
		}
	}
}

// TestDecodeClaims checks that a state file keeps what other workspaces say, and that wrong claims are
// damage.
func TestDecodeClaims(t *testing.T) {
	good := smallState()
	odd := claim("\"}]é<\\", "dog", 1)
	odd.Raw = nil
	other := claim("z", NegativeLabel, 2)
	good.Examples[0].From, good.Examples[0].Also = "a", []Claim{odd, other}
	good.Settings.Conflicts = fleet.Majority
	if got, err := Decode(encoded(t, good)); err != nil || !reflect.DeepEqual(got, good) {
		t.Errorf("got %+v, %v, want %+v", got, err, good)
	}
	for name, spoil := range map[string]func(e *Example){
		"order":           func(e *Example) { e.Also[0], e.Also[1] = e.Also[1], e.Also[0] },
		"workspace twice": func(e *Example) { e.Also[1].From = e.Also[0].From },
		"itself":          func(e *Example) { e.Also[1].From = e.From },
		"label":           func(e *Example) { e.Also[1].Label = " " },
		"embedding":       func(e *Example) { e.Also[1].Raw = []byte{1} },
	} {
		s, err := Decode(encoded(t, good))
		if err != nil {
			t.Fatal(err)
		}
		spoil(&s.Examples[0])
		if _, err := Decode(encoded(t, s)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("wrong %s: got error %v, want %v", name, err, ErrCorrupt)
		}
	}
	s := smallState()
	s.Settings.Conflicts = "best"
	_, err := Decode(encoded(t, s))
	wantError(t, err, ErrCorrupt)
}
