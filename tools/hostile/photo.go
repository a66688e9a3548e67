package hostile

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// A piece is a part of a photo's file with a length of its own: a segment of a JPEG, or a chunk of a PNG or WebP.
type piece struct {
	name string // marker or type
	body []byte
	data []byte // entropy-coded data after a JPEG's start of scan
}

const pngSignature = "\x89PNG\r\n\x1a\n"

// Photo changes the pieces of a valid photo and returns its file, with right lengths and checksums. It changes single
// bytes of formats that have no pieces. It returns nil if the file would be large.
func Photo(file, edits []byte) []byte {
	pieces, join := split(file)
	var late []edit // edits of the joined file
	for _, e := range parseEdits(edits) {
		switch {
		case len(pieces) == 0 || e.kind%8 == 7:
			late = append(late, e)
		case e.kind%8 == 6:
			pieces = changed(pieces, e, func(old piece) piece { return *pick(pieces, e) })
		default:
			pieces = append([]piece(nil), pieces...)
			p := pick(pieces, e)
			switch {
			case e.kind%8 == 5 && len(p.data) > 0:
				p.data = e.words(p.data)
			case e.kind%8 == 4:
				p.body = changed(p.body, e, func(old byte) byte { return byte(e.number(int64(old))) })
			default:
				p.body = edit{e.kind >> 3, e.how, int(uint32(e.value) >> 24), e.value}.words(p.body)
			}
		}
	}
	out := file
	if pieces != nil {
		out = join(pieces)
	}
	if len(out) > maxSize {
		return nil
	}
	for _, e := range late {
		if e.how%2 == 0 { // headers are more interesting than pixels
			e.where, e.kind = 0, e.kind%64
		}
		out = e.words(out)
	}
	return out
}

// split returns the pieces of a photo, and a function that joins them. It returns no pieces of other formats.
func split(file []byte) ([]piece, func([]piece) []byte) {
	switch {
	case bytes.HasPrefix(file, []byte("\xff\xd8")):
		return splitJPEG(file), joinJPEG
	case bytes.HasPrefix(file, []byte(pngSignature)):
		return splitPNG(file), joinPNG
	case bytes.HasPrefix(file, []byte("RIFF")) && len(file) >= 12:
		return splitRIFF(file), joinRIFF
	}
	return nil, nil
}

func splitJPEG(file []byte) []piece {
	var pieces []piece
	for at := 2; at+4 <= len(file) && file[at] == 0xff && file[at+1] != 0xd9; {
		end := at + 2 + int(binary.BigEndian.Uint16(file[at+2:]))
		if end < at+4 || end > len(file) {
			break
		}
		p := piece{name: string(file[at : at+2]), body: file[at+4 : end]}
		at = end
		if p.name[1] == 0xda {
			for end < len(file)-1 && (file[end] != 0xff || file[end+1] == 0 || file[end+1]&0xf8 == 0xd0) {
				end++
			}
			p.data, at = file[at:end], end
		}
		pieces = append(pieces, p)
	}
	return pieces
}

func joinJPEG(pieces []piece) []byte {
	out := []byte("\xff\xd8")
	for _, p := range pieces {
		out = append(out, p.name...)
		out = binary.BigEndian.AppendUint16(out, uint16(len(p.body)+2))
		out = append(append(out, p.body...), p.data...)
	}
	return append(out, 0xff, 0xd9)
}

func splitPNG(file []byte) []piece {
	var pieces []piece
	for b := file[len(pngSignature):]; len(b) >= 12; {
		n := int(binary.BigEndian.Uint32(b))
		if n > len(b)-12 {
			break
		}
		pieces = append(pieces, piece{name: string(b[4:8]), body: b[8 : 8+n]})
		b = b[12+n:]
	}
	return pieces
}

func joinPNG(pieces []piece) []byte {
	out := []byte(pngSignature)
	for _, p := range pieces {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p.body)))
		start := len(out)
		out = append(append(out, p.name...), p.body...)
		out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[start:]))
	}
	return out
}

func splitRIFF(file []byte) []piece {
	var pieces []piece
	for b := file[12:]; len(b) >= 8; {
		n := int(binary.LittleEndian.Uint32(b[4:]))
		if n > len(b)-8 {
			break
		}
		pieces = append(pieces, piece{name: string(b[:4]), body: b[8 : 8+n]})
		b = b[min(len(b), 8+n+n%2):]
	}
	return pieces
}

func joinRIFF(pieces []piece) []byte {
	out := []byte("RIFF\x00\x00\x00\x00WEBP")
	for _, p := range pieces {
		out = append(out, p.name...)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(p.body)))
		out = append(out, p.body...)
		if len(p.body)%2 == 1 {
			out = append(out, 0)
		}
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}
