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
	// ErrTub means that a folder is not a Donkey Car tub of format version 2.
	ErrTub = errors.New("not a Donkey Car tub")
	// ErrNotInTub means that a tub does not have a session or field that a TubFilter names.
	ErrNotInTub = errors.New("not in the tub")
)

const (
	tubManifest = "manifest.json"
	tubImages   = "images"
	// Tub files grow with the driving time. A catalog has 1000 records of about 300 bytes each,
	// and the manifest lists the deleted records.
	maxTubFile    = 64 << 20
	maxTubRecords = 1 << 20
)

// A Tub is a recording by a Donkey Car: camera photos, each with the steering at the time of the
// photo. The format is version 2, which donkeycar 4 and 5 write.
type Tub struct {
	Dir     string
	Records []TubRecord // in the order of their indexes, without deleted records
	Deleted int         // number of records marked as deleted
	Skipped []Skipped   // damaged or missing parts
}

// A TubRecord is one record of a tub.
type TubRecord struct {
	Index   int
	Session string    // such as "26-11-28_0"; "" if unknown
	Time    time.Time // zero if unknown
	// Photo is the path of the camera's photo. The file may not exist.
	Photo string
	// Fields maps the names of the record's fields to their JSON values, such as "user/mode" to
	// "user".
	Fields map[string]json.RawMessage
}

// OpenTub reads the records of the tub in folder dir. It does not open the photos.
//
// A car does not sync its tub to disk, so a power loss can damage any part of it. OpenTub reads
// all undamaged records and reports the rest in Tub.Skipped. It ignores the line lengths in
// catalog_manifest files and also reads catalogs that the manifest does not list yet. If several
// records have the same index, it keeps the last record, because its photo has replaced the
// earlier photos. If the manifest is truncated, the list of deleted records is lost, and no
// record counts as deleted.
//
// If the folder is not a tub, the error wraps ErrTub. If the folder does not exist, the
// error is a *NotExistError.
func OpenTub(dir string) (*Tub, error) {
	t := &Tub{Dir: dir}
	m, err := t.readManifest()
	if err != nil {
		return nil, fmt.Errorf("open tub %s: %w", dir, err)
	}
	catalogs, err := t.catalogs(m.paths)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notExist(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open tub %s: %w", dir, err)
	}
	r := tubReader{Tub: t, manifest: m, at: make(map[int]int)}
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

func (t *Tub) skip(path string, err error) { t.Skipped = append(t.Skipped, Skipped{path, err}) }

// manifest holds the fields of a tub's manifest that OpenTub uses.
type manifest struct {
	image   string   // name of the record field that holds the photo's name
	paths   []string // names of the listed catalogs
	deleted map[int]bool
}

// defaultImage is the default value of manifest.image.
const defaultImage = "cam/image_array"

// readManifest reads the manifest. A tub without a manifest may still have catalogs
// (donkeycar#761, #867).
func (t *Tub) readManifest() (manifest, error) {
	path := filepath.Join(t.Dir, tubManifest)
	b, err := readBytes(path, Limits{MaxBytes: maxTubFile})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if found, _ := filepath.Glob(filepath.Join(t.Dir, "record_*.json")); len(found) > 0 {
			return manifest{}, &kindError{ErrTub, "tub format version 1 is not supported; convert the tub with donkeycar's convert_to_tub_v2.py"}
		}
		t.skip(path, err)
		return manifest{image: defaultImage}, nil
	case err != nil:
		return manifest{}, fmt.Errorf("%s: %w", tubManifest, err)
	}
	return t.parseManifest(path, b), nil
}

// parseManifest reads the five JSON lines of a manifest: field names, field types, user
// metadata, sessions and catalogs. It ignores lines that are missing or damaged.
func (t *Tub) parseManifest(path string, b []byte) manifest {
	m := manifest{image: defaultImage}
	lines := bytes.SplitN(b, []byte("\n"), 6)
	line := func(i int, v any) bool { return i < len(lines) && unmarshalPython(lines[i], v) == nil }
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
		t.skip(path, errors.New("truncated (donkeycar#653): deleted records are unknown, so they are included"))
	}
	m.paths = catalogs.Paths
	m.deleted = make(map[int]bool, len(catalogs.Deleted))
	for _, i := range catalogs.Deleted {
		m.deleted[i] = true
	}
	return m
}

// catalogs returns the names of the tub's catalogs in the order of their numbers: the catalogs
// that the manifest lists, and any other catalogs in the folder.
func (t *Tub) catalogs(listed []string) ([]string, error) {
	entries, err := os.ReadDir(t.Dir)
	if err != nil {
		return nil, cause(err)
	}
	var names []string
	for _, name := range listed {
		if catalogNumber(name) < 0 {
			t.skip(filepath.Join(t.Dir, tubManifest), fmt.Errorf("%.40q is not the name of a catalog", name))
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

// catalogNumber returns N if name is catalog_N.catalog, otherwise -1.
func catalogNumber(name string) int {
	digits, ok := strings.CutPrefix(name, "catalog_")
	digits, also := strings.CutSuffix(digits, ".catalog")
	if n, err := strconv.ParseUint(digits, 10, 31); ok && also && err == nil {
		return int(n)
	}
	return -1
}

// tubReader reads the catalogs of a tub in order.
type tubReader struct {
	*Tub
	manifest
	at map[int]int // position in Records of each record index
}

// catalog appends the records in b, the content of the catalog at path, to Records.
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
			t.skip(where, fmt.Errorf("replaces an earlier record %d", r.Index))
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

// record parses a line of a catalog. If a power cut truncated a record, the next record is on
// the same line, and record returns the next record.
func (m manifest) record(dir string, line []byte) (TubRecord, error) {
	var fields map[string]json.RawMessage
	err := unmarshalPython(line, &fields)
	if i := bytes.LastIndex(line, []byte(`{"`)); err != nil && i > 0 {
		fields = nil
		err = unmarshalPython(line[i:], &fields)
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
		return TubRecord{}, errors.New("damaged record: no valid _index")
	}
	if json.Unmarshal(fields[m.image], &r.photo) != nil {
		return TubRecord{}, fmt.Errorf("damaged record %d: no photo in field %s", r.index, m.image)
	}
	// The name comes from an untrusted file and must not lead out of the tub.
	if !hasPhotoName(r.photo) || strings.ContainsAny(r.photo, "/\\\x00") {
		return TubRecord{}, fmt.Errorf("damaged record %d: %.40q is not the name of a photo", r.index, r.photo)
	}
	record := TubRecord{Index: r.index, Photo: filepath.Join(dir, tubImages, r.photo), Fields: fields}
	json.Unmarshal(fields["_session_id"], &record.Session)
	if json.Unmarshal(fields["_timestamp_ms"], &r.ms) == nil {
		record.Time = time.UnixMilli(r.ms).UTC()
	}
	return record, nil
}

// unmarshalPython parses JSON written by Python. It reads NaN, Infinity and -Infinity, which are
// not valid JSON, as null.
func unmarshalPython(b []byte, v any) error {
	if !bytes.Contains(b, []byte("NaN")) && !bytes.Contains(b, []byte("Infinity")) {
		return json.Unmarshal(b, v)
	}
	strict := make([]byte, 0, len(b))
	for quoted := false; len(b) > 0; {
		n := 1 // bytes to copy
		switch {
		case quoted && b[0] == '\\':
			n = min(2, len(b))
		case b[0] == '"':
			quoted = !quoted
		case !quoted:
			for _, word := range []string{"NaN", "-Infinity", "Infinity"} {
				if rest, ok := bytes.CutPrefix(b, []byte(word)); ok {
					strict, b, n = append(strict, "null"...), rest, 0
					break
				}
			}
		}
		strict, b = append(strict, b[:n]...), b[n:]
	}
	return json.Unmarshal(strict, v)
}
