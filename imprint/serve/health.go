package serve

import (
	"fmt"
	"sync"
	"time"
)

// Health says how the server is. It is also the data of the event "state".
type Health struct {
	// Status is ok; degraded, when the camera is gone; or down, when the device fails,
	// so that nothing is answered.
	Status     string       `json:"status"`
	Source     SourceHealth `json:"source"`
	Device     DeviceHealth `json:"device"`
	Generation uint64       `json:"generation"`
	UptimeS    float64      `json:"uptime_s"`
}

// SourceHealth says how the source of frames is.
type SourceHealth struct {
	Name  string `json:"name"`
	State string `json:"state"` // starting, ok, lost, ended, or none: frames are posted
	Error string `json:"error,omitempty"`
	// Spoilt is why the last frame that was no picture was none.
	Spoilt string `json:"spoilt,omitempty"`
	Frames uint64 `json:"frames"` // that came
}

// DeviceHealth says how what runs the model is.
type DeviceHealth struct {
	Name  string `json:"name"`  // "" before the first frame
	State string `json:"state"` // unused, ok or down
	Error string `json:"error,omitempty"`
}

// A condition is how a part of the server is, and tells when that changes.
type condition struct {
	mu                        sync.Mutex
	name, state, error, spoil string
	changed                   func()
}

func (c *condition) put(name, state string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	c.mu.Lock()
	same := c.name == name && c.state == state && c.error == text
	c.name, c.state, c.error = name, state, text
	c.mu.Unlock()
	if !same && c.changed != nil {
		c.changed()
	}
}

// A sourceCondition is that of the source.
type sourceCondition struct {
	condition
	source string // its name
}

func (c *sourceCondition) set(state string, err error) { c.put("", state, err) }

// spoilt notes a frame that was no picture.
func (c *sourceCondition) spoilt(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spoil = err.Error()
}

func (c *sourceCondition) health(frames uint64) SourceHealth {
	c.mu.Lock()
	defer c.mu.Unlock()
	return SourceHealth{Name: c.source, State: c.state, Error: c.error, Spoilt: c.spoil, Frames: frames}
}

// sentence says why no frames come.
func (c *sourceCondition) sentence() string {
	h := c.health(0)
	switch h.State {
	case "lost":
		return fmt.Sprintf("%s is lost: %s", h.Name, h.Error)
	case "ended":
		return h.Name + " has come to its end"
	case "none":
		return "nobody posts any"
	}
	return h.Name + " gives none"
}

// A deviceCondition is that of the device.
type deviceCondition struct{ condition }

// set notes what came of running the model.
func (c *deviceCondition) set(name string, err error) {
	if err != nil {
		c.put(c.name, "down", err)
		return
	}
	c.put(name, "ok", nil)
}

func (c *deviceCondition) health() DeviceHealth {
	c.mu.Lock()
	defer c.mu.Unlock()
	return DeviceHealth{Name: c.name, State: c.state, Error: c.error}
}

// Health returns how the server is now.
func (s *Server) Health() Health {
	s.accepting.Lock()
	frames := s.frames
	s.accepting.Unlock()
	h := Health{Status: "ok", Source: s.source.health(frames), Device: s.device.health(), Generation: s.live.Generation(), UptimeS: time.Since(s.started).Seconds()}
	switch {
	case h.Device.State == "down":
		h.Status = "down"
	case h.Source.State == "lost":
		h.Status = "degraded"
	}
	return h
}

func (s *Server) stateChanged() { s.hub.publish("state", s.Health()) }
