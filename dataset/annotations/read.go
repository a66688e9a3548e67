package annotations

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A file is an annotation file in memory.
type file struct {
	path string
	text []byte
}

// at returns err with the file's path and the given line, which starts at 1.
func (f file) at(line int, err error) error {
	return fmt.Errorf("%w: %s:%d: %w", ErrFormat, f.path, line, err)
}

// line returns the line of an offset in the file.
func (f file) line(offset int64) int {
	offset = min(max(offset, 0), int64(len(f.text)))
	return 1 + bytes.Count(f.text[:offset], []byte("\n"))
}

// A reader adds the photos in a file to c.
type reader func(c *collector, f file) error

// readers has the reader of each extension other than .txt.
var readers = map[string]reader{".xml": readVOC, ".json": readJSON, ".csv": readCSV}

// Read reads the annotations at path. A file is Pascal VOC (.xml), COCO or Label Studio (.json),
// CSV (.csv) or YOLO text (.txt). A folder and its subfolders contain files of one format.
//
//   - CSV has a header with the columns filename, width, height, class, xmin, ymin, xmax and
//     ymax, in any order, and one box a line.
//   - YOLO text has the lines "class x y width height" with relative coordinates of the center.
//     The classes' names come from classes.txt, a file *.names or data.yaml in the
//     same folder or one of the two folders above.
//
// Boxes are cut off at the edge of the photo. The error wraps ErrFormat, or an error of the file
// system.
func Read(path string) (*Set, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	paths := []string{path}
	if info.IsDir() {
		if paths, err = list(path); err != nil {
			return nil, err
		}
	}
	ext := strings.ToLower(filepath.Ext(paths[0]))
	read := readers[ext]
	if ext == ".txt" {
		read = new(yolo).read
	} else if read == nil {
		return nil, fmt.Errorf("%w: %s: the name should end with .xml, .json, .csv or .txt", ErrFormat, path)
	}
	var c collector
	for _, p := range paths {
		f, err := open(p)
		if err == nil {
			err = read(&c, f)
		}
		if err != nil {
			return nil, err
		}
	}
	return newSet(c.photos), nil
}

// list returns the annotation files in a folder and its subfolders, which have one extension.
func list(dir string) ([]string, error) {
	found := map[string][]string{}
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		ext := strings.ToLower(filepath.Ext(path))
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(d.Name(), ".") && path != dir:
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir(), readers[ext] == nil && (ext != ".txt" || !isYOLO(d.Name())):
			return nil
		}
		if n++; n > maxFiles {
			return fmt.Errorf("%w: %s contains more than %d annotation files: divide it", ErrFormat, dir, maxFiles)
		}
		found[ext] = append(found[ext], path)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(found) > 1 {
		delete(found, ".txt") // other formats often come with texts
	}
	var all [][]string
	for _, paths := range found {
		all = append(all, paths)
	}
	slices.SortFunc(all, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	switch len(all) {
	case 0:
		return nil, fmt.Errorf("%w: %s contains no files *.xml, *.json, *.csv or *.txt", ErrFormat, dir)
	case 1:
		return all[0], nil
	}
	return nil, fmt.Errorf("%w: %s contains several formats: choose one, such as %s or %s", ErrFormat, dir, all[0][0], all[1][0])
}

// open reads a regular file of at most maxFile bytes.
func open(path string) (file, error) {
	h, err := os.Open(path)
	if err != nil {
		return file{}, err
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return file{}, err
	}
	if !info.Mode().IsRegular() {
		return file{}, fmt.Errorf("%w: %s is not a regular file", ErrFormat, path)
	}
	text, err := io.ReadAll(io.LimitReader(h, maxFile+1))
	if err != nil {
		return file{}, err
	}
	if len(text) > maxFile {
		return file{}, fmt.Errorf("%w: %s is larger than %d MiB: divide it", ErrFormat, path, maxFile>>20)
	}
	return file{path, bytes.TrimPrefix(text, []byte("\ufeff"))}, nil // Windows editors write this byte order mark
}
