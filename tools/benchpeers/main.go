// Benchpeers compares the speed of imprint with the TensorFlow Lite C library: it times
// both in alternating rounds on the same cores with the same input, and writes a table
// into docs/performance.md. Run it with "make bench-peers".
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
	// Programs inherit the CPU affinity of the thread that starts them.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	rounds := flag.Int("rounds", 7, "`number` of measurements of each program")
	path := flag.String("document", "", "write the result between the marks in `file`")
	imprint := flag.String("imprint", "", "imprint `command` to measure (default: build it)")
	loop := flag.String("peak", "", "compiled tests of package kernels (default: compile them)")
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

// measure measures all models and returns the result as Markdown.
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
