package pool

// Recoveries is how often Edge TPUs were brought back after failures. It is not known
// while devices are being opened.
func (d *Pool) Recoveries() (n uint64, known bool) {
	if d == nil {
		return 0, true
	}
	select {
	case d.gate <- struct{}{}:
		defer d.leave()
	default:
		return 0, false
	}
	for _, device := range d.opened {
		n += device.Status().Recoveries
	}
	return n, true
}
