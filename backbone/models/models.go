// Package models names the quantised MobileNets that Coral publishes and brings them onto this machine, each checked
// against a size and a SHA-256 that are part of this program. [List] and [Find] say what there is; [Store.Pull]
// fetches one and [Store.Path] finds it again without a network.
//
// The models are licensed under Apache-2.0 by their publisher, see LICENSE in the repository google-coral/test_data.
package models

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// License is the SPDX identifier of the licence of every model in the list.
const License = "Apache-2.0"

// commit is the version of github.com/google-coral/test_data all sizes and sums below were taken from.
const commit = "104342d2d3480b3e66203073dac24f4e2dbb4c41"

// baseURL is the folder of that version as its publisher serves it.
const baseURL = "https://raw.githubusercontent.com/google-coral/test_data/" + commit

// compiledSuffix ends the names of models compiled for the Edge TPU.
const compiledSuffix = "_edgetpu"

// ErrUnknown means that no model of that name is in the list.
var ErrUnknown = errors.New("unknown model")

// Published is one model file in the list.
type Published struct {
	Name   string // without ".tflite"
	Size   int64  // bytes
	SHA256 string // lower-case hexadecimal
	About  string // one sentence: architecture, input, output

	Input     int // edge of the square RGB input, pixels
	Embedding int // length of the vector before the classes; 0 when it cannot be read from this file

	// Twin names the same model compiled for the Edge TPU, or for a compiled one the model it was compiled from.
	// It is empty when the other file is not in the list.
	Twin string

	file, base string // name of the file and URL of its folder, when they are not a model's
}

// File is the name of the model's file.
func (p Published) File() string {
	if p.file != "" {
		return p.file
	}
	return p.Name + ".tflite"
}

// Firmware is the name under which [Find] and a [Store] know what a Coral USB Accelerator is booted with. It is no model
// and not in the list. Its publisher is Google, in the repository google-coral/libedgetpu.
const Firmware = "firmware"

// firmware is also known to package tpu, which looks for it in the default folder of a Store.
func firmware() Published {
	return Published{
		Name:   Firmware,
		Size:   10783,
		SHA256: "3b07311b174b81fd14fd2c887f40d646c0ebf2f140cc5ee5cf8befa0f3e3dc7f",
		About:  "Firmware of the Coral USB Accelerator.",
		file:   "apex_latest_single_ep.bin",
		base:   "https://raw.githubusercontent.com/google-coral/libedgetpu/e35aed18fea2e2d25d98352e5a5bd357c170bd4d/driver/usb",
	}
}

// Compiled reports whether the model is one operator for the Edge TPU, which no CPU can run.
func (p Published) Compiled() bool { return strings.HasSuffix(p.Name, compiledSuffix) }

// List returns all models, the smallest first, every compiled one right after the model it was compiled from. The
// slice is the caller's.
func List() []Published {
	// Missing here are the published models for which no sum could be taken from the file itself.
	return []Published{
		{
			Name:   "mobilenet_v1_0.25_128_quant",
			Size:   525598,
			SHA256: "cb273c23ee76374b05b9583177e28aa19744858a7679c56a250e83d0333da785",
			About:  "MobileNet v1, width 0.25, uint8, 128×128 input, embedding of 256, the 1001 ImageNet classes.",
			Input:  128, Embedding: 256,
			Twin: "mobilenet_v1_0.25_128_quant_edgetpu",
		},
		{
			Name:   "mobilenet_v1_0.25_128_quant_edgetpu",
			Size:   801454,
			SHA256: "a4cb1e493346542248687939fbd7421ab92d74c58b1f0a0018b8f1bdddfcef7e",
			About:  "MobileNet v1, width 0.25, uint8, 128×128 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
			Input:  128,
			Twin:   "mobilenet_v1_0.25_128_quant",
		},
		{
			Name:   "mobilenet_v1_0.5_160_quant",
			Size:   1392846,
			SHA256: "3cc6d2ca460abd2e0f699a6d0d2550c6b61c6e3b0e27a3616e384ea74cb86f43",
			About:  "MobileNet v1, width 0.5, uint8, 160×160 input, embedding of 512, the 1001 ImageNet classes.",
			Input:  160, Embedding: 512,
			Twin: "mobilenet_v1_0.5_160_quant_edgetpu",
		},
		{
			Name:   "mobilenet_v1_0.5_160_quant_edgetpu",
			Size:   1743534,
			SHA256: "e8fc376452b2134637da71016e3d22a6013550bf40d032854c2cb5699da7c16e",
			About:  "MobileNet v1, width 0.5, uint8, 160×160 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
			Input:  160,
			Twin:   "mobilenet_v1_0.5_160_quant",
		},
		{
			Name:   "mobilenet_v1_0.75_192_quant",
			Size:   2652542,
			SHA256: "41daeb22fdcf947e0e5ec32373aa9df7c31f3ef45dbd0ef7b5940fbce3c20f6a",
			About:  "MobileNet v1, width 0.75, uint8, 192×192 input, embedding of 768, the 1001 ImageNet classes.",
			Input:  192, Embedding: 768,
			Twin: "mobilenet_v1_0.75_192_quant_edgetpu",
		},
		{
			Name:   "mobilenet_v1_0.75_192_quant_edgetpu",
			Size:   3029678,
			SHA256: "ead897a0aa6d184fc1b4149e85aede5c2eb4b4c5644424c71c651f19f5761b33",
			About:  "MobileNet v1, width 0.75, uint8, 192×192 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
			Input:  192,
			Twin:   "mobilenet_v1_0.75_192_quant",
		},
		{
			Name:   "mobilenet_v1_1.0_224_quant_embedding_extractor",
			Size:   3251736,
			SHA256: "f409ef4f73fcbb9667841965623c5c8524aac33d41b9bf5f3667161fb4a76319",
			About:  "MobileNet v1, width 1.0, uint8, 224×224 input, cut off at its embedding of 1024: made for learning new classes.",
			Input:  224, Embedding: 1024,
			Twin: "mobilenet_v1_1.0_224_quant_embedding_extractor_edgetpu",
		},
		{
			Name:   "mobilenet_v1_1.0_224_quant_embedding_extractor_edgetpu",
			Size:   3486336,
			SHA256: "33a249155302975d7e28f72a5250903cdf7f7afb7bd1ceec3d2cd8ca9ce6a609",
			About:  "MobileNet v1, width 1.0, uint8, 224×224 input, embedding of 1024, compiled for the Edge TPU: made for learning new classes.",
			Input:  224, Embedding: 1024,
			Twin: "mobilenet_v1_1.0_224_quant_embedding_extractor",
		},
		{
			Name:   "mobilenet_v2_1.0_224_inat_bird_quant",
			Size:   3579500,
			SHA256: "350fcd8cf1df1560060d464595dfed8b174b05792788052896004848d9ad04f9",
			About:  "MobileNet v2, width 1.0, uint8, 224×224 input, embedding of 1280, 965 classes of birds (iNaturalist).",
			Input:  224, Embedding: 1280,
		},
		{
			Name:   "mobilenet_v2_1.0_224_quant",
			Size:   3610798,
			SHA256: "7aad0c74c5e3c06e5eb3c827e13304fdd68a83da6087d92ee169c24ff9fd4776",
			About:  "MobileNet v2, width 1.0, uint8, 224×224 input, embedding of 1280, the 1001 ImageNet classes.",
			Input:  224, Embedding: 1280,
		},
		{
			Name:   "mobilenet_v2_1.0_224_inat_insect_quant",
			Size:   3655867,
			SHA256: "0ebaeb474dccf56b8b818b014f0d6a8e22b35a45b491a659f0b5405c9c838282",
			About:  "MobileNet v2, width 1.0, uint8, 224×224 input, embedding of 1280, 1022 classes of insects (iNaturalist).",
			Input:  224, Embedding: 1280,
		},
		{
			Name:   "tf2_mobilenet_v2_1.0_224_ptq",
			Size:   4070174,
			SHA256: "5d3137241276e79c86d14a74fe43581398ae0e815191d3dba45495b810840e8c",
			About:  "MobileNet v2, width 1.0, int8 per channel inside and uint8 outside, 224×224 input, embedding of 1280, the 1001 ImageNet classes.",
			Input:  224, Embedding: 1280,
		},
	}
}

// Find returns the model of that name, with or without ".tflite", or the [Firmware]. For any other name the error is
// [ErrUnknown] and says which names are near.
func Find(name string) (Published, error) {
	if name == Firmware {
		return firmware(), nil
	}
	want := strings.TrimSuffix(name, ".tflite")
	list := List()
	for _, p := range list {
		if p.Name == want {
			return p, nil
		}
	}
	if near := nearest(want, list); len(near) > 0 {
		return Published{}, fmt.Errorf("models: %w %q, did you mean %s?", ErrUnknown, name, strings.Join(near, " or "))
	}
	return Published{}, fmt.Errorf("models: %w %q", ErrUnknown, name)
}

// nearest returns up to three names of the list that want may have meant, the nearest first.
func nearest(want string, list []Published) []string {
	type candidate struct {
		name  string
		edits int
	}
	want = strings.ToLower(want)
	var near []candidate
	for _, p := range list {
		n := editDistance(want, p.Name)
		// A part of a name is a good hint however much is left out, as is a name with few slips.
		if len(want) >= 2 && strings.Contains(p.Name, want) || n <= len(p.Name)/4 {
			near = append(near, candidate{p.Name, n})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.edits - b.edits })
	var names []string
	for _, c := range near[:min(3, len(near))] {
		names = append(names, c.name)
	}
	return names
}

// editDistance is the number of bytes to insert, delete or replace to turn a into b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
