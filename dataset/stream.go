package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"
)

// ErrStream is wrapped when what a camera sends over HTTP is no stream of pictures.
var ErrStream = errors.New("not a stream of pictures")

const (
	maxBoundary    = 200 // bytes; RFC 2046 allows 70
	maxPartHeaders = 32
	maxPartLine    = 4 << 10
	maxBetween     = 64 << 10 // bytes between a picture and the next boundary
)

// A Stream reads the pictures out of a multipart/x-mixed-replace body: what network
// cameras, mjpg-streamer and a Donkey Car's /video send ("motion JPEG").
//
// They do not keep to RFC 2046: Donkey Car writes the dashes of the delimiter into the
// boundary's name as well, ends lines with a bare newline, and puts none between a
// picture and the next delimiter. So dashes are left out of account, any newline ends a
// line, and a Content-Length is trusted.
type Stream struct {
	r        *bufio.Reader
	boundary string // without its dashes
	max      int64
	inPart   bool // the delimiter of the next part has been read
}

// NewStream reads from r the body that a response with this Content-Type has. No picture
// may be larger than l.MaxBytes.
func NewStream(r io.Reader, contentType string, l Limits) (*Stream, error) {
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return nil, fmt.Errorf("%w: its type is %.80q, not multipart/x-mixed-replace", ErrStream, contentType)
	}
	boundary := strings.TrimLeft(parameters["boundary"], "-")
	if boundary == "" || len(boundary) > maxBoundary {
		return nil, fmt.Errorf("%w: its type, %.80q, names no usable boundary", ErrStream, contentType)
	}
	return &Stream{r: bufio.NewReaderSize(r, 64<<10), boundary: boundary, max: l.MaxBytes}, nil
}

// Next returns the next picture's file, which belongs to the caller. The end of the
// stream is io.EOF, or io.ErrUnexpectedEOF within a picture.
func (s *Stream) Next() ([]byte, error) {
	for between := 0; !s.inPart; {
		line, err := s.line(maxBetween)
		if err != nil {
			return nil, err
		}
		if between += len(line) + 1; between > maxBetween {
			return nil, fmt.Errorf("%w: no boundary within %d bytes", ErrStream, maxBetween)
		}
		var last bool
		if s.inPart, last = s.delimiter(line); last {
			return nil, io.EOF
		}
	}
	length, err := s.header()
	if err != nil {
		return nil, unexpected(err)
	}
	s.inPart = false
	if length < 0 {
		return s.untilDelimiter()
	}
	// Grows with what comes, not with what is announced.
	var b bytes.Buffer
	if n, err := io.CopyN(&b, s.r, length); err != nil {
		return nil, fmt.Errorf("picture of %d bytes ended after %d: %w", length, n, unexpected(err))
	}
	return b.Bytes(), nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// delimiter tells whether a line is a delimiter, and the last.
func (s *Stream) delimiter(line []byte) (is, last bool) {
	name, dashed := bytes.CutPrefix(bytes.TrimSpace(line), []byte("--"))
	rest, is := bytes.CutPrefix(bytes.TrimLeft(name, "-"), []byte(s.boundary))
	switch string(rest) {
	case "":
		return dashed && is, false
	case "--":
		return false, dashed && is
	}
	return false, false
}

// line reads a line of at most max bytes without its end.
func (s *Stream) line(max int) ([]byte, error) {
	var line []byte
	for {
		b, err := s.r.ReadSlice('\n')
		if len(line)+len(b) > max {
			return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrStream, max)
		}
		line = append(line, b...)
		if err == nil {
			return bytes.TrimRight(line, "\r\n"), nil
		}
		if err != bufio.ErrBufferFull {
			return nil, err
		}
	}
}

// header reads the headers of a part and returns the length they tell, or -1.
func (s *Stream) header() (length int64, err error) {
	length = -1
	for range maxPartHeaders {
		line, err := s.line(maxPartLine)
		if err != nil {
			return 0, err
		}
		if len(line) == 0 {
			return length, nil
		}
		name, value, ok := strings.Cut(string(line), ":")
		if !ok {
			return 0, fmt.Errorf("%w: %.40q is no header", ErrStream, line)
		}
		if !strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
			continue
		}
		length, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if err != nil || length < 0 {
			return 0, fmt.Errorf("%w: a picture of %.40q bytes", ErrStream, value)
		}
		if length > s.max {
			return 0, tooManyBytes(length, s.max)
		}
	}
	return 0, fmt.Errorf("%w: more than %d headers", ErrStream, maxPartHeaders)
}

// untilDelimiter reads a picture of unknown length.
func (s *Stream) untilDelimiter() ([]byte, error) {
	var picture []byte
	start := 0 // of the line
	for {
		b, err := s.r.ReadSlice('\n')
		picture = append(picture, b...)
		if int64(len(picture)) > s.max+maxPartLine {
			return nil, fmt.Errorf("%w: over %d bytes", ErrTooLarge, s.max)
		}
		if err == bufio.ErrBufferFull {
			continue // the rest of the line
		}
		if err != nil {
			return nil, unexpected(err)
		}
		line := picture[start:]
		// The delimiter may follow the picture without a newline.
		if i := bytes.LastIndex(line, []byte("--"+s.boundary)); i >= 0 {
			if is, last := s.delimiter(line[i:]); is || last {
				picture = bytes.TrimRight(picture[:start+i], "-")
				picture, _ = bytes.CutSuffix(picture, []byte("\n"))
				picture, _ = bytes.CutSuffix(picture, []byte("\r"))
				if int64(len(picture)) > s.max {
					return nil, tooManyBytes(int64(len(picture)), s.max)
				}
				s.inPart = is
				return picture, nil
			}
		}
		start = len(picture)
	}
}
