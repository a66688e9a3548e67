package store

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/imprintkit/imprint/dataset"
)

// Nearly all of a state's JSON is lists of examples. Package encoding/json takes several times as
// long to parse them as exampleParser, which only knows the form in which Encode writes them, and
// also takes longer to write them.

// errOtherForm means that JSON is not in the form that Encode writes. It may still be valid.
var errOtherForm = errors.New("JSON in another form")

// unmarshal sets s to a state encoded as JSON.
func unmarshal(b []byte, s *State) error {
	if err := unmarshalFast(b, s); err == nil {
		return nil
	}
	*s = State{}
	return json.Unmarshal(b, s)
}

// unmarshalFast is like json.Unmarshal, but fails with errOtherForm unless the lists of examples in
// b have the form that Encode writes. Package json parses the rest. There, one example stands for each
// list, and its label is the list's number.
func unmarshalFast(b []byte, s *State) error {
	var lists [][]Example
	var rest []byte
	for {
		at, end := len(b), 0
		for _, key := range []string{`"Examples":[{`, `"Added":[{`, `"Removed":[{`} {
			// In a string, a backslash would precede the second quotation mark.
			if i := bytes.Index(b[:at], []byte(key)); i >= 0 {
				at, end = i, i+len(key)-1
			}
		}
		if end == 0 {
			break
		}
		p := exampleParser{b: b[end:]}
		list := p.list()
		if p.failed {
			return errOtherForm
		}
		rest = append(rest, b[:end]...)
		rest = append(rest, `{"Label":"`...)
		rest = strconv.AppendInt(rest, int64(len(lists)), 10)
		rest = append(rest, `"}]`...)
		lists, b = append(lists, list), p.b
	}
	if err := json.Unmarshal(append(rest, b...), s); err != nil {
		return err
	}
	next := 0
	for _, place := range s.lists() {
		if len(*place) == 0 {
			continue
		}
		if next == len(lists) || (*place)[0].Label != strconv.Itoa(next) {
			return errOtherForm
		}
		*place = lists[next]
		next++
	}
	if next < len(lists) {
		return errOtherForm
	}
	return nil
}

// lists returns all lists of examples in s.
func (s *State) lists() []*[]Example {
	all := []*[]Example{&s.Examples}
	for i := range s.History {
		all = append(all, &s.History[i].Added, &s.History[i].Removed)
	}
	return all
}

// appendJSON appends the same JSON to b as json.Marshal(s) returns. Package json writes one example for
// each list, and exampleWriter writes the list.
func appendJSON(b []byte, s *State) ([]byte, error) {
	short := *s
	short.History = slices.Clone(s.History)
	full, all := s.lists(), short.lists()
	for i, list := range all {
		if len(*list) > 0 {
			*list = []Example{{Label: strconv.Itoa(i)}}
		}
	}
	rest, err := json.Marshal(&short)
	if err != nil {
		return nil, err
	}
	for i, list := range full {
		if len(*list) == 0 {
			continue
		}
		stand, err := json.Marshal(*all[i])
		if err != nil {
			return nil, err
		}
		// In a string, a backslash would precede the quotation marks.
		before, after, _ := bytes.Cut(rest, stand)
		b = append(b, before...)
		w := exampleWriter{b: b}
		for k := range *list {
			w.b = append(w.b, "[,"[min(k, 1)])
			first := len(w.b)
			if err := w.example(&(*list)[k]); err != nil {
				return nil, err
			}
			if k == 0 { // the others are about as long
				w.b = slices.Grow(w.b, (len(w.b)-first+20)*len(*list))
			}
		}
		b = w.b
		b, rest = append(b, ']'), after
	}
	return append(b, rest...), nil
}

// An exampleWriter appends examples to b.
type exampleWriter struct {
	b    []byte
	time time.Time // the last one written
	text []byte    // of time
}

// example appends the same JSON as json.Marshal(e) returns.
func (w *exampleWriter) example(e *Example) (err error) {
	b := w.b
	b = appendText(append(b, `{"Label":`...), e.Label)
	b = hex.AppendEncode(append(b, `,"Photo":"`...), e.Photo[:])
	b = appendText(append(b, `","Path":`...), e.Path)
	if w.text == nil || w.time != e.Time {
		if w.text, err = appendTime(w.text[:0], e.Time); err != nil {
			return err
		}
		w.time = e.Time
	}
	b = append(append(b, `,"Time":`...), w.text...)
	if e.Source != "" {
		b = appendText(append(b, `,"Source":`...), e.Source)
	}
	if !e.Taken.IsZero() {
		if b, err = appendTime(append(b, `,"Taken":`...), e.Taken); err != nil {
			return err
		}
	}
	if e.Hash != 0 {
		b = strconv.AppendUint(append(b, `,"Hash":`...), e.Hash, 10)
	}
	if e.From != "" {
		b = appendText(append(b, `,"From":`...), e.From)
	}
	if len(e.Also) > 0 {
		also, err := json.Marshal(e.Also)
		if err != nil {
			return err
		}
		b = append(append(b, `,"Also":`...), also...)
	}
	if e.Of != (Digest{}) {
		b = append(hex.AppendEncode(append(b, `,"Of":"`...), e.Of[:]), '"')
	}
	if e.Box != (dataset.Box{}) {
		box, err := e.Box.MarshalJSON()
		if err != nil {
			return err
		}
		b = append(append(b, `,"Box":`...), box...)
	}
	if e.Found {
		b = append(b, `,"Found":true`...)
	}
	w.b = append(b, '}')
	return nil
}

func appendTime(b []byte, t time.Time) ([]byte, error) {
	b, err := t.AppendText(append(b, '"'))
	return append(b, '"'), err
}

func appendText(b []byte, s string) []byte {
	// The characters that JSON contains as they are: all printable ones except ", \, <, > and &.
	const printable = 1<<64 - 1<<' '
	plain := [2]uint64{printable &^ (1<<'"' | 1<<'<' | 1<<'>' | 1<<'&'), 1<<64 - 1 - 1<<('\\'-64)}
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || plain[c/64]>>(c%64)&1 == 0 {
			quoted, _ := json.Marshal(s) // it never fails for a string
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// An exampleParser parses the examples at the beginning of b, and removes them from b.
type exampleParser struct {
	b      []byte
	failed bool // b does not have the form that Encode writes
	label  string
	from   string
	time   time.Time // of the last example

	textOfTime []byte
}

// list parses examples up to the end of the list.
func (p *exampleParser) list() (list []Example) {
	likely := p.b // the list, unless a string contains this
	if n := bytes.Index(p.b, []byte("}]")); n >= 0 {
		likely = p.b[:n]
	}
	list = make([]Example, 0, bytes.Count(likely, []byte("},{"))+1)
	for !p.failed {
		list = append(list, p.example())
		if p.skip("]") {
			break
		}
		p.want(",")
	}
	return list
}

// example parses one example.
func (p *exampleParser) example() (e Example) {
	p.want(`{"Label":`)
	e.Label = p.string(p.label)
	p.label = e.Label
	p.want(`,"Photo":`)
	e.Photo = p.digest()
	p.want(`,"Path":`)
	e.Path = p.string("")
	p.want(`,"Time":`)
	if text := p.quoted(); !bytes.Equal(text, p.textOfTime) {
		p.failed = p.failed || p.time.UnmarshalJSON(text) != nil
		p.textOfTime = text
	}
	e.Time = p.time
	if p.skip(`,"Source":`) {
		e.Source = p.string("")
	}
	if p.skip(`,"Taken":`) {
		p.failed = p.failed || e.Taken.UnmarshalJSON(p.quoted()) != nil
	}
	if p.skip(`,"Hash":`) {
		n := 0
		for n < len(p.b) && '0' <= p.b[n] && p.b[n] <= '9' {
			n++
		}
		var err error
		e.Hash, err = strconv.ParseUint(string(p.b[:n]), 10, 64)
		p.failed = p.failed || err != nil || n > 1 && p.b[0] == '0'
		p.b = p.b[n:]
	}
	if p.skip(`,"From":`) {
		e.From = p.string(p.from)
		p.from = e.From
	}
	if p.skip(`,"Also":`) {
		e.Also = p.claims()
	}
	if p.skip(`,"Of":`) {
		e.Of = p.digest()
	}
	if p.skip(`,"Box":`) {
		n := bytes.IndexByte(p.b, ']') + 1
		p.failed = p.failed || e.Box.UnmarshalJSON(p.b[:n]) != nil
		p.b = p.b[n:]
	}
	e.Found = p.skip(`,"Found":true`)
	p.want("}")
	return e
}

// claims parses a list of claims.
func (p *exampleParser) claims() (list []Claim) {
	d := json.NewDecoder(bytes.NewReader(p.b))
	if p.failed || d.Decode(&list) != nil || len(list) == 0 {
		p.failed = true
		return nil
	}
	p.b = p.b[d.InputOffset():]
	return list
}

// digest parses a digest.
func (p *exampleParser) digest() (d Digest) {
	text := p.quoted()
	p.failed = p.failed || d.UnmarshalText(bytes.Trim(text, `"`)) != nil
	return d
}

// skip removes text from the beginning of b, and reports whether it was there.
func (p *exampleParser) skip(text string) bool {
	if len(p.b) < len(text) || string(p.b[:len(text)]) != text {
		return false
	}
	p.b = p.b[len(text):]
	return true
}

// want removes text from the beginning of b, where it must be.
func (p *exampleParser) want(text string) { p.failed = !p.skip(text) || p.failed }

// quoted parses a string, and returns it with its quotation marks.
func (p *exampleParser) quoted() []byte {
	if len(p.b) == 0 || p.b[0] != '"' {
		p.failed = true
		return nil
	}
	for i := 1; ; i++ {
		n := bytes.IndexByte(p.b[i:], '"')
		if n < 0 {
			p.failed = true
			return nil
		}
		i += n
		backslashes := 0
		for p.b[i-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			s := p.b[:i+1]
			p.b = p.b[i+1:]
			return s
		}
	}
}

// string parses a string. If the string equals known, string returns known, which saves memory.
func (p *exampleParser) string(known string) (s string) {
	quoted := p.quoted()
	if p.failed {
		return ""
	}
	inner := quoted[1 : len(quoted)-1]
	plain, ascii := true, true
	for _, c := range inner {
		plain, ascii = plain && c >= ' ' && c != '\\', ascii && c < utf8.RuneSelf
	}
	plain = plain && (ascii || utf8.Valid(inner))
	switch {
	case !plain:
		p.failed = json.Unmarshal(quoted, &s) != nil
	case string(inner) == known:
		s = known
	default:
		s = string(inner)
	}
	return s
}
