package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
)

func TestWriteBetweenMarks(t *testing.T) {
	begin, end := tfliteMarks.begin, tfliteMarks.end
	for _, tt := range []struct{ name, file, want string }{
		{"first time", "a\n" + begin + end + "z\n", "a\n" + begin + "new\n" + end + "z\n"},
		{"again", begin + "old\nold\n" + end, begin + "new\n" + end},
		{"no marks", "a\n", ""},
		{"no end", begin + "a\n", ""},
		{"end before begin", end + begin, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "document.md")
			if err := os.WriteFile(path, []byte(tt.file), 0o644); err != nil {
				t.Fatal(err)
			}
			err := tfliteMarks.write(path, "new\n")
			got, _ := os.ReadFile(path)
			if tt.want == "" {
				if err == nil || string(got) != tt.file {
					t.Errorf("got %q and error %v, want an error and no change", got, err)
				}
			} else if err != nil || string(got) != tt.want {
				t.Errorf("got %q and error %v, want %q", got, err, tt.want)
			}
		})
	}
}

// TestDocumentHasMarks checks that docs/performance.md has the marks.
func TestDocumentHasMarks(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []marks{tfliteMarks, litertMarks} {
		if i, j := strings.Index(string(b), m.begin), strings.Index(string(b), m.end); i < 0 || j < i {
			t.Errorf("docs/performance.md lacks the marks %q and %q", m.begin, m.end)
		}
	}
}

func TestDifference(t *testing.T) {
	for _, tt := range []struct {
		got, want []byte
		text      string
	}{
		{[]byte{1, 2}, []byte{1, 2}, equal},
		{[]byte{1, 2, 3}, []byte{1, 4, 2}, "2 of 3 values differ, by up to 2"},
		{[]byte{0xff}, []byte{1}, "1 of 1 values differ, by up to 2"}, // −1 and 1
		{[]byte{1}, []byte{1, 2}, "1 values, want 2"},
	} {
		if got := difference(tt.got, tt.want); got != tt.text {
			t.Errorf("difference(%v, %v) = %q, want %q", tt.got, tt.want, got, tt.text)
		}
	}
}

func TestCountMACs(t *testing.T) {
	m, err := tflite.Parse(backbonetest.Extractor())
	if err != nil {
		t.Fatal(err)
	}
	// Outputs times weights per output: CONV_2D 3×3 of 3 channels, DEPTHWISE_CONV_2D 3×3, CONV_2D 1×1 of 16 channels.
	if got, want := countMACs(m), 16*16*16*27+16*16*16*9+16*16*48*16; got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

func TestDocument(t *testing.T) {
	rows := []row{
		{model: model{name: "extractor"}, macs: 500e6, ours: [2]time.Duration{10e6, 5e6}, theirs: [2]time.Duration{60e6, 40e6},
			speedup: [2]float64{6, 8}, scaling: 2, peakFraction: 0.5, peakRate: 100, bytes: equal},
		{model: model{name: "signed", xnnpack: true}, macs: 3e6, ours: [2]time.Duration{2e6, 1e6}, theirs: [2]time.Duration{3e6, 3e6},
			speedup: [2]float64{1.5, 3}, scaling: 2, bytes: equal, xnnpackBytes: "1 of 9 values differ, by up to 1"},
	}
	text := document("A machine.", rows, 7)
	for _, want := range []string{
		"A machine.\n", "medians of 7 alternating rounds",
		"| extractor | 500 | default | 60.00 | 10.00 | **6.0×** | 40.00 | 5.00 | **8.0×** | 2.00× | equal |\n",
		"| signed | 3 | XNNPACK | 3.00 | 2.00 | **1.5×** |", "XNNPACK's output for signed, compared with the default kernels': 1 of 9 values differ, by up to 1.\n",
		"imprint runs extractor at 50 GMAC/s, 50 % of the 100 GMAC/s",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the document lacks %q:\n%s", want, text)
		}
	}
	rows[0].peakRate = 0
	if text := document("", rows, 7); strings.Contains(text, "%") {
		t.Errorf("the document has a fraction of the peak, although no peak was measured:\n%s", text)
	}
}

func TestLiteRTTable(t *testing.T) {
	row := litertRow{name: "extractor", ours: cpuTimes{9e6, 11e6}, theirs: cpuTimes{18e6, 33e6}, medians: 2.75, bytes: equal}
	text := litertTable("A machine.", []litertRow{row}, 7)
	for _, want := range []string{
		"A machine.\n", "median of 21 alternating turns", "| extractor | 18.00 | 9.00 | **2.00×** | 33.00 | 11.00 | **2.75×** | equal |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
}

func TestBestRate(t *testing.T) {
	const out = "goos: linux\nBenchmarkWordsPeak-2   \t    1000\t     98304 ns/op\t        85.25 GMAC/s\t       0 B/op\nBenchmarkBytesPeak \t 9 \t 1.00 GMAC/s\nPASS\n"
	if got, err := bestRate([]byte(out)); err != nil || got != 85.25 {
		t.Errorf("got %v and error %v, want 85.25", got, err)
	}
	if got, err := bestRate([]byte("PASS\n")); err != nil || got != 0 {
		t.Errorf("without a benchmark: got %v and error %v, want 0", got, err)
	}
}

func TestInvoke(t *testing.T) {
	if _, err := processTime(); err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "extractor.tflite")
	if err := os.WriteFile(path, backbonetest.Extractor(), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := tflite.Parse(backbonetest.Extractor())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := invoke(t.Context(), path, 3, bytes.NewReader(noise(m)), &out); err != nil {
		t.Fatal(err)
	}
	var got cpuTimes
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Best <= 0 || got.Median < got.Best {
		t.Errorf("got %s and error %v, want 0 < best <= median", out.Bytes(), err)
	}
	if err := invoke(t.Context(), path, 3, bytes.NewReader(nil), &out); err == nil {
		t.Error("no error without an input")
	}
}
