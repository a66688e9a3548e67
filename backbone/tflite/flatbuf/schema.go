// Package flatbuf verifies and reads flatbuffers in place. Describe the tables
// of a format with [Table], check a file with [Verifier.Verify], then read it
// with [Root].
//
// Verification follows every offset that the description knows, so reading a verified
// buffer needs no checks, cannot fail and allocates only what it returns. A Verifier
// limits the number of tables and bytes that it visits, so a small file whose offsets
// share targets cannot grow into a large structure.
//
// A Table, once built, and a View are safe for concurrent use by multiple
// goroutines. A Verifier is not.
package flatbuf

// A Kind is the type of a field's content.
type Kind uint8

// The kinds of fields.
const (
	KindScalar    Kind = iota
	KindVector         // of scalars or of structs
	KindString         // UTF-8, NUL-terminated
	KindStrings        // vector of strings
	KindBlobs          // vector of strings that hold any bytes
	KindTable          // one table
	KindTables         // vector of tables
	KindUnionType      // number of the member that the union in the next slot holds
	KindUnion          // a table; its type is in the slot before
)

// A Table describes one type of table.
type Table struct {
	Name   string
	Fields []Field // indexed by slot
}

// A Field describes one slot of a table.
type Field struct {
	Name     string
	Kind     Kind
	Size     int      // bytes of a scalar, or of an element of a vector
	Align    int      // alignment of a vector's first element, if more than Size; for writers
	Table    *Table   // for KindTable and KindTables
	Union    []*Table // for KindUnion; number 0 is "none"
	Required bool
}

// Scalar returns a field that holds one number of size bytes: 1, 2, 4 or 8.
func Scalar(name string, size int) Field { return Field{Name: name, Kind: KindScalar, Size: size} }

// Vector returns a field that holds a vector of elements of size bytes.
func Vector(name string, size int) Field { return Field{Name: name, Kind: KindVector, Size: size} }

// String returns a field that holds UTF-8 text.
func String(name string) Field { return Field{Name: name, Kind: KindString} }

// Strings returns a field that holds a vector of UTF-8 texts.
func Strings(name string) Field { return Field{Name: name, Kind: KindStrings} }

// Blobs returns a field that holds a vector of strings with any bytes.
func Blobs(name string) Field { return Field{Name: name, Kind: KindBlobs} }

// One returns a field that holds a table.
func One(name string, t *Table) Field { return Field{Name: name, Kind: KindTable, Table: t} }

// Many returns a field that holds a vector of tables.
func Many(name string, t *Table) Field { return Field{Name: name, Kind: KindTables, Table: t} }

// UnionType returns the field in front of a [Union], which holds the number of the
// union's member.
func UnionType(name string) Field { return Field{Name: name, Kind: KindUnionType, Size: 1} }

// Union returns a field that holds a table of one of several types. members[0] is nil.
func Union(name string, members []*Table) Field {
	return Field{Name: name, Kind: KindUnion, Union: members}
}

// Must returns the field marked as required.
func (f Field) Must() Field { f.Required = true; return f }

// Aligned returns the field with an Align of n: writers align the first element of its
// vector to n bytes.
func (f Field) Aligned(n int) Field { f.Align = n; return f }

// InlineSize returns the number of bytes that the field takes in its table.
func (f *Field) InlineSize() int {
	if f.Kind == KindScalar || f.Kind == KindUnionType {
		return f.Size
	}
	return 4
}
