package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// writeTub writes a tub with n records, as donkeycar 5.3 does, and returns its folder. Each
// catalog has two records, and each session four. The autopilot drove the car for records with
// odd indexes.
func writeTub(t testing.TB, n int, deleted ...int) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "images"), 0o755); err != nil {
		t.Fatal(err)
	}
	var paths []string
	catalogs := make(map[string]string)
	for i := range n {
		name := fmt.Sprintf("catalog_%d.catalog", i/2)
		if !slices.Contains(paths, name) {
			paths = append(paths, name)
		}
		photo := fmt.Sprintf("%d_cam_image_array_.jpg", i)
		catalogs[name] += fmt.Sprintf(`{"_index": %d, "_session_id": "26-11-28_%d", "_timestamp_ms": %d, "cam/image_array": %q, "user/angle": %.2f, "user/mode": %q}`+"\n",
			i, i/4, int64(1795900000000)+50*int64(i), photo, float64(i)/4, []string{"user", "local"}[i%2])
		putFile(t, filepath.Join(dir, "images", photo), asJPEG(t, gradient(8+i, 8)))
	}
	for name, text := range catalogs {
		putFile(t, filepath.Join(dir, name), []byte(text))
	}
	list := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(b), ",", ", ")
	}
	last := fmt.Sprintf(`{"paths": %s, "current_index": %d, "max_len": 2, "deleted_indexes": %s}`, list(paths), n, list(append([]int{}, deleted...)))
	putFile(t, filepath.Join(dir, "manifest.json"), []byte(`["cam/image_array", "user/angle", "user/mode"]
["image_array", "float", "str"]
{}
{"created_at": 1795900000.0, "sessions": {"all_full_ids": ["26-11-28_0", "26-11-28_1"], "last_id": 1, "last_full_id": "26-11-28_1"}}
`+last+"\n"))
	return dir
}

func putFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// change replaces the first occurrence of old in a file with new. The file must contain old.
func change(t testing.TB, path, old, new string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(old)) {
		t.Fatalf("%s does not contain %q", path, old)
	}
	putFile(t, path, bytes.Replace(b, []byte(old), []byte(new), 1))
}

// indexes returns the indexes of a tub's records.
func indexes(t *testing.T, tub *Tub) []int {
	t.Helper()
	var got []int
	for _, r := range tub.Records {
		got = append(got, r.Index)
	}
	return got
}

func TestTub(t *testing.T) {
	dir := writeTub(t, 6, 2)
	got, err := OpenTub(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 1, 3, 4, 5}; !slices.Equal(indexes(t, got), want) || got.Deleted != 1 || len(got.Skipped) != 0 {
		t.Errorf("got records %v, %d deleted, skipped %v, want records %v, 1 deleted, none skipped", indexes(t, got), got.Deleted, got.Skipped, want)
	}
	r := got.Records[4]
	if want := time.UnixMilli(1795900000250); r.Session != "26-11-28_1" || !r.Time.Equal(want) || r.Photo != filepath.Join(dir, "images", "5_cam_image_array_.jpg") {
		t.Errorf("record 5: got session %q, time %v, photo %s", r.Session, r.Time, r.Photo)
	}
	items, skipped, err := got.Select(TubFilter{}, "cone")
	if err != nil || len(skipped) != 0 || len(items) != 5 {
		t.Fatalf("got %d items, skipped %v, error %v, want 5 items", len(items), skipped, err)
	}
	if want := (Item{Path: r.Photo, Label: "cone", Source: "tub:" + dir + "#26-11-28_1", Time: r.Time}); !reflect.DeepEqual(items[4], want) {
		t.Errorf("got %+v, want %+v", items[4], want)
	}
	if _, err := ReadFile(items[4].Path, DefaultLimits()); err != nil {
		t.Error(err)
	}
}

func TestTubSelect(t *testing.T) {
	opened, err := OpenTub(writeTub(t, 8))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		filter TubFilter
		want   []int
	}{
		{"session", TubFilter{Sessions: []string{"26-11-28_1"}}, []int{4, 5, 6, 7}},
		{"number of a session", TubFilter{Sessions: []string{"0"}}, []int{0, 1, 2, 3}},
		{"both", TubFilter{Sessions: []string{"0", "1"}}, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{"range", TubFilter{Ranges: []IndexRange{{2, 4}, {7, 8}}}, []int{2, 3, 7}},
		{"text", TubFilter{Fields: map[string]string{"user/mode": "local"}}, []int{1, 3, 5, 7}},
		{"number", TubFilter{Fields: map[string]string{"user/angle": "1.5"}}, []int{6}},
		{"all must hold", TubFilter{Ranges: []IndexRange{{2, 6}}, Sessions: []string{"1"}, Fields: map[string]string{"user/mode": "user"}}, []int{4}},
		{"none", TubFilter{Fields: map[string]string{"user/mode": "pilot"}}, nil},
		{"a number as text", TubFilter{Fields: map[string]string{"user/angle": "left"}}, nil},
	} {
		items, _, err := opened.Select(tt.filter, "x")
		var got []int
		for _, it := range items {
			var i int
			fmt.Sscanf(filepath.Base(it.Path), "%d_", &i)
			got = append(got, i)
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
	for want, f := range map[string]TubFilter{
		`session "2" is not in the tub; it has 26-11-28_0, 26-11-28_1`:                      {Sessions: []string{"2"}},
		`field "mode" is not in the tub; it has _index, _session_id, _timestamp_ms, cam/im`: {Fields: map[string]string{"mode": "user"}},
	} {
		if _, _, err := opened.Select(f, "x"); !errors.Is(err, ErrNotInTub) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestParseIndexRange(t *testing.T) {
	for s, want := range map[string]string{"100:200": "{100 200}", ":5": "{0 5}", "7": "{7 8}", "0:1": "{0 1}"} {
		if got, err := ParseIndexRange(s); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: got %v, %v, want %s", s, got, err, want)
		}
	}
	if got, err := ParseIndexRange("9:"); err != nil || got.From != 9 || got.To < 1<<30 {
		t.Errorf("9:: got %v, error %v, want an open range from 9", got, err)
	}
	for _, s := range []string{"", "a", "5:5", "6:5", "-1:2", "1:2:3", "1.5", "99999999999999999999"} {
		if got, err := ParseIndexRange(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, got)
		}
	}
}

// TestTubDamaged checks which records OpenTub reads from damaged and hostile tubs.
func TestTubDamaged(t *testing.T) {
	for _, tt := range []struct {
		name    string
		damage  func(dir string)
		want    []int
		skipped []string // parts of the reasons, in order
	}{
		{"four lines", func(dir string) { change(t, dir+"/manifest.json", `{"paths"`, ``) }, []int{0, 1, 2, 3}, []string{"deleted records are unknown"}},
		{"truncated", func(dir string) { change(t, dir+"/manifest.json", `_indexes": [2]}`, `_ind`) }, []int{0, 1, 2, 3}, []string{"truncated"}},
		{"empty manifest", func(dir string) { putFile(t, dir+"/manifest.json", nil) }, []int{0, 1, 2, 3}, []string{"truncated"}},
		{"no manifest", func(dir string) { os.Remove(dir + "/manifest.json") }, []int{0, 1, 2, 3}, []string{"no such file"}},
		{"a catalog that the manifest does not list", func(dir string) { change(t, dir+"/manifest.json", `, "catalog_1.catalog"`, ``) }, []int{0, 1, 3}, nil},
		{"a missing catalog", func(dir string) { os.Remove(dir + "/catalog_0.catalog") }, []int{3}, []string{"catalog_0.catalog: no such file"}},
		{"empty catalog", func(dir string) { putFile(t, dir+"/catalog_0.catalog", nil) }, []int{3}, nil},
		{"half a record", func(dir string) { change(t, dir+"/catalog_0.catalog", `0.25, "user/mode": "local"}`+"\n", `0.2`) }, []int{0, 3}, []string{"catalog_0.catalog:2: damaged record"}},
		{"a record after half a record", func(dir string) {
			change(t, dir+"/catalog_0.catalog", `0.00, "user/mode": "user"}`+"\n", `0.0`)
		}, []int{1, 3}, nil},
		{"zeros", func(dir string) { change(t, dir+"/catalog_0.catalog", `{"_index": 1`, strings.Repeat("\x00", 12)) }, []int{0, 3}, []string{"catalog_0.catalog:2"}},
		{"a repeated index", func(dir string) { change(t, dir+"/catalog_1.catalog", `{"_index": 3`, `{"_index": 1`) }, []int{0, 1}, []string{"replaces an earlier record 1"}},
		{"no index", func(dir string) { change(t, dir+"/catalog_1.catalog", `"_index": 3`, `"index": 3`) }, []int{0, 1}, []string{"no valid _index"}},
		{"a huge index", func(dir string) { change(t, dir+"/catalog_1.catalog", `"_index": 3`, `"_index": 1e99`) }, []int{0, 1}, []string{"no valid _index"}},
		{"no photo", func(dir string) { change(t, dir+"/catalog_1.catalog", `array": "3_`, `arr": "3_`) }, []int{0, 1}, []string{"no photo in field cam/image_array"}},
		{"a photo outside the tub", func(dir string) { change(t, dir+"/catalog_1.catalog", `"3_`, `"../../3_`) }, []int{0, 1}, []string{"not the name of a photo"}},
		{"a catalog outside the tub", func(dir string) { change(t, dir+"/manifest.json", `"catalog_0`, `"../catalog_0`) }, []int{0, 1, 3}, []string{"not the name of a catalog"}},
		{"a list instead of a record", func(dir string) { putFile(t, dir+"/catalog_0.catalog", []byte("[1,2]\n{}\n")) }, []int{3}, []string{"catalog:1", "catalog:2"}},
	} {
		dir := writeTub(t, 4, 2)
		tt.damage(dir)
		got, err := OpenTub(dir)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if !slices.Equal(indexes(t, got), tt.want) {
			t.Errorf("%s: got records %v, want %v", tt.name, indexes(t, got), tt.want)
		}
		if len(got.Skipped) != len(tt.skipped) {
			t.Errorf("%s: skipped %v, want %q", tt.name, got.Skipped, tt.skipped)
			continue
		}
		for i, s := range got.Skipped {
			if said := s.Path + ": " + s.Err.Error(); !strings.Contains(said, tt.skipped[i]) {
				t.Errorf("%s: skipped %s, want %s", tt.name, said, tt.skipped[i])
			}
		}
	}
}

func TestTubPhotos(t *testing.T) {
	dir := writeTub(t, 4)
	os.Remove(dir + "/images/1_cam_image_array_.jpg")
	os.Remove(dir + "/images/2_cam_image_array_.jpg")
	if err := os.Symlink("/etc/passwd", dir+"/images/2_cam_image_array_.jpg"); err != nil {
		t.Fatal(err)
	}
	opened, err := OpenTub(dir)
	if err != nil {
		t.Fatal(err)
	}
	items, skipped, err := opened.Select(TubFilter{}, "x")
	if err != nil || len(items) != 2 || len(skipped) != 2 || !errors.Is(skipped[0].Err, os.ErrNotExist) || skipped[1].Err != errSymlink {
		t.Errorf("got %v, skipped %v, error %v, want two of each", items, skipped, err)
	}
}

func TestOpenTubErrors(t *testing.T) {
	old := t.TempDir()
	putFile(t, old+"/record_1.json", []byte("{}"))
	for dir, want := range map[string]error{t.TempDir(): ErrTub, old: ErrTub, "/nowhere": os.ErrNotExist} {
		if got, err := OpenTub(dir); !errors.Is(err, want) || got != nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("got %v, %v, want an error that wraps %v and names %s", got, err, want, dir)
		}
	}
}

func FuzzTub(f *testing.F) {
	dir := writeTub(f, 4, 2)
	manifest, err := os.ReadFile(dir + "/manifest.json")
	if err != nil {
		f.Fatal(err)
	}
	catalog, err := os.ReadFile(dir + "/catalog_0.catalog")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(manifest, catalog)
	f.Add(manifest[:len(manifest)-9], catalog[:len(catalog)-9])
	f.Fuzz(func(t *testing.T, manifest, catalog []byte) {
		tub := &Tub{Dir: dir}
		r := tubReader{Tub: tub, manifest: tub.parseManifest("m", manifest), at: make(map[int]int)}
		if err := r.catalog("c", catalog); err != nil {
			t.Fatal(err)
		}
		for _, r := range tub.Records {
			if r.Index < 0 || filepath.Dir(r.Photo) != dir+"/images" {
				t.Errorf("record %d has photo %s, want a photo in the images folder", r.Index, r.Photo)
			}
		}
		tub.Select(TubFilter{Sessions: []string{"0"}, Fields: map[string]string{"user/angle": "1"}}, "x")
	})
}

// TestTubOfPythonNumbers checks that OpenTub accepts NaN and Infinity, which Python writes
// although JSON does not have them.
func TestTubOfPythonNumbers(t *testing.T) {
	dir := write(t, map[string][]byte{
		"manifest.json": []byte(`["cam/image_array","user/angle","note"]` + "\n" + `["image_array","float","str"]` + "\n" + `{"gain": NaN}` + "\n{}\n" + `{"paths": ["catalog_0.catalog"], "deleted_indexes": [3], "max": Infinity}` + "\n"),
		"catalog_0.catalog": []byte(`{"_index": 0, "cam/image_array": "0.jpg", "user/angle": NaN}
{"_index": 1, "cam/image_array": "1.jpg", "user/angle": -Infinity, "pilot": [Infinity, 1]}
{"_index": 2, "cam/image_array": "2.jpg", "note": "a \"NaN\" is NaN, Infinity"}
{"_index": 3, "cam/image_array": "3.jpg", "user/angle": NaN}
{"_index": 4, "cam/image_array": "4.jpg", "user/angle": NaNo}
{"_index": 5, "cam/im{"_index": 5, "cam/image_array": "5.jpg", "user/angle": NaN}
`),
	})
	tub, err := OpenTub(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, r := range tub.Records {
		got = append(got, r.Index)
	}
	if want := []int{0, 1, 2, 5}; !slices.Equal(got, want) {
		t.Errorf("got records %v, want %v", got, want)
	}
	if len(tub.Skipped) != 1 || tub.Deleted != 1 {
		t.Errorf("got skipped %v and %d deleted records, want 1 each", tub.Skipped, tub.Deleted)
	}
	if got, want := string(tub.Records[2].Fields["note"]), `"a \"NaN\" is NaN, Infinity"`; got != want {
		t.Errorf("got note %s, want %s", got, want)
	}
}
