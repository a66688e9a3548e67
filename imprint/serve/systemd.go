package serve

import (
	"context"
	"image"
	"net"
	"os"
	"strconv"
	"time"
)

// notifySystemd sends a state to systemd (sd_notify(3)). It returns false if systemd did
// not start this process or can't be reached.
func (s *Server) notifySystemd(state string) bool {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return false
	}
	if name[0] == '@' { // an abstract socket
		name = "\x00" + name[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		defer c.Close()
		_, err = c.Write([]byte(state))
	}
	if err != nil {
		s.log.Error("can't notify systemd", "state", state, "error", err)
	}
	return err == nil
}

// watchdogPeriod returns the interval within which systemd expects a notification, or 0 if it
// expects none (sd_watchdog_enabled(3)).
func watchdogPeriod() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || us <= 0 {
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

// watchdog notifies systemd for as long as photos are classified. If no photos arrive, it
// classifies a gray photo itself.
func (s *Server) watchdog(ctx context.Context) {
	period := watchdogPeriod()
	if period == 0 {
		return
	}
	tick := time.NewTicker(period / 3)
	defer tick.Stop()
	var seen uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.device.completed.Load() == seen {
			s.probe(ctx, period/3)
		}
		if now := s.device.completed.Load(); now != seen {
			seen = now
			s.notifySystemd("WATCHDOG=1")
		}
	}
}

// probe classifies a gray photo, to find out whether the device works.
func (s *Server) probe(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	gray, err := encodeJPEG(image.NewGray(image.Rect(0, 0, 16, 16)))
	if err == nil {
		_, _, err = s.classifyPhoto(ctx, "for the watchdog", gray)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("watchdog probe failed", "error", err)
	}
}
