package dataset

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A TubFilter selects records of a tub. A record must match all non-empty fields of the
// filter.
type TubFilter struct {
	// Sessions are session ids, such as "26-11-28_0", or session numbers, such as "0".
	Sessions []string
	// Ranges are ranges of record indexes.
	Ranges []IndexRange
	// Fields maps names of fields to their values, such as "user/mode" to "user".
	// Numbers are compared by value. All fields must match.
	Fields map[string]string
}

// An IndexRange is a range of indexes i with From ≤ i < To.
type IndexRange struct{ From, To int }

// ParseIndexRange parses FROM:TO, FROM:, :TO or a single index. The range does not include TO.
func ParseIndexRange(s string) (IndexRange, error) {
	from, to, isRange := strings.Cut(s, ":")
	r := IndexRange{0, math.MaxInt}
	var err, err2 error
	if from != "" || !isRange {
		r.From, err = strconv.Atoi(from)
		r.To = r.From + 1
	}
	if isRange {
		r.To = math.MaxInt
		if to != "" {
			r.To, err2 = strconv.Atoi(to)
		}
	}
	if err != nil || err2 != nil || r.From < 0 || r.To <= r.From {
		return IndexRange{}, fmt.Errorf("invalid record range %q: want FROM:TO with FROM < TO, FROM:, :TO or one index", s)
	}
	return r, nil
}

// Select returns an item with the given label for each record that f selects. It also returns
// the records that it skips because their photo is missing or is a symbolic link. Item.Source
// combines the tub and the session, because successive photos of a session are near-duplicates.
//
// If f names a session or field that the tub does not have, the error wraps ErrNotInTub and
// lists the tub's sessions or fields.
func (t *Tub) Select(f TubFilter, label string) ([]Item, []Skipped, error) {
	if err := t.check(f); err != nil {
		return nil, nil, fmt.Errorf("tub %s: %w", t.Dir, err)
	}
	dir, err := filepath.Abs(t.Dir)
	if err != nil {
		return nil, nil, err
	}
	var items []Item
	var skipped []Skipped
	for _, r := range t.Records {
		if !f.matches(r) {
			continue
		}
		info, err := os.Lstat(r.Photo)
		switch {
		case err != nil:
			err = cause(err)
		case info.Mode()&fs.ModeSymlink != 0:
			err = errSymlink
		}
		if err != nil {
			skipped = append(skipped, Skipped{r.Photo, err})
			continue
		}
		items = append(items, Item{Path: r.Photo, Label: label, Source: "tub:" + dir + "#" + r.Session, Time: r.Time})
	}
	return items, skipped, nil
}

// check returns an error if f names a session or field that no record has, because the name is
// probably mistyped.
func (t *Tub) check(f TubFilter) error {
	var sessions []string
	fields := make(map[string]bool)
	for _, r := range t.Records {
		if !slices.Contains(sessions, r.Session) {
			sessions = append(sessions, r.Session)
		}
		for name := range r.Fields {
			fields[name] = true
		}
	}
	for _, want := range f.Sessions {
		if !slices.ContainsFunc(sessions, func(s string) bool { return isSession(s, want) }) {
			return fmt.Errorf("session %q is %w; it has %s", want, ErrNotInTub, strings.Join(sessions, ", "))
		}
	}
	for name := range f.Fields {
		if !fields[name] {
			return fmt.Errorf("field %q is %w; it has %s", name, ErrNotInTub, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		}
	}
	return nil
}

// isSession reports whether want is the session id or its number.
func isSession(id, want string) bool { return id == want || strings.HasSuffix(id, "_"+want) }

func (f TubFilter) matches(r TubRecord) bool {
	if len(f.Sessions) > 0 && !slices.ContainsFunc(f.Sessions, func(want string) bool { return isSession(r.Session, want) }) {
		return false
	}
	if len(f.Ranges) > 0 && !slices.ContainsFunc(f.Ranges, func(x IndexRange) bool { return x.From <= r.Index && r.Index < x.To }) {
		return false
	}
	for name, want := range f.Fields {
		if !equalsJSON(r.Fields[name], want) {
			return false
		}
	}
	return true
}

// equalsJSON reports whether the JSON value v equals want, a string that the user typed.
func equalsJSON(v json.RawMessage, want string) bool {
	var s string
	if json.Unmarshal(v, &s) == nil && len(v) > 0 && v[0] == '"' {
		return s == want
	}
	var x float64
	if json.Unmarshal(v, &x) == nil && string(v) != "null" {
		y, err := strconv.ParseFloat(want, 64)
		return err == nil && x == y
	}
	return string(v) == want // true, false
}
