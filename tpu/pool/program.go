package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
)

// A program is a model's compiled operator. It can run on every device of the pool.
type program struct {
	pool     *Pool
	number   uint64 // 1 for the first program of the pool
	pkg      *executable.Package
	fallback *fallback // nil if the CPU can't take over
	warned   sync.Once

	places []*place   // nil until the first run; written only after pool.enter
	mu     sync.Mutex // guards the field running of all places
}

// load makes a program from a compiled operator, after checking the sizes of its inputs and
// outputs in bytes. uncompiled is the model for the fallback, or nil.
func (p *Pool) load(options []byte, inputs, outputs []int, uncompiled *tflite.Model) (backbone.CompiledOperator, error) {
	pkg, err := executable.Parse(options)
	if err != nil {
		return nil, err
	}
	if err := pkg.CheckTensors(inputs, outputs); err != nil {
		return nil, err
	}
	g := &program{pool: p, pkg: pkg, number: p.programs.Add(1)}
	if uncompiled != nil {
		if g.fallback, err = newFallback(uncompiled, pkg.Main); err != nil {
			return nil, fmt.Errorf("uncompiled model %s: %w", p.options.Uncompiled, err)
		}
	}
	return g, nil
}

// Run implements backbone.CompiledOperator.
func (g *program) Run(ctx context.Context, inputs, outputs [][]byte) (string, error) {
	name, err := g.runTPU(ctx, inputs, outputs)
	if err == nil || g.fallback == nil || ctx.Err() != nil {
		return name, err
	}
	if g.pool.options.Warn != nil && g.pool.choice != "cpu" {
		g.warned.Do(func() {
			g.pool.options.Warn(fmt.Errorf("%w; %s runs on the CPU instead", err, g.pool.options.Uncompiled))
		})
	}
	return FallbackDevice, g.fallback.run(ctx, inputs, outputs)
}

// runTPU runs the program on one device. If that fails, it tries once more on another device, or
// on the same device after it has recovered.
func (g *program) runTPU(ctx context.Context, inputs, outputs [][]byte) (string, error) {
	if g.pool.choice == "cpu" {
		return "", backbone.ErrCompiled
	}
	if err := g.open(ctx); err != nil {
		return "", fmt.Errorf("%w: %w", backbone.ErrCompiled, err)
	}
	var failed *place
	var errs []error
	for range 2 {
		at := g.pick(failed)
		err := at.run(ctx, g.pkg, inputs, outputs)
		g.done(at)
		if err == nil {
			return at.name(), nil
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
		failed = at
	}
	return "", errors.Join(errs...)
}

// open creates a place for the program on every device, unless the places exist already.
func (g *program) open(ctx context.Context) error {
	if err := g.pool.enter(ctx); err != nil {
		return err
	}
	defer g.pool.leave()
	if g.places != nil {
		return nil
	}
	if err := g.pool.open(ctx); err != nil {
		return err
	}
	for _, device := range g.pool.opened {
		g.places = append(g.places, &place{device: device})
	}
	return nil
}

// pick returns the place with the fewest runs in progress. It prefers devices that are ready, then
// those on which no other program ran last, so that several models keep their parameters on several
// devices. It picks failed, which may be nil, only if there is no other place.
func (g *program) pick(failed *place) *place {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pool.usage.Lock()
	defer g.pool.usage.Unlock()
	burden := func(at *place) int {
		n := 4 * at.running
		switch g.pool.last[at.device] {
		case g.number:
		case 0:
			n++
		default:
			n += 2
		}
		if at == failed {
			n += 1 << 20
		}
		if at.device.Status().State != tpu.Ready {
			n += 1 << 10
		}
		return n
	}
	best := slices.MinFunc(g.places, func(a, b *place) int { return burden(a) - burden(b) })
	best.running++
	g.pool.last[best.device] = g.number
	return best
}

func (g *program) done(at *place) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at.running--
}

// A place is a program on one device.
type place struct {
	device  *tpu.Device
	running int

	mu    sync.Mutex
	model *tpu.Model // nil until needed
}

// name returns "usb:BUS-PORT", which changes if the device is plugged into another port.
func (at *place) name() string { return fmt.Sprint("usb:", at.device.Port()) }

// run runs the program on the device. If necessary it loads the program first.
func (at *place) run(ctx context.Context, pkg *executable.Package, inputs, outputs [][]byte) error {
	at.mu.Lock()
	model := at.model
	if model == nil {
		var err error
		if model, err = at.device.Load(ctx, pkg); err != nil {
			at.mu.Unlock()
			return fmt.Errorf("%s: %w", at.name(), err)
		}
		at.model = model
	}
	at.mu.Unlock()
	return model.Run(ctx, inputs, outputs)
}
