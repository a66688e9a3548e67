// The parts of TensorFlow Lite's C structs that a delegate needs. The names, types and order of the fields come from
// tensorflow/lite/c/common.h of TensorFlow 2.5 and 2.9, tensorflow/lite/core/c/common.h of 2.14 and
// tflite/core/c/common.h of LiteRT. They are the same in all of these versions. Fields that a later version appended
// are left out, so nothing here may be copied by value or allocated for the runtime, except as noted.
#ifndef IMPRINT_TFLITE_H
#define IMPRINT_TFLITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A later version may read fields behind the structs that this library makes. These bytes are zero, which every
// version takes for "not used".
#define LATER_FIELDS char later[256]

typedef enum { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;

enum {
  kTfLiteBuiltinCustom = 32,   // tensorflow/lite/builtin_ops.h
  kTfLiteBuiltinDelegate = 51,
  // Without this flag, the runtime prepares all operators before it asks the delegate, and fails at the custom operator.
  kTfLiteDelegateFlagsAllowDynamicTensors = 1,
};

typedef struct TfLiteIntArray {
  int size;
  int data[];
} TfLiteIntArray;

// The runtime has an array of these structs, so this one is complete.
typedef struct TfLiteTensor {
  int type;
  void *data;
  TfLiteIntArray *dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  int allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  struct TfLiteDelegate *delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  struct {
    int type;
    void *params;
  } quantization;
  void *sparsity;
  const TfLiteIntArray *dims_signature;
} TfLiteTensor;

typedef struct TfLiteNode {
  TfLiteIntArray *inputs;
  TfLiteIntArray *outputs;
  TfLiteIntArray *intermediates;
  TfLiteIntArray *temporaries;
  void *user_data;  // what init returned
  void *builtin_data;
  const void *custom_initial_data;
  int custom_initial_data_size;
} TfLiteNode;

typedef struct TfLiteContext TfLiteContext;

// The runtime takes this struct by value, and the struct has grown: a runtime that knows more fields reads the zeros
// behind version. On 64-bit processors a runtime that knows fewer fields reads only its part, because structs of this
// size are passed in memory and take no registers from other arguments. 32-bit calling conventions place the other
// arguments behind the struct, so there its size would have to match.
typedef struct TfLiteRegistration {
  void *(*init)(TfLiteContext *context, const char *buffer, size_t length);
  void (*free)(TfLiteContext *context, void *buffer);
  TfLiteStatus (*prepare)(TfLiteContext *context, TfLiteNode *node);
  TfLiteStatus (*invoke)(TfLiteContext *context, TfLiteNode *node);
  const char *(*profiling_string)(const TfLiteContext *context, const TfLiteNode *node);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  LATER_FIELDS;
} TfLiteRegistration;
_Static_assert(sizeof(void *) == 8, "only 64-bit processors pass TfLiteRegistration in a way that fits all versions");

typedef struct TfLiteDelegate {
  void *data_;
  TfLiteStatus (*Prepare)(TfLiteContext *context, struct TfLiteDelegate *delegate);
  TfLiteStatus (*CopyFromBufferHandle)(TfLiteContext *, struct TfLiteDelegate *, int handle, TfLiteTensor *);
  TfLiteStatus (*CopyToBufferHandle)(TfLiteContext *, struct TfLiteDelegate *, int handle, TfLiteTensor *);
  void (*FreeBufferHandle)(TfLiteContext *, struct TfLiteDelegate *, int *handle);
  int64_t flags;
  LATER_FIELDS;
} TfLiteDelegate;

// The argument "buffer" of a delegate kernel's init.
typedef struct TfLiteDelegateParams {
  TfLiteDelegate *delegate;
  TfLiteIntArray *nodes_to_replace;
  TfLiteIntArray *input_tensors;
  TfLiteIntArray *output_tensors;
} TfLiteDelegateParams;

struct TfLiteContext {
  size_t tensors_size;
  TfLiteStatus (*GetExecutionPlan)(TfLiteContext *, TfLiteIntArray **execution_plan);
  TfLiteTensor *tensors;
  void *impl_;
  TfLiteStatus (*ResizeTensor)(TfLiteContext *, TfLiteTensor *, TfLiteIntArray *new_size);
  void (*ReportError)(TfLiteContext *, const char *format, ...);
  TfLiteStatus (*AddTensors)(TfLiteContext *, int tensors_to_add, int *first_new_tensor_index);
  TfLiteStatus (*GetNodeAndRegistration)(TfLiteContext *, int node_index, TfLiteNode **, TfLiteRegistration **);
  TfLiteStatus (*ReplaceNodeSubsetsWithDelegateKernels)(TfLiteContext *, TfLiteRegistration,
                                                        const TfLiteIntArray *nodes_to_replace, TfLiteDelegate *);
};

#endif
