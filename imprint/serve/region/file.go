package region

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

const (
	// version is the version of the file.
	version = 1
	// maxFile limits the file, in bytes.
	maxFile = 64 << 10
)

// file is the content of the file.
type file struct {
	Version int      `json:"version"`
	Regions []Region `json:"regions"`
}

// Path returns the file with the regions of a workspace.
func Path(workspace string) string { return filepath.Join(workspace, "regions.json") }

// Load reads the regions from a file. If it does not exist, there are none. It fails with
// imprint.ErrCorrupt or imprint.ErrVersion if the file can't be used.
func Load(path string) ([]Region, error) {
	content, err := store.ReadFile(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read regions: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	var f file
	err = d.Decode(&f)
	if f.Version > version {
		return nil, fmt.Errorf("read regions from %s: %w", path, imprint.ErrVersion)
	}
	if _, end := d.Token(); err == nil && (f.Version != version || end != io.EOF) {
		err = errors.New("its version or its end is missing")
	}
	if err == nil {
		err = CheckAll(f.Regions)
	}
	if err != nil {
		return nil, fmt.Errorf("read regions from %s: %w: %w", path, imprint.ErrCorrupt, err)
	}
	return f.Regions, nil
}

// Save writes the regions durably. A reader sees either the old file or the new one.
func Save(path string, regions []Region) error {
	content, err := json.MarshalIndent(file{version, regions}, "", "  ")
	if err != nil {
		return err
	}
	return store.WriteFile(path, append(content, '\n'))
}

// CheckAll returns an error that wraps ErrRegion if the regions can't be used together.
func CheckAll(regions []Region) error {
	if len(regions) > Max {
		return fmt.Errorf("%w: there are %d regions: want at most %d", ErrRegion, len(regions), Max)
	}
	named := make(map[string]bool)
	for _, r := range regions {
		if err := r.Check(); err != nil {
			return err
		}
		if named[r.Name] {
			return fmt.Errorf("%w: two regions are named %q", ErrRegion, r.Name)
		}
		named[r.Name] = true
	}
	return nil
}
