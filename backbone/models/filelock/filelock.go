// Package filelock locks files across processes. [Try] locks one without waiting; [SyncDir] makes renames durable.
package filelock
