package emulator

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// register returns a device and the package of a model. The device knows the model, but its outputs
// are a fixed pattern.
func register(t *testing.T, config Config, model string) (*Device, *executable.Package) {
	t.Helper()
	config.Application = true
	d := New(config)
	compiled := reference.Read(t, "models", model+"_edgetpu.tflite")
	if err := d.Register(compiled, nil); err != nil {
		t.Fatal(err)
	}
	return d, parsePackage(t, compiled)
}

const small = "pairs/dense_256"

func TestChunks(t *testing.T) {
	for _, test := range []struct {
		speed    tpu.Speed
		register uint64
		buffer   int
		want     []int // sizes of the first transfers of a large output
	}{
		{tpu.SuperSpeed, 0x80, 1024, []int{1024, 1024}},
		{tpu.SuperSpeed, 0x80, 2048, []int{2048, 2048}},
		{tpu.SuperSpeed, 0x20, 1024, []int{256, 256}},
		{tpu.HighSpeed, 0x20, 256, []int{256, 256}},
		{tpu.HighSpeed, 0x80, 1024, []int{1024, 1024}},
	} {
		d, pkg := register(t, Config{Speed: test.speed}, "movenet_single_pose_lightning_ptq")
		h := openHost(t, d)
		h.write64(outfeedChunk, test.register)
		h.send(tagInstructions, pkg.Main.Chunks[0].Bytes)
		h.send(tagInput, make([]byte, pkg.Main.Inputs[0].Size))
		h.send(tagParameters, pkg.Main.Parameters[:64])
		at := 0
		for i, want := range test.want {
			p := make([]byte, test.buffer)
			n, err := h.conn.Read(h.ctx, 0x81, p)
			if n != want || err != nil {
				t.Errorf("%v, chunks of %d, transfer %d of %d: got %d bytes, %v, want %d", test.speed, test.register*8, i, test.buffer, n, err, want)
			}
			for j := range n {
				if p[j] != byte(7*(at+j)) {
					t.Fatalf("byte %d: got %d", at+j, p[j])
				}
			}
			at += n
		}
		// A packet larger than the buffer is lost.
		if _, err := h.conn.Read(h.ctx, 0x81, make([]byte, 100)); !errors.Is(err, tpu.ErrTransfer) {
			t.Errorf("a short buffer: got %v, want ErrTransfer", err)
		}
	}
}

// TestBackPressure checks that the device accepts no data while an output waits to be read. More
// data would lock up a real device.
func TestBackPressure(t *testing.T) {
	d, pkg := register(t, Config{}, small)
	h := openHost(t, d)
	h.run(pkg.Caching, nil)
	h.send(tagInstructions, pkg.Main.Chunks[0].Bytes)
	h.send(tagInput, make([]byte, 256))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if n, err := h.conn.Write(ctx, 1, make([]byte, 8)); n != 0 || !errors.Is(err, tpu.ErrTimeout) {
		t.Errorf("got %d bytes sent, %v, want a timeout", n, err)
	}
	if n, err := h.conn.Read(h.ctx, 0x81, make([]byte, 1024)); n != 256 || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
	if n, err := h.conn.Read(h.ctx, 0x82, make([]byte, 16)); n != 16 || err != nil {
		t.Errorf("got an event of %d bytes, %v", n, err)
	}
	h.run(pkg.Main, make([]byte, 256))
}

func TestBadStreams(t *testing.T) {
	for _, test := range []struct {
		name string
		send func(h *host, pkg *executable.Package)
		want uint64 // bits of the HIB error register
	}{
		{"length 0", func(h *host, _ *executable.Package) { h.conn.Write(h.ctx, 1, make([]byte, 8)) }, hibZeroLength},
		{"tag 3", func(h *host, _ *executable.Package) { h.conn.Write(h.ctx, 1, []byte{16, 0, 0, 0, 3, 0, 0, 0}) }, hibInstruction},
		{"unknown program", func(h *host, _ *executable.Package) { h.send(tagInstructions, make([]byte, 4096)) }, hibInstruction},
		{"input without a program", func(h *host, _ *executable.Package) { h.send(tagInput, make([]byte, 256)) }, hibInputConfig},
		{"short input", func(h *host, pkg *executable.Package) {
			h.send(tagInstructions, pkg.Main.Chunks[0].Bytes)
			h.send(tagInput, make([]byte, 248))
		}, hibInputConfig},
		{"parameters for input", func(h *host, pkg *executable.Package) {
			h.send(tagInstructions, pkg.Main.Chunks[0].Bytes)
			h.send(tagParameters, make([]byte, 256))
		}, hibParameterConfig},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, pkg := register(t, Config{}, small)
			h := openHost(t, d)
			test.send(h, pkg)
			p := make([]byte, 4)
			if n, err := h.conn.Read(h.ctx, 0x83, p); n != 4 || err != nil || p[0] != 1 {
				t.Errorf("got interrupt % x, %v, want the fatal interrupt", p[:n], err)
			}
			if got := h.read64(hibError); got != test.want {
				t.Errorf("got HIB error %#x, want %#x", got, test.want)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if _, err := h.conn.Write(ctx, 1, make([]byte, 8)); !errors.Is(err, tpu.ErrTimeout) {
				t.Errorf("a stopped core: got %v, want a timeout", err)
			}
			// Sleeping and waking restarts the core.
			h.write32(scuCtrl3, 0x50c5025c)
			h.write32(credit0, 0xf)
			h.write32(credit0, 0)
			h.wake()
			if got := h.read64(hibError); got != 0 {
				t.Errorf("got HIB error %#x after sleep", got)
			}
			h.infer(pkg, make([]byte, 256))
		})
	}
}

// TestNotRunning checks that a program sent to a halted core runs once the core is started.
func TestNotRunning(t *testing.T) {
	d, pkg := register(t, Config{}, small)
	h := openHost(t, d)
	h.write64(scalarCoreRun, 0)
	h.send(tagInstructions, pkg.Main.Chunks[0].Bytes)
	h.send(tagInput, make([]byte, 256))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := h.conn.Read(ctx, 0x81, make([]byte, 1024)); !errors.Is(err, tpu.ErrTimeout) {
		t.Errorf("halted: got %v, want a timeout", err)
	}
	h.write64(scalarCoreRun, 1)
	if n, err := h.conn.Read(h.ctx, 0x81, make([]byte, 1024)); n != 256 || err != nil {
		t.Errorf("running: got %d bytes, %v", n, err)
	}
}

// TestDescriptorEvents checks that the device announces its transfers, with the addresses from the
// instructions.
func TestDescriptorEvents(t *testing.T) {
	d, pkg := register(t, Config{}, small)
	h := openHost(t, d)
	h.write64(descriptorMask, 0xff)
	chunk := bytes.Clone(pkg.Main.Chunks[0].Bytes)
	for _, f := range pkg.Main.Chunks[0].Fields {
		if f.Half == executable.Lower {
			f.Put(chunk, map[executable.Buffer]uint32{executable.Input: 0x40000000, executable.Output: 0x60000000}[f.Buffer])
		} else {
			f.Put(chunk, 7)
		}
	}
	h.send(tagInstructions, chunk)
	h.send(tagInput, make([]byte, 256))
	for _, want := range []string{
		"00 00 00 40 07 00 00 00 00 01 00 00 01 00 00 00",
		"00 00 00 60 07 00 00 00 00 01 00 00 03 00 00 00",
		"00 00 00 00 00 00 00 00 00 00 00 00 04 00 00 00",
	} {
		p := make([]byte, 16)
		if n, err := h.conn.Read(h.ctx, 0x82, p); err != nil || !bytes.Equal(p[:n], unhex(t, want)) {
			t.Errorf("got event % x, %v, want %s", p[:n], err, want)
		}
	}
}

// TestCachedParameters checks that the chip loses a model's parameters when it sleeps, and when another
// model's parameters are loaded.
func TestCachedParameters(t *testing.T) {
	read := func(name string) (compiled, uncompiled []byte) {
		return reference.Read(t, "models", name+"_edgetpu.tflite"), reference.Read(t, "models", name+".tflite")
	}
	d := New(Config{Application: true})
	var packages []*executable.Package
	for _, name := range []string{"pairs/dense_256", "pairs/color_red_64x64"} {
		compiled, uncompiled := read(name)
		if err := d.Register(compiled, uncompiled); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, parsePackage(t, compiled))
	}
	h := openHost(t, d)
	input := bytes.Repeat([]byte{9, 200, 77, 130}, 64)
	want := h.infer(packages[0], input)[0]
	if got := h.again(packages[0], input)[0]; !bytes.Equal(got, want) {
		t.Error("the second inference differs")
	}
	h.run(packages[1].Caching, nil)
	if got := h.again(packages[0], input)[0]; bytes.Equal(got, want) {
		t.Error("same output although another model's parameters overwrote its own")
	}
	if got := h.infer(packages[0], input)[0]; !bytes.Equal(got, want) {
		t.Error("a different output after its parameters were loaded again")
	}
	h.write32(scuCtrl3, 0x50c5025c)
	h.wake()
	if got := h.again(packages[0], input)[0]; bytes.Equal(got, want) {
		t.Error("same output although sleep lost its parameters")
	}
}

// TestInferenceDoesNotAllocate checks that an inference allocates no memory in the emulator.
func TestInferenceDoesNotAllocate(t *testing.T) {
	d := New(Config{Application: true})
	compiled := reference.Read(t, "models", "pairs/color_red_64x64_edgetpu.tflite")
	if err := d.Register(compiled, reference.Read(t, "models", "pairs/color_red_64x64.tflite")); err != nil {
		t.Fatal(err)
	}
	pkg := parsePackage(t, compiled)
	h := openHost(t, d)
	h.run(pkg.Caching, nil)
	instructions, input := pkg.Main.Chunks[0].Bytes, make([]byte, pkg.Main.Inputs[0].Size)
	headers := [2][8]byte{{byte(len(instructions)), byte(len(instructions) >> 8), byte(len(instructions) >> 16)}, {byte(len(input)), byte(len(input) >> 8), 0, 0, 1}}
	out, event := make([]byte, 1024), make([]byte, 16)
	n := testing.AllocsPerRun(20, func() {
		h.conn.Write(h.ctx, 1, headers[0][:])
		h.conn.Write(h.ctx, 1, instructions)
		h.conn.Write(h.ctx, 1, headers[1][:])
		h.conn.Write(h.ctx, 1, input)
		h.conn.Read(h.ctx, 0x81, out)
		h.conn.Read(h.ctx, 0x82, event)
	})
	if n != 0 {
		t.Errorf("got %v allocations per inference, want none", n)
	}
}

func TestRegisterRefuses(t *testing.T) {
	d := New(Config{})
	dense, uncompiled := reference.Read(t, "models", "pairs/dense_256_edgetpu.tflite"), reference.Read(t, "models", "pairs/dense_256.tflite")
	red := reference.Read(t, "models", "pairs/color_red_64x64.tflite")
	for name, files := range map[string][2][]byte{
		"not a model":        {[]byte("TFL3"), nil},
		"not compiled":       {uncompiled, nil},
		"damaged uncompiled": {dense, uncompiled[:100]},
		"another uncompiled": {dense, red},
		"unknown arithmetic": {reference.Read(t, "models", "movenet_single_pose_lightning_ptq_edgetpu.tflite"), reference.Read(t, "models", "movenet_single_pose_lightning_ptq.tflite")},
	} {
		if err := d.Register(files[0], files[1]); !errors.Is(err, ErrModel) {
			t.Errorf("%s: got %v, want ErrModel", name, err)
		}
	}
}
