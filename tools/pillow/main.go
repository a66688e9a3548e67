// Pillow decodes photos as imprint does, for the comparison with Pillow in compare.py.
//
//	go run ./tools/pillow DIR < FILES
//
// It reads the paths of photos from the standard input, one per line, and writes each as a PPM file to DIR. For each it
// prints the path, a tab, and the name of the PPM file or, after an exclamation mark, the reason why the photo was refused.
package main

import (
	"bufio"
	"fmt"
	"image"
	"log"
	"os"
	"path/filepath"

	"github.com/imprintkit/imprint/dataset"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: pillow DIR < FILES")
	}
	lines := bufio.NewScanner(os.Stdin)
	for n := 0; lines.Scan(); n++ {
		name := fmt.Sprintf("%05d.ppm", n)
		if err := convert(lines.Text(), filepath.Join(os.Args[1], name)); err != nil {
			name = "!" + err.Error()
		}
		fmt.Printf("%s\t%s\n", lines.Text(), name)
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

func convert(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	p, err := dataset.Decode(b, dataset.DefaultLimits())
	if err != nil {
		return err
	}
	return os.WriteFile(to, ppm(p.Image), 0o644)
}

// ppm encodes an image as a binary PPM file.
func ppm(m image.Image) []byte {
	size := m.Bounds().Size()
	out := fmt.Appendf(nil, "P6 %d %d 255\n", size.X, size.Y)
	for y := range size.Y {
		for x := range size.X {
			r, g, b, _ := m.At(x, y).RGBA() // bounds start at (0, 0)
			out = append(out, byte(r>>8), byte(g>>8), byte(b>>8))
		}
	}
	return out
}
