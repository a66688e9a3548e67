// Command photos renders small photos of things for the demo: cones, balls, boxes
// and arrows on all sorts of ground, in all sorts of light.
//
//	go run ./tools/photos -out DIR -n 12 -seed 1
//
// writes DIR/cone/01.jpg and so on. The same arguments give the same bytes on every
// processor.
package main

import (
	"flag"
	"fmt"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", "", "folder to write into")
	n := flag.Int("n", 12, "photos of each class")
	seed := flag.Uint64("seed", 1, "another seed gives other photos")
	flag.Parse()
	if *out == "" || *n < 1 || flag.NArg() != 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := write(*out, *n, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "photos:", err)
		os.Exit(1)
	}
}

func write(dir string, n int, seed uint64) error {
	for kind, c := range classes {
		folder := filepath.Join(dir, c.name)
		if err := os.MkdirAll(folder, 0o777); err != nil {
			return err
		}
		for i := range n {
			if err := save(filepath.Join(folder, fmt.Sprintf("%02d.jpg", i+1)), photo(kind, seed, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// photo renders photo i of a class. It does not depend on how many are made.
func photo(kind int, seed uint64, i int) *image.NRGBA {
	r := source(kind, seed, i)
	return develop(r, newScene(r, classes[kind].shape(r)))
}

func source(kind int, seed uint64, i int) random {
	return random{rand.New(rand.NewPCG(seed, uint64(i*len(classes)+kind)))}
}

func save(name string, img image.Image) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := jpeg.Encode(f, img, &jpeg.Options{Quality: 88}); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", name, err)
	}
	return f.Close()
}
