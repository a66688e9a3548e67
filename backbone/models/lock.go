package models

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/imprintkit/imprint/backbone/models/filelock"
)

// lock acquires an exclusive lock on the file at path, which excludes other processes and
// other calls in this process. It retries at intervals of poll. The empty file is never
// removed, because otherwise two callers could hold locks on two files of the same name.
func lock(ctx context.Context, path string, poll time.Duration) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		locked, err := filelock.Try(f)
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
			return nil, fmt.Errorf("wait for lock %s: %w", path, context.Cause(ctx))
		case <-time.After(poll):
		}
	}
}
