// Package pseudoterminal opens pseudoterminals for tests. Call [Open].
package pseudoterminal

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Open opens a pseudoterminal. What is written to one of its sides is read from the other: user is the
// side of the keyboard and screen, and terminal that of the program. Both are closed at the end of
// the test, which is skipped if the machine has no pseudoterminals.
func Open(t testing.TB) (user, terminal *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("can't open a pseudoterminal:", err)
	}
	t.Cleanup(func() { user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skip("can't open a pseudoterminal:", err)
	}
	t.Cleanup(func() { terminal.Close() })
	return user, terminal
}
