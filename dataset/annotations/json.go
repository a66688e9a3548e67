package annotations

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// readJSON reads COCO, whose outermost value is an object, or Label Studio, whose outermost value
// is an array.
func readJSON(c *collector, f file) error {
	text := bytes.TrimSpace(f.text)
	switch {
	case len(text) > 0 && text[0] == '{':
		return readCOCO(c, f)
	case len(text) > 0 && text[0] == '[':
		return readLabelStudio(c, f)
	}
	return f.at(1, errors.New("the file is neither COCO nor Label Studio JSON: export the annotations again"))
}

// A jsonFile decodes a file step by step, and knows where it is.
type jsonFile struct {
	file
	d *json.Decoder
}

func newJSONFile(f file) *jsonFile {
	return &jsonFile{f, json.NewDecoder(bytes.NewReader(f.text))}
}

// fail returns err with the line on which the next element starts.
func (j *jsonFile) fail(err error) error {
	next := j.text[j.d.InputOffset():]
	start := len(j.text) - len(bytes.TrimLeft(next, " \t\r\n,"))
	return j.at(j.line(int64(start)), err)
}

// each decodes the elements of an array, and calls use after each with the line on which it ends.
func each[T any](j *jsonFile, use func(v *T, line int) error) error {
	if t, err := j.d.Token(); err != nil {
		return j.fail(err)
	} else if t != json.Delim('[') {
		return j.fail(fmt.Errorf("found %v instead of an array", t))
	}
	lines := lineCounter{text: j.text, line: 1}
	for j.d.More() {
		v := new(T)
		if err := j.d.Decode(v); err != nil {
			return j.fail(err)
		}
		line := lines.at(j.d.InputOffset())
		if err := use(v, line); err != nil {
			return j.at(line, err)
		}
	}
	if _, err := j.d.Token(); err != nil {
		return j.fail(err)
	}
	return nil
}

// A lineCounter finds the lines of ascending offsets in linear time.
type lineCounter struct {
	text []byte
	from int64
	line int
}

func (l *lineCounter) at(offset int64) int {
	l.line += bytes.Count(l.text[l.from:offset], []byte("\n"))
	l.from = offset
	return l.line
}

// cocoBox is an element of "annotations".
type cocoBox struct {
	Image    int64     `json:"image_id"`
	Category int64     `json:"category_id"`
	Bounds   []float64 `json:"bbox"` // x, y, width and height in pixels
	Crowd    int       `json:"iscrowd"`

	line int
}

// readCOCO reads the format of the COCO challenges: https://cocodataset.org/#format-data. It
// skips annotations of crowds.
func readCOCO(c *collector, f file) error {
	j := newJSONFile(f)
	photos := map[int64]*Photo{}
	var order []int64
	var boxes []cocoBox
	names := map[int64]string{}
	readers := map[string]func() error{
		"images": func() error {
			return each(j, func(v *struct {
				ID     *int64  `json:"id"`
				Name   string  `json:"file_name"`
				Width  float64 `json:"width"`
				Height float64 `json:"height"`
			}, _ int) error {
				path, err := cleanPath(v.Name)
				if err == nil {
					err = size{v.Width, v.Height}.check()
				}
				switch {
				case err != nil:
					return err
				case v.ID == nil || photos[*v.ID] != nil:
					return errors.New("the image has no id of its own: give each image another id")
				}
				photos[*v.ID] = &Photo{Path: path, Width: int(v.Width), Height: int(v.Height)}
				order = append(order, *v.ID)
				return nil
			})
		},
		"annotations": func() error {
			return each(j, func(v *cocoBox, line int) error {
				if v.line = line; v.Crowd == 0 {
					boxes = append(boxes, *v)
				}
				if len(boxes) > maxBoxes {
					return fmt.Errorf("more than %d boxes: divide the annotations", maxBoxes)
				}
				return nil
			})
		},
		"categories": func() error {
			return each(j, func(v *struct {
				ID   int64  `json:"id"`
				Name string `json:"name"`
			}, _ int) error {
				names[v.ID] = v.Name
				return nil
			})
		},
	}
	if err := eachKey(j, readers); err != nil {
		return err
	}
	for i := range boxes {
		b := &boxes[i]
		if err := b.addTo(photos[b.Image], names); err != nil {
			return f.at(b.line, err)
		}
	}
	for _, id := range order {
		if err := c.add(*photos[id]); err != nil {
			return f.at(1, err)
		}
	}
	return nil
}

// eachKey reads an object. It calls the reader of each key, all of which must occur once, and
// skips other keys.
func eachKey(j *jsonFile, readers map[string]func() error) error {
	if _, err := j.d.Token(); err != nil { // the brace
		return j.fail(err)
	}
	seen := map[string]bool{}
	for j.d.More() {
		key, err := j.d.Token()
		if err != nil {
			return j.fail(err)
		}
		name, _ := key.(string) // a key is always a string
		if read := readers[name]; read != nil && !seen[name] {
			err = read()
		} else {
			var skipped json.RawMessage
			if err = j.d.Decode(&skipped); err != nil {
				err = j.fail(err)
			}
		}
		if err != nil {
			return err
		}
		seen[name] = true
	}
	if _, err := j.d.Token(); err != nil {
		return j.fail(err)
	}
	for _, name := range []string{"images", "annotations", "categories"} {
		if !seen[name] {
			return j.at(1, fmt.Errorf("no key %q, which COCO has: export the annotations again", name))
		}
	}
	return nil
}

// addTo adds b to its photo, which is nil if it does not exist.
func (b *cocoBox) addTo(p *Photo, names map[int64]string) error {
	switch {
	case p == nil:
		return fmt.Errorf("image_id is %d, but no image has this id: correct it or delete the annotation", b.Image)
	case names[b.Category] == "":
		return fmt.Errorf("category_id is %d, but no category has this id and a name: correct it or delete the annotation", b.Category)
	case len(b.Bounds) != 4:
		return fmt.Errorf("bbox has %d numbers: want x, y, width and height", len(b.Bounds))
	}
	x, y := b.Bounds[0], b.Bounds[1]
	box, err := size{float64(p.Width), float64(p.Height)}.pixels(names[b.Category], x, y, x+b.Bounds[2], y+b.Bounds[3])
	p.Boxes = append(p.Boxes, box)
	return err
}
