//go:build linux && (amd64 || arm64 || riscv64)

// The TensorFlow Lite delegate. It replaces every operator that is compiled for the Edge TPU by a kernel that passes the
// operator's tensors to Go. Handles of Go objects are uintptr_t; errors from Go are strings that the caller frees.

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "_cgo_export.h"
#include "fork.h"
#include "tflite.h"

struct delegate {
  TfLiteDelegate tflite;  // must be first
  uintptr_t handle;
  // A program that ends may destroy the delegate before its interpreters, which still read the struct. So each kernel
  // counts as a user.
  atomic_int users;
};

static void release(struct delegate *d) {
  if (atomic_fetch_sub(&d->users, 1) == 1) free(d);
}

// A kernel runs one compiled operator.
struct kernel {
  struct delegate *delegate;
  uintptr_t handle;  // 0 if loading failed
  char *error;       // why loading failed; NULL if memory ran out
  int inputs, outputs;
  int *tensors;  // indices of the inputs, then of the outputs
  void **data;   // their addresses
  size_t *sizes;
};

static TfLiteStatus fail(TfLiteContext *context, const char *error) {
  // Python appends the next message without a space.
  context->ReportError(context, "%s. ", error ? error : "out of memory");
  return kTfLiteError;
}

static TfLiteStatus fail_free(TfLiteContext *context, char *error) {
  TfLiteStatus status = fail(context, error);
  free(error);
  return status;
}

// Copies the indices of tensors. A missing tensor has the index -1.
static bool copy_indices(int *to, const TfLiteIntArray *from, size_t tensors) {
  for (int i = 0; i < from->size; i++) {
    if (from->data[i] < 0 || (size_t)from->data[i] >= tensors) return false;
    to[i] = from->data[i];
  }
  return true;
}

static char *load(TfLiteContext *context, const TfLiteDelegateParams *params, struct kernel *k) {
  TfLiteNode *node;
  TfLiteRegistration *registration;
  if (forked()) return strdup(forked());
  if (params->nodes_to_replace->size != 1 ||
      context->GetNodeAndRegistration(context, params->nodes_to_replace->data[0], &node, &registration) != kTfLiteOk)
    return strdup("the runtime did not hand over exactly one operator");
  k->inputs = node->inputs->size;
  k->outputs = node->outputs->size;
  // The kernel's own node has the same tensors, but not always in the operator's order.
  size_t n = (size_t)k->inputs + (size_t)k->outputs;
  k->tensors = calloc(n + 1, sizeof *k->tensors);
  k->data = calloc(n + 1, sizeof *k->data);
  k->sizes = calloc(n + 1, sizeof *k->sizes);
  if (k->tensors == NULL || k->data == NULL || k->sizes == NULL) return strdup("out of memory");
  if (!copy_indices(k->tensors, node->inputs, context->tensors_size) ||
      !copy_indices(k->tensors + k->inputs, node->outputs, context->tensors_size))
    return strdup("an input or output of the compiled operator is missing");
  return imprintLoad(k->delegate->handle, (void *)node->custom_initial_data, node->custom_initial_data_size, &k->handle);
}

// The runtime can't tell that init failed. The error is kept for prepare.
static void *kernel_init(TfLiteContext *context, const char *buffer, size_t length) {
  (void)length;  // 0, although buffer is a TfLiteDelegateParams
  struct kernel *k = calloc(1, sizeof *k);
  if (k == NULL) return NULL;
  const TfLiteDelegateParams *params = (const TfLiteDelegateParams *)buffer;
  k->delegate = (struct delegate *)params->delegate;
  atomic_fetch_add(&k->delegate->users, 1);
  k->error = load(context, params, k);
  return k;
}

static void kernel_free(TfLiteContext *context, void *buffer) {
  (void)context;
  struct kernel *k = buffer;
  if (k == NULL) return;
  if (k->handle != 0 && !forked()) imprintUnload(k->handle);
  release(k->delegate);
  free(k->error);
  free(k->tensors);
  free(k->data);
  free(k->sizes);
  free(k);
}

static TfLiteStatus kernel_prepare(TfLiteContext *context, TfLiteNode *node) {
  struct kernel *k = node->user_data;
  if (k == NULL || k->handle == 0) return fail(context, k ? k->error : NULL);
  if (forked()) return fail(context, forked());
  for (int i = 0; i < k->inputs + k->outputs; i++) k->sizes[i] = context->tensors[k->tensors[i]].bytes;
  char *error = imprintCheck(k->handle, k->sizes, k->inputs, k->sizes + k->inputs, k->outputs);
  return error ? fail_free(context, error) : kTfLiteOk;
}

static TfLiteStatus kernel_invoke(TfLiteContext *context, TfLiteNode *node) {
  struct kernel *k = node->user_data;
  if (forked()) return fail(context, forked());
  for (int i = 0; i < k->inputs + k->outputs; i++) {
    const TfLiteTensor *t = &context->tensors[k->tensors[i]];
    if (t->data == NULL || t->bytes != k->sizes[i]) return fail(context, "a tensor has no memory, or another size than in prepare");
    k->data[i] = t->data;
  }
  char *error = imprintRun(k->handle, k->data, k->data + k->inputs);
  return error ? fail_free(context, error) : kTfLiteOk;
}

static bool compiled(const TfLiteRegistration *r) {
  return r->builtin_code == kTfLiteBuiltinCustom && r->custom_name != NULL && strcmp(r->custom_name, "edgetpu-custom-op") == 0;
}

// Replaces the compiled operators. Replacing them one at a time keeps the runtime from merging two neighbors into one
// kernel, whose tensors in between would have no memory.
static TfLiteStatus prepare(TfLiteContext *context, TfLiteDelegate *delegate) {
  TfLiteIntArray *plan;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk) return kTfLiteError;
  int n = plan->size;
  int *nodes = calloc((size_t)n + 1, sizeof *nodes);  // replacing a node changes the plan
  TfLiteIntArray *one = calloc(1, sizeof *one + sizeof one->data[0]);
  TfLiteStatus status = nodes == NULL || one == NULL ? fail(context, NULL) : kTfLiteOk;
  if (status == kTfLiteOk) memcpy(nodes, plan->data, (size_t)n * sizeof *nodes);
  for (int i = 0; i < n && status == kTfLiteOk; i++) {
    TfLiteNode *node;
    TfLiteRegistration *found;
    status = context->GetNodeAndRegistration(context, nodes[i], &node, &found);
    if (status != kTfLiteOk || !compiled(found)) continue;
    TfLiteRegistration kernel = {
        .init = kernel_init,
        .free = kernel_free,
        .prepare = kernel_prepare,
        .invoke = kernel_invoke,
        .builtin_code = kTfLiteBuiltinDelegate,
        .custom_name = "imprint-edgetpu",
        .version = 1,
    };
    one->size = 1;
    one->data[0] = nodes[i];
    status = context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, one, delegate);
  }
  free(nodes);
  free(one);
  return status;
}

// Opens a device. On failure it returns NULL and an error that the caller frees.
static TfLiteDelegate *create(char *device, char **names, char **values, size_t n, char **error) {
  struct delegate *d = NULL;
  if (forked()) {
    *error = strdup(forked());
    return NULL;
  }
  d = calloc(1, sizeof *d);
  if (d == NULL) {
    *error = NULL;
    return NULL;
  }
  *error = imprintOpen(device, names, values, n, &d->handle);
  if (*error != NULL) {
    free(d);
    return NULL;
  }
  atomic_init(&d->users, 1);
  d->tflite.data_ = d;
  d->tflite.Prepare = prepare;
  d->tflite.flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  return &d->tflite;
}

TfLiteDelegate *tflite_plugin_create_delegate(char **names, char **values, size_t n, void (*report_error)(const char *)) {
  char *error;
  TfLiteDelegate *d = create(NULL, names, values, n, &error);
  if (d == NULL && report_error != NULL) report_error(error ? error : "out of memory");
  if (d == NULL) free(error);
  return d;
}

void tflite_plugin_destroy_delegate(TfLiteDelegate *delegate) {
  if (delegate == NULL) return;
  struct delegate *d = (struct delegate *)delegate;
  if (!forked()) imprintClose(d->handle);
  release(d);
}

// The rest is the C interface of libedgetpu, tflite/public/edgetpu_c.h.

TfLiteDelegate *edgetpu_create_delegate(enum edgetpu_device_type type, const char *path, const struct edgetpu_option *options, size_t n) {
  char *error = NULL;
  TfLiteDelegate *d = NULL;
  char **names = calloc(2 * n + 1, sizeof *names);
  if (names != NULL) {
    for (size_t i = 0; i < n; i++) {
      names[i] = (char *)options[i].name;
      names[n + i] = (char *)options[i].value;
    }
    const char *any = type == EDGETPU_APEX_USB ? "usb" : "pci";
    d = create((char *)(path != NULL && *path != '\0' ? path : any), names, names + n, n, &error);
    free(names);
  }
  // This interface has no other way to say what is wrong.
  if (d == NULL) fprintf(stderr, "imprint: error: %s\n", error ? error : "out of memory");
  if (d == NULL) free(error);
  return d;
}

void edgetpu_free_delegate(TfLiteDelegate *delegate) { tflite_plugin_destroy_delegate(delegate); }

struct edgetpu_device *edgetpu_list_devices(size_t *num_devices) {
  *num_devices = 0;
  char *paths = forked() ? NULL : imprintList();  // one path a line
  if (paths == NULL) return NULL;
  size_t n = 0, length = strlen(paths) + 1;
  for (char *p = paths; *p; p++) n += *p == '\n';
  // One block for the structs and their paths, so that edgetpu_free_devices has one pointer to free.
  struct edgetpu_device *devices = n ? malloc(n * sizeof *devices + length) : NULL;
  if (devices != NULL) {
    char *text = memcpy(devices + n, paths, length);
    for (size_t i = 0; i < n; i++) {
      devices[i] = (struct edgetpu_device){EDGETPU_APEX_USB, text};
      text = strchr(text, '\n');
      *text++ = '\0';
    }
    *num_devices = n;
  }
  free(paths);
  return devices;
}

void edgetpu_free_devices(struct edgetpu_device *devices) { free(devices); }

void edgetpu_verbosity(int verbosity) {
  if (!forked()) imprintVerbosity(verbosity);
}

const char *edgetpu_version(void) { return forked() ? "" : imprintVersion(); }

int imprint_emulator_plug(int device, int plugged) { return forked() ? -1 : imprintPlug(device, plugged); }

int imprint_emulator_fail(int device, int endpoint, int transfer, const char *kind) {
  return forked() ? -1 : imprintFail(device, endpoint, transfer, (char *)kind);
}
