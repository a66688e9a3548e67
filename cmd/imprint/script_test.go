package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/serve"
)

// These are the script commands. If a command fails, its script fails.

// status CODE COMMAND … runs a command that must exit with that status.
func status(ts *testscript.TestScript, neg bool, args []string) {
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if want := number(ts, args[0]); (got == want) == neg {
		ts.Fatalf("got status %d, want %d", got, want)
	}
}

// photo KIND SEED FILE writes a photo. Photos of the same kind look similar.
func photo(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[2])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	ts.Check(os.WriteFile(path, backbonetest.Photo(uint64(number(ts, args[0])), uint64(number(ts, args[1]))), 0o644))
}

// scene KIND SEED FILE writes a photo, about half of it in the color of its kind and the rest
// covered with random rectangles.
func scene(ts *testscript.TestScript, neg bool, args []string) {
	kind, r := number(ts, args[0]), rand.New(rand.NewPCG(uint64(number(ts, args[1])), 3))
	img := image.NewNRGBA(image.Rect(0, 0, 32, 32))
	for y := range 32 {
		for x := range 32 {
			img.SetNRGBA(x, y, color.NRGBA{uint8(255 * (kind & 1)), uint8(255 * (kind >> 1 & 1)), uint8(255 * (kind >> 2 & 1)), 255})
		}
	}
	for range 3 {
		x0, y0 := r.IntN(24), r.IntN(24)
		c := color.NRGBA{uint8(r.IntN(256)), uint8(r.IntN(256)), uint8(r.IntN(256)), 255}
		for y := y0; y < min(y0+13, 32); y++ {
			for x := x0; x < min(x0+13, 32); x++ {
				img.SetNRGBA(x, y, c)
			}
		}
	}
	path := ts.MkAbs(args[2])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	var b bytes.Buffer
	ts.Check(png.Encode(&b, img))
	ts.Check(os.WriteFile(path, b.Bytes(), 0o644))
}

// rimmed CLASS SEED FILE writes a photo that shows its class only at the left and right edges.
func rimmed(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[2])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	ts.Check(os.WriteFile(path, backbonetest.WidePhoto(number(ts, args[0]), true, uint64(number(ts, args[1]))), 0o644))
}

// model KIND FILE [CLASSES] writes a small model.
func model(ts *testscript.TestScript, neg bool, args []string) {
	var b []byte
	switch args[0] {
	case "extractor":
		b = backbonetest.Extractor()
	case "classifier":
		b = backbonetest.Classifier(number(ts, args[2]))
	case "efficientnet":
		b = backbonetest.EfficientNet(number(ts, args[2]))
	case "detector":
		b = backbonetest.Detector(number(ts, args[2]))
	case "compiled":
		b = compiledModel(ts)
	case "map": // a model whose output is a feature map, not a vector
		m, err := tflite.Parse(backbonetest.Extractor())
		ts.Check(err)
		g := m.Subgraphs[0]
		ts.Check(m.Prune(0, g.Operators[len(g.Operators)-2].Outputs))
		b, err = m.Encode()
		ts.Check(err)
	case "two":
		b = two(ts)
	case "labels": // a classifier with control characters in its labels
		m, err := tflite.Parse(backbonetest.Classifier(2))
		ts.Check(err)
		ts.Check(m.SetAssociatedFile("labels.txt", []byte("red \x1b[31m\nplain\n")))
		b, err = m.Encode()
		ts.Check(err)
	default:
		ts.Fatalf("no model %s", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o644))
}

// compiledModel returns a model that looks compiled for the Edge TPU: its only operator is a custom
// operator, with a damaged program.
func compiledModel(ts *testscript.TestScript) []byte {
	m, err := tflite.Parse(backbonetest.Extractor())
	ts.Check(err)
	g := &m.Subgraphs[0]
	g.Operators = []tflite.Operator{{Opcode: m.OperatorCode(tflite.OpCustom, "edgetpu-custom-op", 1), Inputs: g.Inputs, Outputs: g.Outputs,
		CustomOptions: []byte("not really"), DebugMetadataIndex: -1}}
	b, err := m.Encode()
	ts.Check(err)
	return b
}

// two returns a model with the inputs a and b and the outputs (a+b)+b and a+b, in this order. Each
// tensor has four bytes.
func two(ts *testscript.TestScript) []byte {
	m := &tflite.Model{Version: 3, Buffers: []tflite.Buffer{nil}, Subgraphs: []tflite.Subgraph{{DebugMetadataIndex: -1}}}
	tensor := func(name string) int32 {
		return m.AddTensor(0, tflite.Tensor{Name: name, Shape: []int32{1, 4}, Type: tflite.TypeUint8,
			Quantization: &tflite.Quantization{Scale: []float32{1}, ZeroPoint: []int64{0}}})
	}
	a, b, sum, twice := tensor("a"), tensor("b"), tensor("sum"), tensor("twice")
	g := &m.Subgraphs[0]
	add := func(out int32, in ...int32) {
		g.Operators = append(g.Operators, tflite.Operator{Opcode: m.OperatorCode(tflite.OpAdd, "", 1), Inputs: in, Outputs: []int32{out},
			Options: tflite.AddOptions{}.Options(), DebugMetadataIndex: -1})
	}
	add(sum, a, b)
	add(twice, sum, b)
	g.Inputs, g.Outputs = []int32{a, b}, []int32{twice, sum}
	file, err := m.Encode()
	ts.Check(err)
	return file
}

// raw FILE SIZE writes SIZE bytes 0, 1, 2, … to FILE. raw FILE hex BYTES writes the bytes given in
// hexadecimal.
func raw(ts *testscript.TestScript, neg bool, args []string) {
	var b []byte
	if args[1] == "hex" {
		for _, s := range args[2:] {
			var v byte
			_, err := fmt.Sscanf(s, "%02x", &v)
			ts.Check(err)
			b = append(b, v)
		}
	} else {
		for i := range number(ts, args[1]) {
			b = append(b, byte(i))
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// patch FILE OFFSET BYTE overwrites one byte of a file. A negative offset counts from the end.
func patch(ts *testscript.TestScript, neg bool, args []string) {
	b := []byte(ts.ReadFile(args[0]))
	at := number(ts, args[1])
	if at < 0 {
		at += len(b)
	}
	b[at] = byte(number(ts, args[2]))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// cut FILE SIZE keeps the first SIZE bytes of a file.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	b := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b[:number(ts, args[1])]), 0o644))
}

// same FILE FILE checks that two files have the same bytes. testscript's cmp compares only text.
func same(ts *testscript.TestScript, neg bool, args []string) {
	if (ts.ReadFile(args[0]) == ts.ReadFile(args[1])) == neg {
		ts.Fatalf("%s and %s: got equal %v", args[0], args[1], !neg)
	}
}

// only DIR NAME … checks that a folder contains exactly these files.
func only(ts *testscript.TestScript, neg bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := slices.Sorted(slices.Values(args[1:]))
	if slices.Equal(got, want) == neg {
		ts.Fatalf("%s: got files %q, want %q", args[0], got, want)
	}
}

type keptKey struct{}

// tree returns a hash of a file, or of the names and contents of the files in a folder, except the
// lock file, which every command changes.
func tree(ts *testscript.TestScript, path string) [sha256.Size]byte {
	h := sha256.New()
	ts.Check(filepath.WalkDir(ts.MkAbs(path), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "lock" {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(h, "%s %x\n", path, sha256.Sum256(b))
		return err
	}))
	return [sha256.Size]byte(h.Sum(nil))
}

// keep PATH … records the content of files and folders for kept.
func keep(ts *testscript.TestScript, neg bool, args []string) {
	for _, path := range args {
		ts.Value(keptKey{}).(map[string][sha256.Size]byte)[path] = tree(ts, path)
	}
}

// kept checks that the files and folders given to keep are unchanged.
func kept(ts *testscript.TestScript, neg bool, args []string) {
	for path, was := range ts.Value(keptKey{}).(map[string][sha256.Size]byte) {
		if (tree(ts, path) == was) == neg {
			ts.Fatalf("%s: got unchanged %v", path, !neg)
		}
	}
}

// lock WORKSPACE HOLDER locks a workspace until the script ends, on behalf of the process HOLDER.
func lock(ts *testscript.TestScript, neg bool, args []string) {
	f, err := os.OpenFile(filepath.Join(ts.MkAbs(args[0]), "lock"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	ts.Check(err)
	ts.Check(unix.Flock(int(f.Fd()), unix.LOCK_EX))
	_, err = fmt.Fprintln(f, args[1])
	ts.Check(err)
	ts.Defer(func() { f.Close() })
}

// interrupt LIST STDIN COMMAND … creates the pipe LIST and starts a command that reads it, with a
// standard input that never ends. Once the command has opened the pipe, interrupt writes the words
// of STDIN to the pipe, one per line, and closes it. If STDIN is "-", it does neither. Then it
// interrupts the command, which must exit with status 130.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	ts.Check(unix.Mkfifo(path, 0o600))
	cmd := exec.Command(args[2], args[3:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), append(os.Environ(), "PATH="+ts.Getenv("PATH"), "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"))
	program, err := exec.LookPath(args[2])
	if err == nil {
		cmd.Path, cmd.Err = program, nil
	}
	stdin, err := cmd.StdinPipe()
	ts.Check(err)
	defer stdin.Close()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	ts.Check(cmd.Start())
	// OpenFile returns once the command has opened the other end.
	pipe, err := os.OpenFile(path, os.O_WRONLY, 0)
	ts.Check(err)
	defer pipe.Close()
	if args[1] != "-" {
		_, err := io.WriteString(pipe, strings.ReplaceAll(args[1], " ", "\n")+"\n")
		ts.Check(err)
		ts.Check(pipe.Close())
	}
	ts.Check(cmd.Process.Signal(os.Interrupt))
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 130 {
		ts.Fatalf("got status %d, want 130; stderr: %s", got, &stderr)
	}
	if want := "imprint: error: interrupted; nothing was changed\n"; stderr.String() != want {
		ts.Fatalf("got stderr %q, want %q", &stderr, want)
	}
}

// serve DIR serves the files in DIR over HTTP and sets $URL to their address.
func serveFiles(ts *testscript.TestScript, neg bool, args []string) {
	server := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs(args[0]))))
	ts.Defer(server.Close)
	ts.Setenv("URL", server.URL)
}

// serve-workspace DIR TOKEN runs a server for a workspace and sets $URL to its address.
func serveWorkspace(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithCancel(context.Background())
	server, err := serve.Open(ctx, ts.MkAbs(args[0]), imprint.Options{}, serve.Options{})
	ts.Check(err)
	listener, err := serve.ListenTCP("127.0.0.1:0", args[1])
	ts.Check(err)
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, listener) }()
	ts.Defer(func() {
		cancel()
		ts.Check(<-done)
	})
	ts.Setenv("URL", "http://"+listener.Addr().String())
}

// json FILE KEY … checks that each line of FILE is one JSON object with exactly these keys in this
// order. a.b means key b of the object a, or of the objects in the list a.
func checkJSON(ts *testscript.TestScript, neg bool, args []string) {
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n")
	for _, line := range lines {
		var got []string
		d := json.NewDecoder(strings.NewReader(line))
		ts.Check(keys(d, "", &got))
		if _, err := d.Token(); err != io.EOF {
			ts.Fatalf("more than one value in %s", line)
		}
		if !slices.Equal(got, args[1:]) {
			ts.Fatalf("got keys %q, want %q in %s", got, args[1:], line)
		}
	}
}

// keys appends the keys of the next value of d to a list, without duplicates.
func keys(d *json.Decoder, prefix string, to *[]string) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	switch t {
	case json.Delim('{'):
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return err
			}
			key := prefix + k.(string)
			if !slices.Contains(*to, key) {
				*to = append(*to, key)
			}
			if err := keys(d, key+".", to); err != nil {
				return err
			}
		}
		_, err = d.Token()
	case json.Delim('['):
		for d.More() {
			if err := keys(d, prefix, to); err != nil {
				return err
			}
		}
		_, err = d.Token()
	}
	return err
}
