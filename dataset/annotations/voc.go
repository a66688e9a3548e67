package annotations

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// vocObject is an object element. Numbers are strings, because some tools write spaces around
// them.
type vocObject struct {
	Name   string `xml:"name"`
	Bounds *struct {
		XMin string `xml:"xmin"`
		YMin string `xml:"ymin"`
		XMax string `xml:"xmax"`
		YMax string `xml:"ymax"`
	} `xml:"bndbox"`

	line int
}

func (o *vocObject) box(s size) (Box, error) {
	if o.Bounds == nil {
		return Box{}, errors.New("the object has no bndbox: add it or delete the object")
	}
	var v [4]float64
	for i, text := range []string{o.Bounds.XMin, o.Bounds.YMin, o.Bounds.XMax, o.Bounds.YMax} {
		var err error
		if v[i], err = number([]string{"xmin", "ymin", "xmax", "ymax"}[i], text); err != nil {
			return Box{}, err
		}
	}
	return s.pixels(o.Name, v[0], v[1], v[2], v[3])
}

// readVOC reads a file in the format of the PASCAL Visual Object Classes challenge, which
// describes one photo: http://host.robots.ox.ac.uk/pascal/VOC/.
func readVOC(c *collector, f file) error {
	d := xml.NewDecoder(bytes.NewReader(f.text))
	fail := func(err error) error {
		line, _ := d.InputPos()
		return f.at(line, err)
	}
	var root, name string
	var s size
	var objects []vocObject
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		} else if err != nil {
			return fail(err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		line, _ := d.InputPos()
		switch start.Name.Local {
		case "filename":
			err = d.DecodeElement(&name, &start)
		case "size":
			s, err = vocSize(d, start)
		case "object":
			o := vocObject{line: line}
			if err = d.DecodeElement(&o, &start); err == nil {
				objects = append(objects, o)
			}
		default:
			if root == "" {
				root = start.Name.Local
			} else {
				err = d.Skip()
			}
		}
		if err != nil {
			return fail(err)
		}
		if root != "annotation" {
			return fail(fmt.Errorf("the first element is %q: want annotation, as in Pascal VOC", start.Name.Local))
		}
	}
	if root == "" {
		return fail(errors.New("the file has no element annotation, as in Pascal VOC"))
	}
	path, err := cleanPath(name)
	if err != nil {
		path, err = cleanPath(stem(strings.ReplaceAll(f.path, `\`, "/")))
	}
	if err != nil {
		return fail(err)
	}
	p := Photo{Path: path, Width: int(s.width), Height: int(s.height)}
	for i := range objects {
		b, err := objects[i].box(s)
		if err != nil {
			return f.at(objects[i].line, err)
		}
		p.Boxes = append(p.Boxes, b)
	}
	if err := c.add(p); err != nil {
		return fail(err)
	}
	return nil
}

func vocSize(d *xml.Decoder, start xml.StartElement) (size, error) {
	var text struct {
		Width  string `xml:"width"`
		Height string `xml:"height"`
	}
	if err := d.DecodeElement(&text, &start); err != nil {
		return size{}, err
	}
	w, err := number("width", text.Width)
	if err != nil {
		return size{}, err
	}
	h, err := number("height", text.Height)
	if err != nil {
		return size{}, err
	}
	s := size{w, h}
	return s, s.check()
}

// number parses the text of the named value.
func number(name, text string) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		return 0, fmt.Errorf("%s is %q: want a number", name, text)
	}
	return v, nil
}
