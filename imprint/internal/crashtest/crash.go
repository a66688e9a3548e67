package crashtest

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
)

// A crash is a crash before the operation at cut.
type crash struct {
	*History
	cut     int
	durable []bool       // by operation
	sizes   map[int]bool // whether the file system has written the size under the new name, by link operation
	loose   []int        // units of operations that are not durable
	torn    bool
	random  *rand.Rand // tears writes; nil means that they are whole
}

func newCrash(h *History, cut int) *crash {
	c := &crash{History: h, cut: cut, durable: make([]bool, cut), sizes: make(map[int]bool)}
	synced := make(map[int]bool) // nodes that are synced later
	for i := cut - 1; i >= 0; i-- {
		o := h.ops[i]
		switch o.kind {
		case sync:
			synced[o.node] = true
		case link, unlink:
			c.durable[i] = o.durable || synced[o.name.dir]
			c.sizes[i] = synced[o.node]
		default:
			c.durable[i] = o.durable || synced[o.node]
		}
		if unit := c.unit(i); !c.durable[i] && o.kind < sync && !slices.Contains(c.loose, unit) {
			c.loose = append(c.loose, unit)
		}
	}
	return c
}

// unit returns the unit of an operation. The operations of a unit reach the disk together or not at
// all. On FAT, the parts of a rename are separate units.
func (c *crash) unit(i int) int {
	if g := c.ops[i].group; g > 0 && !c.torn {
		return g
	}
	return -i
}

// state returns the state with the durable operations and those that arrive chooses, given the
// index of a unit.
func (c *crash) state(how string, arrives func(unit int) bool) *State {
	arrived := make(map[int]bool)
	for i := range c.cut {
		if u := c.unit(i); !c.durable[i] {
			if _, ok := arrived[u]; !ok {
				arrived[u] = arrives(len(arrived))
			}
		}
	}
	type entry struct {
		node  int
		empty bool
	}
	names := make(map[name]entry)
	contents, modes := make(map[int]string), make(map[int]op)
	for i, o := range c.ops[:c.cut] {
		if !c.durable[i] && !arrived[c.unit(i)] {
			continue
		}
		switch o.kind {
		case link:
			forgets := c.torn && o.renamed && !c.sizes[i] && (c.random == nil || c.random.IntN(3) > 0)
			names[o.name] = entry{o.node, forgets}
		case unlink:
			if names[o.name].node == o.node {
				delete(names, o.name)
			}
		case write:
			contents[o.node] = o.content
			if !c.durable[i] && c.random != nil {
				contents[o.node] = tear(c.random, o.old, o.content)
			}
		case chmod:
			modes[o.node] = o
		}
	}
	s := &State{Name: fmt.Sprintf("operation %d of %d, %s, torn: %v", c.cut, len(c.ops), how, c.torn), Torn: c.torn, Files: make(map[string]File)}
	var add func(dir int, at string)
	add = func(dir int, at string) {
		for n, e := range names {
			if n.dir != dir {
				continue
			}
			p := path.Join(at, n.base)
			if c.folders[e.node] {
				s.Files[p+"/"] = File{}
				add(e.node, p)
				continue
			}
			f := File{contents[e.node], 0o600}
			if o, ok := modes[e.node]; ok {
				f.Mode = o.mode
			}
			if e.empty {
				f.Content = ""
			}
			s.Files[p] = f
		}
	}
	add(root, "")
	return s
}

// tear returns what may be on the disk while a file changes from old to content: of each block, the
// old bytes, the new ones or zeros, and possibly only the first blocks.
func tear(r *rand.Rand, old, content string) string {
	if r.IntN(3) == 0 {
		return content
	}
	block := []int{512, 4096}[r.IntN(2)]
	torn := []byte(content)
	for at := 0; at < len(torn); at += block {
		end := min(at+block, len(torn))
		switch r.IntN(3) {
		case 0:
			clear(torn[at:end])
			copy(torn[at:end], old[min(at, len(old)):min(end, len(old))])
		case 1:
			clear(torn[at:end])
		}
	}
	if r.IntN(4) == 0 {
		torn = torn[:len(torn)/block*block*r.IntN(2)]
	}
	return string(torn)
}
