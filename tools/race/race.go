// Package race reports whether a program was built with the race detector. If it was, tests without concurrency
// skip themselves: they would take ten times as long and cannot have races.
package race
