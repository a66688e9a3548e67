package serve

import (
	"cmp"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/imprintkit/imprint/tpu"
)

// metrics holds the server's Prometheus metrics.
type metrics struct {
	registry  *prometheus.Registry
	inference *prometheus.HistogramVec // labeled by device
	latency   prometheus.Histogram
	frames    *prometheus.CounterVec // labeled by result: answered, dropped, failed
	unknown   prometheus.Counter
	usb       *prometheus.CounterVec // labeled by kind of failure
	reload    prometheus.Histogram
	requests  *prometheus.CounterVec // labeled by status code
	resets    atomic.Uint64          // last known number of device recoveries
}

// buckets are histogram bounds in seconds, for devices from an Edge TPU to a slow CPU.
var buckets = []float64{.001, .002, .003, .005, .0075, .01, .015, .02, .03, .05, .075, .1, .2, .5, 1, 2}

func newMetrics() *metrics {
	m := &metrics{
		registry:  prometheus.NewRegistry(),
		inference: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "imprint_inference_seconds", Help: "Time to run backbone and head on one photo.", Buckets: buckets}, []string{"device"}),
		latency:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "imprint_frame_latency_seconds", Help: "Time from the capture of a frame to its result.", Buckets: buckets}),
		frames:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "imprint_frames_total", Help: "Frames received: answered, dropped for a newer one, or failed."}, []string{"result"}),
		unknown:   prometheus.NewCounter(prometheus.CounterOpts{Name: "imprint_unknown_total", Help: "Frames classified as unknown."}),
		usb:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "imprint_usb_errors_total", Help: "Photos that the device failed to classify, by kind of failure."}, []string{"kind"}),
		reload:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "imprint_model_reload_seconds", Help: "Time to load a new generation.", Buckets: buckets}),
		requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "imprint_http_requests_total", Help: "HTTP requests by status code."}, []string{"code"}),
	}
	m.registry.MustRegister(m.inference, m.latency, m.frames, m.unknown, m.usb, m.reload, m.requests,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, result := range []string{"answered", "dropped", "failed"} {
		m.frames.WithLabelValues(result)
	}
	return m
}

// observe adds the metrics whose values are read from s on each request.
func (m *metrics) observe(s *Server) {
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	m.registry.MustRegister(
		gauge("imprint_device_up", "1 if the device works, 0 if it fails.", func() float64 {
			if s.device.status.health().State == "down" {
				return 0
			}
			return 1
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "imprint_device_resets_total", Help: "Edge TPU recoveries after a failure."},
			func() float64 {
				if n, known := s.workspace.options.Devices.Recoveries(); known {
					m.resets.Store(n)
				}
				return float64(m.resets.Load())
			}),
		gauge("imprint_model_generation", "Generation of the workspace in use.", func() float64 { return float64(s.live.Generation()) }),
		gauge("imprint_classes", "Trained classes.", func() float64 { n, _ := s.classes.counts(); return n }),
		gauge("imprint_images", "Training photos.", func() float64 { _, n := s.classes.counts(); return n }),
	)
}

// failed counts a failure of the device by its kind.
func (m *metrics) failed(err error) {
	m.usb.WithLabelValues(cmp.Or(tpu.ErrorKind(err), "other")).Inc()
}
