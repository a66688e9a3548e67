package imprint

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// TestByteIdentity makes random changes, and adds the remaining photos to a new workspace in
// another order. Both workspaces must have identical models.
func TestByteIdentity(t *testing.T) {
	runs, changes := 12, 25
	if testing.Short() {
		runs = 3
	}
	backbones := []string{phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor()), phototest.Backbone(t, "classifier.tflite", backbonetest.Classifier(3))}
	for run := range runs {
		t.Run(fmt.Sprint("seed ", run), func(t *testing.T) {
			keep := run%4 == 3
			o := Options{Backbone: backbones[run%2], Layout: []classifier.Layout{classifier.Float, classifier.Coral}[run/2%2], KeepClasses: &keep}
			c := &randomChanges{
				t: t, random: rand.New(rand.NewPCG(uint64(run), 1)),
				w: openWorkspace(t, filepath.Join(t.TempDir(), "ws"), o), now: make(contents),
			}
			for range changes {
				if err := c.change(); err != nil {
					t.Fatal(err)
				}
				if c.random.IntN(4) == 0 { // reopen, as another process would
					c.w = openWorkspace(t, c.w.store.Dir, o)
				}
			}
			if len(c.now) == 0 {
				mustAdd(t, c.w, photo("kind 6", 6, 0))
				c.now[pictureID{6, 0}] = "kind 6"
			}
			fresh := openWorkspace(t, filepath.Join(t.TempDir(), "ws"), o)
			for chunk := range slices.Chunk(c.remaining(), 3) {
				mustAdd(t, fresh, chunk...)
			}
			wantPhotos(t, c.w, photoCounts(fresh))
			for _, name := range []string{store.ModelFile, store.LabelsFile} {
				got, err := os.ReadFile(c.w.store.Path(name))
				want, err2 := os.ReadFile(fresh.store.Path(name))
				if err != nil || err2 != nil || !bytes.Equal(got, want) {
					t.Errorf("%s differs from the new workspace's: %d bytes, want %d; %v %v", name, len(got), len(want), err, err2)
				}
			}
		})
	}
}

// A pictureID identifies a picture by its kind and seed.
type pictureID [2]uint64

// contents maps each picture in a workspace to its label.
type contents map[pictureID]string

func (c contents) labels() []string {
	return slices.Compact(slices.Sorted(maps.Values(c)))
}

// randomChanges makes random changes to a workspace and tracks its expected contents.
type randomChanges struct {
	t      *testing.T
	random *rand.Rand
	w      *Workspace
	now    contents
	past   []contents // the contents before each change that can be undone
}

// change makes one random change.
func (c *randomChanges) change() error {
	ctx := context.Background()
	switch n := c.random.IntN(10); {
	case n < 4 || len(c.past) == 0:
		_, err := c.w.Add(ctx, c.pick(), AddOptions{})
		return err
	case n < 6 && len(c.now) > 0:
		labels := c.now.labels()
		label := labels[c.random.IntN(len(labels))]
		c.remember()
		maps.DeleteFunc(c.now, func(_ pictureID, l string) bool { return l == label })
		_, err := c.w.Remove(ctx, label, nil)
		return err
	case n < 7 && len(c.now) > 0:
		removed := c.w.Classes()[0].Photos[0].SHA256
		var content []byte
		c.remember()
		for p := range c.now {
			if b := picture(p[0], p[1]); store.Sum(b).String() == removed {
				content = b
				delete(c.now, p)
			}
		}
		_, err := c.w.Remove(ctx, "", []string{photoFile(c.t, "copy.png", content)})
		return err
	case n < 8 && len(c.now) > 0:
		from, to := c.now.labels()[0], fmt.Sprint("name ", len(c.past), c.random.IntN(1000))
		c.remember()
		for p, l := range c.now {
			if l == from {
				c.now[p] = to
			}
		}
		return c.w.Rename(ctx, from, to)
	}
	_, err := c.w.Undo(ctx)
	c.now, c.past = c.past[len(c.past)-1], c.past[:len(c.past)-1]
	return err
}

// remember appends the current contents to the past.
func (c *randomChanges) remember() { c.past = append(c.past, maps.Clone(c.now)) }

// pick returns up to four random photos, and adds the new photos to the expected contents.
func (c *randomChanges) pick() (items []dataset.Item) {
	next := maps.Clone(c.now)
	for range 1 + c.random.IntN(4) {
		p := pictureID{c.random.Uint64N(5), c.random.Uint64N(8)}
		it := photo(fmt.Sprint("kind ", p[0]), p[0], p[1])
		items = append(items, it)
		if _, known := next[p]; !known {
			next[p] = it.Label
		}
	}
	if len(next) > len(c.now) { // otherwise the change adds nothing
		c.remember()
	}
	c.now = next
	return items
}

// remaining returns the photos that the workspace should contain, in random order.
func (c *randomChanges) remaining() []dataset.Item {
	var items []dataset.Item
	for p, label := range c.now {
		items = append(items, photo(label, p[0], p[1]))
	}
	slices.SortFunc(items, func(a, b dataset.Item) int { return bytes.Compare(a.Content, b.Content) })
	c.random.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	return items
}
