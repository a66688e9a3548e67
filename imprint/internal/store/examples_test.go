package store

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// oddState returns a state whose strings look like other JSON.
func oddState() *State {
	s := smallState()
	s.Examples[0].Path = "C:\\new\\\"photo\".jpg </a> é \u2028"
	s.Examples[0].Label = `a\u0062`
	s.Examples[1].Source, s.Examples[1].Taken = `"Examples":[{`, time.Date(2024, 2, 29, 1, 2, 3, 4, time.FixedZone("", 3600))
	s.Examples[1].Hash = 1<<64 - 1
	s.Examples[1].From, s.Examples[1].Also = "car1", []Claim{{Label: "c", From: `x"},{"Examples":[{`, Path: "}]", Raw: []byte{1, 2, 3}}}
	s.History[0].Added[1].Path = `}],{"Removed":[{"Label":"0"}]`
	s.History[1].Added = []Example{}
	return s
}

// TestMarshal compares the JSON that marshal returns with that of package json.
func TestMarshal(t *testing.T) {
	states := map[string]*State{"small": smallState(), "odd": oddState(), "empty": {}, "no history": {Examples: smallState().Examples}}
	for _, s := range []string{"\n\x7f\xff", "é<&>\u2028", `\"`, "[{\"Label\":\"0\"", "\ufffd", strings.Repeat("p", 300)} {
		odd := smallState()
		odd.Examples[0].Path, odd.Examples[0].Source, odd.Settings.None = s, s, s
		states[s] = odd
	}
	for name, s := range states {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := appendJSON(nil, s); err != nil || string(got) != string(want) {
			t.Errorf("%q: got %s, %v, want %s", name, got, err, want)
		}
		if after, err := json.Marshal(s); err != nil || string(after) != string(want) {
			t.Errorf("%q: marshal has changed the state to %s, %v", name, after, err)
		}
	}
	for _, wrong := range []func(e *Example){
		func(e *Example) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		func(e *Example) { e.Taken = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		s := smallState()
		wrong(&s.Examples[1])
		if b, err := appendJSON(nil, s); err == nil {
			t.Errorf("year that JSON can't hold: got %s, want an error", b)
		}
	}
}

// TestUnmarshal compares the states that unmarshal returns with the states of package json.
func TestUnmarshal(t *testing.T) {
	b, err := json.Marshal(oddState())
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	tests := []struct {
		name, json string
		want       error // of unmarshalFast
	}{
		{"as encoded", good, nil},
		{"escaped letter", strings.Replace(good, `"Label":"c"`, `"Label":"\u0063"`, 1), nil},
		{"space", strings.Replace(good, `,"Photo":`, `, "Photo":`, 1), errOtherForm},
		{"space before the list", strings.Replace(good, `"Examples":[`, `"Examples": [`, 1), errOtherForm},
		{"number as a label", strings.ReplaceAll(strings.Replace(good, `"Examples":[`, `"Examples": [`, 1), `"Label":"c"`, `"Label":"0"`), errOtherForm},
		{"lists in another order", strings.Replace(good, `{"Version"`, `{"History":[{"Added":[{"Label":"x","Photo":"`+strings.Repeat("1", 64)+`","Path":"","Time":"1970-01-01T00:00:01Z"}]}],"Version"`, 1), errOtherForm},
		{"new field", strings.Replace(good, `"Path":`, `"New":1,"Path":`, 1), errOtherForm},
		{"missing field", strings.Replace(good, `"Time":"1970-01-01T00:00:01Z",`, ``, 1), errOtherForm},
		{"not UTF-8", strings.Replace(good, `"Path":"p"`, "\"Path\":\"\xff\"", 1), nil},
		{"hash as exponent", strings.Replace(good, `"Hash":2`, `"Hash":2e0`, 1), errOtherForm},
		{"number of zeros", strings.Replace(good, `"Hash":2`, `"Hash":02`, 1), errOtherForm},
		{"null", strings.Replace(good, `"Examples":[`, `"Examples":[null,`, 1), errOtherForm},
		{"wrong time", strings.Replace(good, `01-01T00`, `13-01T00`, 1), errOtherForm},
		{"short digest", strings.Replace(good, `"Photo":"01`, `"Photo":"`, 1), errOtherForm},
		{"no list", `{"Version":1}`, nil},
	}
	for _, tt := range tests {
		var fast, got, want State
		if err := unmarshalFast([]byte(tt.json), &fast); !errors.Is(err, tt.want) {
			t.Errorf("%s: got error %v, want %v", tt.name, err, tt.want)
		}
		gotErr, wantErr := unmarshal([]byte(tt.json), &got), json.Unmarshal([]byte(tt.json), &want)
		if (gotErr == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tt.name, got, gotErr, want, wantErr)
		}
	}
	for n := range len(good) {
		if err := unmarshal([]byte(good[:n]), new(State)); err == nil {
			t.Errorf("first %d bytes: got no error", n)
		}
	}
}
