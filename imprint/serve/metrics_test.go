package serve

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/tpu"
)

// TestMetrics compares the metrics of a server that has classified frames with the list in
// docs/serve.md.
func TestMetrics(t *testing.T) {
	page, err := os.ReadFile("../../docs/serve.md")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, testConfig{})
	s.do("PUT", `/v1/regions/%22a%22`, `{"box":[0,0,1,1]}`, 200, nil)
	s.teach("cone", 2)
	s.awaitNext(2)
	s.metrics.doubted("kept")
	s.metrics.deviceFailed(tpu.ErrDisconnected)
	s.metrics.deviceFailed(errors.New("other"))
	s.do("GET", "/v1/nosuch", "", 404, nil)

	wanted := []string{
		`imprint_frames_total\{result="answered"\} [1-9]\d*`,
		`imprint_frames_total\{result="failed"\} 0`,
		`imprint_inference_seconds_bucket\{device="[^"]+",le="0.001"\} \d+`,
		`imprint_inference_seconds_count\{device="[^"]+"\} [1-9]\d*`,
		`imprint_frame_latency_seconds_bucket\{le="\+Inf"\} [1-9]\d*`,
		`imprint_usb_errors_total\{kind="disconnected"\} 1`,
		`imprint_usb_errors_total\{kind="other"\} 1`,
		`imprint_region_frames_total\{region="\\"a\\"",result="answered"\} [1-9]\d*`,
		`imprint_region_changes_total\{region="\\"a\\""\} [1-9]\d*`,
		`imprint_doubtful 0`,
		`imprint_doubtful_total\{result="kept"\} 1`,
		`imprint_device_resets_total 3`,
		`imprint_device_up 1`,
		`imprint_classes 1`,
		`imprint_images [1-9]\d*`,
		`imprint_http_requests_total\{code="404"\} 1`,
		`go_goroutines \d+`,
		`process_resident_memory_bytes \d+`,
		`process_open_fds \d+`,
	}
	var body strings.Builder
	missing := func() []string {
		body.Reset()
		s.metrics.write(&body, func() (uint64, bool) { return 3, true })
		return slices.DeleteFunc(slices.Clone(wanted), func(w string) bool {
			return regexp.MustCompile(`(?m)^` + w + `$`).MatchString(body.String())
		})
	}
	// A request is counted after its response, and a frame after its result.
	for end := time.Now().Add(time.Minute); len(missing()) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if m := missing(); len(m) > 0 {
		t.Errorf("no metrics match %q in\n%s", m, body.String())
	}
	if got, want := findNames(`(?m)^# TYPE (imprint_\w+) `, body.String()), findNames("`(imprint_[a-z_]+)[`{]", string(page)); !slices.Equal(got, want) {
		t.Errorf("got metrics %q, docs/serve.md lists %q", got, want)
	}
}

// findNames returns the first group of each match, sorted and without duplicates.
func findNames(pattern, text string) (names []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// BenchmarkInferred measures the time that the metrics of one frame take.
func BenchmarkInferred(b *testing.B) {
	m := newMetrics()
	b.ReportAllocs()
	for b.Loop() {
		m.inferred("tpu", time.Millisecond)
	}
}
