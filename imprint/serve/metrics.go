package serve

import (
	"cmp"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	prom "github.com/VictoriaMetrics/metrics"

	"github.com/imprintkit/imprint/tpu"
)

// metrics holds the server's Prometheus metrics.
type metrics struct {
	set     *prom.Set
	latency *prom.PrometheusHistogram
	reload  *prom.PrometheusHistogram
	unknown *prom.Counter
	// Numbers of frames, by result.
	answered, dropped, failedFrames *prom.Counter
	recoveries                      atomic.Uint64 // last known number of device recoveries
}

// buckets are histogram bounds in seconds, for devices from an Edge TPU to a slow CPU.
var buckets = []float64{.001, .002, .003, .005, .0075, .01, .015, .02, .03, .05, .075, .1, .2, .5, 1, 2}

func newMetrics() *metrics {
	prom.ExposeMetadata(true) // write the type of each metric
	set := prom.NewSet()
	return &metrics{
		set:          set,
		latency:      set.NewPrometheusHistogramExt("imprint_frame_latency_seconds", buckets),
		reload:       set.NewPrometheusHistogramExt("imprint_model_reload_seconds", buckets),
		unknown:      set.NewCounter("imprint_unknown_total"),
		answered:     set.NewCounter(`imprint_frames_total{result="answered"}`),
		dropped:      set.NewCounter(`imprint_frames_total{result="dropped"}`),
		failedFrames: set.NewCounter(`imprint_frames_total{result="failed"}`),
	}
}

// observe adds the metrics that are read from s on each request.
func (m *metrics) observe(s *Server) {
	m.set.NewGauge("imprint_device_up", func() float64 {
		if s.device.status.health().State == "down" {
			return 0
		}
		return 1
	})
	m.set.NewGauge("imprint_model_generation", func() float64 { return float64(s.live.Generation()) })
	m.set.NewGauge("imprint_classes", func() float64 { n, _ := s.classes.counts(); return n })
	m.set.NewGauge("imprint_doubtful", func() float64 { return float64(s.doubts.counts().Pictures) })
	m.set.NewGauge("imprint_images", func() float64 { _, n := s.classes.counts(); return n })
}

// write writes the metrics of the server and of the process in Prometheus' text format. recoveries
// returns the number of device recoveries so far.
func (m *metrics) write(w io.Writer, recoveries func() (n uint64, known bool)) {
	if n, known := recoveries(); known {
		m.recoveries.Store(n)
	}
	m.set.GetOrCreateCounter("imprint_device_resets_total").Set(m.recoveries.Load())
	m.set.WritePrometheus(w)
	prom.WriteProcessMetrics(w)
	prom.WriteFDMetrics(w)
}

// inferred records the time that a photo spent in the backbone and the head.
func (m *metrics) inferred(device string, elapsed time.Duration) {
	m.set.GetOrCreatePrometheusHistogramExt(fmt.Sprintf("imprint_inference_seconds{device=%q}", device), buckets).Update(elapsed.Seconds())
}

// regionFrame counts a frame of a region by result: answered, still, dropped or failed.
func (m *metrics) regionFrame(name, result string) {
	m.set.GetOrCreateCounter(fmt.Sprintf("imprint_region_frames_total{region=%q,result=%q}", name, result)).Inc()
}

// regionChanged counts a new state of a region.
func (m *metrics) regionChanged(name string) {
	m.set.GetOrCreateCounter(fmt.Sprintf("imprint_region_changes_total{region=%q}", name)).Inc()
}

// doubted counts a doubtful picture by what became of it: kept, duplicate or failed.
func (m *metrics) doubted(result string) {
	m.set.GetOrCreateCounter(fmt.Sprintf("imprint_doubtful_total{result=%q}", result)).Inc()
}

// responded counts an HTTP request.
func (m *metrics) responded(status int) {
	m.set.GetOrCreateCounter(fmt.Sprintf(`imprint_http_requests_total{code="%d"}`, status)).Inc()
}

// deviceFailed counts a photo that the device failed to classify.
func (m *metrics) deviceFailed(err error) {
	m.set.GetOrCreateCounter(fmt.Sprintf("imprint_usb_errors_total{kind=%q}", cmp.Or(tpu.ErrorKind(err), "other"))).Inc()
}
