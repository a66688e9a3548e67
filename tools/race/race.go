// Package race tells whether a program was built with the race detector. Tests in which nothing runs concurrently are
// skipped then: they would take ten times as long, and there is nothing to detect.
package race
