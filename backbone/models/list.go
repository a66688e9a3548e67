package models

import "slices"

// commit is the version of github.com/google-coral/test_data that all sizes and
// checksums were taken from.
const commit = "104342d2d3480b3e66203073dac24f4e2dbb4c41"

// baseURL is the folder of that version on the publisher's server.
const baseURL = "https://raw.githubusercontent.com/google-coral/test_data/" + commit

// List returns all models, the smallest first. Each compiled model follows the one it
// was compiled from. The slice is a copy.
func List() []Published { return slices.Clone(list) }

// list contains the published models whose files could be checked.
var list = []Published{
	{
		Name:   "mobilenet_v1_0.25_128_quant",
		Size:   525598,
		SHA256: "cb273c23ee76374b05b9583177e28aa19744858a7679c56a250e83d0333da785",
		About:  "MobileNet v1, width 0.25, uint8, 128×128 input, embedding of 256, the 1001 ImageNet classes.",
		Input:  128, Embedding: 256,
		Counterpart: "mobilenet_v1_0.25_128_quant_edgetpu",
	},
	{
		Name:        "mobilenet_v1_0.25_128_quant_edgetpu",
		Size:        801454,
		SHA256:      "a4cb1e493346542248687939fbd7421ab92d74c58b1f0a0018b8f1bdddfcef7e",
		About:       "MobileNet v1, width 0.25, uint8, 128×128 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input:       128,
		Counterpart: "mobilenet_v1_0.25_128_quant",
	},
	{
		Name:   "mobilenet_v1_0.5_160_quant",
		Size:   1392846,
		SHA256: "3cc6d2ca460abd2e0f699a6d0d2550c6b61c6e3b0e27a3616e384ea74cb86f43",
		About:  "MobileNet v1, width 0.5, uint8, 160×160 input, embedding of 512, the 1001 ImageNet classes.",
		Input:  160, Embedding: 512,
		Counterpart: "mobilenet_v1_0.5_160_quant_edgetpu",
	},
	{
		Name:        "mobilenet_v1_0.5_160_quant_edgetpu",
		Size:        1743534,
		SHA256:      "e8fc376452b2134637da71016e3d22a6013550bf40d032854c2cb5699da7c16e",
		About:       "MobileNet v1, width 0.5, uint8, 160×160 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input:       160,
		Counterpart: "mobilenet_v1_0.5_160_quant",
	},
	{
		Name:   "mobilenet_v1_0.75_192_quant",
		Size:   2652542,
		SHA256: "41daeb22fdcf947e0e5ec32373aa9df7c31f3ef45dbd0ef7b5940fbce3c20f6a",
		About:  "MobileNet v1, width 0.75, uint8, 192×192 input, embedding of 768, the 1001 ImageNet classes.",
		Input:  192, Embedding: 768,
		Counterpart: "mobilenet_v1_0.75_192_quant_edgetpu",
	},
	{
		Name:        "mobilenet_v1_0.75_192_quant_edgetpu",
		Size:        3029678,
		SHA256:      "ead897a0aa6d184fc1b4149e85aede5c2eb4b4c5644424c71c651f19f5761b33",
		About:       "MobileNet v1, width 0.75, uint8, 192×192 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input:       192,
		Counterpart: "mobilenet_v1_0.75_192_quant",
	},
	{
		Name:   "mobilenet_v1_1.0_224_quant_embedding_extractor",
		Size:   3251736,
		SHA256: "f409ef4f73fcbb9667841965623c5c8524aac33d41b9bf5f3667161fb4a76319",
		About:  "MobileNet v1, width 1.0, uint8, 224×224 input, ends in its embedding of 1024, made for learning new classes.",
		Input:  224, Embedding: 1024,
		Counterpart: "mobilenet_v1_1.0_224_quant_embedding_extractor_edgetpu",
	},
	{
		Name:   "mobilenet_v1_1.0_224_quant_embedding_extractor_edgetpu",
		Size:   3486336,
		SHA256: "33a249155302975d7e28f72a5250903cdf7f7afb7bd1ceec3d2cd8ca9ce6a609",
		About:  "MobileNet v1, width 1.0, uint8, 224×224 input, embedding of 1024, compiled for the Edge TPU, made for learning new classes.",
		Input:  224, Embedding: 1024,
		Counterpart: "mobilenet_v1_1.0_224_quant_embedding_extractor",
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

// Firmware is the name by which [Find] and a [Store] find the firmware of the Coral USB
// Accelerator. Google publishes it in the repository google-coral/libedgetpu. It is not a
// model, so List does not include it.
const Firmware = "firmware"

// firmware describes the firmware file, which package tpu looks for in the default folder
// of a Store.
var firmware = Published{
	Name:   Firmware,
	Size:   10783,
	SHA256: "3b07311b174b81fd14fd2c887f40d646c0ebf2f140cc5ee5cf8befa0f3e3dc7f",
	About:  "Firmware of the Coral USB Accelerator.",
	file:   "apex_latest_single_ep.bin",
	base:   "https://raw.githubusercontent.com/google-coral/libedgetpu/e35aed18fea2e2d25d98352e5a5bd357c170bd4d/driver/usb",
}
