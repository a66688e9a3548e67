package executable

import (
	"encoding/binary"
	"fmt"
	"math"
)

// SetToken gives all executables that hold a token another one, in place. It must
// not be 0, which means that nothing is kept on the chip.
func (p *Package) SetToken(token uint64) error {
	for i := range p.Executables {
		if p.Executables[i].token == nil || token == 0 {
			return fmt.Errorf("write a token: %w: %s executable %d holds none, or the token is 0", ErrUnsupported, p.Executables[i].Type, i)
		}
	}
	for i := range p.Executables {
		e := &p.Executables[i]
		binary.LittleEndian.PutUint64(e.token, token)
		e.Token = token
	}
	return nil
}

// SetNumerics changes the scale and zero point of a layer, in place. One that a file
// leaves out because it is 0 can't be changed.
func (l *Layer) SetNumerics(scale float32, zeroPoint int) error {
	if l.scale == nil && scale != l.Scale || l.zeroPoint == nil && zeroPoint != l.ZeroPoint {
		return fmt.Errorf("layer %q: %w: there is no room for scale %v and zero point %d", l.Name, ErrUnsupported, scale, zeroPoint)
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
