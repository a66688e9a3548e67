package mqtt

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/serve"
	"github.com/imprintkit/imprint/imprint/serve/region"
)

// TestHostileNames checks in which topics regions with hostile names appear, and that labels reach the
// broker unchanged.
func TestHostileNames(t *testing.T) {
	c, err := New(options("mqtt://host"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ text, topic string }{
		{"door", "door"},
		{"a/b", "a_2fb"},
		{"+", "_2b"},
		{"#", "_23"},
		{"$SYS", "_24SYS"},
		{"_2f", "_5f2f"},
		{`"'\`, "_22_27_5c"},
		{"<script>alert(1)</script>", "_3cscript_3ealert_281_29_3c_2fscript_3e"},
		{"{{ x }}", "_7b_7b_20x_20_7d_7d"},
		{"é", "_c3_a9"},
		{strings.Repeat("#", 60), strings.Repeat("_23", 60)},
	} {
		s := serve.RegionStatus{Region: region.New(tt.text, region.Box{0, 0, 1, 1}), State: region.State{Label: tt.text, Known: tt.text, Changes: 1}}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		m := c.messages(serve.RegionList{Regions: []serve.RegionStatus{s}}, []string{tt.text})
		base := "imprint/test/" + tt.topic
		var state message
		if err := json.Unmarshal([]byte(m[base+"/state"]), &state); err != nil || *state.Label != tt.text || state.Known != tt.text || m[base+"/label"] != tt.text {
			t.Errorf("%q: got state %s, label %q, %v at %s", tt.text, m[base+"/state"], m[base+"/label"], err, base)
		}
		var choice entity
		if err := json.Unmarshal([]byte(m["homeassistant/select/imprint_2ftest/"+tt.topic+"/config"]), &choice); err != nil || !slices.Equal(choice.Options, []string{tt.text}) {
			t.Errorf("%q: got select %+v, %v", tt.text, choice, err)
		}
	}
	for _, text := range []string{"", "\x00", "a\n", strings.Repeat("a", 201), "\xff"} {
		if region.New(text, region.Box{0, 0, 1, 1}).Check() == nil || imprint.CheckLabel(text) == nil {
			t.Errorf("%q can be a name of a region or a label", text)
		}
	}
	long := strings.Repeat("#", 200) // the longest label
	m := c.messages(serve.RegionList{Regions: []serve.RegionStatus{{Region: region.New("a", region.Box{0, 0, 1, 1})}}}, []string{long})
	if imprint.CheckLabel(long) != nil || m["imprint/test/a/label"] != long {
		t.Errorf("got label %q, want %q", m["imprint/test/a/label"], long)
	}
}

// TestStallingBrokers connects to brokers that stop answering. Meanwhile frames are classified and
// classes are trained, and the client ends when it is told to.
func TestStallingBrokers(t *testing.T) {
	// The replies are packets of MQTT 5: CONNACK, then SUBACK of packet 1.
	connected := []byte{0x20, 3, 0, 0, 0}
	subscribed := append(slices.Clone(connected), 0x90, 4, 0, 1, 0, 1)
	for name, behave := range map[string]func(c net.Conn, done <-chan struct{}){
		"never answers":            func(c net.Conn, done <-chan struct{}) { io.Copy(io.Discard, c) },
		"never reads":              func(c net.Conn, done <-chan struct{}) { <-done },
		"stops after the greeting": func(c net.Conn, done <-chan struct{}) { c.Write(connected); <-done },
		"never acknowledges":       func(c net.Conn, done <-chan struct{}) { c.Write(subscribed); io.Copy(io.Discard, c) },
		"stops reading":            func(c net.Conn, done <-chan struct{}) { c.Write(subscribed); <-done },
		"sends garbage": func(c net.Conn, done <-chan struct{}) {
			for err := error(nil); err == nil; {
				_, err = c.Write([]byte("garbage"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, cam := newServer(t, "door")
			accepted := make(chan struct{}, 1)
			stop := connect(t, options("mqtt://me@"+badBroker(t, accepted, behave)), s)
			<-accepted
			for i, label := range []string{"open", "closed"} {
				cam.kind.Store(uint64(i + 1))
				teach(t, s, label, "door")
				awaitState(t, s, label)
			}
			cam.kind.Store(1)
			awaitState(t, s, "open")
			if _, err := s.Undo(context.Background()); err != nil {
				t.Error(err)
			}
			stop()
		})
	}
}

// badBroker accepts connections and passes them to behave, with a channel that is closed at the end of
// the test. It returns its address.
func badBroker(t *testing.T, accepted chan<- struct{}, behave func(net.Conn, <-chan struct{})) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case accepted <- struct{}{}:
			default:
			}
			work.Go(func() {
				defer c.Close()
				behave(c, done)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(done)
		work.Wait()
	})
	return l.Addr().String()
}
