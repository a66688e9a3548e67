package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrTub is wrapped when a folder is no tub of Donkey Car's version 2.
	ErrTub = errors.New("not a Donkey Car tub")
	// ErrNotInTub is wrapped when a tub has no such session or field.
	ErrNotInTub = errors.New("not in the tub")
)

const (
	tubManifest = "manifest.json"
	tubImages   = "images"
	// The files of a tub are as long as it was driven: 1000 records of some 300 bytes a
	// catalog, the indexes of deleted records in the manifest.
	maxTubFile    = 64 << 20
	maxTubRecords = 1 << 20
)

// A Tub is what a Donkey Car has recorded (version 2 of the format, of donkeycar 4 and
// 5): photos, each with what was steered then.
type Tub struct {
	Dir     string
	Records []TubRecord // in the order of their indexes, without deleted ones
	Deleted int         // records that were marked as deleted
	Skipped []Skipped   // what is damaged or missing, and was left out
}

// A TubRecord is one line of a tub.
type TubRecord struct {
	Index   int
	Session string    // such as "26-11-28_0"; "" if it is not known
	Time    time.Time // zero if it is not known
	// Photo is the path of the camera's photo. It is not known to be there.
	Photo string
	// Fields are the record's values as JSON, such as "user/mode" → "user".
	Fields map[string]json.RawMessage
}

// OpenTub reads the records of the tub in folder dir. Nothing in a tub is synced to the
// disk while a car writes it, so after a power cut all of it may be torn: what can be
// read is taken, and the rest reported as skipped. Photos are not looked at.
//
// Catalogs are read line by line, whatever their catalog_manifest says about the lengths
// of lines, and those that the manifest does not name yet as well. Of two records with
// one index the later counts, as it has overwritten the photo of the other. A manifest
// that is cut short has lost which records were deleted; then all are taken, and that is
// reported.
func OpenTub(dir string) (*Tub, error) {
	t := &Tub{Dir: dir}
	m, err := t.readManifest()
	if err != nil {
		return nil, fmt.Errorf("open tub %s: %w", dir, err)
	}
	catalogs, err := t.catalogs(m.paths)
	if err != nil {
		return nil, fmt.Errorf("open tub %s: %w", dir, err)
	}
	r := tubReader{Tub: t, tubHead: m, at: make(map[int]int)}
	for _, name := range catalogs {
		path := filepath.Join(dir, name)
		b, err := readBytes(path, Limits{MaxBytes: maxTubFile})
		if err != nil {
			t.skip(path, err)
			continue
		}
		if err := r.catalog(path, b); err != nil {
			return nil, fmt.Errorf("open tub %s: %w", dir, err)
		}
	}
	slices.SortStableFunc(t.Records, func(a, b TubRecord) int { return a.Index - b.Index })
	return t, nil
}

// tubReader reads the catalogs of a tub, in their order.
type tubReader struct {
	*Tub
	tubHead
	at map[int]int // where in Records the record of an index is
}

// catalog takes the records of a catalog.
func (t tubReader) catalog(path string, b []byte) error {
	for n := 1; len(b) > 0; n++ {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		where := fmt.Sprintf("%s:%d", path, n)
		r, err := t.record(t.Dir, line)
		if err != nil {
			t.skip(where, err)
			continue
		}
		if t.deleted[r.Index] {
			t.Deleted++
			continue
		}
		if i, ok := t.at[r.Index]; ok {
			t.skip(where, fmt.Errorf("it has overwritten an earlier record %d", r.Index))
			t.Records[i] = r
			continue
		}
		if len(t.Records) == maxTubRecords {
			return fmt.Errorf("%w: more than %d records", ErrTooLarge, maxTubRecords)
		}
		t.at[r.Index] = len(t.Records)
		t.Records = append(t.Records, r)
	}
	return nil
}

func (t *Tub) skip(path string, err error) { t.Skipped = append(t.Skipped, Skipped{path, err}) }

// tubHead is what the manifest tells.
type tubHead struct {
	image   string   // the field that names the photo
	paths   []string // of catalogs
	deleted map[int]bool
}

// defaultImage is the field that names a photo of the camera.
const defaultImage = "cam/image_array"

// readManifest reads the manifest. Without one there may yet be catalogs
// (donkeycar#761, #867).
func (t *Tub) readManifest() (tubHead, error) {
	path := filepath.Join(t.Dir, tubManifest)
	b, err := readBytes(path, Limits{MaxBytes: maxTubFile})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if found, _ := filepath.Glob(filepath.Join(t.Dir, "record_*.json")); len(found) > 0 {
			return tubHead{}, fmt.Errorf("%w: it is of version 1: convert it with donkeycar's convert_to_tub_v2.py", ErrTub)
		}
		t.skip(path, err)
		return tubHead{image: defaultImage}, nil
	case err != nil:
		return tubHead{}, fmt.Errorf("%s: %w", tubManifest, err)
	}
	return t.manifest(path, b), nil
}

// manifest reads the five lines of a manifest: names of fields, their types, what users
// noted, sessions, and catalogs. One that is missing or torn leaves its part out.
func (t *Tub) manifest(path string, b []byte) tubHead {
	m := tubHead{image: defaultImage}
	lines := bytes.SplitN(b, []byte("\n"), 6)
	line := func(i int, v any) bool { return i < len(lines) && json.Unmarshal(lines[i], v) == nil }
	var inputs, types []string
	if line(0, &inputs) && line(1, &types) && !slices.Contains(inputs, m.image) {
		for i, kind := range types {
			if kind == "image_array" && i < len(inputs) {
				m.image = inputs[i]
				break
			}
		}
	}
	var catalogs struct {
		Paths   []string `json:"paths"`
		Deleted []int    `json:"deleted_indexes"`
	}
	if !line(4, &catalogs) {
		t.skip(path, fmt.Errorf("it is cut short (donkeycar#653): which records were deleted is not known, and none is left out"))
	}
	m.paths = catalogs.Paths
	m.deleted = make(map[int]bool, len(catalogs.Deleted))
	for _, i := range catalogs.Deleted {
		m.deleted[i] = true
	}
	return m
}

// catalogs gives the names of the tub's catalogs, those that the manifest names and those
// that are there, in the order of their numbers.
func (t *Tub) catalogs(named []string) ([]string, error) {
	entries, err := os.ReadDir(t.Dir)
	if err != nil {
		return nil, cause(err)
	}
	var names []string
	for _, name := range named {
		if catalogNumber(name) < 0 {
			t.skip(filepath.Join(t.Dir, tubManifest), fmt.Errorf("%.40q is no name of a catalog", name))
			continue
		}
		names = append(names, name)
	}
	for _, e := range entries {
		if catalogNumber(e.Name()) >= 0 {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: it has no catalog_0.catalog", ErrTub)
	}
	slices.SortFunc(names, func(a, b string) int { return catalogNumber(a) - catalogNumber(b) })
	return slices.Compact(names), nil
}

// catalogNumber is N of catalog_N.catalog, or -1.
func catalogNumber(name string) int {
	digits, ok := strings.CutPrefix(name, "catalog_")
	digits, also := strings.CutSuffix(digits, ".catalog")
	if n, err := strconv.ParseUint(digits, 10, 31); ok && also && err == nil {
		return int(n)
	}
	return -1
}

// record reads a line of a catalog. Where a line was cut short by a power cut, the next
// record continues it.
func (m tubHead) record(dir string, line []byte) (TubRecord, error) {
	var fields map[string]json.RawMessage
	err := json.Unmarshal(line, &fields)
	if i := bytes.LastIndex(line, []byte(`{"`)); err != nil && i > 0 {
		fields = nil
		err = json.Unmarshal(line[i:], &fields)
	}
	if err != nil {
		return TubRecord{}, fmt.Errorf("damaged record: %w", err)
	}
	var r struct {
		index int
		photo string
		ms    int64
	}
	if json.Unmarshal(fields["_index"], &r.index) != nil || r.index < 0 || r.index > math.MaxInt32 {
		return TubRecord{}, fmt.Errorf("damaged record: it has no _index")
	}
	if json.Unmarshal(fields[m.image], &r.photo) != nil {
		return TubRecord{}, fmt.Errorf("damaged record %d: it has no photo, %s", r.index, m.image)
	}
	// A name out of a file of strangers, that may not lead out of the folder.
	if !hasPhotoName(r.photo) || strings.ContainsAny(r.photo, "/\\\x00") {
		return TubRecord{}, fmt.Errorf("damaged record %d: %.40q is no name of a photo", r.index, r.photo)
	}
	record := TubRecord{Index: r.index, Photo: filepath.Join(dir, tubImages, r.photo), Fields: fields}
	json.Unmarshal(fields["_session_id"], &record.Session)
	if json.Unmarshal(fields["_timestamp_ms"], &r.ms) == nil {
		record.Time = time.UnixMilli(r.ms).UTC()
	}
	return record, nil
}

// A TubFilter selects records. What is empty selects all.
type TubFilter struct {
	// Sessions are session ids, such as "26-11-28_0", or their numbers, "0".
	Sessions []string
	// Ranges are of indexes.
	Ranges []IndexRange
	// Fields are values that fields must have, all of them. Numbers are compared as
	// numbers.
	Fields map[string]string
}

// An IndexRange is From ≤ index < To.
type IndexRange struct{ From, To int }

// ParseIndexRange reads FROM:TO, FROM:, :TO or one index.
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
		return IndexRange{}, fmt.Errorf("%q is no range of records: it is FROM:TO, with FROM below TO, FROM:, :TO or one index", s)
	}
	return r, nil
}

// Select returns the photos of the records that f selects, under label, and those that
// can't be taken. The source of an item is the tub and its session, as photos that
// follow each other there are nearly alike. A session or a field that the tub does not
// have is an error that wraps ErrNotInTub.
func (t *Tub) Select(f TubFilter, label string) ([]Item, []Skipped, error) {
	if err := t.check(f); err != nil {
		return nil, nil, fmt.Errorf("select from tub %s: %w", t.Dir, err)
	}
	dir, err := filepath.Abs(t.Dir)
	if err != nil {
		return nil, nil, err
	}
	var items []Item
	var skipped []Skipped
	for _, r := range t.Records {
		if !f.takes(r) {
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

// check finds sessions and fields that no record has: mistyped ones, most likely.
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
			return fmt.Errorf("session %q is %w; there are: %s", want, ErrNotInTub, strings.Join(sessions, ", "))
		}
	}
	for name := range f.Fields {
		if !fields[name] {
			var names []string
			for n := range fields {
				names = append(names, n)
			}
			slices.Sort(names)
			return fmt.Errorf("field %q is %w; there are: %s", name, ErrNotInTub, strings.Join(names, ", "))
		}
	}
	return nil
}

// isSession tells whether id is the session that is asked for, by its id or number.
func isSession(id, want string) bool { return id == want || strings.HasSuffix(id, "_"+want) }

func (f TubFilter) takes(r TubRecord) bool {
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

// equalsJSON compares a JSON value with what a user typed.
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
