package source

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"sync"
)

// withHuffmanTables inserts the standard Huffman tables (ITU-T T.81, annex K.3) into a JPEG that
// has no tables. The MJPG format lets cameras omit them, and many do.
func withHuffmanTables(picture []byte) []byte {
	for at := 2; at+4 <= len(picture) && picture[at] == 0xff; {
		marker, size := picture[at+1], 2+int(binary.BigEndian.Uint16(picture[at+2:]))
		switch marker {
		case 0xc4: // DHT
			return picture
		case 0xda: // SOS
			return bytes.Join([][]byte{picture[:at], huffmanTables(), picture[at:]}, nil)
		}
		at += size
	}
	return picture
}

// huffmanTables returns the DHT segments that image/jpeg writes, which contain the standard
// tables.
var huffmanTables = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 1, 1)), nil); err != nil {
		return nil
	}
	var tables []byte
	for p := b.Bytes()[2:]; len(p) > 4 && p[0] == 0xff && p[1] != 0xda; {
		segment := p[:2+int(binary.BigEndian.Uint16(p[2:]))]
		if segment[1] == 0xc4 {
			tables = append(tables, segment...)
		}
		p = p[len(segment):]
	}
	return tables
})
