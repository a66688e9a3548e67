package imprint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// errUnchanged means that a plan has nothing to change.
var errUnchanged = errors.New("nothing to change")

// commit makes the next generation of the workspace. It reads the state from the disk, calls plan
// to change it, builds the model and replaces the files.
func (w *Workspace) commit(ctx context.Context, plan func(*store.State) error) (err error) {
	lock, err := w.store.Lock(ctx, store.LockPatience)
	if err != nil {
		return err
	}
	defer lock.Release()
	w.store.Sweep()
	now, damaged, err := w.store.Reload(w.state)
	if err != nil {
		return err
	}
	var before store.State
	if now != nil {
		before = *now
		if err = w.sameKind(now); err == nil {
			w.memory.restore(w, now)
		}
	} else {
		defer func() {
			if err != nil {
				lock.Retract()
			}
		}()
		if w.state.Generation > 0 {
			return fmt.Errorf("change %s: the workspace is gone: %w", w.store.Dir, fs.ErrNotExist)
		}
		fresh := *w.state
		now, err = &fresh, w.store.SyncPath(lock)
	}
	if err != nil {
		return err
	}
	if err := plan(now); errors.Is(err, errUnchanged) {
		w.state, w.head = now, nil
		_, err := w.republish(damaged)
		return err
	} else if err != nil {
		return err
	}
	if err := now.Check(); err != nil {
		return err
	}
	now.Next()
	model, head, err := w.build(now)
	if err != nil {
		return err
	}
	made(now, model, head)
	if err := w.write(now, damaged, model, head); err != nil {
		return err
	}
	w.store.DropModels(&before, now)
	w.memory.write(w, now)
	w.state, w.head = now, head
	return nil
}

// made makes s name its model and head.
func made(s *store.State, model []byte, head *classifier.Fitted) {
	s.Model, s.Made = store.Sum(model), headRecord(head)
	s.Version = s.OldestVersion()
}

// write writes a new generation to the disk: first the backbone, because the state names it,
// then the state, and last the model, which can be made again from the other two.
func (w *Workspace) write(now *store.State, damaged []store.Damage, model []byte, head *classifier.Fitted) error {
	b, err := now.Encode(store.MaxState)
	if err != nil {
		return err
	}
	if err := w.store.KeepDamaged(damaged, now.Generation); err != nil {
		return err
	}
	wrote, err := w.keepModels(now)
	if err == nil {
		state := store.Replacement{Path: w.store.Path(store.SlotFile(now.Generation)), Content: b}
		err = w.store.Disk.Replace(append([]store.Replacement{state}, w.published(model, head)...)...)
	}
	if err == nil {
		return nil
	}
	for _, path := range wrote {
		if now.Generation == 1 || path != w.store.Path(store.BackboneFile) {
			os.Remove(path)
		}
	}
	return err
}

// sameKind returns an error if the embeddings of s can't be mixed with the workspace's. Another
// process may have written s after Open.
func (w *Workspace) sameKind(s *store.State) error {
	if len(s.Examples) == 0 {
		s.Use(w.state.Backbone)
		s.Settings.Resize, s.Settings.Detector = w.state.Settings.Resize, w.state.Settings.Detector
		return nil
	}
	if !w.state.Backbone.Same(s.Backbone) {
		return fmt.Errorf("change %s: %w now: %s", w.store.Dir, ErrOtherBackbone, s.Backbone.Name)
	}
	if mine, its := w.state.Settings.Resize, s.Settings.Resize; mine != its {
		return fmt.Errorf("change %s: %w now: %s, not %s", w.store.Dir, ErrOtherResize, its, mine)
	}
	if mine, its := w.state.Settings.Detector, s.Settings.Detector; !mine.Same(its) {
		return fmt.Errorf("change %s: %w now: %s, not %s", w.store.Dir, ErrOtherDetector, its, mine)
	}
	return nil
}

// keepModels stores the backbone, the compiled pair and the detector of s in the workspace unless they are
// already there, and returns the files it wrote.
func (w *Workspace) keepModels(s *store.State) (wrote []string, err error) {
	models := []store.Replacement{{Path: w.store.Path(s.Backbone.FileName()), Content: w.file}}
	sums := []store.Digest{s.Backbone.SHA256}
	if s.Settings.Layout == classifier.TPU {
		p, err := w.pairOf(s.Settings.Pair)
		if err != nil {
			return nil, err
		}
		compiledFile, uncompiledFile := p.ref.Files()
		models = append(models,
			store.Replacement{Path: w.store.Path(compiledFile), Content: p.compiled},
			store.Replacement{Path: w.store.Path(uncompiledFile), Content: p.uncompiled})
		sums = append(sums, p.ref.CompiledSHA256, p.ref.UncompiledSHA256)
	}
	if s.Settings.Detector != nil {
		d, err := w.detectorOf(s.Settings.Detector)
		if err != nil {
			return nil, err
		}
		models, sums = append(models, store.Replacement{Path: w.store.Path(d.ref.File()), Content: d.file}), append(sums, d.ref.SHA256)
	}
	for i, m := range models {
		if got, err := store.SumFile(m.Path); err == nil && got == sums[i] {
			continue
		}
		wrote = append(wrote, m.Path)
		if err := w.store.Disk.Replace(m); err != nil {
			return wrote, err
		}
	}
	return wrote, nil
}
