package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

const (
	// maxOpen is the number of connections over TCP that a server may have open.
	maxOpen = 256
	// framePeriod is the time between frames in BenchmarkClients.
	framePeriod = time.Second / 20
)

// TestClients checks that imprint serve answers a car, a user at the socket and a user at another
// address while hundreds of slow connections from four addresses are open, and that it has closed
// them all at the end.
func TestClients(t *testing.T) {
	for _, c := range []struct {
		name  string
		flood flood
	}{
		{"300 slow", flood{connections: 300, addresses: 4}},
		{"1000 from one address", flood{connections: 1000, addresses: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.flood.addresses == 1 {
				t.Skip("one flood is enough")
			}
			s, url := serveTCP(t)
			send := func(client *http.Client, url string, seed int) {
				t.Helper()
				for end := time.Now().Add(time.Minute); ; {
					status, err := post(client, url, backbonetest.Photo(1, uint64(seed)))
					if err != nil && time.Now().Before(end) {
						continue // a server that gets no processor for 5 s closes connections whose requests it has not read
					}
					if err != nil || status != 200 {
						t.Errorf("%s: got status %d, %v, want 200", url, status, err)
					}
					return
				}
			}
			send(s.client, "http://imprint/v1/frames", 0)
			send(s.client, "http://imprint/v1/examples?label=a", 0)
			s.client.CloseIdleConnections()
			before := s.settledUsage(t)
			stop := c.flood.start(strings.TrimPrefix(url, "http://"))
			defer stop()
			// A third of the server's connections shows that the flood has begun.
			if during := s.awaitUsage(t, func(now usage) bool { return now.files >= before.files+maxOpen/3 }); during.files < before.files+maxOpen/3 {
				t.Fatalf("got %+v, want %d files more than %+v", during, maxOpen/3, before)
			}
			other := clientFrom("127.0.0.9")
			for i := range 20 {
				send(s.client, "http://imprint/v1/frames", i)
				if i%5 == 0 {
					send(s.client, "http://imprint/v1/examples?label=a", i)
				}
				if during, err := s.usage(); err != nil || during.files > before.files+maxOpen+10 {
					t.Fatalf("got %+v, %v; want at most %d files more than %+v", during, err, maxOpen+10, before)
				}
			}
			send(other, url+"/v1/examples?label=a", 100)
			other.CloseIdleConnections()
			stop()
			s.usageReturns(t, before)
			s.stop(t)
		})
	}
}

// BenchmarkClients measures how many frames of a car, offered 20 times per second, are answered
// while slow clients occupy the server. Each op is a frame. With IMPRINT_TORTURE=1 it fails if fewer
// than 95 % as many are answered as without slow clients. To reproduce the numbers in
// docs/reliability.md:
//
//	go test ./cmd/imprint -run '^$' -bench Clients -benchtime 400x
func BenchmarkClients(b *testing.B) {
	for _, way := range []string{"socket", "tcp", "mjpeg"} {
		alone := 0.0 // share of the frames that are answered without slow clients
		for _, f := range []flood{{}, {connections: 300, addresses: 4}, {connections: 1000, addresses: 4}} {
			b.Run(fmt.Sprintf("frames=%s/connections=%d", way, f.connections), func(b *testing.B) {
				share := f.offerFrames(b, way)
				if f.connections == 0 {
					alone = share
				}
				if os.Getenv("IMPRINT_TORTURE") != "" && share < 0.95*alone {
					b.Errorf("%.1f %% of the frames were answered, without slow clients %.1f %%", 100*share, 100*alone)
				}
			})
		}
	}
}

// offerFrames sends b.N frames to a new server during the flood, and returns the share of them that
// were answered.
func (f flood) offerFrames(b *testing.B, way string) (share float64) {
	source := "none"
	camera := new(streamCamera)
	if way == "mjpeg" {
		server := httptest.NewServer(camera)
		defer server.Close()
		source = "mjpeg:" + server.URL
	}
	s, url := serveTCP(b, "--source", source)
	defer s.stop(b)
	stop := f.start(strings.TrimPrefix(url, "http://"))
	time.Sleep(time.Second) // the flood begins
	b.ResetTimer()
	var offered, answered int
	switch way {
	case "socket":
		offered, answered = b.N, postFrames(b.N, s.client, "http://imprint")
	case "tcp":
		client := clientFrom("127.0.0.9")
		defer client.CloseIdleConnections()
		offered, answered = b.N, postFrames(b.N, client, url)
	case "mjpeg":
		sent, seen := camera.sent.Load(), s.answered(b)
		time.Sleep(time.Duration(b.N) * framePeriod)
		offered, answered = int(camera.sent.Load()-sent), s.answered(b)-seen
	}
	share = float64(answered) / float64(offered)
	b.ReportMetric(100*share, "%-answered")
	b.ReportMetric(float64(offered)/b.Elapsed().Seconds(), "frames/s-offered")
	b.ReportMetric(0, "ns/op")
	b.Logf("slow clients: %v", stop())
	return share
}

// serveTCP starts imprint serve with the given flags and returns its URL for TCP.
func serveTCP(t testing.TB, flags ...string) (s *serveProcess, url string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s = newServe(t, append(flags, "--listen", "127.0.0.1:0")...)
	s.cmd.Stdout = w
	s.start(t)
	w.Close()
	lines := bufio.NewReader(r)
	for url == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "serving http://") {
			url = strings.Trim(strings.TrimPrefix(line, "serving "), "/\n")
		}
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		io.Copy(io.Discard, lines)
	}()
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		<-drained
		r.Close()
	})
	return s, url
}

// clientFrom returns a client that connects over TCP from an address.
func clientFrom(address string) *http.Client {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: dialer.DialContext}}
}

// post sends a photo and returns the status of the response, or an error.
func post(client *http.Client, url string, photo []byte) (status int, err error) {
	resp, err := client.Post(url, "image/png", bytes.NewReader(photo))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// postFrames sends n frames as a car does: it skips those that are due while it waits for a response.
// It returns the number of frames that were answered.
func postFrames(n int, client *http.Client, url string) (answered int) {
	photo := backbonetest.Photo(1, 1)
	start := time.Now()
	for i := range n {
		wait := time.Until(start.Add(time.Duration(i) * framePeriod))
		if wait < -framePeriod {
			continue
		}
		time.Sleep(wait)
		if status, err := post(client, url+"/v1/frames", photo); err == nil && status == 200 {
			answered++
		}
	}
	return answered
}

// answered returns the number of frames that the server has classified.
func (s *serveProcess) answered(t testing.TB) (n int) {
	resp, err := s.client.Get("http://imprint/v1/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		fmt.Sscanf(lines.Text(), `imprint_frames_total{result="answered"} %d`, &n)
	}
	return n
}

// A streamCamera sends 20 frames per second as an MJPEG stream.
type streamCamera struct{ sent atomic.Int64 }

func (c *streamCamera) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
	ticks := time.NewTicker(framePeriod)
	defer ticks.Stop()
	photo := backbonetest.Photo(1, 1)
	for {
		select {
		case <-r.Context().Done():
			return
		case <-ticks.C:
			fmt.Fprintf(w, "--frame\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n%s\r\n", len(photo), photo)
			w.(http.Flusher).Flush()
			c.sent.Add(1)
		}
	}
}
