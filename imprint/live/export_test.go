package live

import "github.com/imprintkit/imprint/backbone"

// Backbone returns the backbone of the current generation.
func (l *Live) Backbone() *backbone.Backbone { return l.current.Load().Backbone }
