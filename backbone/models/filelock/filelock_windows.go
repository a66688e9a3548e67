package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// Try locks f if nobody else holds the lock, and reports whether it did. Closing f
// unlocks it.
func Try(f *os.File) (bool, error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	// On Windows nobody else can read locked bytes, so lock a byte beyond the content.
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// SyncDir does nothing: Windows cannot sync a folder.
func SyncDir(string) error { return nil }
