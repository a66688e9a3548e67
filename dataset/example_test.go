package dataset_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/imprintkit/imprint/dataset"
)

// inPhotos makes a folder with the given files, each a photo of one color, and calls f in that
// folder.
func inPhotos(names []string, f func()) {
	dir, err := os.MkdirTemp("", "photos")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	old, err := os.Getwd()
	if err != nil {
		log.Fatal(err)
	}
	defer os.Chdir(old)
	if err := os.Chdir(dir); err != nil {
		log.Fatal(err)
	}
	img := image.NewNRGBA(image.Rect(0, 0, 40, 30))
	for i := range 40 * 30 {
		img.SetNRGBA(i%40, i/40, color.NRGBA{200, 100, 50, 255})
	}
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			log.Fatal(err)
		}
		file, err := os.Create(name)
		if err != nil {
			log.Fatal(err)
		}
		if err := png.Encode(file, img); err != nil {
			log.Fatal(err)
		}
		file.Close()
	}
	f()
}

// Each photo's label is the name of its folder.
func ExampleWalk() {
	inPhotos([]string{"photos/hat/1.png", "photos/hat/2.png", "photos/shoes/1.png"}, func() {
		items, skipped, err := dataset.Walk([]string{"photos"}, "")
		if err != nil {
			log.Fatal(err)
		}
		for _, it := range items {
			fmt.Println(it.Label, filepath.ToSlash(it.Path))
		}
		fmt.Println(len(skipped), "skipped")
	})
	// Output:
	// hat photos/hat/1.png
	// hat photos/hat/2.png
	// shoes photos/shoes/1.png
	// 0 skipped
}

// The error for a mistyped path suggests a similar path.
func ExampleNotExistError() {
	inPhotos([]string{"photos/hat/1.png"}, func() {
		_, _, err := dataset.Walk([]string{"photos/hta"}, "hat")
		fmt.Println(err)
	})
	// Output:
	// photos/hta does not exist; did you mean photos/hat?
}

func ExampleReadList() {
	list := strings.NewReader("# cones\n1.jpg\tcone\n2.jpg,cone\n3.jpg\n")
	items, err := dataset.ReadList(list, "photos")
	if err != nil {
		log.Fatal(err)
	}
	for _, it := range items {
		fmt.Printf("%s %q\n", filepath.ToSlash(it.Path), it.Label)
	}
	// Output:
	// photos/1.jpg "cone"
	// photos/2.jpg "cone"
	// photos/3.jpg ""
}

// Each worker has its own Resizer. The results arrive in the order of the items.
func ExampleLoad() {
	inPhotos([]string{"photos/hat/1.png", "photos/shoes/1.png"}, func() {
		items, _, err := dataset.Walk([]string{"photos"}, "")
		if err != nil {
			log.Fatal(err)
		}
		const workers, size = 2, 8
		resizers := make([]dataset.Resizer, workers)
		for i := range resizers {
			resizers[i] = dataset.Resizer{Mode: dataset.Crop, Width: size, Height: size}
		}
		work := func(_ context.Context, worker int, f *dataset.File) ([]byte, error) {
			rgb := make([]byte, size*size*3)
			return rgb, resizers[worker].Read(rgb, f)
		}
		deliver := func(i int, rgb []byte, err error) error {
			fmt.Println(items[i].Label, rgb[:3], err)
			return nil
		}
		if err := dataset.Load(context.Background(), items, dataset.DefaultLimits(), workers, work, deliver); err != nil {
			log.Fatal(err)
		}
	})
	// Output:
	// hat [200 100 50] <nil>
	// shoes [200 100 50] <nil>
}

// Pad keeps the proportions of the 40×30 photo and leaves gray margins.
func ExampleResizer() {
	inPhotos([]string{"hat.png"}, func() {
		f, err := dataset.Open(dataset.Item{Path: "hat.png"}, dataset.DefaultLimits())
		if err != nil {
			log.Fatal(err)
		}
		r := dataset.Resizer{Mode: dataset.Pad, Width: 4, Height: 4}
		rgb := make([]byte, 4*4*3)
		if err := r.Read(rgb, f); err != nil {
			log.Fatal(err)
		}
		fmt.Println("first row:", rgb[:3])
		fmt.Println("second row:", rgb[4*3:][:3])
		fmt.Println("last row:", rgb[3*4*3:][:3])
	})
	// Output:
	// first row: [200 100 50]
	// second row: [200 100 50]
	// last row: [128 128 128]
}

func ExampleOpenTub() {
	inPhotos([]string{"data/images/0_cam_image_array_.png", "data/images/1_cam_image_array_.png"}, func() {
		records := `{"_index": 0, "_session_id": "26-11-28_0", "cam/image_array": "0_cam_image_array_.png", "user/mode": "user"}
{"_index": 1, "_session_id": "26-11-28_0", "cam/image_array": "1_cam_image_array_.png", "user/mode": "local"}
`
		manifest := `["cam/image_array", "user/mode"]
["image_array", "str"]
{}
{}
{"paths": ["catalog_0.catalog"], "deleted_indexes": []}
`
		os.WriteFile("data/catalog_0.catalog", []byte(records), 0o666)
		os.WriteFile("data/manifest.json", []byte(manifest), 0o666)

		tub, err := dataset.OpenTub("data")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(tub.Records), "records")
		driven := dataset.TubFilter{Fields: map[string]string{"user/mode": "user"}}
		items, _, err := tub.Select(driven, "cone")
		if err != nil {
			log.Fatal(err)
		}
		for _, it := range items {
			fmt.Println(it.Label, filepath.Base(it.Path))
		}
	})
	// Output:
	// 2 records
	// cone 0_cam_image_array_.png
}
