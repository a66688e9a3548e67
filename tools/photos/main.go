// Photos renders small photos of cones, balls, boxes and arrows for the demo, each with its own
// ground, wall, light and camera position. It writes DIR/cone/01.jpg and so on:
//
//	go run ./tools/photos -out DIR -n 12 -seed 1
//
// The same arguments produce the same pixels on every processor.
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
	out := flag.String("out", "", "`folder` to write to")
	n := flag.Int("n", 12, "`number` of photos per class")
	seed := flag.Uint64("seed", 1, "random `seed`")
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

// photo renders photo i of a class. It does not depend on the number of photos.
func photo(kind int, seed uint64, i int) *image.NRGBA {
	r := source(kind, seed, i)
	return develop(r, newScene(r, classes[kind].shape(r)))
}

// source returns the random number generator for photo i of a class.
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
