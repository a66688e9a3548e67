package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadList(t *testing.T) {
	base := filepath.Join("some", "where")
	at := func(p string) string { return filepath.Join(base, p) }
	tests := []struct {
		name, text string
		want       []Item
	}{
		{"empty", "", nil},
		{"paths", "a.jpg\n\n  \n# no.jpg\n  # no.jpg\nb.png", []Item{{Path: at("a.jpg")}, {Path: at("b.png")}}},
		{"labels", "a.jpg\tred cone\nb.jpg,blue\nc.jpg, left, right \n", []Item{{Path: at("a.jpg"), Label: "red cone"}, {Path: at("b.jpg"), Label: "blue"}, {Path: at("c.jpg"), Label: "left, right"}}},
		{"commas in paths", "a,b.jpg\na,b.jpg,c\na,b\tc\na,b\n", []Item{{Path: at("a,b.jpg")}, {Path: at("a,b.jpg"), Label: "c"}, {Path: at("a,b"), Label: "c"}, {Path: at("a,b")}}},
		{"windows", "\ufeffa.jpg\tx\r\nb.jpg\r\n", []Item{{Path: at("a.jpg"), Label: "x"}, {Path: at("b.jpg")}}},
		{"quotes", "\"a, b.jpg\",\"red cone\"\n\"c.jpg\"\nd.jpg,\"left, \"\"right\"\"\"\n\"0001\";x\n\"say.jpg\n", []Item{{Path: at("a, b.jpg"), Label: "red cone"}, {Path: at("c.jpg")}, {Path: at("d.jpg"), Label: `left, "right"`}, {Path: at("0001"), Label: "x"}, {Path: at(`"say.jpg`)}}},
		{"semicolons", "a.jpg;cone\nb;c.jpg\n", []Item{{Path: at("a.jpg"), Label: "cone"}, {Path: at("b;c.jpg")}}},
		{"header", "\ufefffilename,width,height,class\r\na.jpg,4,3,cone\r\n\"b, c.jpg\",4,3,\"traffic cone\"\r\n", []Item{{Path: at("a.jpg"), Label: "cone"}, {Path: at("b, c.jpg"), Label: "traffic cone"}}},
		{"header with the label first", "Label;Image Path\ncone;0001\n", []Item{{Path: at("0001"), Label: "cone"}}},
		{"header of tabs without label", "id\tfile_name\n1\ta.jpg\n2\tb.jpg\n", []Item{{Path: at("a.jpg")}, {Path: at("b.jpg")}}},
		{"decomposed label", "a.jpg\tcafe\u0301\n", []Item{{Path: at("a.jpg"), Label: "caf\u00e9"}}},
		{"absolute", "/x/a.jpg", []Item{{Path: "/x/a.jpg"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadList(strings.NewReader(tt.text), base)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestReadListErrors(t *testing.T) {
	broken := errors.New("broken pipe")
	for words, r := range map[string]io.Reader{
		"line 3: no path":          strings.NewReader("label,path\ncone,a.jpg\ncone\n"),
		"line 2: no path":          strings.NewReader("a.jpg\n\tcat\n"),
		"line 1: contains a NUL":   strings.NewReader("a.jpg\tcat\x00\n"),
		"line 2: longer than 8192": strings.NewReader("a.jpg\n" + strings.Repeat("a", maxListLine+1)),
		"more than 1048576":        strings.NewReader(strings.Repeat("a\n", maxListItems+1)),
		"broken pipe":              iotest.ErrReader(broken),
	} {
		items, err := ReadList(r, "")
		if err == nil || items != nil || !strings.Contains(err.Error(), words) {
			t.Errorf("got %d items and %v, want an error with %q", len(items), err, words)
		}
	}
}

// TestReadListMemory reads lists whose lines are short, quoted or a long header. It counts all memory, also what is free
// again.
func TestReadListMemory(t *testing.T) {
	for name, list := range map[string]string{
		"short lines":  strings.Repeat("a\n", 200_000),
		"quoted lines": strings.Repeat("\"\n", 20_000),
		"many columns": strings.Repeat("file_,", 1000),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := ReadList(strings.NewReader(list), "photos"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(8<<20+512*len(list)); got > most {
			t.Errorf("%s: allocated %d bytes for %d, want at most %d", name, got, len(list), most)
		}
	}
}

func TestReadStdin(t *testing.T) {
	l := Limits{MaxPixels: 1000, MaxBytes: 4000}
	photo := asPNG(t, corners(8, 6))
	items, err := ReadStdin(bytes.NewReader(photo), "", l)
	if want := []Item{{Path: "-", Content: photo}}; err != nil || !reflect.DeepEqual(items, want) {
		t.Errorf("photo: got %v, error %v, want %v", items, err, want)
	}
	items, err = ReadStdin(strings.NewReader("a.jpg\tcat\n"), "dir", l)
	if want := []Item{{Path: filepath.Join("dir", "a.jpg"), Label: "cat"}}; err != nil || !reflect.DeepEqual(items, want) {
		t.Errorf("list: got %v, error %v, want %v", items, err, want)
	}
	for name, tt := range map[string]struct {
		r    io.Reader
		want error
	}{
		"nothing":  {strings.NewReader(""), ErrEmpty},
		"heic":     {strings.NewReader("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), ErrHEIC},
		"binary":   {strings.NewReader("\x7fELF\x02\x01\x01\x00"), ErrFormat},
		"too long": {bytes.NewReader(append(photo, make([]byte, 4000)...)), ErrTooLarge},
	} {
		if items, err := ReadStdin(tt.r, "", l); !errors.Is(err, tt.want) || items != nil {
			t.Errorf("%s: got %v, %v, want %v", name, items, err, tt.want)
		}
	}
}

func FuzzReadList(f *testing.F) {
	f.Add("a.jpg\tcat\nb,c.png,dog\n# x\n\n/abs.gif")
	f.Add("\ufeff,\n")
	f.Add("class;path\n\"x\"\"y\";\"a, b.jpg\"\n")
	f.Add("\"a, b.jpg\",\"x\"\nc.jpg;\"y\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		items, err := ReadList(strings.NewReader(text), "")
		if err != nil {
			return
		}
		// Writing the items as a list and reading the list again must return the same items.
		var b strings.Builder
		b.WriteString("# only the first line may start with a byte order mark\n")
		for _, item := range items {
			if item.Path == "" || strings.ContainsAny(item.Path+item.Label, "\x00\n") {
				t.Fatalf("got invalid item %q", item)
			}
			if strings.HasPrefix(item.Path, "#") || strings.Contains(item.Path, "\t") || item.Path != strings.TrimSpace(item.Path) || len(item.Path)+len(item.Label) > maxListLine/2 {
				return // cleaning a path can produce a path that a list cannot contain
			}
			fmt.Fprintf(&b, "%s\t%s\n", item.Path, item.Label)
		}
		again, err := ReadList(strings.NewReader(b.String()), "")
		if err != nil || !reflect.DeepEqual(again, items) {
			t.Fatalf("got %q, %v, want %q", again, err, items)
		}
	})
}
