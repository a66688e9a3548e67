// What programs need to train like Google's pycoral: functions that edit model files. The Python package imprintkit.pycoral
// uses them. imprint.h explains the status, errors and memory.
#ifndef IMPRINT_CORAL_H
#define IMPRINT_CORAL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Takes apart a model that Coral's ImprintingEngine can train. Its head ends in L2_NORMALIZATION, CONV_2D, MUL, RESHAPE and
// SOFTMAX. *weights becomes classes * dim numbers, a row for each class, and *norms classes numbers. A row times its norm is
// the sum of the class's embeddings; the norm is 0 if the class was not trained by an engine. *extractor becomes the file of
// the model that computes embeddings. All three are freed with imprint_free.
int imprint_coral_read(const void *model, size_t size, size_t *dim, size_t *classes, float **weights, double **norms,
                       void **extractor, size_t *extractor_size, char **error);

// Writes other classes into such a model. The rows of weights have the length that imprint_coral_read returned, and are scaled
// to length 1. The first kept classes have the labels of the model, if it has labels; the others are called by their index.
int imprint_coral_write(const void *model, size_t size, const float *weights, const double *norms, size_t classes, size_t dim,
                        size_t kept, void **file, size_t *file_size, char **error);

// Appends FULLY_CONNECTED and SOFTMAX in uint8 to an embedding extractor, like Coral's SoftmaxRegression. The weights are
// classes rows of dim numbers. Logits must lie between low and high.
int imprint_coral_append(const void *model, size_t size, const float *weights, const float *biases, size_t classes, size_t dim,
                         double low, double high, void **file, size_t *file_size, char **error);

#ifdef __cplusplus
}
#endif

#endif
