package emulator

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// sharedFolder returns the folder of reference files. It skips the test if it does not exist.
func sharedFolder(tb testing.TB) string {
	tb.Helper()
	folder := os.Getenv("IMPRINT_SHARED")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared")
	}
	if _, err := os.Stat(folder); err != nil {
		tb.Skip("no reference files next to the checkout (set IMPRINT_SHARED)")
	}
	return folder
}

// shared reads a reference file.
func shared(tb testing.TB, name ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{sharedFolder(tb)}, name...)...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// difference summarizes how two outputs differ.
func difference(got, want []byte) string {
	if len(got) != len(want) {
		return fmt.Sprintf("got %d bytes, want %d", len(got), len(want))
	}
	n, largest := 0, 0
	for i := range got {
		if got[i] != want[i] {
			n++
			largest = max(largest, int(got[i])-int(want[i]), int(want[i])-int(got[i]))
		}
	}
	return fmt.Sprintf("%d of %d bytes differ, by at most %d", n, len(got), largest)
}
