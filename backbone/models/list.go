package models

import "slices"

// commit identifies the version of github.com/google-coral/test_data that the sizes and
// checksums in the list describe. Git ids are those of its tree.
const commit = "104342d2d3480b3e66203073dac24f4e2dbb4c41"

// baseURL is the folder of that version on GitHub.
const baseURL = "https://raw.githubusercontent.com/google-coral/test_data/" + commit

// List returns all backbones, one family after another. Each compiled model follows its uncompiled
// model. The slice is a copy.
func List() []Published { return slices.Clone(list) }

// list describes the files of that version. Models with a Size were checked against their
// published files. The others are described by their names, their families and, for the sizes of
// EfficientNet's input and embedding, efficientnet_edgetpu_builder.py in tensorflow/tpu.
var list = []Published{
	{
		Name: "mobilenet_v1_0.25_128_quant",
		Size: 525598, SHA256: "cb273c23ee76374b05b9583177e28aa19744858a7679c56a250e83d0333da785",
		About: "MobileNet v1, width 0.25, uint8, 128×128 input, embedding of 256, the 1001 ImageNet classes.",
		Input: 128, Embedding: 256, Counterpart: "mobilenet_v1_0.25_128_quant_edgetpu",
	},
	{
		Name: "mobilenet_v1_0.25_128_quant_edgetpu",
		Size: 801454, SHA256: "a4cb1e493346542248687939fbd7421ab92d74c58b1f0a0018b8f1bdddfcef7e",
		About: "MobileNet v1, width 0.25, uint8, 128×128 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input: 128, Counterpart: "mobilenet_v1_0.25_128_quant",
	},
	{
		Name: "mobilenet_v1_0.5_160_quant",
		Size: 1392846, SHA256: "3cc6d2ca460abd2e0f699a6d0d2550c6b61c6e3b0e27a3616e384ea74cb86f43",
		About: "MobileNet v1, width 0.5, uint8, 160×160 input, embedding of 512, the 1001 ImageNet classes.",
		Input: 160, Embedding: 512, Counterpart: "mobilenet_v1_0.5_160_quant_edgetpu",
	},
	{
		Name: "mobilenet_v1_0.5_160_quant_edgetpu",
		Size: 1743534, SHA256: "e8fc376452b2134637da71016e3d22a6013550bf40d032854c2cb5699da7c16e",
		About: "MobileNet v1, width 0.5, uint8, 160×160 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input: 160, Counterpart: "mobilenet_v1_0.5_160_quant",
	},
	{
		Name: "mobilenet_v1_0.75_192_quant",
		Size: 2652542, SHA256: "41daeb22fdcf947e0e5ec32373aa9df7c31f3ef45dbd0ef7b5940fbce3c20f6a",
		About: "MobileNet v1, width 0.75, uint8, 192×192 input, embedding of 768, the 1001 ImageNet classes.",
		Input: 192, Embedding: 768, Counterpart: "mobilenet_v1_0.75_192_quant_edgetpu",
	},
	{
		Name: "mobilenet_v1_0.75_192_quant_edgetpu",
		Size: 3029678, SHA256: "ead897a0aa6d184fc1b4149e85aede5c2eb4b4c5644424c71c651f19f5761b33",
		About: "MobileNet v1, width 0.75, uint8, 192×192 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input: 192, Counterpart: "mobilenet_v1_0.75_192_quant",
	},
	{
		Name:    "mobilenet_v1_1.0_224_quant",
		GitBlob: "ed3753826e390f0ddec8c36a8125d0dc97fd43ef",
		About:   "MobileNet v1, width 1.0, uint8, 224×224 input, embedding of 1024, the 1001 ImageNet classes.",
		Input:   224, Embedding: 1024, Counterpart: "mobilenet_v1_1.0_224_quant_edgetpu",
	},
	{
		Name:    "mobilenet_v1_1.0_224_quant_edgetpu",
		GitBlob: "9b78e04db00702d2995b65a05b872e981e0041a9",
		About:   "MobileNet v1, width 1.0, uint8, 224×224 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input:   224, Counterpart: "mobilenet_v1_1.0_224_quant",
	},
	{
		Name: "mobilenet_v1_1.0_224_quant_embedding_extractor",
		Size: 3251736, SHA256: "f409ef4f73fcbb9667841965623c5c8524aac33d41b9bf5f3667161fb4a76319",
		About: "MobileNet v1, width 1.0, uint8, 224×224 input, ends in its embedding of 1024, made for learning new classes.",
		Input: 224, Embedding: 1024, Counterpart: "mobilenet_v1_1.0_224_quant_embedding_extractor_edgetpu",
	},
	{
		Name: "mobilenet_v1_1.0_224_quant_embedding_extractor_edgetpu",
		Size: 3486336, SHA256: "33a249155302975d7e28f72a5250903cdf7f7afb7bd1ceec3d2cd8ca9ce6a609",
		About: "MobileNet v1, width 1.0, uint8, 224×224 input, embedding of 1024, compiled for the Edge TPU, made for learning new classes.",
		Input: 224, Embedding: 1024, Counterpart: "mobilenet_v1_1.0_224_quant_embedding_extractor",
	},
	{
		Name: "mobilenet_v2_1.0_224_quant",
		Size: 3610798, SHA256: "7aad0c74c5e3c06e5eb3c827e13304fdd68a83da6087d92ee169c24ff9fd4776",
		About: "MobileNet v2, width 1.0, uint8, 224×224 input, embedding of 1280, the 1001 ImageNet classes.",
		Input: 224, Embedding: 1280, Counterpart: "mobilenet_v2_1.0_224_quant_edgetpu",
	},
	{
		Name:    "mobilenet_v2_1.0_224_quant_edgetpu",
		GitBlob: "06db28d38a42505b1ef4f19b5273173e9a43504c",
		About:   "MobileNet v2, width 1.0, uint8, 224×224 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input:   224, Counterpart: "mobilenet_v2_1.0_224_quant",
	},
	{
		Name: "mobilenet_v2_1.0_224_inat_bird_quant",
		Size: 3579500, SHA256: "350fcd8cf1df1560060d464595dfed8b174b05792788052896004848d9ad04f9",
		About: "MobileNet v2, width 1.0, uint8, 224×224 input, embedding of 1280, 965 classes of birds (iNaturalist).",
		Input: 224, Embedding: 1280, Counterpart: "mobilenet_v2_1.0_224_inat_bird_quant_edgetpu",
	},
	{
		Name:    "mobilenet_v2_1.0_224_inat_bird_quant_edgetpu",
		GitBlob: "35f31efe2d3ccc81376647c7f818a684adde0aae",
		About:   "MobileNet v2, width 1.0, uint8, 224×224 input, compiled for the Edge TPU with its 965 classes of birds (iNaturalist).",
		Input:   224, Counterpart: "mobilenet_v2_1.0_224_inat_bird_quant",
	},
	{
		Name: "mobilenet_v2_1.0_224_inat_insect_quant",
		Size: 3655867, SHA256: "0ebaeb474dccf56b8b818b014f0d6a8e22b35a45b491a659f0b5405c9c838282",
		About: "MobileNet v2, width 1.0, uint8, 224×224 input, embedding of 1280, 1022 classes of insects (iNaturalist).",
		Input: 224, Embedding: 1280, Counterpart: "mobilenet_v2_1.0_224_inat_insect_quant_edgetpu",
	},
	{
		Name:    "mobilenet_v2_1.0_224_inat_insect_quant_edgetpu",
		GitBlob: "dffe3da9042ee4ddd4dfdea93c4d52594ccb994d",
		About:   "MobileNet v2, width 1.0, uint8, 224×224 input, compiled for the Edge TPU with its 1022 classes of insects (iNaturalist).",
		Input:   224, Counterpart: "mobilenet_v2_1.0_224_inat_insect_quant",
	},
	{
		Name:    "mobilenet_v2_1.0_224_inat_plant_quant",
		GitBlob: "85737c16869a13417a44229bf1968c4e964d2d7f",
		About:   "MobileNet v2, width 1.0, uint8, 224×224 input, embedding of 1280, 2102 classes of plants (iNaturalist).",
		Input:   224, Embedding: 1280, Counterpart: "mobilenet_v2_1.0_224_inat_plant_quant_edgetpu",
	},
	{
		Name:    "mobilenet_v2_1.0_224_inat_plant_quant_edgetpu",
		GitBlob: "7b6a62c27525b689d96dbe07c4f27c7a575bd49a",
		About:   "MobileNet v2, width 1.0, uint8, 224×224 input, compiled for the Edge TPU with its 2102 classes of plants (iNaturalist).",
		Input:   224, Counterpart: "mobilenet_v2_1.0_224_inat_plant_quant",
	},
	{
		Name:    "tf2_mobilenet_v1_1.0_224_ptq",
		GitBlob: "333f1af94dd03e383d4cccd4b1341d5d4000b664",
		About:   "MobileNet v1, width 1.0, int8 per channel inside and uint8 outside, 224×224 input, embedding of 1024, the 1001 ImageNet classes.",
		Input:   224, Embedding: 1024, Counterpart: "tf2_mobilenet_v1_1.0_224_ptq_edgetpu",
	},
	{
		Name:    "tf2_mobilenet_v1_1.0_224_ptq_edgetpu",
		GitBlob: "4201aff3e46b12a1c3ab75b2e8f99e02ec79f40d",
		About:   "MobileNet v1, width 1.0, int8 per channel inside and uint8 outside, 224×224 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input:   224, Counterpart: "tf2_mobilenet_v1_1.0_224_ptq",
	},
	{
		Name: "tf2_mobilenet_v2_1.0_224_ptq",
		Size: 4070174, SHA256: "5d3137241276e79c86d14a74fe43581398ae0e815191d3dba45495b810840e8c",
		About: "MobileNet v2, width 1.0, int8 per channel inside and uint8 outside, 224×224 input, embedding of 1280, the 1001 ImageNet classes.",
		Input: 224, Embedding: 1280, Counterpart: "tf2_mobilenet_v2_1.0_224_ptq_edgetpu",
	},
	{
		Name:    "tf2_mobilenet_v2_1.0_224_ptq_edgetpu",
		GitBlob: "a79892384d1b48168eb77664a0138cfbd8557753",
		About:   "MobileNet v2, width 1.0, int8 per channel inside and uint8 outside, 224×224 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input:   224, Counterpart: "tf2_mobilenet_v2_1.0_224_ptq",
	},
	{
		Name:    "tf2_mobilenet_v3_edgetpu_1.0_224_ptq",
		GitBlob: "b3c5a2e5077018e6dc7e28dd696cda32ab0d62f2",
		About:   "MobileNet v3 for the Edge TPU, width 1.0, int8 per channel inside and uint8 outside, 224×224 input, embedding of 1280, the 1001 ImageNet classes.",
		Input:   224, Embedding: 1280, Counterpart: "tf2_mobilenet_v3_edgetpu_1.0_224_ptq_edgetpu",
	},
	{
		Name:    "tf2_mobilenet_v3_edgetpu_1.0_224_ptq_edgetpu",
		GitBlob: "dd8313213911f321e8f9cc47a58f450739e6b9ab",
		About:   "MobileNet v3 for the Edge TPU, width 1.0, int8 per channel inside and uint8 outside, 224×224 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input:   224, Counterpart: "tf2_mobilenet_v3_edgetpu_1.0_224_ptq",
	},
	{
		Name:    "efficientnet-edgetpu-S_quant",
		GitBlob: "46b62bf9b5b589ac8d2854c8459316d42c986340",
		About:   "EfficientNet for the Edge TPU, size S, uint8, 224×224 input, embedding of 1280, the 1001 ImageNet classes.",
		Input:   224, Embedding: 1280, Counterpart: "efficientnet-edgetpu-S_quant_edgetpu",
	},
	{
		Name:    "efficientnet-edgetpu-S_quant_edgetpu",
		GitBlob: "8bc77a71ec104e9a9127d75ca9c503b3dfc69afc",
		About:   "EfficientNet for the Edge TPU, size S, uint8, 224×224 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input:   224, Counterpart: "efficientnet-edgetpu-S_quant",
	},
	{
		Name:    "efficientnet-edgetpu-S_quant_embedding_extractor",
		GitBlob: "31b6bb3332de87008f8dbdf7800f94e4e3083af6",
		About:   "EfficientNet for the Edge TPU, size S, uint8, 224×224 input, ends in its embedding of 1280, made for learning new classes.",
		Input:   224, Embedding: 1280, Counterpart: "efficientnet-edgetpu-S_quant_embedding_extractor_edgetpu",
	},
	{
		Name:    "efficientnet-edgetpu-S_quant_embedding_extractor_edgetpu",
		GitBlob: "f5632b20f74c0717db5afaeb69f03ea54b9d8227",
		About:   "EfficientNet for the Edge TPU, size S, uint8, 224×224 input, embedding of 1280, compiled for the Edge TPU, made for learning new classes.",
		Input:   224, Embedding: 1280, Counterpart: "efficientnet-edgetpu-S_quant_embedding_extractor",
	},
	{
		Name:    "efficientnet-edgetpu-M_quant",
		GitBlob: "dae2c73bbcb2468d3b2f5bd8061887b860389f47",
		About:   "EfficientNet for the Edge TPU, size M, uint8, 240×240 input, embedding of 1280, the 1001 ImageNet classes.",
		Input:   240, Embedding: 1280, Counterpart: "efficientnet-edgetpu-M_quant_edgetpu",
	},
	{
		Name:    "efficientnet-edgetpu-M_quant_edgetpu",
		GitBlob: "1f204b7d4676664e789eaf3a40a8a61547059e4c",
		About:   "EfficientNet for the Edge TPU, size M, uint8, 240×240 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input:   240, Counterpart: "efficientnet-edgetpu-M_quant",
	},
	{
		Name:    "efficientnet-edgetpu-M_quant_embedding_extractor",
		GitBlob: "80ecdaf0a2a5da4eef635d4b7ad9dbc92d7785db",
		About:   "EfficientNet for the Edge TPU, size M, uint8, 240×240 input, ends in its embedding of 1280, made for learning new classes.",
		Input:   240, Embedding: 1280, Counterpart: "efficientnet-edgetpu-M_quant_embedding_extractor_edgetpu",
	},
	{
		Name:    "efficientnet-edgetpu-M_quant_embedding_extractor_edgetpu",
		GitBlob: "7b178c749255e1806beb1dfbf8fe4e65505f482a",
		About:   "EfficientNet for the Edge TPU, size M, uint8, 240×240 input, embedding of 1280, compiled for the Edge TPU, made for learning new classes.",
		Input:   240, Embedding: 1280, Counterpart: "efficientnet-edgetpu-M_quant_embedding_extractor",
	},
	{
		Name:    "efficientnet-edgetpu-L_quant",
		GitBlob: "12428a989650033e110325af111666781f5e9fca",
		About:   "EfficientNet for the Edge TPU, size L, uint8, 300×300 input, embedding of 1536, the 1001 ImageNet classes.",
		Input:   300, Embedding: 1536, Counterpart: "efficientnet-edgetpu-L_quant_edgetpu",
	},
	{
		Name:    "efficientnet-edgetpu-L_quant_edgetpu",
		GitBlob: "da0fb72fd67a7ac1e7e2359d1214fe307edfbcb6",
		About:   "EfficientNet for the Edge TPU, size L, uint8, 300×300 input, compiled for the Edge TPU with its 1001 ImageNet classes.",
		Input:   300, Counterpart: "efficientnet-edgetpu-L_quant",
	},
	{
		Name:    "efficientnet-edgetpu-L_quant_embedding_extractor",
		GitBlob: "832ebeda8cf85f8789e98bdf64726d0bcff6cb81",
		About:   "EfficientNet for the Edge TPU, size L, uint8, 300×300 input, ends in its embedding of 1536, made for learning new classes.",
		Input:   300, Embedding: 1536, Counterpart: "efficientnet-edgetpu-L_quant_embedding_extractor_edgetpu",
	},
	{
		Name:    "efficientnet-edgetpu-L_quant_embedding_extractor_edgetpu",
		GitBlob: "e9ca2bb04ab8e5dbab7a7035897f0ee4936eaf09",
		About:   "EfficientNet for the Edge TPU, size L, uint8, 300×300 input, embedding of 1536, compiled for the Edge TPU, made for learning new classes.",
		Input:   300, Embedding: 1536, Counterpart: "efficientnet-edgetpu-L_quant_embedding_extractor",
	},
}

// Firmware is the name of the Coral USB Accelerator's firmware, for [Find] and the
// methods of [Store]. Google publishes it in the repository google-coral/libedgetpu. It
// is not a model, so List does not include it.
const Firmware = "firmware"

// firmware describes the firmware file, which package tpu looks for in the Store's
// default folder.
var firmware = Published{
	Name:   Firmware,
	Size:   10783,
	SHA256: "3b07311b174b81fd14fd2c887f40d646c0ebf2f140cc5ee5cf8befa0f3e3dc7f",
	About:  "Firmware of the Coral USB Accelerator.",
	file:   "apex_latest_single_ep.bin",
	base:   "https://raw.githubusercontent.com/google-coral/libedgetpu/e35aed18fea2e2d25d98352e5a5bd357c170bd4d/driver/usb",
}
