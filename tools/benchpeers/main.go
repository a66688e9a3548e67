// Benchpeers times models on the TensorFlow Lite C library and on imprint in turn, on the same cores with the same
// input, and writes what it measured into a document. "make bench-peers" calls it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"

	"github.com/imprintkit/imprint/tools/tflitepeer"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("benchpeers: ")
	// Programs inherit the cores of the thread that starts them.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	rounds := flag.Int("rounds", 7, "times that each side is measured")
	path := flag.String("document", "", "put the result between the marks in this file")
	imprint := flag.String("imprint", "", "the command to measure; empty builds it")
	loop := flag.String("peak", "", "the tests of package kernels, compiled; empty compiles them")
	flag.Parse()
	text, err := measure(ctx, *imprint, peak(*loop), *rounds)
	if err == nil {
		fmt.Print(text)
		if *path != "" {
			err = writeBetweenMarks(*path, text)
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}

// measure returns the tables as Markdown.
func measure(ctx context.Context, imprint string, loop peak, rounds int) (string, error) {
	peer, err := tflitepeer.FromEnvironment()
	if err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp("", "benchpeers")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	if imprint == "" {
		imprint = filepath.Join(scratch, "imprint")
		if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", imprint, "./cmd/imprint").CombinedOutput(); err != nil {
			return "", fmt.Errorf("build imprint: %w: %s", err, out)
		}
	}
	if loop == "" {
		if loop, err = newPeak(ctx, scratch); err != nil {
			return "", err
		}
	}
	b := bench{peer: peer, imprint: imprint, scratch: scratch, peak: loop}
	var rows []row
	for _, m := range models {
		r, err := b.compare(ctx, m, rounds)
		if err != nil {
			return "", fmt.Errorf("model %s: %w", m.name, err)
		}
		log.Print(r)
		rows = append(rows, r)
	}
	machine, err := describeMachine()
	if err != nil {
		return "", err
	}
	return document(machine, rows, rounds), nil
}
