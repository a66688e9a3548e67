package annotations

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const voc = `<annotation>
	<folder>images</folder>
	<filename>cat-1.jpg</filename>
	<size><width> 200 </width><height>100</height><depth>3</depth></size>
	<object>
		<name>cat</name>
		<part><name>head</name></part>
		<bndbox><xmin>50</xmin><ymin>25</ymin><xmax>100</xmax><ymax>75</ymax></bndbox>
	</object>
</annotation>`

const coco = `{"info": {"images": [1]},
"annotations": [{"image_id": 7, "category_id": 3, "bbox": [50, 25, 50, 50]},
  {"image_id": 7, "category_id": 3, "bbox": [0, 0, 200, 100], "iscrowd": 1}],
"images": [{"id": 7, "file_name": "cat-1.jpg", "width": 200, "height": 100},
  {"id": 8, "file_name": "none.jpg", "width": 20, "height": 10}],
"categories": [{"id": 3, "name": "cat"}]}`

const studio = `[{"data": {"image": "/data/upload/1/0123abcd-cat-1.jpg"},
 "annotations": [{"was_cancelled": true, "result": []}, {"result": [
  {"type": "choices", "value": {"choices": ["x"]}},
  {"type": "rectanglelabels", "original_width": 200, "original_height": 100,
   "value": {"x": 25, "y": 25, "width": 25, "height": 50, "rotation": 0, "rectanglelabels": ["cat"]}}]}]},
 {"data": {"image": "skipped.jpg"}, "annotations": []}]`

const table = "filename,width,height,class,xmin,ymin,xmax,ymax\r\ncat-1.jpg,200,100,cat,50,25,100,75\r\n"

// write writes the files into a new folder and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var cat = []Box{{"cat", 0.25, 0.25, 0.5, 0.75}}

func TestRead(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		path  string
		photo string // to find
		want  Photo
	}{
		"VOC file":     {map[string]string{"a.XML": voc}, "a.XML", "photos/cat-1.jpg", Photo{"cat-1.jpg", 200, 100, cat}},
		"VOC folder":   {map[string]string{"x/a.xml": voc, "README.txt": "?", ".git/b.xml": "?"}, ".", "cat-1.png", Photo{"cat-1.jpg", 200, 100, cat}},
		"COCO":         {map[string]string{"a.json": coco}, "a.json", "cat-1.jpg", Photo{"cat-1.jpg", 200, 100, cat}},
		"COCO, no box": {map[string]string{"a.json": coco}, ".", "none.jpg", Photo{"none.jpg", 20, 10, nil}},
		"Label Studio": {map[string]string{"a.json": studio}, "a.json", `photos\cat-1.jpg`, Photo{"data/upload/1/0123abcd-cat-1.jpg", 200, 100, cat}},
		"CSV":          {map[string]string{"a.csv": "\ufeff" + table}, "a.csv", "cat-1.jpg", Photo{"cat-1.jpg", 200, 100, cat}},
		"CSV, cut off": {map[string]string{"a.csv": table + "b.jpg,10,10,cat,-1,0,11,5\n"}, "a.csv", "b.jpg", Photo{"b.jpg", 10, 10, []Box{{"cat", 0, 0, 1, 0.5}}}},
		"CSV, two boxes": {map[string]string{"a.csv": "class,xmin,ymin,xmax,ymax,Path,width,height\ncat,50,25,100,75,p/a.jpg,200,100\ndog,0,0,1,1,q/a.jpg,2,2\ncat,50,25,100,75,p/a.jpg,200,100\n"},
			"a.csv", "somewhere/p/a.jpg", Photo{"p/a.jpg", 200, 100, append(cat, cat...)}},
		"YOLO file":       {map[string]string{"a/cat-1.txt": "1 0.375 0.5 0.25 0.5\n\n", "a/classes.txt": "dog\ncat\n"}, "a/cat-1.txt", "a/cat-1.jpg", Photo{"a/cat-1", 0, 0, cat}},
		"YOLO data.yaml":  {map[string]string{"labels/train/cat-1.txt": "1 0.375 0.5 0.25 0.5", "labels/train/b.txt": "", "data.yaml": "nc: 2\nnames: ['dog', 'cat']\n"}, "labels", "images/train/cat-1.jpg", Photo{"labels/train/cat-1", 0, 0, cat}},
		"YOLO yaml list":  {map[string]string{"cat-1.txt": "1 0.375 0.5 0.25 0.5", "data.yaml": "names:\n- dog\n- cat\nnc: 2\n"}, ".", "cat-1.jpg", Photo{"cat-1", 0, 0, cat}},
		"YOLO yaml map":   {map[string]string{"cat-1.txt": "1 0.375 0.5 0.25 0.5", "data.yaml": "names:\n  # two\n  0: dog\n  1: cat\npath: x\n"}, ".", "cat-1.jpg", Photo{"cat-1", 0, 0, cat}},
		"YOLO, obj.names": {map[string]string{"b/cat-1.txt": "0 0.375 0.5 0.25 0.5", "obj.names": "cat"}, "b", "cat-1.jpg", Photo{"b/cat-1", 0, 0, cat}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := write(t, test.files)
			s, err := Read(filepath.Join(dir, test.path))
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Find(test.photo)
			if err != nil {
				t.Fatal(err)
			}
			prefix, _ := cleanPath(dir)
			got.Path = strings.TrimPrefix(got.Path, prefix+"/") // YOLO text
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	row := "filename,width,height,class,xmin,ymin,xmax,ymax\n\n"
	tests := map[string]struct {
		files map[string]string
		path  string
		want  string // in the error
	}{
		"no annotations":    {map[string]string{"a.jpg": ""}, ".", "contains no files"},
		"several formats":   {map[string]string{"a.xml": voc, "b.csv": table}, ".", "choose one, such as"},
		"extension":         {map[string]string{"a.jpg": ""}, "a.jpg", "the name should end with"},
		"XML syntax":        {map[string]string{"a.xml": "<annotation>\n<size></annotation>"}, "a.xml", "a.xml:2: "},
		"XML root":          {map[string]string{"a.xml": "<html/>"}, "a.xml", `a.xml:1: the first element is "html"`},
		"XML empty":         {map[string]string{"a.xml": ""}, "a.xml", "no element annotation"},
		"VOC without size":  {map[string]string{"a.xml": "<annotation>\n\n<object><name>a</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object></annotation>"}, "a.xml", "a.xml:3: the photo's size is 0×0"},
		"VOC number":        {map[string]string{"a.xml": strings.Replace(voc, "25<", "2 5<", 1)}, "a.xml", `a.xml:5: ymin is "2 5"`},
		"VOC no box":        {map[string]string{"a.xml": "<annotation><object/></annotation>"}, "a.xml", "no bndbox"},
		"CSV column":        {map[string]string{"a.csv": "filename,class\n"}, "a.csv", "a.csv:1: no column width"},
		"CSV fields":        {map[string]string{"a.csv": row + "a,b\n"}, "a.csv", "a.csv:3: wrong number of fields"},
		"CSV empty box":     {map[string]string{"a.csv": row + "a.jpg,9,9,cat,5,5,5,6\n"}, "a.csv", "a.csv:3: the box is empty"},
		"CSV NaN":           {map[string]string{"a.csv": row + "a.jpg,9,9,cat,NaN,5,5,6\n"}, "a.csv", "a.csv:3: the box is empty"},
		"CSV outside":       {map[string]string{"a.csv": row + "a.jpg,9,9,cat,10,1,11,6\n"}, "a.csv", "a.csv:3: the box is outside"},
		"CSV label":         {map[string]string{"a.csv": row + "a.jpg,9,9,,1,1,11,6\n"}, "a.csv", "a.csv:3: the box has no label"},
		"CSV name":          {map[string]string{"a.csv": row + ",9,9,cat,1,1,2,6\n"}, "a.csv", "a.csv:3: the photo has no usable name"},
		"JSON":              {map[string]string{"a.json": "3"}, "a.json", "neither COCO nor Label Studio"},
		"JSON syntax":       {map[string]string{"a.json": "{\"images\": [\n{]}"}, "a.json", "a.json:2: "},
		"JSON end":          {map[string]string{"a.json": "{\"images\": [\n\n"}, "a.json", "a.json:3: "},
		"COCO keys":         {map[string]string{"a.json": "{\"images\": []}"}, "a.json", `no key "annotations"`},
		"COCO image":        {map[string]string{"a.json": strings.Replace(coco, `"image_id": 7`, `"image_id": 9`, 1)}, "a.json", "a.json:2: image_id is 9"},
		"COCO category":     {map[string]string{"a.json": strings.Replace(coco, `"id": 3`, `"id": 4`, 1)}, "a.json", "a.json:2: category_id is 3"},
		"COCO bbox":         {map[string]string{"a.json": strings.Replace(coco, "[50, 25, 50, 50]", "[1]", 1)}, "a.json", "a.json:2: bbox has 1 numbers"},
		"COCO twice":        {map[string]string{"a.json": strings.Replace(coco, `"id": 8`, `"id": 7`, 1)}, "a.json", "a.json:5: the image has no id of its own"},
		"Label Studio min":  {map[string]string{"a.json": "[\n{\"image\": \"a.jpg\"}]"}, "a.json", "a.json:2: the task has no key"},
		"Label Studio turn": {map[string]string{"a.json": strings.Replace(studio, `"rotation": 0`, `"rotation": 9`, 1)}, "a.json", "a.json:5: a box is rotated by 9°"},
		"YOLO names":        {map[string]string{"1/2/3/a.txt": "0 1 1 1 1"}, "1/2/3/a.txt", "no names of classes"},
		"YOLO class":        {map[string]string{"a.txt": "\n2 0.5 0.5 1 1", "classes.txt": "a\nb\n"}, "a.txt", `a.txt:2: class is "2", but names exist for classes 0 to 1`},
		"YOLO pixels":       {map[string]string{"a.txt": "0 50 0.5 1 1", "classes.txt": "a\n"}, "a.txt", "a.txt:1: x is 50"},
		"YOLO values":       {map[string]string{"a.txt": "0 1", "classes.txt": "a\n"}, "a.txt", "a.txt:1: 2 values"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Read(filepath.Join(write(t, test.files), test.path))
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q that wraps ErrFormat", err, test.want)
			}
		})
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none.xml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: got error %v, want one that wraps os.ErrNotExist", err)
	}
}

func TestFind(t *testing.T) {
	s := newSet([]Photo{{Path: "a/1.jpg"}, {Path: "b/1.jpg"}, {Path: "b/1.png"}, {Path: "c/x/2"}, {Path: "d/x/2"}, {Path: "d/y/2"}})
	tests := []struct {
		photo, want string
		err         error
	}{
		{"/photos/a/1.jpg", "a/1.jpg", nil},
		{"b/1.png", "b/1.png", nil},
		{"z/d/x/2.jpg", "d/x/2", nil},
		{"d/y/2.jpg", "d/y/2", nil},
		{"x/2.jpg", "", ErrAmbiguous},
		{"1.jpg", "", ErrAmbiguous},
		{"3.jpg", "", ErrNotAnnotated},
	}
	for _, test := range tests {
		got, err := s.Find(test.photo)
		if got.Path != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: got %q, %v, want %q, %v", test.photo, got.Path, err, test.want, test.err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for i, text := range []string{voc, coco, studio, table, "1 0.375 0.5 0.25 0.5\n", "names:\n- dog\n- cat\n"} {
		f.Add(uint8(i), []byte(text))
	}
	f.Fuzz(func(t *testing.T, kind uint8, text []byte) {
		var c collector
		in := file{"dir/a.yaml", text}
		readers := []func() error{
			func() error { return readVOC(&c, in) },
			func() error { return readJSON(&c, in) },
			func() error { return readLabelStudio(&c, in) },
			func() error { return readCSV(&c, in) },
			func() error { return readYOLO(&c, in, []string{"a", "b"}) },
			func() error { _, err := readNames(in); return err },
		}
		if err := readers[int(kind)%len(readers)](); err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("error %v does not wrap ErrFormat", err)
			}
			return
		}
		for _, p := range newSet(c.photos).Photos {
			if p.Path == "" || p.Width < 0 || p.Height < 0 {
				t.Fatalf("photo %+v", p)
			}
			for _, b := range p.Boxes {
				if b.Label == "" || !(0 <= b.X0 && b.X0 < b.X1 && b.X1 <= 1 && 0 <= b.Y0 && b.Y0 < b.Y1 && b.Y1 <= 1) {
					t.Fatalf("box %+v", b)
				}
			}
		}
	})
}

func TestCheckSize(t *testing.T) {
	for _, test := range []struct {
		annotated, photo [2]int
		want             error
	}{
		{[2]int{640, 480}, [2]int{640, 480}, nil},
		{[2]int{640, 480}, [2]int{320, 240}, nil},
		{[2]int{4032, 3024}, [2]int{333, 250}, nil}, // scaled to 333 pixels, and rounded
		{[2]int{0, 0}, [2]int{320, 240}, nil},
		{[2]int{640, 480}, [2]int{480, 640}, ErrShape},
		{[2]int{640, 480}, [2]int{640, 360}, ErrShape},
		{[2]int{maxSide, 1}, [2]int{1, maxSide}, ErrShape},
	} {
		if err := (Photo{Width: test.annotated[0], Height: test.annotated[1]}).CheckSize(test.photo[0], test.photo[1]); !errors.Is(err, test.want) {
			t.Errorf("annotated %v, photo %v: got %v, want %v", test.annotated, test.photo, err, test.want)
		}
	}
}
