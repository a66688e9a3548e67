package serve

import (
	"fmt"
	"sync"
	"time"
)

// Health is the state of the server and the data of the event "state".
type Health struct {
	// Status is "ok", "degraded" if the source fails, or "down" if the device fails, so that
	// nothing is classified.
	Status     string       `json:"status"`
	Source     SourceHealth `json:"source"`
	Device     DeviceHealth `json:"device"`
	Generation uint64       `json:"generation"`
	UptimeS    float64      `json:"uptime_s"`
}

// SourceHealth is the state of the frame source.
type SourceHealth struct {
	Name string `json:"name"`
	// State is "starting", "ok", "ended", or "none" if clients post frames. After an error it
	// is "lost" if there were frames before; otherwise "missing" if the source does not exist,
	// or "failed".
	State string `json:"state"`
	Error string `json:"error,omitempty"`
	// Spoilt is the error of the last frame that could not be decoded.
	Spoilt string `json:"spoilt,omitempty"`
	Frames uint64 `json:"frames"` // number of frames received so far
}

// DeviceHealth is the state of the device that runs the model.
type DeviceHealth struct {
	Name  string `json:"name"`  // "" before the model first runs
	State string `json:"state"` // "unused", "ok" or "down"; Edge TPUs are opened at the start
	Error string `json:"error,omitempty"`
}

// Health returns the current state of the server.
func (s *Server) Health() Health {
	h := Health{Status: "ok", Source: s.intake.health(), Device: s.device.status.health(), Generation: s.live.Generation(), UptimeS: time.Since(s.started).Seconds()}
	switch {
	case h.Device.State == "down":
		h.Status = "down"
	case h.Source.Error != "":
		h.Status = "degraded"
	}
	return h
}

func (s *Server) publishHealth() { s.events.publish("state", s.Health()) }

// A status is the state of one part of the server. It calls changed whenever the state changes.
type status struct {
	changed func()

	mu                sync.Mutex
	name, state, text string // text is the error message
}

func (c *status) put(name, state string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	c.mu.Lock()
	same := c.name == name && c.state == state && c.text == text
	c.name, c.state, c.text = name, state, text
	c.mu.Unlock()
	if !same {
		c.changed()
	}
}

// sourceStatus is the state of the frame source.
type sourceStatus struct {
	status
	source string // name of the source
	spoilt string
}

func newSourceStatus(source, state string, changed func()) *sourceStatus {
	return &sourceStatus{status: status{state: state, changed: changed}, source: source}
}

func (c *sourceStatus) set(state string, err error) { c.put("", state, err) }

// unreadable records the error of a frame that could not be decoded.
func (c *sourceStatus) unreadable(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spoilt = err.Error()
}

func (in *intake) health() SourceHealth {
	h := in.status.health()
	h.Frames = in.frames()
	return h
}

func (c *sourceStatus) health() SourceHealth {
	c.mu.Lock()
	defer c.mu.Unlock()
	return SourceHealth{Name: c.source, State: c.state, Error: c.text, Spoilt: c.spoilt}
}

// explain returns the reason why there are no frames.
func (c *sourceStatus) explain() string {
	h := c.health()
	switch h.State {
	case "lost":
		return fmt.Sprintf("%s is lost: %s", h.Name, h.Error)
	case "missing":
		return h.Name + " was not found"
	case "failed":
		return fmt.Sprintf("%s sends no frames: %s", h.Name, h.Error)
	case "ended":
		return h.Name + " has ended"
	case "none":
		return "no camera or client sends frames"
	}
	return h.Name + " sends no frames"
}

// deviceStatus is the state of the device.
type deviceStatus struct{ status }

func newDeviceStatus(changed func()) *deviceStatus {
	return &deviceStatus{status{state: "unused", changed: changed}}
}

// set records the outcome of running the model.
func (c *deviceStatus) set(name string, err error) {
	if err != nil {
		c.put(c.name, "down", err)
		return
	}
	c.put(name, "ok", nil)
}

func (c *deviceStatus) health() DeviceHealth {
	c.mu.Lock()
	defer c.mu.Unlock()
	return DeviceHealth{Name: c.name, State: c.state, Error: c.text}
}
