package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/imprint/serve"
)

const hostile = `</b>"'/+#$é`

func options(url string) Options {
	return Options{URL: url, Password: "secret", Topic: "imprint/test", Discovery: "homeassistant", Version: "1", Log: quiet}
}

// connect runs a client with these options.
func connect(t *testing.T, o Options, s *serve.Server) (stop func()) {
	t.Helper()
	c, err := New(o, s)
	if err != nil {
		t.Fatal(err)
	}
	c.wait = time.Millisecond
	return background(t, c.Run)
}

// hasLabel returns a function that reports whether the payload of a state has a label; "" is unknown.
func hasLabel(label string) func(string) bool {
	return func(payload string) bool {
		var m message
		if json.Unmarshal([]byte(payload), &m) != nil {
			return false
		}
		return m.Label == nil && label == "" || m.Label != nil && *m.Label == label
	}
}

func is(want string) func(string) bool { return func(payload string) bool { return payload == want } }

// teach trains a class with at least five pictures of a region, once those of an earlier scene have been
// classified. A busy machine needs several attempts.
func teach(t *testing.T, s *serve.Server, label, name string) {
	t.Helper()
	answered := func(list serve.RegionList) uint64 {
		i := slices.IndexFunc(list.Regions, func(r serve.RegionStatus) bool { return r.Name == name })
		return list.Regions[i].Frames.Answered
	}
	list, changed := s.Regions()
	for from := answered(list); answered(list) < from+5; list, changed = s.Regions() {
		<-changed
	}
	for photosOf(t, s, label) < 5 {
		if _, err := s.TeachRegion(context.Background(), label, name); err != nil && !errors.Is(err, serve.ErrNoFrames) {
			t.Fatal(err)
		}
	}
}

// TestStory trains two classes, one of them through the broker, and loses the broker meanwhile.
func TestStory(t *testing.T) {
	s, cam := newServer(t, hostile)
	b := newBroker(t, nil)
	p := newProxy(t, b.address)
	stop := connect(t, options("mqtt://me@"+p.Addr().String()), s)
	base := "imprint/test/" + escaped(hostile)
	b.await(t, base+"/state", hasLabel("")) // no classes yet
	b.await(t, "imprint/test/status", is(online))

	cam.kind.Store(1)
	teach(t, s, hostile, hostile)
	b.await(t, base+"/state", hasLabel(hostile))
	cam.kind.Store(2)
	teach(t, s, "closed", hostile)
	b.await(t, base+"/state", hasLabel("closed"))

	// The button trains the selected label.
	b.await(t, base+"/label", is(hostile)) // the first one
	b.send(t, base+"/label/set", "closed", false)
	b.await(t, base+"/label", is("closed"))
	b.press(t, base, func() int { return photosOf(t, s, "closed") })
	b.send(t, base+"/threshold/set", "0.75", false)
	b.await(t, base+"/threshold", is("0.75"))

	// While the broker stalls, frames and states go on.
	p.stallAll()
	cam.kind.Store(1)
	awaitState(t, s, hostile)
	cam.kind.Store(2)
	awaitState(t, s, "closed")
	cam.kind.Store(1)
	awaitState(t, s, hostile)
	if !hasLabel("closed")(b.retained(base + "/state")) {
		t.Errorf("the stalled broker retains %s", b.retained(base+"/state"))
	}
	p.cut()
	b.await(t, base+"/state", hasLabel(hostile))

	if _, err := s.Undo(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveRegion(hostile); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{base + "/state", base + "/label", base + "/threshold", "homeassistant/sensor/imprint_2ftest/" + escaped(hostile) + "/config"} {
		b.await(t, topic, is(""))
	}
	stop()
	b.await(t, "imprint/test/status", is(offline))
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := slices.Compact(b.history["imprint/test/status"]); !slices.Equal(got, []string{online, offline, online, offline}) {
		t.Errorf("got status %q", got)
	}
}

func (b *broker) send(t *testing.T, topic, payload string, retain bool) {
	t.Helper()
	if err := b.Publish(topic, []byte(payload), retain, 1); err != nil {
		t.Fatal(err)
	}
}

// press presses the button teach until the number of photos grows: it trains nothing if a busy machine classifies
// no frame in time.
func (b *broker) press(t *testing.T, base string, photos func() int) {
	t.Helper()
	before := photos()
	for range 3 {
		b.send(t, base+"/teach/set", pressed, false)
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if photos() > before {
				return
			}
		}
	}
	t.Fatal("the button trained nothing")
}

func photosOf(t *testing.T, s *serve.Server, label string) int {
	t.Helper()
	list, err := s.Classes(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list.Classes {
		if c.Label == label {
			return len(c.Photos)
		}
	}
	return 0
}

// awaitState waits until the server's only region shows a label.
func awaitState(t *testing.T, s *serve.Server, label string) {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		list, changed := s.Regions()
		if list.Regions[0].State.Label == label {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("timed out waiting for %q; the last state was %+v", label, list.Regions[0])
		}
	}
}

// TestCommandsRefused sends commands that must change nothing.
func TestCommandsRefused(t *testing.T) {
	s, _ := newServer(t, "door")
	c, err := New(options("mqtt://localhost"), s)
	if err != nil {
		t.Fatal(err)
	}
	teach(t, s, "open", "door")
	for _, v := range []command{
		{"gate", "threshold", "0.5"}, {"door", "threshold", "high"}, {"door", "threshold", "NaN"}, {"door", "threshold", "1.5"},
		{"door", "label", "closed"}, {"door", "teach", "now"}, {"door", "state", "open"}, {"", "", ""},
	} {
		if err := c.carryOut(context.Background(), v); err == nil {
			t.Errorf("%q: got no error", v)
		}
	}
	list, _ := s.Regions()
	if got := list.Regions[0].MinScore; got != 0.6 || photosOf(t, s, "open") == 0 || len(c.selected) > 0 {
		t.Errorf("got threshold %v", got)
	}
}

// TestRetainedCommand checks that a retained command is ignored: it would be obeyed at each connection.
func TestRetainedCommand(t *testing.T) {
	s, _ := newServer(t, "door")
	b := newBroker(t, nil)
	b.send(t, "imprint/test/door/threshold/set", "0.1", true)
	connect(t, options("mqtt://me@"+b.address), s)
	b.await(t, "imprint/test/door/threshold", is("0.6"))
	b.send(t, "imprint/test/door/threshold/set", "0.7", false)
	b.await(t, "imprint/test/door/threshold", is("0.7"))
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := b.history["imprint/test/door/threshold"]; !slices.Equal(got, []string{"0.6", "0.7"}) {
		t.Errorf("got thresholds %q", got)
	}
}

// TestTLS connects to a broker with a certificate that only the options trust.
func TestTLS(t *testing.T) {
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	b := newBroker(t, &tls.Config{Certificates: https.TLS.Certificates})
	s, _ := newServer(t, "door")
	o := options("mqtts://me@" + b.address)
	c, err := New(o, s)
	if err != nil {
		t.Fatal(err)
	}
	var unknown x509.UnknownAuthorityError
	if _, err := c.connection(context.Background()); !errors.As(err, &unknown) {
		t.Errorf("got error %v, want one about the certificate", err)
	}
	o.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	o.TLS.RootCAs.AddCert(https.Certificate())
	connect(t, o, s)
	b.await(t, "imprint/test/status", is(online))
}

// TestFailures lists the errors of brokers that can't be used.
func TestFailures(t *testing.T) {
	b := newBroker(t, nil)
	s, _ := newServer(t, "door")
	for _, c := range []struct{ url, password, want string }{
		{"mqtt://me@" + b.address, "wrong", "bad username or password"},
		{"mqtt://127.0.0.1:1", "secret", "connection refused"},
	} {
		o := options(c.url)
		o.Password = c.password
		client, err := New(o, s)
		if err != nil {
			t.Fatal(err)
		}
		if connected, err := client.connection(context.Background()); connected || err == nil || !strings.Contains(strings.ToLower(err.Error()), c.want) {
			t.Errorf("%s: got error %v, want %q", c.url, err, c.want)
		}
	}
	if _, err := New(Options{URL: "mqtt://me:secret@host"}, s); err != ErrPassword {
		t.Errorf("got error %v", err)
	}
	for _, o := range []Options{
		{URL: "http://host"}, {URL: "mqtt://"}, {URL: "mqtt://host/topic"}, {URL: "mqtt://me:secret@[/"},
		{URL: "mqtt://host", Topic: "a/+/b"}, {URL: "mqtt://host", Topic: "a#"}, {URL: "mqtt://host", Topic: "/a"}, {URL: "mqtt://host", Topic: "$SYS"},
		{URL: "mqtt://host", Topic: "a", Discovery: "a/"}, {URL: "mqtt://host", Topic: "\xff"}, {URL: "mqtt://host", Topic: strings.Repeat("a", 201)},
	} {
		if _, err := New(o, s); !errors.Is(err, ErrURL) && !errors.Is(err, ErrTopic) || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%+v: got error %v", o, err)
		}
	}
}
