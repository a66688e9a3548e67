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

// ErrStream means that a response is not an MJPEG stream, or that the stream is malformed.
var ErrStream = errors.New("not an MJPEG stream")

const (
	maxBoundary    = 200 // bytes; RFC 2046 allows 70
	maxPartHeaders = 32
	maxPartLine    = 4 << 10
	maxBetween     = 64 << 10 // bytes between a photo and the next delimiter
)

// A Stream reads the photos of an MJPEG stream, a multipart/x-mixed-replace body as sent
// by network cameras, mjpg-streamer and the /video page of a Donkey Car. It is not safe
// for concurrent use.
//
// A Stream is more lenient than RFC 2046, because senders violate the RFC. Donkey Car, for
// instance, also puts the dashes of the delimiter into the boundary parameter. It ends lines
// with a bare newline, and omits the newline between a photo and the next delimiter. Other
// senders omit the first delimiter or the newline after each one, begin each part with the
// delimiter that ends a stream, or have an unquoted space in the boundary parameter. A Stream
// ignores leading dashes in the boundary, accepts any newline or none, and relies on
// Content-Length.
type Stream struct {
	r        *bufio.Reader
	boundary string // without leading dashes
	max      int64
	inPart   bool   // whether the delimiter of the next part has been read
	first    []byte // the first header of the next part, if it has been read too
	began    bool   // whether a part has been read
	closed   bool   // whether the last delimiter was one that ends a stream
}

// NewStream returns a Stream that reads the body r of a response with the given
// Content-Type. Photos may have up to l.MaxBytes bytes. If the type is not multipart or
// lacks a usable boundary, the error wraps ErrStream.
func NewStream(r io.Reader, contentType string, l Limits) (*Stream, error) {
	kind, parameters, err := mime.ParseMediaType(contentType)
	boundary := parameters["boundary"]
	if err != nil { // D-Link's boundary has a space, without quotes
		kind, boundary, _ = strings.Cut(contentType, ";")
		name, value, _ := strings.Cut(strings.TrimSpace(boundary), "=")
		if boundary = ""; strings.EqualFold(strings.TrimSpace(name), "boundary") {
			boundary = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	if !strings.HasPrefix(strings.ToLower(strings.TrimSpace(kind)), "multipart/") {
		return nil, fmt.Errorf("%w: Content-Type is %.80q, not multipart/x-mixed-replace", ErrStream, contentType)
	}
	boundary = strings.TrimLeft(boundary, "-")
	if boundary == "" || len(boundary) > maxBoundary {
		return nil, fmt.Errorf("%w: Content-Type %.80q has no usable boundary", ErrStream, contentType)
	}
	return &Stream{r: bufio.NewReaderSize(r, 64<<10), boundary: boundary, max: l.MaxBytes}, nil
}

// Next returns the content of the next part. The caller owns the content. Next does not check
// that the content is a photo. At the end of the stream, the error is io.EOF. If the stream ends
// inside a part, the error is io.ErrUnexpectedEOF. Other errors wrap ErrStream, ErrTooLarge or
// the reader's error.
func (s *Stream) Next() ([]byte, error) {
	for between := 0; !s.inPart; {
		line, err := s.line(maxBetween)
		if err != nil {
			return nil, err
		}
		between += len(line) + 1
		switch is, last := s.delimiter(line); {
		case is:
			s.inPart = true
		case last:
			s.closed = true // unless another part follows
		case (s.closed || !s.began) && isHeader(line):
			s.inPart, s.first = true, line
		case between > maxBetween && s.closed:
			return nil, io.EOF
		case between > maxBetween:
			return nil, fmt.Errorf("%w: no boundary within %d bytes", ErrStream, maxBetween)
		}
	}
	s.began, s.closed = true, false
	length, err := s.header()
	if err != nil {
		return nil, unexpected(err)
	}
	s.inPart = false
	if length < 0 {
		return s.untilDelimiter()
	}
	var b bytes.Buffer // grows with the received bytes, whatever Content-Length says
	if n, err := io.CopyN(&b, s.r, length); err != nil {
		return nil, fmt.Errorf("read photo of %d bytes: stopped after %d bytes: %w", length, n, unexpected(err))
	}
	return b.Bytes(), nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// delimiter reports whether line is a delimiter before a part, and whether it is one that ends
// the stream. It keeps a header that follows the delimiter on the same line.
func (s *Stream) delimiter(line []byte) (is, last bool) {
	name, dashed := bytes.CutPrefix(bytes.TrimSpace(line), []byte("--"))
	rest, named := bytes.CutPrefix(bytes.TrimLeft(name, "-"), []byte(s.boundary))
	switch {
	case !dashed || !named:
	case len(rest) == 0:
		return true, false
	case string(rest) == "--":
		return false, true
	case isHeader(rest):
		s.first = bytes.Clone(rest)
		return true, false
	}
	return false, false
}

// isHeader reports whether line is a header that parts of a stream begin with.
func isHeader(line []byte) bool {
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimSpace(name)
	return ok && (bytes.EqualFold(name, []byte("Content-Type")) || bytes.EqualFold(name, []byte("Content-Length")))
}

// line reads a line of at most limit bytes and returns it without its newline.
func (s *Stream) line(limit int) ([]byte, error) {
	var line []byte
	for {
		b, err := s.r.ReadSlice('\n')
		if len(line)+len(b) > limit {
			return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrStream, limit)
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

// header reads the headers of a part. It returns the Content-Length, or -1 if there is none.
func (s *Stream) header() (length int64, err error) {
	length = -1
	for range maxPartHeaders {
		line := s.first
		if s.first = nil; line == nil {
			if line, err = s.line(maxPartLine); err != nil {
				return 0, err
			}
		}
		if len(line) == 0 {
			return length, nil
		}
		name, value, ok := strings.Cut(string(line), ":")
		if !ok {
			return 0, fmt.Errorf("%w: invalid part header %.40q", ErrStream, line)
		}
		if !strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
			continue
		}
		length, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if err != nil || length < 0 {
			return 0, fmt.Errorf("%w: invalid Content-Length %.40q", ErrStream, value)
		}
		if length > s.max {
			return 0, tooManyBytes(length, s.max)
		}
	}
	return 0, fmt.Errorf("%w: a part with more than %d headers", ErrStream, maxPartHeaders)
}

// untilDelimiter reads a photo whose length is unknown.
func (s *Stream) untilDelimiter() ([]byte, error) {
	var photo []byte
	start := 0 // offset of the current line
	for {
		b, err := s.r.ReadSlice('\n')
		photo = append(photo, b...)
		if int64(len(photo)) > s.max+maxPartLine {
			return nil, fmt.Errorf("%w: the limit is %s", ErrTooLarge, byteSize(s.max))
		}
		if err == bufio.ErrBufferFull {
			continue // the line is longer than the buffer
		}
		if err != nil {
			return nil, unexpected(err)
		}
		line := photo[start:]
		// The delimiter may follow the photo without a newline.
		if i := bytes.LastIndex(line, []byte("--"+s.boundary)); i >= 0 {
			if is, last := s.delimiter(line[i:]); is || last {
				photo = bytes.TrimRight(photo[:start+i], "-")
				photo, _ = bytes.CutSuffix(photo, []byte("\n"))
				photo, _ = bytes.CutSuffix(photo, []byte("\r"))
				if int64(len(photo)) > s.max {
					return nil, tooManyBytes(int64(len(photo)), s.max)
				}
				s.inPart, s.closed = is, last
				return photo, nil
			}
		}
		start = len(photo)
	}
}
