package dataset

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// makePNG returns a PNG file with the given chunks.
func makePNG(chunks ...[]byte) []byte {
	return append([]byte(pngSignature), bytes.Join(chunks, nil)...)
}

// ihdr returns an IHDR chunk.
func ihdr(w, h, depth, colorType, interlace int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(w))
	b = binary.BigEndian.AppendUint32(b, uint32(h))
	return makeChunk("IHDR", append(b, byte(depth), byte(colorType), 0, 0, byte(interlace)))
}

func deflate(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// badChecksum returns chunk with a wrong checksum.
func badChecksum(chunk []byte) []byte {
	chunk = bytes.Clone(chunk)
	chunk[len(chunk)-1] ^= 1
	return chunk
}

// TestPNGFlaws checks that flaws are tolerated if they do not affect the pixels.
func TestPNGFlaws(t *testing.T) {
	raw := make([]byte, 3*(1+4*3)) // 4×3 RGB
	for i := range raw {
		if i%13 > 0 {
			raw[i] = byte(i * 5)
		}
	}
	head, end := ihdr(4, 3, 8, 2, 0), makeChunk("IEND", nil)
	data := deflate(t, raw)
	idat := makeChunk("IDAT", data)
	want, err := png.Decode(bytes.NewReader(makePNG(head, idat, end)))
	if err != nil {
		t.Fatal(err)
	}
	badSum := bytes.Clone(data)
	badSum[len(badSum)-1] ^= 1
	var split [][]byte
	for _, c := range data {
		split = append(split, makeChunk("IDAT", []byte{c}), makeChunk("IDAT", nil))
	}
	text := makeChunk("tEXt", []byte("Comment\x00hi"))
	for name, b := range map[string][]byte{
		"good":                       makePNG(head, idat, end),
		"iCCP with a wrong checksum": makePNG(head, badChecksum(makeChunk("iCCP", []byte("profile\x00\x00"))), idat, end),
		"tEXt with a wrong checksum": makePNG(head, idat, badChecksum(text), end),
		"tRNS with a wrong checksum": makePNG(head, badChecksum(makeChunk("tRNS", make([]byte, 6))), idat, end),
		"two gAMA":                   makePNG(head, makeChunk("gAMA", []byte{0, 0, 1, 0}), makeChunk("gAMA", []byte{0, 0, 1, 0}), idat, end),
		"surplus rows":               makePNG(head, makeChunk("IDAT", deflate(t, append(bytes.Clone(raw), make([]byte, 100)...))), end),
		"surplus bytes":              makePNG(head, makeChunk("IDAT", append(bytes.Clone(data), "garbage"...)), end),
		"surplus chunks":             makePNG(head, idat, makeChunk("IDAT", []byte("garbage")), badChecksum(makeChunk("IDAT", []byte("more"))), end),
		"wrong checksum of the data": makePNG(head, makeChunk("IDAT", badSum), end),
		"no checksum of the data":    makePNG(head, makeChunk("IDAT", data[:len(data)-4]), end),
		"no IEND":                    makePNG(head, idat),
		"IEND with a wrong checksum": makePNG(head, idat, badChecksum(end)),
		"garbage after the end":      append(makePNG(head, idat, end), strings.Repeat("garbage", 50)...),
		"a byte per chunk":           makePNG(append(append([][]byte{head}, split...), end)...),
	} {
		p, err := Decode(b, DefaultLimits())
		if err != nil || !bytes.Equal(flat(p.Image), flat(want)) {
			t.Errorf("%s: got error %v, want the same pixels", name, err)
		}
	}
	cut := makeChunk("IDAT", data[:len(data)/2])
	for name, b := range map[string][]byte{
		"IHDR with a wrong checksum": makePNG(badChecksum(head), idat, end),
		"PLTE with a wrong checksum": makePNG(ihdr(4, 3, 8, 3, 0), badChecksum(makeChunk("PLTE", make([]byte, 768))), idat, end),
		"IDAT with a wrong checksum": makePNG(head, badChecksum(idat), end),
		"cut data":                   makePNG(head, cut, end),
		"a chunk in the data":        makePNG(head, cut, text, makeChunk("IDAT", data[len(data)/2:]), end),
		"no data":                    makePNG(head, end),
		"no header":                  makePNG(idat, end),
	} {
		if _, err := Decode(b, DefaultLimits()); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v, want ErrDamaged", name, err)
		}
	}
}

// TestPNGKinds compares files of all color types, depths and interlace methods with image/png.
// It also decodes each file with surplus data, so that decodePNG must compute the size of the
// image data.
func TestPNGKinds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for colorType, depths := range map[int][]int{0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}} {
		for _, depth := range depths {
			for interlace := range 2 {
				for range 20 {
					w, h := 1+r.IntN(20), 1+r.IntN(20)
					head := ihdr(w, h, depth, colorType, interlace)
					raw := make([]byte, pngDataSize(head[8:21]))
					if depth >= 8 && colorType != 3 && interlace == 0 { // rows without a filter
						for i := range raw {
							if i%(len(raw)/h) > 0 {
								raw[i] = byte(r.Uint32())
							}
						}
					}
					palette := make([]byte, 3<<min(depth, 8))
					for i := range palette {
						palette[i] = byte(i * 7)
					}
					chunks := [][]byte{head, makeChunk("IDAT", deflate(t, raw)), makeChunk("IEND", nil)}
					if colorType == 3 {
						chunks = append(chunks[:1], append([][]byte{makeChunk("PLTE", palette), makeChunk("tRNS", []byte{9, 200})}, chunks[1:]...)...)
					}
					b := makePNG(chunks...)
					name := fmt.Sprintf("%d×%d, color type %d, depth %d, interlace %d", w, h, colorType, depth, interlace)
					want, err := png.Decode(bytes.NewReader(b))
					if err != nil {
						t.Fatalf("%s: image/png: %v", name, err)
					}
					for i, c := range chunks {
						if pngChunk(c).name() == "IDAT" {
							chunks[i] = makeChunk("IDAT", deflate(t, append(bytes.Clone(raw), 0)))
						}
					}
					for what, b := range map[string][]byte{"": b, ", surplus data": makePNG(chunks...)} {
						p, err := Decode(b, DefaultLimits())
						if err != nil || !bytes.Equal(flat(p.Image), flat(want)) {
							t.Errorf("%s%s: got error %v, want the pixels of image/png", name, what, err)
						}
					}
				}
			}
		}
	}
	for name, head := range map[string][]byte{"width": ihdr(-1, 1, 8, 2, 0), "color type": ihdr(1, 1, 8, 7, 0), "depth": ihdr(1, 1, 17, 0, 0)} {
		if n := pngDataSize(head[8:21]); n != 0 {
			t.Errorf("invalid %s: got %d bytes of data, want 0", name, n)
		}
	}
}

// FuzzPNG checks that decodePNG returns the same pixels as image/png for every file that
// image/png decodes, and that repacking the data does not change the pixels.
func FuzzPNG(f *testing.F) {
	f.Add(asPNG(f, corners(16, 12)))
	f.Add(asPNG(f, paletted(gradient(9, 7))))
	f.Add(makePNG(ihdr(5, 4, 8, 0, 1), makeChunk("IDAT", deflate(f, make([]byte, 60))), makeChunk("IEND", nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < len(pngSignature) || string(b[:len(pngSignature)]) != pngSignature {
			return
		}
		config, err := png.DecodeConfig(bytes.NewReader(b))
		if err != nil || config.Width*config.Height > 1<<16 {
			return
		}
		want, err := png.Decode(bytes.NewReader(b))
		got, gotErr := decodePNG(b)
		if err != nil {
			return
		}
		if gotErr != nil || !bytes.Equal(flat(got), flat(want)) {
			t.Fatalf("got error %v, want the pixels of image/png", gotErr)
		}
		p, err := parsePNG(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err = png.Decode(io.MultiReader(bytes.NewReader(p.head), p.repack()))
		if err != nil || !bytes.Equal(flat(got), flat(want)) {
			t.Fatalf("repacked: got error %v, want the pixels of image/png", err)
		}
	})
}
