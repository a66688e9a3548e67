package emulator

import "fmt"

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
