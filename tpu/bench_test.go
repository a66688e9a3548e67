package tpu

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/imprintkit/imprint/tpu/executable"
)

// sink is a bus whose transfers take no time, so that benchmarks measure only the driver.
type sink struct {
	transfers int
	outputs   []int // lengths of the bulk-in transfers of one inference
	next      int
}

func (s *sink) List(context.Context) ([]USBInfo, error) {
	return []USBInfo{{Port: Port{1, "1"}, Vendor: Vendor, Product: Product, Speed: SuperSpeed}}, nil
}
func (s *sink) Open(context.Context, Port) (Conn, error) {
	return &sinkConn{replayConn{newReplay(nil, false, SuperSpeed), USBInfo{Vendor: Vendor, Product: Product, Speed: SuperSpeed}}, s}, nil
}
func (s *sink) Close() error { return nil }

type sinkConn struct {
	replayConn
	sink *sink
}

func (c *sinkConn) Write(_ context.Context, _ uint8, p []byte) (int, error) {
	c.sink.transfers++
	return len(p), nil
}

func (c *sinkConn) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	if endpoint == endpointInterrupt {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	c.sink.transfers++
	if endpoint == endpointEvent {
		p[12] = 4
		return eventSize, nil
	}
	n := c.sink.outputs[c.sink.next]
	c.sink.next = (c.sink.next + 1) % len(c.sink.outputs)
	return n, nil
}

// openSink opens a sink and loads a reference model.
func openSink(t testing.TB, name string) (*sink, *Model) {
	pkg := sharedPackage(t, name)
	s := new(sink)
	for _, h := range pkg.Main.Hints {
		for size := h.Size; h.Kind == executable.Transfer && h.Out && size > 0; size -= 1024 {
			s.outputs = append(s.outputs, min(size, 1024))
		}
	}
	d, err := Open(t.Context(), s, Port{}, Options{Settle: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	m, err := d.Load(t.Context(), pkg)
	if err != nil {
		t.Fatal(err)
	}
	return s, m
}

var benchmarked = []string{
	"mobilenet_v1_0.25_128_quant", "mobilenet_v1_1.0_224_quant_embedding_extractor",
	"movenet_single_pose_lightning_ptq", "deeplabv3_mnv2_dm05_pascal_quant",
}

// BenchmarkRun measures the driver's time for an inference, without USB transfers.
func BenchmarkRun(b *testing.B) {
	for _, name := range benchmarked {
		b.Run(name, func(b *testing.B) {
			s, m := openSink(b, name)
			inputs, outputs := tensors(m.pkg.Main.Inputs), tensors(m.pkg.Main.Outputs)
			before := s.transfers
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Run(b.Context(), inputs, outputs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(s.transfers-before)/float64(b.N), "transfers/op")
		})
	}
}

func TestRunDoesNotAllocate(t *testing.T) {
	for _, name := range benchmarked {
		_, m := openSink(t, name)
		ctx := context.Background()
		inputs, outputs := tensors(m.pkg.Main.Inputs), tensors(m.pkg.Main.Outputs)
		got := testing.AllocsPerRun(20, func() {
			if err := m.Run(ctx, inputs, outputs); err != nil {
				t.Fatal(err)
			}
		})
		if got != 0 {
			t.Errorf("%s: %v allocations per inference, want 0", name, got)
		}
	}
}

// lateEvents is a bus with one device. The device ends its first inference only after it has received the input of the
// second.
type lateEvents struct{ sink }

type lateConn struct {
	sinkConn
	writes int
	loaded bool // the parameters are on the chip
}

func (b *lateEvents) Open(ctx context.Context, port Port) (Conn, error) {
	c, err := b.sink.Open(ctx, port)
	return &lateConn{sinkConn: *c.(*sinkConn)}, err
}

func (c *lateConn) Write(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	c.writes++
	return c.sinkConn.Write(ctx, endpoint, p)
}

func (c *lateConn) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	if endpoint == endpointOutput && c.loaded {
		// Give the other goroutine time to queue its inference before the driver looks for one.
		time.Sleep(50 * time.Millisecond)
	}
	// Loading the parameters takes four writes, and so does an inference.
	if endpoint == endpointEvent && c.loaded && c.writes == 8 {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if endpoint == endpointEvent {
		c.loaded = true
	}
	return c.sinkConn.Read(ctx, endpoint, p)
}

// TestInferencesOverlap checks that the driver, while it waits for the event that ends an inference, sends the program
// and input of the next one.
func TestInferencesOverlap(t *testing.T) {
	b := &lateEvents{}
	b.outputs = []int{1008}
	d, err := Open(t.Context(), b, Port{}, Options{Settle: -1, Timeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m, err := d.Load(t.Context(), sharedPackage(t, benchmarked[0]))
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			if err := m.Run(t.Context(), tensors(m.pkg.Main.Inputs), tensors(m.pkg.Main.Outputs)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}
