package emulator

import (
	"os"
	"path/filepath"
	"testing"
)

// shared reads a file of the folder of models, traces and recordings that lies beside the checkout, if it does.
func shared(tb testing.TB, name ...string) []byte {
	tb.Helper()
	folder := os.Getenv("IMPRINT_SHARED")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared")
	}
	if _, err := os.Stat(folder); err != nil {
		tb.Skip("the folder shared is not beside the checkout; see IMPRINT_SHARED")
	}
	b, err := os.ReadFile(filepath.Join(append([]string{folder}, name...)...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
