package kernels

import "reflect"

// Bytes returns the size of the memory that k holds: packed weights, biases, scales and
// tables, as its implementation stores them. Shared memory counts once.
func Bytes(k Kernel) int {
	return sizeBehind(reflect.ValueOf(k), make(map[uintptr]bool))
}

// sizeBehind returns the size of the memory that slices and pointers reachable from v
// point to.
func sizeBehind(v reflect.Value, seen map[uintptr]bool) int {
	n := 0
	switch v.Kind() {
	case reflect.Interface:
		return sizeBehind(v.Elem(), seen)
	case reflect.Pointer:
		if !v.IsNil() && !seen[v.Pointer()] {
			seen[v.Pointer()] = true
			n = int(v.Type().Elem().Size()) + sizeBehind(v.Elem(), seen)
		}
	case reflect.Slice, reflect.Array:
		element := v.Type().Elem()
		if v.Kind() == reflect.Slice {
			if v.Cap() == 0 || seen[v.Pointer()] {
				return 0
			}
			seen[v.Pointer()] = true
			n = v.Cap() * int(element.Size())
		}
		if pointers(element) {
			for i := range v.Len() {
				n += sizeBehind(v.Index(i), seen)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n += sizeBehind(v.Field(i), seen)
		}
	}
	return n
}

// pointers reports whether values of type t may contain pointers.
func pointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Interface, reflect.Pointer, reflect.Slice:
		return true
	case reflect.Array:
		return pointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if pointers(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}
