package models

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// tryLock locks f if nobody else holds the lock, and reports whether it did. Closing f
// unlocks it.
func tryLock(f *os.File) (bool, error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// syncDir does nothing: Windows cannot sync a folder.
func syncDir(string) error { return nil }
