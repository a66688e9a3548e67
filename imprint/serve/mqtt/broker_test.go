package mqtt

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/serve"
	"github.com/imprintkit/imprint/imprint/serve/region"
	"github.com/imprintkit/imprint/imprint/serve/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// A camera shows objects of one kind.
type camera struct {
	kind atomic.Uint64
	seed uint64
}

func (c *camera) String() string { return "fake" }
func (c *camera) Close() error   { return nil }

func (c *camera) Next(ctx context.Context) (source.Frame, error) {
	select {
	case <-time.After(5 * time.Millisecond):
	case <-ctx.Done():
		return source.Frame{}, ctx.Err()
	}
	c.seed++
	return source.Frame{Captured: time.Now(), Photo: backbonetest.Photo(c.kind.Load(), c.seed)}, nil
}

// newServer runs a server with the given regions, which all show the whole picture.
func newServer(t *testing.T, names ...string) (*serve.Server, *camera) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "extractor.tflite")
	if err := os.WriteFile(file, backbonetest.Extractor(), 0o644); err != nil {
		t.Fatal(err)
	}
	cam := new(camera)
	o := serve.Options{Source: cam, RegionRate: 1000}
	for _, name := range names {
		o.Regions = append(o.Regions, region.New(name, region.Box{0, 0, 1, 1}))
	}
	s, err := serve.Open(context.Background(), filepath.Join(t.TempDir(), "ws"), imprint.Options{Backbone: file}, o)
	if err != nil {
		t.Fatal(err)
	}
	background(t, func(ctx context.Context) {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return s, cam
}

// background runs f until stop is called or the test ends.
func background(t *testing.T, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { f(ctx) })
	stop = func() {
		cancel()
		work.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// A broker is an MQTT broker that remembers the messages it got.
type broker struct {
	*mochi.Server
	address string

	mu      sync.Mutex
	last    map[string]string   // newest payload by topic
	history map[string][]string // all payloads by topic
	changed chan struct{}
}

// newBroker runs a broker that knows the user me with the password "secret". Its port uses TLS if config is not nil.
func newBroker(t *testing.T, config *tls.Config) *broker {
	t.Helper()
	b := &broker{last: make(map[string]string), history: make(map[string][]string), changed: make(chan struct{}, 1)}
	b.Server = mochi.New(&mochi.Options{InlineClient: true, Logger: quiet})
	ledger := &auth.Ledger{Auth: auth.AuthRules{{Username: "me", Password: "secret", Allow: true}}}
	if err := b.AddHook(new(auth.Hook), &auth.Options{Ledger: ledger}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.address = l.Addr().String()
	if config != nil {
		l = tls.NewListener(l, config)
	}
	if err := b.AddListener(listeners.NewNet("tcp", l)); err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	err = b.Subscribe("#", 1, func(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
		b.mu.Lock()
		b.last[p.TopicName] = string(p.Payload)
		b.history[p.TopicName] = append(b.history[p.TopicName], string(p.Payload))
		b.mu.Unlock()
		select {
		case b.changed <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// await waits until the newest payload of a topic satisfies wanted.
func (b *broker) await(t *testing.T, topic string, wanted func(payload string) bool) string {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		b.mu.Lock()
		payload := b.last[topic]
		b.mu.Unlock()
		if wanted(payload) {
			return payload
		}
		select {
		case <-b.changed:
		case <-timeout:
			t.Fatalf("timed out waiting for %s; the last payload was %q", topic, payload)
		}
	}
}

// retained returns the retained payload of a topic, or "".
func (b *broker) retained(topic string) string {
	p, _ := b.Topics.Retained.Get(topic)
	return string(p.Payload)
}

// A proxy forwards connections to a broker until it is told to stall, or to cut them.
type proxy struct {
	net.Listener
	target string

	mu      sync.Mutex
	stalled bool // true lets nothing through
	conns   []net.Conn
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, target: target}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			work.Go(func() { p.copy(out, in) })
			work.Go(func() { p.copy(in, out) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.cut()
		work.Wait()
	})
	return p
}

// copy forwards bytes. While the proxy is stalled, it discards them.
func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		stalled := p.stalled
		p.mu.Unlock()
		if !stalled {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
}

// stallAll stops forwarding until cut is called.
func (p *proxy) stallAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = true
}

// cut closes all connections; later ones are forwarded again.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns, p.stalled = nil, false
}
