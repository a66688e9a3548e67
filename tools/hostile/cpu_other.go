//go:build !unix

package hostile

import "time"

var started = time.Now()

// cpuTime returns the time since the process started, because this system has no portable count of CPU time.
func cpuTime() time.Duration { return time.Since(started) }
