package outcome_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/outcome"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/pool"
)

func TestCauseOf(t *testing.T) {
	for _, test := range []struct {
		err  error
		want outcome.Cause
	}{
		{imprint.ErrKeepClasses, outcome.Usage},
		{pool.ErrDevice, outcome.Usage},
		{tpu.ErrNoDevice, outcome.Device},
		{dataset.ErrDamaged, outcome.Data},
		{imprint.ErrCorrupt, outcome.Data},
		{kernels.ErrInvalid, outcome.Data},
		{imprint.ErrUnknownLabel, outcome.Other},
		{errors.Join(dataset.ErrDamaged, tpu.ErrNoDevice), outcome.Device},
	} {
		if got := outcome.CauseOf(fmt.Errorf("classify: %w", test.err)); got != test.want {
			t.Errorf("%v: got %d, want %d", test.err, got, test.want)
		}
	}
	if got := outcome.CauseOf(nil); got != outcome.Other {
		t.Errorf("nil: got %d, want %d", got, outcome.Other)
	}
}
