package hostile

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Lines changes a text of lines, such as the headers of a stream or the JSON values of a Donkey Car tub. In a line of
// JSON it changes one value and keeps the rest valid. It returns nil if the text would be large.
func Lines(text, edits []byte) []byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	for _, e := range parseEdits(edits) {
		if e.kind%8 == 7 {
			lines = changed(lines, e, func([]byte) []byte { return *pick(lines, e) })
			continue
		}
		lines = slices.Clone(lines)
		line := pick(lines, e)
		var value any
		if e.kind%8 > 0 && json.Unmarshal(*line, &value) == nil {
			place := int(e.how)
			if b, err := json.Marshal(e.json(value, &place)); err == nil {
				*line = append(b, '\n')
			}
			if len(*line) > maxSize {
				return nil
			}
		} else {
			*line = changed(*line, e, func(old byte) byte { return byte(e.number(int64(old))) })
		}
	}
	if out := bytes.Join(lines, nil); len(out) <= maxSize {
		return out
	}
	return nil
}

// json returns v with one value changed: the value at the given place, counted depth first.
func (e edit) json(v any, place *int) any {
	if *place--; *place < 0 {
		return v
	}
	if *place == 0 {
		return e.substitute(v)
	}
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = e.json(v[i], place)
		}
		if *place > 0 && e.kind >= 128 {
			*place = 0 // the lists around this one stay as they are, or copies of copies would fill the memory
			return changed(v, e, func(old any) any { return old })
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			v[k] = e.json(v[k], place)
		}
	}
	return v
}

// substitute returns a value to replace v with.
func (e edit) substitute(v any) any {
	switch uint32(e.value) % 8 {
	case 0:
		return nil
	case 1:
		return strings.Repeat("x", 1<<(uint32(e.value)>>8%16))
	case 2:
		return []any{v, v}
	case 3:
		return map[string]any{"": v}
	case 4:
		return "../" + strings.Repeat("../", int(e.kind)) + "etc/passwd\x00\n"
	case 5:
		return json.RawMessage(strings.Repeat("[", 1<<(e.kind%14)) + strings.Repeat("]", 1<<(e.kind%14)))
	case 6:
		return json.RawMessage("1e999")
	}
	return e.number(int64(e.value))
}
