package crashtest

import (
	"fmt"
	"hash/maphash"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

type kind int

const (
	link kind = iota // gives a node a name
	unlink
	write // sets the whole content of a file
	chmod
	sync
	acknowledge
)

// An op is one operation. A rename consists of several with the same group, which is not 0.
type op struct {
	kind         kind
	name         name
	node         int
	group        int
	renamed      bool // link: by a rename
	old, content string
	mode         fs.FileMode
	durable      bool // before the recording began
}

// A History is a sequence of operations on an empty folder.
type History struct {
	ops     []op
	start   int          // operations before it happened before the recording
	folders map[int]bool // whether a node is a folder
}

func (h *History) add(o op) { h.ops = append(h.ops, o) }

// Without returns the history without the syncs of files or folders for which drop is true. It
// counts the syncs of each file and folder from 0. Tests use it to show that a missing sync is
// noticed.
func (h *History) Without(drop func(folder bool, count int) bool) *History {
	counts := make(map[int]int)
	less := &History{start: h.start, folders: h.folders}
	for _, o := range h.ops {
		if o.kind == sync {
			counts[o.node]++
			if drop(h.folders[o.node], counts[o.node]-1) {
				continue
			}
		}
		less.add(o)
	}
	return less
}

// A State is the content of a disk after a crash.
type State struct {
	Name         string // where and how the crash happened
	Acknowledged int    // number of acknowledged changes
	InFlight     bool   // whether the next change had begun
	// Torn means that the file system forgets sizes and tears renames, as FAT does.
	Torn  bool
	Files map[string]File // by path; folders end with a slash
}

// key identifies the files of the state and the kind of disk. Contents are hashed, because they are
// large.
func (s *State) key(seed maphash.Seed) string {
	key := fmt.Sprintln(s.Torn)
	for _, path := range slices.Sorted(maps.Keys(s.Files)) {
		f := s.Files[path]
		key += fmt.Sprintf("%q %v %d %x\n", path, f.Mode, len(f.Content), maphash.String(seed, f.Content))
	}
	return key
}

// A File is a file or folder in a State.
type File struct {
	Content string
	Mode    fs.FileMode
}

// Write creates the files of the state in folder.
func (s *State) Write(folder string) error {
	for _, path := range slices.Sorted(maps.Keys(s.Files)) {
		f, at := s.Files[path], filepath.Join(folder, path)
		if strings.HasSuffix(path, "/") {
			if err := os.MkdirAll(at, 0o755); err != nil {
				return err
			}
		} else if err := os.WriteFile(at, []byte(f.Content), f.Mode); err != nil {
			return err
		}
	}
	return nil
}

// States returns the states that crashes at every point of the history can leave behind, each once
// for a number of acknowledged changes. At each point, these are the state with only the durable
// operations, the state with all, each also on a torn disk, and n random ones. Every call yields the
// same. With n = 0, they are every combination of the first maxLoose operations that are not durable,
// and 1 << maxLoose random ones.
func (h *History) States(n int) iter.Seq[*State] {
	return func(yield func(*State) bool) {
		seen, seed := make(map[string]bool), maphash.MakeSeed()
		acknowledged := 0
		for cut := h.start; cut <= len(h.ops); cut++ {
			if cut > h.start && h.ops[cut-1].kind == acknowledge {
				acknowledged++
				clear(seen)
			}
			if cut < len(h.ops) && cut > 0 && h.ops[cut].group > 0 && h.ops[cut].group == h.ops[cut-1].group {
				continue // inside a rename
			}
			for s := range h.crash(cut, n) {
				s.Acknowledged = acknowledged
				s.InFlight = cut > h.start && h.ops[cut-1].kind != acknowledge
				key := s.key(seed)
				if seen[key] {
					continue
				}
				seen[key] = true
				if !yield(s) {
					return
				}
			}
		}
	}
}

// maxLoose limits the combinations that are tried at one point of a history to 1 << maxLoose.
const maxLoose = 8

// crash yields states of a crash before the operation at cut.
func (h *History) crash(cut, n int) iter.Seq[*State] {
	return func(yield func(*State) bool) {
		c := newCrash(h, cut)
		for _, torn := range []bool{false, true} {
			c.torn = torn
			if !yield(c.state("durable only", func(int) bool { return false })) || !yield(c.state("all", func(int) bool { return true })) {
				return
			}
		}
		r := rand.New(rand.NewPCG(uint64(cut), 1))
		if n == 0 {
			n = 1 << maxLoose
			c.torn = false
			for set := range 1 << min(len(c.loose), maxLoose) {
				if !yield(c.state(fmt.Sprintf("set %b", set), func(unit int) bool { return set>>unit&1 == 1 })) {
					return
				}
			}
		}
		for i := range n {
			c.torn, c.random = i%2 == 1, r
			if !yield(c.state(fmt.Sprint("random ", i), func(int) bool { return r.IntN(2) == 1 })) {
				return
			}
		}
	}
}
