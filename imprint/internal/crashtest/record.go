// Package crashtest builds the disk states that a crash can leave behind, for tests. Start with
// [NewRecorder] and pass [Recorder.Before] to a store.Disk; then take the states of
// [Recorder.History].
//
// The model of a disk follows ALICE (Pillai et al., OSDI 2014) and CrashMonkey (Mohan et al., OSDI
// 2018). A sync makes the content of one file or the names in one folder durable. Anything else may
// be lost or kept after a crash, in any combination.
package crashtest

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Recorder records the operations on the files in a folder, with their contents. It finds them by
// comparing the folder before each operation with the folder before the previous one, so it also
// records operations that are not announced.
type Recorder struct {
	root    string
	nodes   []*node
	history History
	now     map[name]int // node by name
	sync    int          // node that the operation in progress syncs, or -1
}

// A node is a file or a folder, which can have several names in the course of a history.
type node struct {
	info    fs.FileInfo
	open    *os.File // prevents that the file system uses the inode for another file
	isDir   bool
	mode    fs.FileMode
	content string
}

// A name is an entry in a folder.
type name struct {
	dir  int // node of the folder
	base string
}

func (n name) compare(other name) int {
	return cmp.Or(cmp.Compare(n.dir, other.dir), cmp.Compare(n.base, other.base))
}

// root is the node of the recorded folder.
const root = 0

// NewRecorder returns a recorder for the folder. All files in it count as durable.
func NewRecorder(folder string) (*Recorder, error) {
	r := &Recorder{root: folder, now: make(map[name]int), sync: -1}
	info, err := os.Stat(folder)
	if err != nil {
		return nil, err
	}
	r.nodes = []*node{{info: info, isDir: true}}
	r.history.folders = map[int]bool{root: true}
	if err := r.scan(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	for i := range r.history.ops {
		r.history.ops[i].durable = true
	}
	r.history.start = len(r.history.ops)
	return r, nil
}

// Close closes the files that the recorder keeps open.
func (r *Recorder) Close() (err error) {
	for _, n := range r.nodes {
		if n.open != nil {
			err = errors.Join(err, n.open.Close())
		}
	}
	return err
}

// Before is called before an operation, as a hook of store.Disk. It records what happened since the
// last call.
func (r *Recorder) Before(op, path string) error {
	if err := r.flush(); err != nil || op != "sync" {
		return err
	}
	rel, err := filepath.Rel(r.root, path)
	if err != nil {
		return err
	}
	r.sync = r.staged(rel)
	return nil
}

// Acknowledge records that the caller of the changes so far was told that they are done.
func (r *Recorder) Acknowledge() error {
	err := r.flush()
	r.history.add(op{kind: acknowledge})
	return err
}

// History returns the operations so far.
func (r *Recorder) History() (*History, error) {
	err := r.flush()
	return &r.history, err
}

// flush records the operation in progress.
func (r *Recorder) flush() error {
	if r.sync >= 0 {
		r.history.add(op{kind: sync, node: r.sync})
		r.sync = -1
	}
	return r.scan()
}

// staged returns the node that a sync of path syncs: its temporary file or, if there is none, the
// file or folder at path.
func (r *Recorder) staged(path string) int {
	at, base := r.lookup(filepath.Dir(path)), filepath.Base(path)
	found := r.lookup(path)
	for n, id := range r.now {
		if n.dir == at && strings.HasPrefix(n.base, "."+base+".") && id > found {
			found = id
		}
	}
	return found
}

// lookup returns the node of a path, or -1.
func (r *Recorder) lookup(path string) int {
	at := root
	if path == "." {
		return at
	}
	for base := range strings.SplitSeq(filepath.ToSlash(path), "/") {
		next, ok := r.now[name{at, base}]
		if !ok {
			return -1
		}
		at = next
	}
	return at
}

// scan compares the folder with its last known state and records the differences.
func (r *Recorder) scan() error {
	seen := make(map[name]int)
	if err := r.scanDir(root, r.root, seen); err != nil {
		return err
	}
	// A node that was seen under a new name and is gone under the old one was renamed.
	for _, n := range slices.SortedFunc(maps.Keys(seen), name.compare) {
		id := seen[n]
		old, existed := r.now[n]
		if existed && old == id {
			continue
		}
		group := len(r.history.ops) + 1
		if existed {
			r.history.add(op{kind: unlink, name: n, node: old, group: group})
		}
		from, renamed := r.oldName(id, seen)
		r.history.add(op{kind: link, name: n, node: id, group: group, renamed: renamed})
		if renamed {
			r.history.add(op{kind: unlink, name: from, node: id, group: group})
			delete(r.now, from)
		}
		r.now[n] = id
	}
	for _, n := range slices.SortedFunc(maps.Keys(r.now), name.compare) {
		if _, ok := seen[n]; !ok {
			r.history.add(op{kind: unlink, name: n, node: r.now[n]})
			delete(r.now, n)
		}
	}
	return r.scanContents()
}

// oldName returns the name that a node had before and has no longer.
func (r *Recorder) oldName(id int, seen map[name]int) (name, bool) {
	for n, old := range r.now {
		if now, ok := seen[n]; old == id && (!ok || now != id) {
			return n, true
		}
	}
	return name{}, false
}

func (r *Recorder) scanDir(dir int, path string, seen map[name]int) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := filepath.Join(path, e.Name())
		id, err := r.identify(at)
		if err != nil {
			return err
		}
		seen[name{dir, e.Name()}] = id
		if r.nodes[id].isDir {
			if err := r.scanDir(id, at, seen); err != nil {
				return err
			}
		}
	}
	return nil
}

// identify returns the node of the file or folder at path. A new one gets a new node.
func (r *Recorder) identify(path string) (int, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	for id, n := range r.nodes {
		if os.SameFile(n.info, info) {
			return id, nil
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	r.nodes = append(r.nodes, &node{info: info, open: f, isDir: info.IsDir(), mode: 0o600})
	id := len(r.nodes) - 1
	r.history.folders[id] = info.IsDir()
	return id, nil
}

// scanContents records new contents and permissions of the files that have a name.
func (r *Recorder) scanContents() error {
	for id, n := range r.nodes {
		if n.isDir {
			continue
		}
		info, err := n.open.Stat()
		if err != nil {
			return err
		}
		content := make([]byte, info.Size())
		if _, err := n.open.ReadAt(content, 0); len(content) > 0 && err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode != n.mode {
			r.history.add(op{kind: chmod, node: id, mode: mode})
			n.mode = mode
		}
		if string(content) != n.content {
			r.history.add(op{kind: write, node: id, old: n.content, content: string(content)})
			n.content = string(content)
		}
	}
	return nil
}
