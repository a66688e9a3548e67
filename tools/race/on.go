//go:build race

package race

// Enabled is true if the program was built with the race detector (go test -race).
const Enabled = true
