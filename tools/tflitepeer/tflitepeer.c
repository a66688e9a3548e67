//go:build ignore
// (The line above keeps the go command from compiling this file into package tflitepeer.)

// tflitepeer runs a .tflite model on the TensorFlow Lite C library. It uses the default kernels without a delegate or,
// with --xnnpack, the XNNPACK delegate for int8 operators.
//
//   tflitepeer [--xnnpack] MODEL THREADS [FRAMES] < frames > outputs
//   tflitepeer [--xnnpack] --repeat N MODEL THREADS < frame > timing.json
//
// A frame is the bytes of all input tensors, one after the other, in the model's order and element types,
// little-endian. For every frame it writes the bytes of all output tensors in the same way. Any number of frames other
// than FRAMES is an error, which catches input made for another model. With --repeat it runs the model N times on the
// first frame, or on zeros if there is none, after one untimed run. It then writes
// {"repeat":N,"threads":N,"min_ms":X,"median_ms":X} instead of outputs.
//
// Exit status: 0 for success, 1 if the model, the input or the run fails, 2 for a wrong command line. A failure prints
// one line on standard error, after any messages of the library.

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tensorflow/lite/c/c_api.h"

// The declarations of tensorflow/lite/delegates/xnnpack/xnnpack_delegate.h in TensorFlow 2.9. The npm package has the
// functions but not the header. Options that later versions add default to zero.
typedef struct {
  int32_t num_threads;
  uint32_t flags;  // 1 selects int8 operators; with 2, for uint8, this version fails on Coral's MobileNets
  void *later[4];
} XNNPackOptions;
extern TfLiteDelegate *TfLiteXNNPackDelegateCreate(const XNNPackOptions *options);
extern void TfLiteXNNPackDelegateDelete(TfLiteDelegate *delegate);

static void fail(int status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("tflitepeer: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(status);
}

static int parse_count(const char *text, const char *what, int most) {
  char *end;
  errno = 0;
  long n = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || n < 1 || n > most)
    fail(2, "%s must be 1 to %d, got \"%s\"", what, most, text);
  return (int)n;
}

static void print_library_error(void *unused, const char *format, va_list args) {
  (void)unused;
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
}

static TfLiteTensor *input(TfLiteInterpreter *interpreter, int i) {
  TfLiteTensor *t = TfLiteInterpreterGetInputTensor(interpreter, i);
  if (t == NULL || TfLiteTensorData(t) == NULL) fail(1, "input tensor %d has no memory", i);
  return t;
}

// Returns 1 with all inputs filled, or 0 at the end of the input. A truncated frame is an error.
static int read_frame(TfLiteInterpreter *interpreter) {
  int inputs = TfLiteInterpreterGetInputTensorCount(interpreter);
  for (int i = 0; i < inputs; i++) {
    TfLiteTensor *t = input(interpreter, i);
    size_t want = TfLiteTensorByteSize(t);
    size_t got = fread(TfLiteTensorData(t), 1, want, stdin);
    if (got == want) continue;
    if (ferror(stdin)) fail(1, "read input: %s", strerror(errno));
    if (i == 0 && got == 0) return 0;
    fail(1, "input ends inside a frame: tensor %d has %zu of %zu bytes", i, got, want);
  }
  return 1;
}

static void zero_frame(TfLiteInterpreter *interpreter) {
  int inputs = TfLiteInterpreterGetInputTensorCount(interpreter);
  for (int i = 0; i < inputs; i++) {
    TfLiteTensor *t = input(interpreter, i);
    memset(TfLiteTensorData(t), 0, TfLiteTensorByteSize(t));
  }
}

static void invoke(TfLiteInterpreter *interpreter) {
  if (TfLiteInterpreterInvoke(interpreter) != kTfLiteOk) fail(1, "the model did not run");
}

static void write_outputs(TfLiteInterpreter *interpreter) {
  int outputs = TfLiteInterpreterGetOutputTensorCount(interpreter);
  for (int i = 0; i < outputs; i++) {
    const TfLiteTensor *t = TfLiteInterpreterGetOutputTensor(interpreter, i);
    size_t n = TfLiteTensorByteSize(t);
    if (fwrite(TfLiteTensorData(t), 1, n, stdout) != n) fail(1, "write output: %s", strerror(errno));
  }
}

static double now_ms(void) {
  struct timespec t;
  if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) fail(1, "clock: %s", strerror(errno));
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void print_timing(TfLiteInterpreter *interpreter, int repeat, int threads) {
  if (!read_frame(interpreter)) zero_frame(interpreter);
  double *ms = malloc((size_t)repeat * sizeof *ms);
  if (ms == NULL) fail(1, "out of memory for %d timings", repeat);
  invoke(interpreter);
  for (int i = 0; i < repeat; i++) {
    double start = now_ms();
    invoke(interpreter);
    ms[i] = now_ms() - start;
  }
  qsort(ms, (size_t)repeat, sizeof *ms, compare_doubles);
  double median = (ms[(repeat - 1) / 2] + ms[repeat / 2]) / 2;
  printf("{\"repeat\":%d,\"threads\":%d,\"min_ms\":%.4f,\"median_ms\":%.4f}\n", repeat, threads, ms[0], median);
  free(ms);
}

int main(int argc, char **argv) {
  const char *usage =
      "usage: tflitepeer [--xnnpack] MODEL THREADS [FRAMES] < frames > outputs, or tflitepeer [--xnnpack] --repeat N MODEL THREADS";
  int repeat = 0, xnnpack = 0;
  if (argc > 1 && strcmp(argv[1], "--xnnpack") == 0) {
    xnnpack = 1;
    argv++;
    argc--;
  }
  if (argc > 2 && strcmp(argv[1], "--repeat") == 0) {
    repeat = parse_count(argv[2], "--repeat", 1000000);
    argv += 2;
    argc -= 2;
  }
  if (argc != 3 && (argc != 4 || repeat > 0)) fail(2, "%s", usage);
  int threads = parse_count(argv[2], "THREADS", 256);
  int want_frames = argc == 4 ? parse_count(argv[3], "FRAMES", 1000000) : 0;

  TfLiteModel *model = TfLiteModelCreateFromFile(argv[1]);
  if (model == NULL) fail(1, "cannot load %s", argv[1]);
  TfLiteInterpreterOptions *options = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreterOptionsSetNumThreads(options, threads);
  TfLiteInterpreterOptionsSetErrorReporter(options, print_library_error, NULL);
  TfLiteDelegate *delegate = NULL;
  if (xnnpack) {
    XNNPackOptions o = {.num_threads = threads, .flags = 1};
    delegate = TfLiteXNNPackDelegateCreate(&o);
    if (delegate == NULL) fail(1, "cannot create the XNNPACK delegate");
    TfLiteInterpreterOptionsAddDelegate(options, delegate);
  }
  TfLiteInterpreter *interpreter = TfLiteInterpreterCreate(model, options);
  if (interpreter == NULL) fail(1, "cannot prepare %s", argv[1]);
  if (TfLiteInterpreterAllocateTensors(interpreter) != kTfLiteOk) fail(1, "cannot allocate the tensors of %s", argv[1]);

  if (repeat > 0) {
    print_timing(interpreter, repeat, threads);
  } else {
    int frames = 0;
    for (; read_frame(interpreter); frames++) {
      invoke(interpreter);
      write_outputs(interpreter);
    }
    if (want_frames > 0 && frames != want_frames)
      fail(1, "the input has %d frames for %s, want %d", frames, argv[1], want_frames);
  }
  if (fflush(stdout) != 0) fail(1, "write output: %s", strerror(errno));

  TfLiteInterpreterDelete(interpreter);
  if (delegate != NULL) TfLiteXNNPackDelegateDelete(delegate);
  TfLiteInterpreterOptionsDelete(options);
  TfLiteModelDelete(model);
  return 0;
}
