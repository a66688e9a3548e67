// Package handle contains what the handles of the C interface imprint.h refer to. Start with
// [Library.OpenWorkspace] or [Library.OpenModel].
//
// It is the part of that interface that needs no C: see the project's docs/c.md. Each handle may be
// used by several goroutines, which wait for each other.
package handle

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"sync"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/modelfile"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/integrations/delegate/host"
	"github.com/imprintkit/imprint/tpu/pool"
)

var (
	// ErrArgument means that an argument can't be used.
	ErrArgument = errors.New("bad argument")
	// ErrClosed means that a handle was closed while a call waited for it.
	ErrClosed = errors.New("the handle is closed")
)

// A Library opens workspaces and models.
type Library struct {
	Host *host.Host
	Log  *slog.Logger // gets warnings, for example when the CPU takes over from an Edge TPU
}

// devices are the devices that the models of one handle run on.
type devices struct {
	*pool.Pool
	host     *host.Host
	emulator []string
}

// open prepares the devices that o chooses.
func (l *Library) open(ctx context.Context, o *options) (*devices, error) {
	parsed, _, err := host.ParseOptions(o.devices, "")
	if err != nil {
		return nil, err
	}
	p, err := l.Host.PoolOptions(ctx, parsed)
	if err != nil {
		return nil, err
	}
	if p.Device == "" {
		p.Device = o.device
	}
	p.TPU.Clock = o.clock
	p.Warn = func(err error) { l.Log.Warn(err.Error()) }
	// With the layout tpu, the uncompiled model belongs to the compiled one, and the workspace uses both.
	if o.Uncompiled != "" && o.Compiled == "" && o.Layout != "tpu" {
		if p.Uncompiled, err = modelfile.Locate(o.Uncompiled); err != nil {
			return nil, err
		}
	}
	made, err := pool.New(p)
	if err != nil {
		return nil, err
	}
	return &devices{made, l.Host, parsed.Emulator}, nil
}

// emulate makes emulated devices recognize a model that is about to run. For other devices it does
// nothing.
func (d *devices) emulate(m *tflite.Model) error {
	if d.emulator == nil {
		return nil
	}
	return d.host.Emulate(m, d.emulator)
}

// emulateFile is like emulate, for the model in a file. It does nothing if name is "".
func (d *devices) emulateFile(name string) error {
	if d.emulator == nil || name == "" {
		return nil
	}
	path, err := modelfile.Locate(name)
	if err != nil {
		return err
	}
	file, err := tflite.ReadModel(path)
	if err != nil {
		return fmt.Errorf("load model: %w", err)
	}
	m, err := tflite.Parse(file.Model)
	if err == nil {
		err = d.emulate(m)
	}
	if err != nil {
		return fmt.Errorf("load model %s: %w", path, err)
	}
	return nil
}

// A gate lets one call after the other use a handle.
type gate struct {
	mu     sync.Mutex
	closed bool
	pixels []byte // memory for one call after the other
}

// ask calls f unless the handle is closed.
func ask[T any](g *gate, f func() (T, error)) (v T, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return v, ErrClosed
	}
	return f()
}

// close calls f once, after the calls that use the handle.
func (g *gate) close(f func() error) error {
	_, err := ask(g, func() (struct{}, error) {
		g.closed = true
		return struct{}{}, f()
	})
	return err
}

// A Result is the classification of one photo.
type Result struct {
	predict.Result
	Nearest string // the best class that is not the answer "unknown"
}

// A photoClassifier classifies one photo and returns the best classes, or all if top is 0.
type photoClassifier interface {
	Classify(ctx context.Context, img image.Image, top int) (predict.Result, error)
	ClassifyFile(ctx context.Context, f *dataset.File, top int) (predict.Result, error)
}

func (g *gate) classify(ctx context.Context, c photoClassifier, p *Photo) (Result, error) {
	r, err := reader[predict.Result]{
		func(img image.Image) (predict.Result, error) { return c.Classify(ctx, img, 0) },
		func(f *dataset.File) (predict.Result, error) { return c.ClassifyFile(ctx, f, 0) },
	}.read(p, &g.pixels)
	nearest := r.Label
	if r.Unknown && len(r.Top) > 1 {
		nearest = r.Top[1].Label
	}
	return Result{r, nearest}, err
}
