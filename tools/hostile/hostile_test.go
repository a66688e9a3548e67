package hostile

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// TestModel checks that without edits a model stays the same, and that most changed models pass the checks that every
// reader makes first.
func TestModel(t *testing.T) {
	seed := backbonetest.Classifier(3)
	if !bytes.Equal(Model(seed, nil), seed) {
		t.Error("no edits: got another model")
	}
	const n = 300
	valid, different := 0, make(map[string]bool)
	for i := range n {
		b := Model(seed, numbered(2, i)[1:])
		different[string(b)] = true
		if tflite.Verify(b) == nil {
			valid++
		}
	}
	if valid < n*3/4 || len(different) < n*3/4 {
		t.Errorf("of %d models, %d are valid and %d different, want at least three quarters", n, valid, len(different))
	}
}

func TestPhoto(t *testing.T) {
	for _, seed := range [][]byte{backbonetest.Photo(1, 1), []byte("\xff\xd8\xff\xdb\x00\x04ab\xff\xda\x00\x03xdata\xff\xd9"), []byte("RIFF\x0e\x00\x00\x00WEBPVP8 \x01\x00\x00\x00x\x00"), []byte("P6 1 1 255\nrgb")} {
		if got := Photo(seed, nil); !bytes.Equal(got, seed) {
			t.Errorf("%.12q without edits: got %q", seed, got)
		}
	}
}

func TestLines(t *testing.T) {
	text := []byte("{\"a\": [1]}\nname: 2\n")
	if got := Lines(text, nil); !bytes.Equal(got, text) {
		t.Errorf("no edits: got %q", got)
	}
	// Edit kind 1 of line 0 replaces the third value, counted depth first, by null.
	if got, want := string(Lines(text, []byte{1, 3, 0, 0, 0, 0, 0, 0})), "{\"a\":[null]}\nname: 2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// Edit kind 129 copies an element of a list, here of the inner one. The outer list must not copy it again.
	nested := []byte("[[1],2]")
	if got, want := string(Lines(nested, []byte{129, 18, 0, 0, 1, 0, 0, 0})), "[[1,1,1],2]\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestPanics is the test of which TestCampaign runs a campaign. One edit in 256 makes it panic.
func TestPanics(t *testing.T) {
	if os.Getenv(timeEnv)+os.Getenv(caseEnv)+os.Getenv(partEnv) == "" {
		t.Skip("TestCampaign runs this test in another process")
	}
	Run(t, 0, func(c *Case) {
		for _, e := range parseEdits(c.Edits) {
			if e.kind == 7 {
				c.Do("loop", 1<<20, func(ctx context.Context) { panic("edit of kind 7") })
			}
		}
	})
}

// TestCampaign runs a short campaign that finds a panic, and checks what it writes.
func TestCampaign(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestPanics$")
	cmd.Env = append(os.Environ(), timeEnv+"=1ms", dirEnv+"="+dir)
	for range 20 { // each adds up to a hundred cases
		cmd := *cmd
		cmd.CombinedOutput() // fails if it finds something
	}
	c := campaign{Record: Record{Target: "TestPanics"}, dir: dir}
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	const kind = "panic: edit of kind N [recovered, repanicked]"
	f := c.Findings[kind]
	if len(c.Findings) != 1 || f.Count == 0 || len(f.Case) != 2*(1+editSize) || f.Case[2:4] != "07" {
		t.Errorf("got findings %v, want one that begins with %q, with a case of one edit of kind 7", c.Findings, kind)
	}
	if out, err := os.ReadFile(filepath.Join(dir, f.File)); err != nil || !strings.Contains(string(out), "edit of kind 7") {
		t.Errorf("output: got %.200q, %v", out, err)
	}
	if c.Executions < 20 || c.CPUSeconds <= 0 {
		t.Errorf("got %d executions in %v s", c.Executions, c.CPUSeconds)
	}
}
