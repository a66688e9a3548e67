package imprint

import "github.com/imprintkit/imprint/imprint/internal/store"

// Errors of a workspace's files.
var (
	// ErrLabel is wrapped when a name can't be a label.
	ErrLabel = store.ErrLabel
	// ErrCorrupt is wrapped when a file of the workspace is damaged.
	ErrCorrupt = store.ErrCorrupt
	// ErrFull is wrapped when a workspace would become too large for its state file.
	ErrFull = store.ErrFull
	// ErrVersion is wrapped when a newer version of imprint wrote the workspace.
	ErrVersion = store.ErrVersion
	// ErrLocked is wrapped when another process keeps changing the workspace.
	ErrLocked = store.ErrLocked
)
