package tflite

import (
	"reflect"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

// TestOptions checks that every typed view survives encoding, and has the schema's
// defaults if the options are absent or of another type.
func TestOptions(t *testing.T) {
	other := ReducerOptions{KeepDims: true}.Options()
	for _, test := range []struct {
		options  Options
		view     func(Options) any
		want     any
		defaults any
	}{
		{Conv2DOptions{PaddingValid, 2, 3, ActRelu6, 4, 5, TypeInt16}.Options(), func(o Options) any { return o.Conv2D() }, Conv2DOptions{PaddingValid, 2, 3, ActRelu6, 4, 5, TypeInt16}, Conv2DOptions{DilationW: 1, DilationH: 1}},
		{DepthwiseConv2DOptions{PaddingValid, 2, 3, 7, ActRelu, 4, 5}.Options(), func(o Options) any { return o.DepthwiseConv2D() }, DepthwiseConv2DOptions{PaddingValid, 2, 3, 7, ActRelu, 4, 5}, DepthwiseConv2DOptions{DilationW: 1, DilationH: 1}},
		{Pool2DOptions{PaddingValid, 2, 3, 4, 5, ActReluN1To1}.Options(), func(o Options) any { return o.Pool2D() }, Pool2DOptions{PaddingValid, 2, 3, 4, 5, ActReluN1To1}, Pool2DOptions{}},
		{FullyConnectedOptions{ActRelu, 1, true, true, TypeInt64}.Options(), func(o Options) any { return o.FullyConnected() }, FullyConnectedOptions{ActRelu, 1, true, true, TypeInt64}, FullyConnectedOptions{}},
		{SoftmaxOptions{1.5}.Options(), func(o Options) any { return o.Softmax() }, SoftmaxOptions{1.5}, SoftmaxOptions{}},
		{ReshapeOptions{[]int32{1, -1}}.Options(), func(o Options) any { return o.Reshape() }, ReshapeOptions{[]int32{1, -1}}, ReshapeOptions{}},
		{SqueezeOptions{[]int32{1, 2}}.Options(), func(o Options) any { return o.Squeeze() }, SqueezeOptions{[]int32{1, 2}}, SqueezeOptions{}},
		{ConcatenationOptions{-1, ActRelu}.Options(), func(o Options) any { return o.Concatenation() }, ConcatenationOptions{-1, ActRelu}, ConcatenationOptions{}},
		{AddOptions{ActRelu, false}.Options(), func(o Options) any { return o.Add() }, AddOptions{ActRelu, false}, AddOptions{PotScaleInt16: true}},
		{SubOptions{ActRelu, true}.Options(), func(o Options) any { return o.Sub() }, SubOptions{ActRelu, true}, SubOptions{PotScaleInt16: true}},
		{MulOptions{ActRelu}.Options(), func(o Options) any { return o.Mul() }, MulOptions{ActRelu}, MulOptions{}},
		{L2NormOptions{ActRelu}.Options(), func(o Options) any { return o.L2Norm() }, L2NormOptions{ActRelu}, L2NormOptions{}},
		{LeakyReluOptions{0.25}.Options(), func(o Options) any { return o.LeakyRelu() }, LeakyReluOptions{0.25}, LeakyReluOptions{}},
		{StridedSliceOptions{1, 2, 3, 4, 5, true}.Options(), func(o Options) any { return o.StridedSlice() }, StridedSliceOptions{1, 2, 3, 4, 5, true}, StridedSliceOptions{}},
		{ResizeOptions{true, false}.Options(OptionsResizeBilinear), func(o Options) any { return o.Resize() }, ResizeOptions{true, false}, ResizeOptions{}},
		{ResizeOptions{false, true}.Options(OptionsResizeNearestNeighbor), func(o Options) any { return o.Resize() }, ResizeOptions{false, true}, ResizeOptions{}},
		{SplitOptions{3}.Options(OptionsSplit), func(o Options) any { return o.Split() }, SplitOptions{3}, SplitOptions{}},
		{SplitOptions{3}.Options(OptionsSplitV), func(o Options) any { return o.Split() }, SplitOptions{3}, SplitOptions{}},
		{PackOptions{3, -1}.Options(OptionsPack), func(o Options) any { return o.Pack() }, PackOptions{3, -1}, PackOptions{}},
		{PackOptions{3, -1}.Options(OptionsUnpack), func(o Options) any { return o.Pack() }, PackOptions{3, -1}, PackOptions{}},
		{BlockOptions{2}.Options(OptionsSpaceToDepth), func(o Options) any { return o.Block() }, BlockOptions{2}, BlockOptions{}},
		{BlockOptions{2}.Options(OptionsDepthToSpace), func(o Options) any { return o.Block() }, BlockOptions{2}, BlockOptions{}},
		{GatherOptions{2, 1}.Options(), func(o Options) any { return o.Gather() }, GatherOptions{2, 1}, GatherOptions{}},
		{ArgMaxOptions{TypeInt64}.Options(), func(o Options) any { return o.ArgMax() }, ArgMaxOptions{TypeInt64}, ArgMaxOptions{}},
		{DivOptions{ActRelu}.Options(), func(o Options) any { return o.Div() }, DivOptions{ActRelu}, DivOptions{}},
		{TransposeConvOptions{PaddingValid, 2, 3, ActRelu, TypeInt64}.Options(), func(o Options) any { return o.TransposeConv() }, TransposeConvOptions{PaddingValid, 2, 3, ActRelu, TypeInt64}, TransposeConvOptions{}},
		{UnidirectionalSequenceLSTMOptions{ActTanh, 1, 2, true}.Options(), func(o Options) any { return o.UnidirectionalSequenceLSTM() }, UnidirectionalSequenceLSTMOptions{ActTanh, 1, 2, true}, UnidirectionalSequenceLSTMOptions{}},
		{other, func(o Options) any { return o.Reducer() }, ReducerOptions{true}, nil},
	} {
		m := smallModel()
		m.Subgraphs[0].Operators[2].Options = test.options
		again, err := Parse(roundTrip(t, m))
		if err != nil {
			t.Fatal(err)
		}
		read := again.Subgraphs[0].Operators[2].Options
		if got := test.view(read); read.Type != test.options.Type || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%v: got %+v, want %+v", read.Type, got, test.want)
		}
		if test.defaults == nil {
			continue
		}
		for _, o := range []Options{{}, other, EmptyOptions(test.options.Type)} {
			if got := test.view(o); !reflect.DeepEqual(got, test.defaults) {
				t.Errorf("%v viewed as %v: got %+v, want %+v", o.Type, test.options.Type, got, test.defaults)
			}
		}
	}
	for _, o := range []Options{EmptyOptions(OptionsNone), EmptyOptions(255)} {
		if !reflect.DeepEqual(o, Options{}) {
			t.Errorf("got %+v, want none", o)
		}
	}
}

func TestNames(t *testing.T) {
	for _, test := range []struct {
		got  interface{ String() string }
		want string
	}{
		{OpConv2D, "CONV_2D"}, {OpL2Normalization, "L2_NORMALIZATION"}, {OpCustom, "CUSTOM"}, {OpPadV2, "PADV2"},
		{OpHardSwish, "HARD_SWISH"}, {OpQuantize, "QUANTIZE"}, {OpReluN1To1, "RELU_N1_TO_1"}, {placeholderOperator, "PLACEHOLDER_FOR_GREATER_OP_CODES"},
		{BuiltinOperator(209), "STABLEHLO_CASE"}, {BuiltinOperator(210), "BuiltinOperator(210)"}, {BuiltinOperator(-1), "BuiltinOperator(-1)"},
		{TypeUint8, "uint8"}, {TypeInt8, "int8"}, {TypeFloat32, "float32"}, {TypeFloat8E5M2, "float8_e5m2"}, {TensorType(-1), "TensorType(-1)"},
		{ActRelu6, "RELU6"}, {ActSignBit, "SIGN_BIT"}, {Activation(6), "Activation(6)"},
		{PaddingSame, "SAME"}, {PaddingValid, "VALID"}, {Padding(2), "Padding(2)"},
		{OptionsConv2D, "Conv2DOptions"}, {OptionsHardSwish, "HardSwishOptions"}, {OptionsQuantize, "QuantizeOptions"}, {OptionsLeakyRelu, "LeakyReluOptions"},
		{OptionsNone, "NONE"}, {OptionsType(126), "RightShiftOptions"}, {OptionsType(127), "OptionsType(127)"},
	} {
		if got := test.got.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
	for tensorType, want := range map[TensorType]int{TypeUint8: 1, TypeInt16: 2, TypeFloat32: 4, TypeInt64: 8, TypeComplex128: 16, TypeString: 0, TypeInt4: 0, 99: 0} {
		if got := tensorType.Size(); got != want {
			t.Errorf("%v has %d bytes, want %d", tensorType, got, want)
		}
	}
}

// TestSchemas checks that the schemas are within the verifier's limits.
func TestSchemas(t *testing.T) {
	var walk func(table *tableType, depth int)
	walk = func(table *tableType, depth int) {
		if depth > flatbuf.MaxDepth {
			t.Fatalf("%s is at depth %d, beyond the limit", table.Name, depth)
		}
		if len(table.Fields) > flatbuf.MaxSlots {
			t.Errorf("%s has %d fields, more than the limit", table.Name, len(table.Fields))
		}
		for slot, f := range table.Fields {
			if f.Name == "" {
				t.Errorf("slot %d of %s has no description", slot, table.Name)
			}
			if f.Kind == flatbuf.KindUnion && table.Fields[slot-1].Kind != flatbuf.KindUnionType {
				t.Errorf("%s.%s has no type", table.Name, f.Name)
			}
			for _, sub := range append([]*tableType{f.Table}, f.Union...) {
				if sub != nil {
					walk(sub, depth+1)
				}
			}
		}
	}
	walk(modelTable, 1)
	walk(modelMetadataTable, 1)
	if got := len(builtinOptions) - 1; got != 126 {
		t.Errorf("got %d builtin options, want 126", got)
	}
	if got := len(builtinOptions2) - 1; got != 23 {
		t.Errorf("got %d second options, want 23", got)
	}
}
