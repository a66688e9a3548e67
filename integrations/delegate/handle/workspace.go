package handle

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"image"
	"slices"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/modelfile"
	"github.com/imprintkit/imprint/imprint/outcome"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/integrations/delegate/host"
)

// A Workspace is an open workspace. Its methods for changes return what the command's --json prints.
type Workspace struct {
	dir     string
	devices *devices

	gate
	options  imprint.Options // of live, whose changes make the settings in them
	outdated bool            // options have changed since live was opened
	live     *live.Live
	loaded   *imprint.Workspace // the generation that live uses
}

// OpenWorkspace opens the workspace in dir with the options of imprint_workspace_open.
func (l *Library) OpenWorkspace(ctx context.Context, dir string, given []host.Option) (w *Workspace, err error) {
	o, err := parse(given, workspaceOptions)
	if err != nil {
		return nil, err
	}
	if o.Compiled != "" && o.Uncompiled == "" {
		if o.Uncompiled, err = modelfile.Uncompiled(o.Compiled); err != nil {
			return nil, fmt.Errorf("%w: compiled needs uncompiled, the model that it was made from: %w", host.ErrOption, err)
		}
	}
	if o.None != "" {
		if err := imprint.CheckLabel(o.None); err != nil {
			return nil, err
		}
	}
	w = &Workspace{dir: dir, options: o.Options}
	if w.devices, err = l.open(ctx, o); err != nil {
		return nil, err
	}
	w.options.Devices = w.devices.Pool
	if err := w.open(ctx); err != nil {
		w.free()
		return nil, err
	}
	return w, nil
}

func (w *Workspace) open(ctx context.Context) (err error) {
	// An emulated device also recognizes these models with another last layer.
	for _, name := range []string{w.options.Compiled, w.options.Backbone} {
		if err := w.devices.emulateFile(name); err != nil {
			return err
		}
	}
	if w.live, err = live.Open(ctx, w.dir, w.options); err != nil {
		return err
	}
	return w.load(ctx)
}

// load opens the generation that w.live uses.
func (w *Workspace) load(ctx context.Context) error {
	if err := w.devices.emulate(w.live.Snapshot().Backbone.Model()); err != nil {
		return err
	}
	loaded, err := w.live.Workspace(ctx)
	if err != nil {
		return err
	}
	if w.loaded != nil {
		w.loaded.Close()
	}
	w.loaded = loaded
	return nil
}

// Close waits for the calls that use the workspace and frees it.
func (w *Workspace) Close() error { return w.close(w.free) }

func (w *Workspace) free() error {
	if w.loaded != nil {
		w.loaded.Close()
	}
	if w.live != nil {
		w.live.Close()
	}
	return w.devices.Close()
}

// change calls f to change the workspace, and loads the new generation.
func (w *Workspace) change(ctx context.Context, f func(*imprint.Workspace) (any, error)) (any, error) {
	return ask(&w.gate, func() (any, error) {
		ws, err := w.live.Workspace(ctx)
		if err != nil {
			return nil, err
		}
		defer ws.Close()
		result, err := f(ws)
		if err != nil {
			return nil, err
		}
		if _, err := w.reload(ctx); err != nil {
			return nil, fmt.Errorf("the change was made, but %w", err)
		}
		return result, nil
	})
}

// Add adds photos to the classes of their labels, and negatives. progress, unless it is nil, is
// called after each photo.
func (w *Workspace) Add(ctx context.Context, photos, negatives []Photo, progress func(done, total int)) (any, error) {
	if len(photos)+len(negatives) == 0 {
		return nil, fmt.Errorf("%w: there are neither photos nor negatives", ErrArgument)
	}
	found, skipped, err := items(ctx, photos, false)
	if err != nil {
		return nil, err
	}
	others, more, err := items(ctx, negatives, true)
	if err != nil {
		return nil, err
	}
	return w.change(ctx, func(ws *imprint.Workspace) (any, error) {
		added, err := ws.Add(ctx, found, imprint.AddOptions{Negatives: others, Progress: progress})
		if err != nil {
			return nil, err
		}
		added.Skipped = slices.Concat(skipped, more, added.Skipped)
		return outcome.AddedTo(ws, added), nil
	})
}

// Remove removes the photos with a label, at paths, or both.
func (w *Workspace) Remove(ctx context.Context, label string, paths []string) (any, error) {
	if label == "" && len(paths) == 0 {
		return nil, fmt.Errorf("%w: there is neither a label nor a path", ErrArgument)
	}
	return w.change(ctx, func(ws *imprint.Workspace) (any, error) {
		n, err := ws.Remove(ctx, label, paths)
		return outcome.Removed{Photos: n, Workspace: outcome.After(ws)}, err
	})
}

// RemovePhoto removes the photo with that hexadecimal SHA-256.
func (w *Workspace) RemovePhoto(ctx context.Context, sha256 string) (any, error) {
	if b, err := hex.DecodeString(sha256); err != nil || len(b) != 32 {
		return nil, fmt.Errorf("%w: %q is no SHA-256 in hexadecimal", ErrArgument, sha256)
	}
	return w.change(ctx, func(ws *imprint.Workspace) (any, error) {
		label, err := ws.RemovePhoto(ctx, sha256)
		return outcome.Removed{Photos: 1, Label: label, Workspace: outcome.After(ws)}, err
	})
}

// RemoveNegatives removes all negatives.
func (w *Workspace) RemoveNegatives(ctx context.Context) (any, error) {
	return w.change(ctx, func(ws *imprint.Workspace) (any, error) {
		n, err := ws.RemoveNegatives(ctx)
		return outcome.Removed{Negatives: n, Workspace: outcome.After(ws)}, err
	})
}

// Move moves the photos at paths to a class.
func (w *Workspace) Move(ctx context.Context, label string, paths []string) (any, error) {
	return w.change(ctx, func(ws *imprint.Workspace) (any, error) {
		n, err := ws.Move(ctx, label, paths)
		return outcome.Moved{Photos: n, To: label, Workspace: outcome.After(ws)}, err
	})
}

// Rename renames a class.
func (w *Workspace) Rename(ctx context.Context, from, to string) (any, error) {
	return w.change(ctx, func(ws *imprint.Workspace) (any, error) {
		err := ws.Rename(ctx, from, to)
		return outcome.Renamed{From: from, To: to, Workspace: outcome.After(ws)}, err
	})
}

// Undo undoes the last change.
func (w *Workspace) Undo(ctx context.Context) (any, error) {
	return w.change(ctx, func(ws *imprint.Workspace) (any, error) {
		undone, err := ws.Undo(ctx)
		return outcome.UndoneIn(outcome.After(ws), undone), err
	})
}

// Retrain trains the head again with the options of imprint_workspace_retrain.
func (w *Workspace) Retrain(ctx context.Context, given []host.Option) (any, error) {
	o, err := parse(given, retrainOptions)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	return w.change(ctx, func(ws *imprint.Workspace) (any, error) {
		if o.Unknown != nil {
			if err := ws.SetUnknown(*o.Unknown); err != nil {
				return nil, err
			}
		}
		if err := ws.Retrain(ctx, o.Head); err != nil {
			return nil, err
		}
		w.prefer(o)
		return outcome.RetrainedIn(ws, time.Since(start)), nil
	})
}

// Reload loads the newest generation and reports whether it is another one.
func (w *Workspace) Reload(ctx context.Context) (changed bool, err error) {
	return ask(&w.gate, func() (bool, error) { return w.reload(ctx) })
}

// prefer makes later changes keep the settings in o instead of those with which w was opened.
func (w *Workspace) prefer(o *options) {
	if o.Head != "" && w.options.Head != "" {
		w.options.Head, w.outdated = o.Head, true
	}
	if o.Unknown != nil && w.options.Unknown != nil {
		w.options.Unknown, w.outdated = o.Unknown, true
	}
}

// reopen opens w again with other options. The workspace has its models by now.
func (w *Workspace) reopen(ctx context.Context) error {
	w.options.Backbone, w.options.Embedding, w.options.Resize, w.options.Compiled, w.options.Uncompiled = "", "", "", "", ""
	opened, err := live.Open(ctx, w.dir, w.options)
	if err != nil {
		return err
	}
	w.live.Close()
	w.live, w.outdated = opened, false
	return w.load(ctx)
}

func (w *Workspace) reload(ctx context.Context) (changed bool, err error) {
	if w.outdated {
		return true, w.reopen(ctx)
	}
	reloaded, err := w.live.Reload(ctx)
	if err != nil || !reloaded.Changed {
		return false, err
	}
	return true, w.load(ctx)
}

// listed is what List returns.
type listed struct {
	outcome.List
	Negatives []imprint.Photo `json:"negatives"`
	Warnings  []string        `json:"warnings,omitempty"`
}

// List describes the workspace and its photos.
func (w *Workspace) List() (any, error) {
	return ask(&w.gate, func() (any, error) {
		return listed{outcome.ListOf(w.loaded), append([]imprint.Photo{}, w.loaded.Negatives()...), w.live.Warnings()}, nil
	})
}

// Labels returns the classes in the order of the model's scores.
func (w *Workspace) Labels() ([]string, error) {
	return ask(&w.gate, func() ([]string, error) { return w.live.Labels(), nil })
}

// Estimate returns the accuracy on photos that were left out of training.
func (w *Workspace) Estimate() (classifier.Estimate, error) {
	return ask(&w.gate, func() (classifier.Estimate, error) { return w.loaded.Head().Estimate, nil })
}

// Generation returns the number of changes so far.
func (w *Workspace) Generation() (uint64, error) {
	return ask(&w.gate, func() (uint64, error) { return w.live.Generation(), nil })
}

// ModelPath returns the path of the model file.
func (w *Workspace) ModelPath() (string, error) {
	return ask(&w.gate, func() (string, error) { return w.loaded.ModelPath(), nil })
}

// Export writes the model to path with the options of imprint_workspace_export.
func (w *Workspace) Export(ctx context.Context, path string, given []host.Option) (any, error) {
	o, err := parse(given, exportOptions)
	if err != nil {
		return nil, err
	}
	if path == o.labels {
		return nil, fmt.Errorf("%w: the model and its labels can't both be written to %q", ErrArgument, path)
	}
	return ask(&w.gate, func() (any, error) {
		s := w.loaded.Settings()
		layout, keep := cmp.Or(o.Layout, s.Layout), s.KeepClasses
		if o.KeepClasses != nil {
			keep = *o.KeepClasses
		}
		if layout == classifier.TPU && o.KeepClasses != nil && keep {
			return nil, imprint.ErrKeepClasses
		}
		written, err := w.loaded.Export(path, o.labels, layout, keep)
		return outcome.Exported{Model: path, Labels: o.labels, Layout: layout, Written: written}, err
	})
}

// Classify classifies a photo. It fails with imprint.ErrNoClasses if there are no classes.
func (w *Workspace) Classify(ctx context.Context, p *Photo) (Result, error) {
	return ask(&w.gate, func() (Result, error) {
		if len(w.live.Labels()) == 0 {
			return Result{}, fmt.Errorf("classify: %w", imprint.ErrNoClasses)
		}
		return w.classify(ctx, w.live, p)
	})
}

// Embed computes the embedding of a photo.
func (w *Workspace) Embed(ctx context.Context, p *Photo) ([]float64, error) {
	return ask(&w.gate, func() ([]float64, error) {
		r, err := reader[predict.Result]{
			func(img image.Image) (predict.Result, error) { return w.live.Observe(ctx, img, 1) },
			func(f *dataset.File) (predict.Result, error) { return w.live.ObserveFile(ctx, f, 1) },
		}.read(p, &w.pixels)
		if err != nil {
			return nil, err
		}
		if r.Embedding == nil {
			return nil, fmt.Errorf("embed: %w with an object: the detector finds nothing", imprint.ErrNoPhotos)
		}
		embedding := make([]float64, r.Backbone.Dim())
		r.Backbone.Dequantize(embedding, r.Embedding)
		return embedding, nil
	})
}

// EmbeddingLength returns the number of values of an embedding.
func (w *Workspace) EmbeddingLength() (int, error) {
	return ask(&w.gate, func() (int, error) { return w.loaded.Backbone().Dim(), nil })
}

// InputSize returns the size of the backbone's input in pixels.
func (w *Workspace) InputSize() (image.Point, error) {
	return ask(&w.gate, func() (image.Point, error) {
		b := w.loaded.Backbone()
		return image.Pt(b.Width, b.Height), nil
	})
}
