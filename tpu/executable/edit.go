package executable

import (
	"encoding/binary"
	"fmt"
	"math"
)

// SetToken replaces the token of every executable, in place. It fails with
// ErrUnsupported if one of them has no token, or if token is 0, which means that
// the chip keeps no parameters.
func (p *Package) SetToken(token uint64) error {
	for i := range p.Executables {
		if p.Executables[i].token == nil || token == 0 {
			return fmt.Errorf("set token %#x of the %s executable: the file has no token, or the new token is zero: %w", token, p.Executables[i].Type, ErrUnsupported)
		}
	}
	for i := range p.Executables {
		e := &p.Executables[i]
		binary.LittleEndian.PutUint64(e.token, token)
		e.Token = token
	}
	return nil
}

// SetNumerics changes the scale and zero point of a layer, in place. Files omit zeros.
// If the file omits a value that would change, SetNumerics returns an error that wraps
// ErrUnsupported.
func (l *Layer) SetNumerics(scale float32, zeroPoint int) error {
	if l.scale == nil && scale != l.Scale || l.zeroPoint == nil && zeroPoint != l.ZeroPoint {
		return fmt.Errorf("layer %q: set scale %v and zero point %d: the file has no room for one of them: %w", l.Name, scale, zeroPoint, ErrUnsupported)
	}
	if l.scale != nil {
		binary.LittleEndian.PutUint32(l.scale, math.Float32bits(scale))
	}
	if l.zeroPoint != nil {
		binary.LittleEndian.PutUint32(l.zeroPoint, uint32(int32(zeroPoint)))
	}
	l.Scale, l.ZeroPoint = scale, zeroPoint
	return nil
}
