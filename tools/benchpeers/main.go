// Benchpeers compares the speed of imprint with the TensorFlow Lite C library and with
// LiteRT: it times them in alternating rounds on the same cores with the same input, and
// writes tables into docs/performance.md. Run it with "make bench-peers".
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
	library := flag.Bool("tflite", true, "compare with the TensorFlow Lite C library too, not only with LiteRT")
	model := flag.String("invoke", "", "only time imprint's inferences of `model`, as this program does in other processes")
	repeat := flag.Int("repeat", 100, "`number` of inferences for -invoke")
	flag.Parse()
	if *model != "" {
		if err := invoke(ctx, *model, *repeat, os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	b, err := newBench(ctx, *imprint, peak(*loop))
	if err == nil {
		defer os.RemoveAll(b.scratch)
		err = b.measure(ctx, *path, *rounds, *library)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// newBench finds or builds the programs to measure.
func newBench(ctx context.Context, imprint string, loop peak) (*bench, error) {
	peer, err := tflitepeer.FromEnvironment(tflitepeer.TFLite)
	if err != nil {
		return nil, err
	}
	litert, err := tflitepeer.FromEnvironment(tflitepeer.LiteRT)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "benchpeers")
	if err != nil {
		return nil, err
	}
	if imprint == "" {
		imprint = filepath.Join(scratch, "imprint")
		out, failed := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", imprint, "./cmd/imprint").CombinedOutput()
		if failed != nil {
			err = fmt.Errorf("build imprint: %w: %s", failed, out)
		}
	}
	if loop == "" && err == nil {
		loop, err = newPeak(ctx, scratch)
	}
	if err != nil {
		os.RemoveAll(scratch)
		return nil, err
	}
	return &bench{peer: peer, litert: litert, imprint: imprint, scratch: scratch, peak: loop}, nil
}

// measure measures all models, prints the results as Markdown and, unless path is empty, writes them to that file.
func (b *bench) measure(ctx context.Context, path string, rounds int, library bool) error {
	machine, err := describeMachine()
	if err != nil {
		return err
	}
	write := func(m marks, text string) error {
		fmt.Print(text)
		if path == "" {
			return nil
		}
		return m.write(path, text)
	}
	var rows []row
	var litert []litertRow
	for _, m := range models {
		if library {
			r, err := b.compare(ctx, m, rounds)
			if err != nil {
				return fmt.Errorf("model %s: %w", m.name, err)
			}
			log.Print(r)
			rows = append(rows, r)
		}
		r, err := b.compareLiteRT(ctx, m, rounds)
		if err != nil {
			return fmt.Errorf("model %s with LiteRT: %w", m.name, err)
		}
		litert = append(litert, r)
	}
	if library {
		if err := write(tfliteMarks, document(machine, rows, rounds)); err != nil {
			return err
		}
	}
	return write(litertMarks, litertTable(machine, litert, rounds))
}
