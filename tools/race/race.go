// Package race tells whether a program was built with the race detector. If it was, tests without concurrency are
// skipped: they would take ten times as long and cannot have races.
package race
