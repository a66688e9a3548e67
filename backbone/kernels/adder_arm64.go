//go:build !purego

package kernels

// adderArgs are the arguments of the assembly, which refers to the fields by name. Right
// shifts are negated.
type adderArgs struct {
	x, y, out                     *byte
	blocks                        int // number of blocks of adderBlock elements
	zeroX, mantissaX, rightX      int32
	zeroY, mantissaY, rightY      int32
	mantissa, right, zero, lo, hi int32
}

// adderBlock is the number of elements added at a time.
const adderBlock = 8

//go:noescape
func addUint8(a *adderArgs)

//go:noescape
func addInt8(a *adderArgs)

// blockAdder implements adder for NEON.
type blockAdder struct {
	*sum
	args adderArgs // the same for all calls
}

func newBlockAdder(s *sum) adder {
	// The factors of the terms are at most 1/2, so there are no left shifts.
	x, y := s.terms[0], s.terms[1]
	return &blockAdder{s, adderArgs{
		zeroX: x.zero, mantissaX: x.scale.mantissa, rightX: -int32(x.scale.right),
		zeroY: y.zero, mantissaY: y.scale.mantissa, rightY: -int32(y.scale.right),
		mantissa: s.scale.mantissa, right: -int32(s.scale.right), zero: s.zero, lo: s.lo, hi: s.hi,
	}}
}

func (k *blockAdder) add(out, x, y []byte) {
	n := len(out)
	x, y = x[:n], y[:n]
	if n < adderBlock {
		var block [3][adderBlock]byte
		copy(block[1][:], x)
		copy(block[2][:], y)
		k.blocks(&block[0][0], &block[1][0], &block[2][0], 1)
		copy(out, block[0][:])
		return
	}
	k.blocks(&out[0], &x[0], &y[0], n/adderBlock)
	// The last block overlaps the one before it.
	if last := n - adderBlock; n%adderBlock > 0 {
		k.blocks(&out[last], &x[last], &y[last], 1)
	}
}

func (k *blockAdder) blocks(out, x, y *byte, n int) {
	a := k.args
	a.out, a.x, a.y, a.blocks = out, x, y, n
	if k.signed {
		addInt8(&a)
	} else {
		addUint8(&a)
	}
}
