package serve

import (
	"bytes"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

var uploadPhotos = flag.Int("upload", 40, "the `number` of photos that TestUpload sends")

// TestUpload adds many photos in forms, as the page does with a folder: each form also has a photo that
// can't be read, and a form in the middle is refused. What was acknowledged stays, photos are classified
// meanwhile, and sending everything again adds only the rest. To reproduce the numbers in docs/serve.md:
//
//	go test ./imprint/serve -run TestUpload -v -timeout 60m -upload 10000
func TestUpload(t *testing.T) {
	s := start(t, testConfig{noCamera: true, anyBackbone: *uploadPhotos > 1000})
	perForm := min(maxFormPhotos, *uploadPhotos/4) - 1
	retries := 0
	send := func(from, status int, files ...string) {
		t.Helper()
		files = append(files, "damaged.jpg", "not a photo")
		for i := from; i < from+perForm; i++ {
			files = append(files, "photo.png", string(backbonetest.Photo(uint64(i%4), uint64(i))))
		}
		contentType, body := photoForm(t, files...)
		path := fmt.Sprintf("/v1/examples?label=class%d", from/perForm%4)
		got, answer := s.sendForm(path, contentType, body)
		for ; got == 503; got, answer = s.sendForm(path, contentType, body) { // a busy machine
			retries++
		}
		if got != status {
			t.Fatalf("photos from %d: got status %d, want %d: %s", from, got, status, answer)
		}
	}
	end := make(chan struct{})
	var longest time.Duration
	var peak uint64
	var other sync.WaitGroup
	other.Go(func() {
		photo := backbonetest.Photo(1, 1)
		for {
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
			}
			began := time.Now()
			resp, err := s.client.Post("http://imprint/v1/classify", "image/png", bytes.NewReader(photo))
			if err != nil {
				t.Error(err)
				return
			}
			if resp.Body.Close(); resp.StatusCode != 200 && resp.StatusCode != 503 {
				t.Errorf("got status %d for another photo", resp.StatusCode)
			}
			longest = max(longest, time.Since(began))
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
		}
	})
	began := time.Now()
	sent := 0
	for ; sent+perForm <= *uploadPhotos; sent += perForm {
		if sent == 2*perForm {
			send(sent, 413, make([]string, 2*maxFormPhotos)...) // too many photos; the client sends fewer
		}
		send(sent, 200)
	}
	took := time.Since(began)
	close(end)
	other.Wait()
	before := s.classNames()
	send(0, 200) // all of them are there
	if after := s.classNames(); after != before || strings.Count(after, "class") != 4 {
		t.Errorf("got %s after %s", after, before)
	}
	t.Logf("%d photos in forms of %d in %.0f s: %s; largest heap %.0f MB, slowest other photo %v, %d forms sent again", sent, perForm+1, took.Seconds(), before, float64(peak)/1e6, longest.Round(time.Millisecond), retries)
}
