package serve

import (
	"cmp"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/imprintkit/imprint/tpu"
)

// metrics are what the server counts, for Prometheus.
type metrics struct {
	registry  *prometheus.Registry
	inference *prometheus.HistogramVec // by device
	latency   prometheus.Histogram
	frames    *prometheus.CounterVec // by result: answered, dropped, failed
	unknown   prometheus.Counter
	usb       *prometheus.CounterVec // by kind
	reload    prometheus.Histogram
	requests  *prometheus.CounterVec // by code
	resets    atomic.Uint64          // that are known of
}

// buckets are the borders of the histograms, in seconds: from an Edge TPU to a slow CPU.
var buckets = []float64{.001, .002, .003, .005, .0075, .01, .015, .02, .03, .05, .075, .1, .2, .5, 1, 2}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry:  prometheus.NewRegistry(),
		inference: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "imprint_inference_seconds", Help: "Time that backbone and head took for one photo.", Buckets: buckets}, []string{"device"}),
		latency:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "imprint_frame_latency_seconds", Help: "Time from the capture of a frame to its answer.", Buckets: buckets}),
		frames:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "imprint_frames_total", Help: "Frames of the source: answered, dropped for a newer one, failed."}, []string{"result"}),
		unknown:   prometheus.NewCounter(prometheus.CounterOpts{Name: "imprint_unknown_total", Help: "Frames answered as unknown."}),
		usb:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "imprint_usb_errors_total", Help: "Photos that the device failed to answer, by kind of failure."}, []string{"kind"}),
		reload:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "imprint_model_reload_seconds", Help: "Time to serve a new generation.", Buckets: buckets}),
		requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "imprint_http_requests_total", Help: "Requests answered, by status."}, []string{"code"}),
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	m.registry.MustRegister(m.inference, m.latency, m.frames, m.unknown, m.usb, m.reload, m.requests,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("imprint_device_up", "Whether the device answers.", func() float64 {
			if s.device.health().State == "down" {
				return 0
			}
			return 1
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "imprint_device_resets_total", Help: "Times that an Edge TPU was brought back after a failure."},
			func() float64 {
				if n, known := s.workspace.Devices.Recoveries(); known {
					m.resets.Store(n)
				}
				return float64(m.resets.Load())
			}),
		gauge("imprint_model_generation", "Generation of the workspace that is served.", func() float64 { return float64(s.live.Generation()) }),
		gauge("imprint_classes", "Classes taught.", func() float64 { n, _ := s.counts(); return n }),
		gauge("imprint_images", "Photos taught.", func() float64 { _, n := s.counts(); return n }),
	)
	for _, result := range []string{"answered", "dropped", "failed"} {
		m.frames.WithLabelValues(result)
	}
	return m
}

// failed counts a failure of the device.
func (m *metrics) failed(err error) {
	m.usb.WithLabelValues(cmp.Or(tpu.ErrorKind(err), "other")).Inc()
}

// counts returns how many classes and photos are taught, as far as it is known.
func (s *Server) counts() (classes, photos float64) {
	s.listing.Lock()
	defer s.listing.Unlock()
	if s.classes == nil {
		return 0, 0
	}
	return float64(len(s.classes.Classes)), float64(s.classes.photos())
}
