// Command asm generates the amd64 assembly of package kernels. To use it, run go generate
// in the folder of that package. It is a separate module so that users of package kernels
// do not depend on the generator.
package main

import (
	"flag"
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("!purego")
	one := ones()
	for _, rows := range []int{tileRows, 1} {
		for _, vectors := range []int{2, 1} {
			words(rows, vectors)
			bytes(rows, vectors, one)
			vnni(rows, vectors)
		}
	}
	groups := order()
	directOrder()
	for _, rows := range []int{wideRows, 1} {
		for _, channels := range []int{32, 16} {
			wide(rows, channels, false, groups)
			wide(rows, channels, true, groups)
		}
	}
	wide(wideRows, 24, false, groups)
	wide(wideRows, 24, true, groups)
	for _, quads := range []int{4, 6, 7, 8} {
		shallow(quads, 1)
		shallow(quads, 2)
	}
	for _, signed := range []bool{false, true} {
		for _, half := range []bool{false, true} {
			wideWindows(signed, false, half, false)
			wideWindows(signed, false, half, true)
		}
	}
	wideWindows(false, true, false, false)
	flip()
	tails()
	add(false)
	add(true)
	wideAdd(false, groups)
	wideAdd(true, groups)
	widen(false)
	widen(true)
	for _, channels := range []int{16, 8} {
		windows(channels, false)
		windows(channels, true)
	}
	peak()
	widePeak()
	Generate()
	if err := rewrite(flag.Lookup("out").Value.String()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// rewrite edits the named assembly file. It encodes the instructions that Go's assembler
// does not know.
func rewrite(name string) error {
	source, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, encodeDots(source), 0o644)
}
