package tflite

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSetLabels(t *testing.T) {
	labels := []string{"Katze 🐈", "", "50 limit", " dog"}
	for name, m := range map[string]*Model{"new": smallModel(), "described": describedModel(t)} {
		t.Run(name, func(t *testing.T) {
			before, err := m.Describe()
			if err != nil {
				t.Fatal(err)
			}
			root, _, err := m.readMetadata()
			if err != nil {
				t.Fatal(err)
			}
			if err := m.SetLabels(labels); err != nil {
				t.Fatal(err)
			}
			if got, err := m.Labels(); err != nil || !slices.Equal(got, labels) {
				t.Errorf("got labels %q, %v, want %q", got, err, labels)
			}
			files, err := m.AssociatedFiles()
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(files, func(f AssociatedFile) bool { return f.Name == "labels.txt" })
			if i < 0 || string(files[i].Content) != "Katze 🐈\n\n50 limit\n dog\n" {
				t.Errorf("got associated files %q", files)
			}
			after, err := m.Describe()
			if err != nil {
				t.Fatal(err)
			}
			wantOutputs := []TensorDescription{{Files: []string{"labels.txt"}}}
			if name == "described" {
				wantOutputs = []TensorDescription{{Name: "probability", Files: []string{"labels.txt", "calibration.csv"}}}
				if len(files) != 3 {
					t.Errorf("got associated files %q, want all but old.txt", files)
				}
				now, _, err := m.readMetadata()
				if err != nil {
					t.Fatal(err)
				}
				was, is := root.tables(mmSubgraphs)[0], now.tables(mmSubgraphs)[0]
				if !reflect.DeepEqual(was.v[smInputs], is.v[smInputs]) || !reflect.DeepEqual(was.v[smFiles], is.v[smFiles]) {
					t.Error("the metadata of the input or of the subgraph changed")
				}
			} else {
				before.Inputs = []TensorDescription{{}}
			}
			before.Outputs = wantOutputs
			if !reflect.DeepEqual(after, before) {
				t.Errorf("got description %+v, want %+v", after, before)
			}
			if got, _ := m.MetadataEntry("min_runtime_version"); string(got) != "1.5.0\x00\x00\x00" {
				t.Errorf("min_runtime_version is %q", got)
			}
			out := roundTrip(t, m)
			// Setting the same labels again does not change the file.
			if err := m.SetLabels(labels); err != nil {
				t.Fatal(err)
			}
			if again := roundTrip(t, m); !bytes.Equal(out, again) {
				t.Error("setting the same labels again changed the file")
			}
		})
	}
}

func TestSetLabelsErrors(t *testing.T) {
	many := smallModel()
	for i := range maxArchiveFiles {
		if err := many.SetAssociatedFile(string(rune('a'+i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	noOutput := smallModel()
	noOutput.Subgraphs[0].Outputs = nil
	for _, test := range []struct {
		name   string
		m      *Model
		labels []string
	}{
		{"none", smallModel(), nil},
		{"line feed", smallModel(), []string{"a\nb"}},
		{"carriage return", smallModel(), []string{"a\r"}},
		{"not UTF-8", smallModel(), []string{"\xff"}},
		{"byte order mark", smallModel(), []string{"\ufeffa"}},
		{"too long", smallModel(), []string{strings.Repeat("x", maxArchiveFile)}},
		{"too many files", many, []string{"a"}},
		{"no output", noOutput, []string{"a"}},
	} {
		before := *test.m
		if err := test.m.SetLabels(test.labels); err == nil {
			t.Errorf("%s: SetLabels returned no error", test.name)
		}
		if !reflect.DeepEqual(&before, test.m) {
			t.Errorf("%s: the model changed", test.name)
		}
	}
}

// TestLabelsWithoutMetadata checks that, without metadata, labels come from the only text
// file that can contain them.
func TestLabelsWithoutMetadata(t *testing.T) {
	for _, test := range []struct {
		name  string
		files []string
		want  string // file with the labels; "" for none
	}{
		{"no files", nil, ""},
		{"labels among others", []string{"LICENSE.txt", "My_Labels.TXT"}, "My_Labels.TXT"},
		{"one text", []string{"a.bin", "imagenet.txt"}, "imagenet.txt"},
		{"two texts", []string{"a.txt", "b.txt"}, ""},
		{"two labels", []string{"labels_de.txt", "labels_en.txt"}, ""},
		{"no text", []string{"labels.bin"}, ""},
	} {
		m := smallModel()
		for _, f := range test.files {
			if err := m.SetAssociatedFile(f, []byte(f)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := m.Labels()
		if test.want == "" {
			if !errors.Is(err, ErrNoLabels) {
				t.Errorf("%s: got %q, %v, want ErrNoLabels", test.name, got, err)
			}
		} else if err != nil || !slices.Equal(got, []string{test.want}) {
			t.Errorf("%s: got %q, %v, want %q", test.name, got, err, test.want)
		}
	}
}

func TestSplitLabels(t *testing.T) {
	for content, want := range map[string][]string{
		"":               {""},
		"a":              {"a"},
		"a\n":            {"a"},
		"a\r\nb":         {"a", "b"},
		"a\r\nb\r\n":     {"a", "b"},
		"\ufeffa\nb\n\n": {"a", "b", ""},
		"a\n\nb\n":       {"a", "", "b"},
	} {
		if got, err := splitLabels([]byte(content)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v, want %q", content, got, err, want)
		}
	}
	if _, err := splitLabels([]byte("\xff")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("not UTF-8: got error %v, want ErrCorrupt", err)
	}
}

func TestLabelsFileMissing(t *testing.T) {
	m := describedModel(t)
	if err := m.RemoveAssociatedFile("old.txt"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Labels(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
}

func TestSharedModelsLabels(t *testing.T) {
	for name, file := range sharedModels(t) {
		m, err := Parse(file)
		if err != nil {
			t.Fatal(err)
		}
		labels, err := m.Labels()
		files, ferr := m.AssociatedFiles()
		if ferr != nil {
			t.Fatal(ferr)
		}
		if len(files) == 0 {
			if !errors.Is(err, ErrNoLabels) {
				t.Errorf("%s: got %q, %v, want ErrNoLabels", name, labels, err)
			}
			continue
		}
		if err != nil || len(labels) != 1001 || labels[0] != "background" {
			t.Errorf("%s: got %d labels, %v, want 1001 that start with background", name, len(labels), err)
		}
	}
}
