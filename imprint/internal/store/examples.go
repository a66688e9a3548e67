package store

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// Nearly all of a state's JSON is lists of examples. Package encoding/json takes several times as
// long to parse them as exampleParser, which only knows the form in which Encode writes them.

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

// An exampleParser parses the examples at the beginning of b, and removes them from b.
type exampleParser struct {
	b      []byte
	failed bool // b does not have the form that Encode writes
	label  string
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
	e.Label = p.text(p.label)
	p.label = e.Label
	p.want(`,"Photo":`)
	if photo := p.quoted(); len(photo) == hex.EncodedLen(len(e.Photo))+2 {
		_, err := hex.Decode(e.Photo[:], photo[1:len(photo)-1])
		p.failed = p.failed || err != nil
	} else {
		p.failed = true
	}
	p.want(`,"Path":`)
	e.Path = p.text("")
	p.want(`,"Time":`)
	p.failed = p.failed || e.Time.UnmarshalJSON(p.quoted()) != nil
	if p.skip(`,"Source":`) {
		e.Source = p.text("")
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
	p.want("}")
	return e
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
	for i := 1; i < len(p.b) && p.b[0] == '"'; i++ {
		switch p.b[i] {
		case '\\':
			i++
		case '"':
			s := p.b[:i+1]
			p.b = p.b[i+1:]
			return s
		}
	}
	p.failed = true
	return nil
}

// text parses a string. If the string equals known, text returns known, which saves memory.
func (p *exampleParser) text(known string) (s string) {
	quoted := p.quoted()
	if p.failed {
		return ""
	}
	inner := quoted[1 : len(quoted)-1]
	plain := utf8.Valid(inner)
	for _, c := range inner {
		plain = plain && c != '\\' && c >= ' '
	}
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
