// The C interface for cgo.
#ifndef IMPRINT_CAPI_H
#define IMPRINT_CAPI_H

#include <stdlib.h>

#include "imprint.h"

// cgo knows no const, so the types of arguments that point to constants need names.
typedef const char *const_text;
typedef const char *const *const_texts;
typedef const imprint_option *const_options;
typedef const imprint_photo *const_photos;

static inline int call_progress(imprint_progress f, void *context, size_t done, size_t total) { return f(context, done, total); }

#endif
