package models

import (
	"context"
	"fmt"
	"os"
	"time"
)

// lock waits until this process, and this call within it, alone holds the lock on path, looking every poll. The empty
// file stays: removing it would let two others hold locks on two files of one name.
func lock(ctx context.Context, path string, poll time.Duration) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		locked, err := tryLock(f)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if locked {
			return func() { f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for %s: %w", path, context.Cause(ctx))
		case <-time.After(poll):
		}
	}
}
