package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/imprintkit/imprint/imprint"
)

// TestProblemStatus checks that settings that rule out the answer "unknown" are no fault of the
// server.
func TestProblemStatus(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("retrain: %w in the coral layout", imprint.ErrUnknown), http.StatusConflict},
		{fmt.Errorf("add: %w", context.DeadlineExceeded), http.StatusServiceUnavailable},
		{errors.New("other"), http.StatusInternalServerError},
	} {
		if got, _ := problem(test.err); got != test.want {
			t.Errorf("%v: got status %d, want %d", test.err, got, test.want)
		}
	}
}
