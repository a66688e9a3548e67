// Package filelock locks files across processes. [Try] locks a file without waiting, and
// [SyncDir] makes renames durable.
package filelock
