package kernels

// Implementations of unsignedCodes are products and rows that compute with unsigned bytes. They
// flip the upper bits of int8 codes when they read and write them, until they are told not to.
type unsignedCodes interface {
	// takesInt8 reports whether inputs and outputs are int8 codes.
	takesInt8() bool
	readUnsigned()
	writeUnsigned()
}

// PassUnsigned lets producer pass its int8 output to consumer with the upper bits of all codes
// flipped, if both compute with unsigned bytes. It must be called before the kernels run, and
// nothing else may read the tensor.
func PassUnsigned(producer, consumer Kernel) {
	from, to := unsignedOf(producer), unsignedOf(consumer)
	if from != nil && to != nil {
		from.writeUnsigned()
		to.readUnsigned()
	}
}

// SkipFlip prepares consumer to read the input of producer instead of its output, and reports
// whether that is possible: if producer is a QUANTIZE that flips the upper bits of all codes, and
// consumer computes with unsigned bytes.
func SkipFlip(producer, consumer Kernel) bool {
	m, ok := producer.(*mapping)
	to := unsignedOf(consumer)
	if !ok || !m.flips || m.table[0] != 0x80 || to == nil {
		return false
	}
	to.readUnsigned()
	return true
}

// unsignedOf returns k if it computes int8 codes with unsigned bytes.
func unsignedOf(k Kernel) unsignedCodes {
	var part any
	switch k := k.(type) {
	case *conv2D:
		part = k.product
	case *depthwise:
		part = k.rows
	}
	if u, ok := part.(unsignedCodes); ok && u.takesInt8() {
		return k.(unsignedCodes)
	}
	return nil
}

func (c *conv2D) takesInt8() bool { return c.product.(unsignedCodes).takesInt8() }

func (c *conv2D) readUnsigned() {
	c.padding ^= 0x80
	c.product.(unsignedCodes).readUnsigned()
}

func (c *conv2D) writeUnsigned() { c.product.(unsignedCodes).writeUnsigned() }

func (d *depthwise) takesInt8() bool { return d.rows.(unsignedCodes).takesInt8() }

func (d *depthwise) readUnsigned() {
	copyFlipped(d.blank, d.blank, 0x80)
	d.rows.(unsignedCodes).readUnsigned()
}

func (d *depthwise) writeUnsigned() { d.rows.(unsignedCodes).writeUnsigned() }
