package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/background"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// writeBackgrounds writes a file to dir for each backbone, with the embeddings of photos and of
// drawings in 4 bits per value. The models are read from the folder models.
func writeBackgrounds(photos, models, dir string, backbones []background.Backbone) error {
	items, err := choose(photos, background.Photos)
	if err != nil {
		return err
	}
	drawn, err := drawings(background.Pictures)
	if err != nil {
		return err
	}
	items = append(items, drawn...)
	for _, of := range backbones {
		file := builtin.Model()
		if of.Name != builtin.Name {
			if file, err = os.ReadFile(filepath.Join(models, of.Name+".tflite")); err != nil {
				return err
			}
		}
		b, err := backbone.Parse(file, backbone.Options{Name: of.Name})
		if err != nil {
			return err
		}
		if got := (background.Use{SHA256: fmt.Sprintf("%x", b.SHA256), Tensor: b.Embedding.Index}); got != of.Uses[0] || b.Dim() != of.Dim {
			return fmt.Errorf("%s is %v with %d values, not %v with %d", of.Name, got, b.Dim(), of.Uses[0], of.Dim)
		}
		raw, err := embed(b, items)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, of.Name+".u4"), codes(raw, b.Embedding), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// codes returns the rounded square roots of raw values above the zero point, at most 15, two in
// each byte.
func codes(raw []byte, embedding backbone.TensorInfo) []byte {
	all := make([]byte, len(raw)/2)
	for i, q := range raw {
		v := int(q)
		if embedding.Type == tflite.TypeInt8 {
			v = int(int8(q))
		}
		v -= int(embedding.ZeroPoint[0])
		code := min(math.Round(math.Sqrt(float64(max(v, 0)))), 15)
		all[i/2] |= byte(code) << (i % 2 * 4)
	}
	return all
}
