package models

import "slices"

// Detectors returns the detectors that Coral publishes, one family after another. Each compiled
// model follows its uncompiled model. The slice is a copy.
func Detectors() []Published { return slices.Clone(detectors) }

// labelFiles are the files of the publisher with a label for each line.
var labelFiles = map[string]Published{
	"coco_labels.txt": {Size: 661, SHA256: "dc183f003fc753c4c43fae6fdf7f387559449573f13fa32e517fb7453fd380f1"},
	"face_labels.txt": {Size: 5, SHA256: "98d57c25a2bed283c090bc2508078faff041262880bec9b6b744e6372d4a5f09"},
}

// detectors describes files of the same version as list by their names, git's tree and, for the
// sizes of inputs and the labels, coral/detection/models_test.cc in google-coral/libcoral and
// coral.ai/models.
var detectors = []Published{
	{
		Name:    "ssd_mobilenet_v1_coco_quant_postprocess",
		GitBlob: "1a2270d37dd7d0f84acc49e069391312e697cf12",
		About:   "SSD MobileNet v1, uint8, 300×300 input, finds the 80 objects of COCO.",
		Input:   300, Counterpart: "ssd_mobilenet_v1_coco_quant_postprocess_edgetpu", labels: "coco_labels.txt",
	},
	{
		Name:    "ssd_mobilenet_v1_coco_quant_postprocess_edgetpu",
		GitBlob: "07721d3949bd8f5a78b76e57fe3fafcf09207785",
		About:   "SSD MobileNet v1, uint8, 300×300 input, finds the 80 objects of COCO, compiled for the Edge TPU.",
		Input:   300, Counterpart: "ssd_mobilenet_v1_coco_quant_postprocess", labels: "coco_labels.txt",
	},
	{
		Name:    "ssd_mobilenet_v2_coco_quant_postprocess",
		GitBlob: "28b6bdee3548170bb999ffcc7248b40d76f6b6b8",
		About:   "SSD MobileNet v2, uint8, 300×300 input, finds the 80 objects of COCO.",
		Input:   300, Counterpart: "ssd_mobilenet_v2_coco_quant_postprocess_edgetpu", labels: "coco_labels.txt",
	},
	{
		Name:    "ssd_mobilenet_v2_coco_quant_postprocess_edgetpu",
		GitBlob: "67037e5ef832559e9b49beac96b11f2a0788ee63",
		About:   "SSD MobileNet v2, uint8, 300×300 input, finds the 80 objects of COCO, compiled for the Edge TPU.",
		Input:   300, Counterpart: "ssd_mobilenet_v2_coco_quant_postprocess", labels: "coco_labels.txt",
	},
	{
		Name:    "ssd_mobilenet_v2_face_quant_postprocess",
		GitBlob: "1a36d6c963890c1fd3f1e386d8bd5970e872b38c",
		About:   "SSD MobileNet v2, uint8, 320×320 input, finds faces.",
		Input:   320, Counterpart: "ssd_mobilenet_v2_face_quant_postprocess_edgetpu", labels: "face_labels.txt",
	},
	{
		Name:    "ssd_mobilenet_v2_face_quant_postprocess_edgetpu",
		GitBlob: "026972bf762815ba56f8403b2c9e7ab0bc77f547",
		About:   "SSD MobileNet v2, uint8, 320×320 input, finds faces, compiled for the Edge TPU.",
		Input:   320, Counterpart: "ssd_mobilenet_v2_face_quant_postprocess", labels: "face_labels.txt",
	},
	{
		Name:    "ssdlite_mobiledet_coco_qat_postprocess",
		GitBlob: "f2857fa8b4a89cc285194ab5a636ddbe2def7fde",
		About:   "SSDLite MobileDet, uint8, 320×320 input, finds the 80 objects of COCO.",
		Input:   320, Counterpart: "ssdlite_mobiledet_coco_qat_postprocess_edgetpu", labels: "coco_labels.txt",
	},
	{
		Name:    "ssdlite_mobiledet_coco_qat_postprocess_edgetpu",
		GitBlob: "88d57192111241e540384f59c8d108a8452b920c",
		About:   "SSDLite MobileDet, uint8, 320×320 input, finds the 80 objects of COCO, compiled for the Edge TPU.",
		Input:   320, Counterpart: "ssdlite_mobiledet_coco_qat_postprocess", labels: "coco_labels.txt",
	},
	{
		Name:    "tf2_ssd_mobilenet_v2_coco17_ptq",
		GitBlob: "76be13016daa10289021773d584e2244d252bd22",
		About:   "SSD MobileNet v2 of TensorFlow 2, 300×300 input, finds the 80 objects of COCO.",
		Input:   300, Counterpart: "tf2_ssd_mobilenet_v2_coco17_ptq_edgetpu", labels: "coco_labels.txt",
	},
	{
		Name:    "tf2_ssd_mobilenet_v2_coco17_ptq_edgetpu",
		GitBlob: "894fd0d7bc1dc8ae711057a298a86115d6975c63",
		About:   "SSD MobileNet v2 of TensorFlow 2, 300×300 input, finds the 80 objects of COCO, compiled for the Edge TPU.",
		Input:   300, Counterpart: "tf2_ssd_mobilenet_v2_coco17_ptq", labels: "coco_labels.txt",
	},
	{
		Name:    "tf2_ssd_mobilenet_v1_fpn_640x640_coco17_ptq",
		GitBlob: "1adaba7d3a80feb3e02a51edddd50b77b48ed82b",
		About:   "SSD MobileNet v1 with a feature pyramid, 640×640 input, finds the 80 objects of COCO.",
		Input:   640, Counterpart: "tf2_ssd_mobilenet_v1_fpn_640x640_coco17_ptq_edgetpu", labels: "coco_labels.txt",
	},
	{
		Name:    "tf2_ssd_mobilenet_v1_fpn_640x640_coco17_ptq_edgetpu",
		GitBlob: "32f5905a4900c21fdbd487f36f0d94b1b74a1587",
		About:   "SSD MobileNet v1 with a feature pyramid, 640×640 input, finds the 80 objects of COCO, compiled for the Edge TPU.",
		Input:   640, Counterpart: "tf2_ssd_mobilenet_v1_fpn_640x640_coco17_ptq", labels: "coco_labels.txt",
	},
	{
		Name:    "efficientdet_lite0_320_ptq",
		GitBlob: "8f419c65be6fb981a1aec8bffc670a236a892ba2",
		About:   "EfficientDet-Lite0, 320×320 input, finds the 80 objects of COCO.",
		Input:   320, Counterpart: "efficientdet_lite0_320_ptq_edgetpu", labels: "coco_labels.txt",
	},
	{
		Name:    "efficientdet_lite0_320_ptq_edgetpu",
		GitBlob: "f25f21ebd46eef3e151de0c5cad1aa493b6cd5dc",
		About:   "EfficientDet-Lite0, 320×320 input, finds the 80 objects of COCO, compiled for the Edge TPU.",
		Input:   320, Counterpart: "efficientdet_lite0_320_ptq", labels: "coco_labels.txt",
	},
	{
		Name:    "efficientdet_lite1_384_ptq",
		GitBlob: "0b7cd7fd6e75d148193a406da09eae693f120745",
		About:   "EfficientDet-Lite1, 384×384 input, finds the 80 objects of COCO.",
		Input:   384, Counterpart: "efficientdet_lite1_384_ptq_edgetpu", labels: "coco_labels.txt",
	},
	{
		Name:    "efficientdet_lite1_384_ptq_edgetpu",
		GitBlob: "a8f4529452d14ef46b928366eec26deea7efa31b",
		About:   "EfficientDet-Lite1, 384×384 input, finds the 80 objects of COCO, compiled for the Edge TPU.",
		Input:   384, Counterpart: "efficientdet_lite1_384_ptq", labels: "coco_labels.txt",
	},
	{
		Name:    "efficientdet_lite2_448_ptq",
		GitBlob: "ad155dbb048b4f8572aefcba6104409a798b74cf",
		About:   "EfficientDet-Lite2, 448×448 input, finds the 80 objects of COCO.",
		Input:   448, Counterpart: "efficientdet_lite2_448_ptq_edgetpu", labels: "coco_labels.txt",
	},
	{
		Name:    "efficientdet_lite2_448_ptq_edgetpu",
		GitBlob: "9b0d4f55905c6f108bca6203d8b24c4e9da846cb",
		About:   "EfficientDet-Lite2, 448×448 input, finds the 80 objects of COCO, compiled for the Edge TPU.",
		Input:   448, Counterpart: "efficientdet_lite2_448_ptq", labels: "coco_labels.txt",
	},
	{
		Name:    "efficientdet_lite3_512_ptq",
		GitBlob: "1ee099cd93b35b5133c41e4d241519d15b86dbe2",
		About:   "EfficientDet-Lite3, 512×512 input, finds the 80 objects of COCO.",
		Input:   512, Counterpart: "efficientdet_lite3_512_ptq_edgetpu", labels: "coco_labels.txt",
	},
	{
		Name:    "efficientdet_lite3_512_ptq_edgetpu",
		GitBlob: "529ed7058174de49bd53f2816ba23408f12cc106",
		About:   "EfficientDet-Lite3, 512×512 input, finds the 80 objects of COCO, compiled for the Edge TPU.",
		Input:   512, Counterpart: "efficientdet_lite3_512_ptq", labels: "coco_labels.txt",
	},
	{
		Name:    "efficientdet_lite3x_640_ptq",
		GitBlob: "f199b6ffde7644d3232cc76967ac572baf9e5fac",
		About:   "EfficientDet-Lite3x, 640×640 input, finds the 80 objects of COCO.",
		Input:   640, Counterpart: "efficientdet_lite3x_640_ptq_edgetpu", labels: "coco_labels.txt",
	},
	{
		Name:    "efficientdet_lite3x_640_ptq_edgetpu",
		GitBlob: "bf46c5b9cab5637a67bf37a33f4c88cc634b76e4",
		About:   "EfficientDet-Lite3x, 640×640 input, finds the 80 objects of COCO, compiled for the Edge TPU.",
		Input:   640, Counterpart: "efficientdet_lite3x_640_ptq", labels: "coco_labels.txt",
	},
}
