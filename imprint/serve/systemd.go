package serve

import (
	"context"
	"image"
	"net"
	"os"
	"strconv"
	"time"
)

// notifySystemd tells the service manager, if one has started this process and waits
// for that, how the service is (sd_notify(3)).
func (s *Server) notifySystemd(state string) bool {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return false
	}
	if name[0] == '@' { // in the abstract namespace
		name = "\x00" + name[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		defer c.Close()
		_, err = c.Write([]byte(state))
	}
	if err != nil {
		s.log.Error("the service manager can't be told", "state", state, "error", err)
	}
	return err == nil
}

// watchdogPeriod is how often the service manager wants to hear of us; 0 is never
// (sd_watchdog_enabled(3)).
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

// watchdog tells the service manager that all is well, whenever photos have been
// answered since it last did. Where none come, because the camera is lost or nobody
// posts any, it has a grey one answered.
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
		if s.completed.Load() == seen {
			s.probe(ctx, period/3)
		}
		if now := s.completed.Load(); now != seen {
			seen = now
			s.notifySystemd("WATCHDOG=1")
		}
	}
}

// probe has the loop answer a grey photo.
func (s *Server) probe(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	grey, err := encodeJPEG(image.NewGray(image.Rect(0, 0, 16, 16)))
	if err == nil {
		_, _, err = s.look(ctx, grey)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("the watchdog's photo was not answered", "error", err)
	}
}
