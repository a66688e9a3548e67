package handle

import (
	"context"
	"fmt"
	"strings"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/modelfile"
	"github.com/imprintkit/imprint/integrations/delegate/host"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/pool"
)

// A poolKey contains the options of a pool.
type poolKey struct {
	device, uncompiled, emulator string
	clock                        tpu.Clock
}

// A sharedPool is used by all handles with the same options, because only one pool can have a device
// open.
type sharedPool struct {
	*pool.Pool
	users int // guarded by Library.mu
}

// devices are the devices that the models of one handle run on.
type devices struct {
	*pool.Pool
	library  *Library
	key      poolKey
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
	if o.Uncompiled != "" && o.Compiled == "" && o.Layout != classifier.TPU {
		if p.Uncompiled, err = modelfile.Locate(o.Uncompiled); err != nil {
			return nil, err
		}
	}
	key := poolKey{p.Device, p.Uncompiled, strings.Join(parsed.Emulator, ":"), o.clock}
	l.mu.Lock()
	defer l.mu.Unlock()
	shared := l.pools[key]
	if shared == nil {
		made, err := pool.New(p)
		if err != nil {
			return nil, err
		}
		if l.pools == nil {
			l.pools = make(map[poolKey]*sharedPool)
		}
		shared = &sharedPool{Pool: made}
		l.pools[key] = shared
	}
	shared.users++
	return &devices{shared.Pool, l, key, parsed.Emulator}, nil
}

// Close ends the use of the devices. The last user of a pool closes it.
func (d *devices) Close() error {
	d.library.mu.Lock()
	defer d.library.mu.Unlock()
	shared := d.library.pools[d.key]
	if shared.users--; shared.users > 0 {
		return nil
	}
	delete(d.library.pools, d.key)
	return shared.Pool.Close()
}

// emulate makes emulated devices recognize a model that is about to run. For other devices it does
// nothing.
func (d *devices) emulate(m *tflite.Model) error {
	if d.emulator == nil {
		return nil
	}
	return d.library.Host.Emulate(m, d.emulator)
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
