package tflite

import (
	"errors"
	"fmt"
	"os"
)

// ErrNotRegular is wrapped when the path of a model is not that of a regular file.
var ErrNotRegular = errors.New("not a regular file")

// ReadFile reads the model file at path without parsing it. It returns an error if path
// is not a regular file or the file is larger than MaxFileSize.
func ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: %w", path, ErrNotRegular)
	}
	if info.Size() > MaxFileSize {
		return nil, fmt.Errorf("read %s: the file has %d bytes, the limit is %d", path, info.Size(), MaxFileSize)
	}
	return os.ReadFile(path)
}
