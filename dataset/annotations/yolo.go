package annotations

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// yolo reads YOLO text. It keeps the names of the classes for the next file.
type yolo struct {
	names []string
	dir   string // the folder whose files have these names
}

// namesFiles are the files that may contain the names of the classes, in the order in which
// namesNear tries them.
var namesFiles = []string{"classes.txt", "obj.names", "*.names", "data.yaml", "data.yml"}

// isYOLO reports whether a file *.txt with the given name has boxes.
func isYOLO(name string) bool {
	name = strings.ToLower(name)
	return name != "classes.txt" && !strings.HasPrefix(name, "readme")
}

// read reads the file of one photo. Each line has the number of a class, and the center, width and
// height of a box, relative to the photo's size:
// https://github.com/AlexeyAB/darknet#how-to-train-to-detect-your-custom-objects.
func (y *yolo) read(c *collector, f file) error {
	if dir := filepath.Dir(f.path); y.names == nil || dir != y.dir {
		var err error
		if y.names, err = namesNear(dir); err != nil {
			return err
		}
		y.dir = dir
	}
	return readYOLO(c, f, y.names)
}

func readYOLO(c *collector, f file, names []string) error {
	path, err := cleanPath(strings.TrimSuffix(filepath.ToSlash(f.path), filepath.Ext(f.path)))
	if err != nil {
		return f.at(1, err)
	}
	p := Photo{Path: path}
	n := 0
	for line := range bytes.Lines(f.text) {
		n++
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		b, err := yoloBox(fields, names)
		if err != nil {
			return f.at(n, err)
		}
		p.Boxes = append(p.Boxes, b)
	}
	if err := c.add(p); err != nil {
		return f.at(n, err)
	}
	return nil
}

func yoloBox(fields, names []string) (Box, error) {
	if len(fields) != 5 {
		return Box{}, fmt.Errorf("%d values: want class, x, y, width and height of a box", len(fields))
	}
	class, err := strconv.Atoi(fields[0])
	if err != nil || class < 0 || class >= len(names) {
		return Box{}, fmt.Errorf("class is %q, but names exist for classes 0 to %d: correct it or add its name", fields[0], len(names)-1)
	}
	var v [4]float64
	for i, text := range fields[1:] {
		name := []string{"x", "y", "width", "height"}[i]
		if v[i], err = number(name, text); err != nil {
			return Box{}, err
		}
		if !(v[i] >= 0 && v[i] <= 1) {
			return Box{}, fmt.Errorf("%s is %s: YOLO text has proportions of the photo from 0 to 1, not pixels", name, text)
		}
	}
	return relative(names[class], v[0]-v[2]/2, v[1]-v[3]/2, v[0]+v[2]/2, v[1]+v[3]/2)
}

// namesNear returns the names of the classes for the files in dir.
func namesNear(dir string) ([]string, error) {
	const levels = 3 // dir may be dataset/labels/train
	at := dir
	for range levels {
		for _, pattern := range namesFiles {
			found, err := fs.Glob(os.DirFS(at), pattern)
			if err != nil || len(found) == 0 {
				continue
			}
			f, err := open(filepath.Join(at, found[0]))
			if err != nil {
				return nil, err
			}
			return readNames(f)
		}
		at = filepath.Join(at, "..")
	}
	return nil, fmt.Errorf("%w: %s: no names of classes: write them into classes.txt there, one a line", ErrFormat, dir)
}

// readNames reads names of classes: one a line, or the value of names in a YAML file.
func readNames(f file) ([]string, error) {
	lines := strings.Split(strings.ReplaceAll(string(f.text), "\r\n", "\n"), "\n")
	var names []string
	if ext := strings.ToLower(filepath.Ext(f.path)); ext == ".yaml" || ext == ".yml" {
		names = yamlNames(lines)
	} else {
		for _, line := range lines {
			names = append(names, strings.TrimSpace(line))
		}
		for len(names) > 0 && names[len(names)-1] == "" {
			names = names[:len(names)-1]
		}
	}
	if len(names) == 0 {
		return nil, f.at(1, errors.New("no names of classes: write one a line into classes.txt instead"))
	}
	if i := slices.Index(names, ""); i >= 0 {
		return nil, f.at(i+1, fmt.Errorf("class %d has no name: add it", i))
	}
	return names, nil
}

// yamlNames returns the names in lines of YAML, or nil if they have another form than
// names: [a, b], a list of lines "- a", or lines "0: a" in ascending order.
func yamlNames(lines []string) []string {
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "names:") })
	if at < 0 {
		return nil
	}
	var names []string
	add := func(text string) {
		names = append(names, strings.Trim(strings.TrimSpace(text), `'"`))
	}
	first := strings.TrimSpace(strings.TrimPrefix(lines[at], "names:"))
	if strings.HasPrefix(first, "[") {
		all := strings.TrimSpace(strings.Join(append([]string{first}, lines[at+1:]...), " "))
		all, _, ok := strings.Cut(all[1:], "]")
		if !ok {
			return nil
		}
		for _, name := range strings.Split(all, ",") {
			add(name)
		}
		return names
	}
	for _, line := range lines[at+1:] {
		text := strings.TrimSpace(line)
		if text == "" || text[0] == '#' {
			continue
		}
		if name, ok := strings.CutPrefix(text, "- "); ok {
			add(name)
			continue
		}
		key, name, ok := strings.Cut(text, ":")
		if !ok || line == strings.TrimLeft(line, " \t") || key != strconv.Itoa(len(names)) {
			break
		}
		add(name)
	}
	return names
}
