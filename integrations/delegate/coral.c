//go:build linux && (amd64 || arm64 || riscv64)

// The functions of coral.h.

#include "coral.h"

#include "_cgo_export.h"
#include "fork.h"

int imprint_coral_read(const void *model, size_t size, size_t *dim, size_t *classes, float **weights, double **norms,
                       void **extractor, size_t *extractor_size, char **error) {
  return GUARDED(imprintCoralRead((void *)model, size, dim, classes, weights, norms, extractor, extractor_size, error));
}

int imprint_coral_write(const void *model, size_t size, const float *weights, const double *norms, size_t classes, size_t dim,
                        size_t kept, void **file, size_t *file_size, char **error) {
  return GUARDED(imprintCoralWrite((void *)model, size, (float *)weights, (double *)norms, classes, dim, kept, file, file_size, error));
}

int imprint_coral_append(const void *model, size_t size, const float *weights, const float *biases, size_t classes, size_t dim,
                         double low, double high, void **file, size_t *file_size, char **error) {
  return GUARDED(imprintCoralAppend((void *)model, size, (float *)weights, (float *)biases, classes, dim, low, high, file, file_size, error));
}
