package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain runs the command itself if a test started this program.
func TestMain(m *testing.M) {
	if os.Getenv("IMPRINT_BEAM_TEST") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// imprintBeam runs the command in dir.
func imprintBeam(t *testing.T, dir string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	var out, errs bytes.Buffer
	c.Dir, c.Stdout, c.Stderr = dir, &out, &errs
	c.Env = append(os.Environ(), "IMPRINT_BEAM_TEST=1")
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}

// TestCommand embeds photos, trains on them and evaluates, and checks what goes wrong on the way.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	for label, shade := range map[string]uint8{"dark": 20, "light": 190} {
		if err := os.MkdirAll(filepath.Join(dir, "photos", label), 0o777); err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			img := image.NewGray(image.Rect(0, 0, 24, 24))
			for k := range img.Pix {
				img.Pix[k] = shade + uint8(k*(i+3)%41)
			}
			img.SetGray(i, i, color.Gray{255})
			var b bytes.Buffer
			if err := png.Encode(&b, img); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "photos", label, fmt.Sprint(i, ".png")), b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		args   string
		status int
		want   string // in the first line of output, or in the error output if the command fails
	}{
		{"", 2, "usage:"},
		{"nonsense", 2, `there is no command "nonsense"`},
		{"embed photos", 2, "embed needs --out"},
		{"embed --out out --chunk 0 photos", 2, "--chunk 0"},
		{"embed --out out --resize large photos", 2, "large"},
		{"embed --out out --workers -1 photos", 2, "--workers -1"},
		{"embed --out other --workers 1 --runner direct photos", 1, "starts workers itself"},
		{"embed --out out nowhere", 1, "nowhere"},
		{"fit out", 1, "out"},
		{"evaluate out", 1, "out"},
		{"embed --out out --chunk 5 --workers 2 photos", 0, "embedded 16 photos of 2 classes"},
		{"embed --out out --chunk 5 photos", 1, "already has all embeddings"},
		{"fit --head nonsense out", 2, "nonsense"},
		{"fit --out model out", 0, "trained on 16 photos"},
		{"evaluate", 2, "evaluate needs one folder"},
		{"evaluate --json --support 1,x out", 2, "1,x"},
		{"evaluate --episodes 0 out", 2, "--episodes 0"},
		{"evaluate out", 0, "on 16 photos left out"},
		{"evaluate --json --support 1,2 --episodes 3 out", 0, `{"set":"out","classes":["dark","light"],"photos":16,"results":[{"head":"auto","shots":1,`},
	} {
		status, stdout, stderr := imprintBeam(t, dir, strings.Fields(test.args)...)
		got, _, _ := strings.Cut(stdout, "\n")
		if test.status != 0 {
			got = stderr
		}
		if status != test.status || !strings.Contains(got, test.want) {
			t.Errorf("imprint-beam %s: got status %d and %q, %q, want %d and %q", test.args, status, stdout, stderr, test.status, test.want)
		}
	}
	for _, name := range []string{"model.tflite", "labels.txt"} {
		if info, err := os.Stat(filepath.Join(dir, "model", name)); err != nil || info.Size() == 0 {
			t.Errorf("fit wrote no %s: %v", name, err)
		}
	}
}
