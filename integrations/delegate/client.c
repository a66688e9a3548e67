//go:build ignore

// client runs a model with the delegate on the TensorFlow Lite C library:
//
//   client [-c] [-n RUNS] [-t THREADS] LIBRARY MODEL [NAME=VALUE]... < inputs > outputs
//
// Every thread has its own delegate and interpreter, and runs the model RUNS times on the same inputs, the bytes of all
// input tensors. It writes the bytes of all output tensors, which must be the same in all runs. With -c it lists the
// devices and creates the delegate through libedgetpu's C interface. On standard error it prints the time and the growth
// of memory. The exit status is 1 after a failure.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "delegate.h"
#include "tensorflow/lite/c/c_api.h"

enum { most = 64 };  // options, tensors and threads

static int runs = 1, threads = 1, interface = 0, options = 0;
static char *names[most], *values[most];
static void *library;
static TfLiteModel *model;
static char *inputs[most];      // contents of the input tensors
static double seconds[most];    // of the runs, by thread
static pthread_barrier_t start;

static void fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("client: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(1);
}

static void print_error(const char *message) { fprintf(stderr, "delegate: %s\n", message); }

static void *symbol(const char *name) {
  void *f = dlsym(library, name);
  if (f == NULL) fail("%s", dlerror());
  return f;
}

static struct TfLiteDelegate *create(void) {
  if (!interface) {
    struct TfLiteDelegate *(*plugin)(char **, char **, size_t, void (*)(const char *)) = symbol("tflite_plugin_create_delegate");
    return plugin(names, values, (size_t)options, print_error);
  }
  struct edgetpu_device *(*list)(size_t *) = symbol("edgetpu_list_devices");
  struct TfLiteDelegate *(*create)(enum edgetpu_device_type, const char *, const struct edgetpu_option *, size_t) = symbol("edgetpu_create_delegate");
  void (*release)(struct edgetpu_device *) = symbol("edgetpu_free_devices");
  size_t n;
  struct edgetpu_option given[most];
  struct edgetpu_device *devices = list(&n);
  for (size_t i = 0; i < n; i++) fprintf(stderr, "device %s\n", devices[i].path);
  for (int i = 0; i < options; i++) given[i] = (struct edgetpu_option){names[i], values[i]};
  struct TfLiteDelegate *d = n ? create(devices[0].type, devices[0].path, given, (size_t)options) : create(EDGETPU_APEX_USB, NULL, given, (size_t)options);
  release(devices);
  return d;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Returns the resident memory in KiB.
static long resident(void) {
  long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f == NULL || fscanf(f, "%*d %ld", &pages) != 1) fail("cannot read /proc/self/statm");
  fclose(f);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

// Copies the outputs, or compares them with an earlier copy.
static void collect(const TfLiteInterpreter *in, char **outputs, int run) {
  for (int i = 0; i < TfLiteInterpreterGetOutputTensorCount(in); i++) {
    const TfLiteTensor *t = TfLiteInterpreterGetOutputTensor(in, i);
    size_t size = TfLiteTensorByteSize(t);
    if (outputs[i] == NULL)
      outputs[i] = memcpy(malloc(size), TfLiteTensorData(t), size);
    else if (memcmp(outputs[i], TfLiteTensorData(t), size) != 0)
      fail("output %d differs in run %d", i, run);
  }
}

static void *work(void *argument) {
  long thread = (long)argument;
  struct TfLiteDelegate *delegate = create();
  if (delegate == NULL) fail("no delegate");
  TfLiteInterpreterOptions *o = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreterOptionsAddDelegate(o, (TfLiteDelegate *)delegate);
  TfLiteInterpreter *in = TfLiteInterpreterCreate(model, o);
  if (in == NULL || TfLiteInterpreterAllocateTensors(in) != kTfLiteOk) fail("no interpreter");
  for (int i = 0; i < TfLiteInterpreterGetInputTensorCount(in); i++) {
    TfLiteTensor *t = TfLiteInterpreterGetInputTensor(in, i);
    size_t size = TfLiteTensorByteSize(t);
    if (thread == 0 && fread(inputs[i] = malloc(size), 1, size, stdin) != size) fail("input %d needs %zu bytes", i, size);
  }
  pthread_barrier_wait(&start);
  char *outputs[most] = {NULL};
  long before = 0;
  double began = now();
  for (int run = 0; run < runs; run++) {
    for (int i = 0; i < TfLiteInterpreterGetInputTensorCount(in); i++) {
      TfLiteTensor *t = TfLiteInterpreterGetInputTensor(in, i);
      memcpy(TfLiteTensorData(t), inputs[i], TfLiteTensorByteSize(t));
    }
    if (TfLiteInterpreterInvoke(in) != kTfLiteOk) fail("run %d failed", run);
    collect(in, outputs, run);
    if (run == runs / 2) before = resident();
  }
  seconds[thread] = now() - began;
  if (thread == 0) {
    fprintf(stderr, "%ld KiB resident, %ld more than after half of the runs\n", resident(), resident() - before);
    for (int i = 0; i < TfLiteInterpreterGetOutputTensorCount(in); i++)
      fwrite(outputs[i], 1, TfLiteTensorByteSize(TfLiteInterpreterGetOutputTensor(in, i)), stdout);
  }
  for (int i = 0; i < TfLiteInterpreterGetOutputTensorCount(in); i++) free(outputs[i]);
  TfLiteInterpreterDelete(in);
  TfLiteInterpreterOptionsDelete(o);
  ((void (*)(struct TfLiteDelegate *))symbol(interface ? "edgetpu_free_delegate" : "tflite_plugin_destroy_delegate"))(delegate);
  return NULL;
}

int main(int argc, char **argv) {
  int c;
  while ((c = getopt(argc, argv, "cn:t:")) != -1) {
    if (c == 'c') interface = 1;
    if (c == 'n') runs = atoi(optarg);
    if (c == 't') threads = atoi(optarg);
    if (c == '?') return 2;
  }
  if (argc - optind < 2 || threads < 1 || threads > most) fail("usage: client [-c] [-n RUNS] [-t THREADS] LIBRARY MODEL [NAME=VALUE]...");
  library = dlopen(argv[optind], RTLD_NOW);
  if (library == NULL) fail("%s", dlerror());
  model = TfLiteModelCreateFromFile(argv[optind + 1]);
  if (model == NULL) fail("cannot read %s", argv[optind + 1]);
  for (int i = optind + 2; i < argc && options < most; i++) {
    char *value = strchr(argv[i], '=');
    if (value == NULL) fail("option %s has no value", argv[i]);
    *value = '\0';
    names[options] = argv[i];
    values[options++] = value + 1;
  }
  fprintf(stderr, "TensorFlow Lite %s, %s\n", TfLiteVersion(), ((const char *(*)(void))symbol("edgetpu_version"))());
  pthread_t workers[most];
  pthread_barrier_init(&start, NULL, (unsigned)threads);
  for (long i = 0; i < threads; i++) pthread_create(&workers[i], NULL, work, (void *)i);
  double total = 0;
  for (int i = 0; i < threads; i++) {
    pthread_join(workers[i], NULL);
    total += seconds[i];
  }
  fprintf(stderr, "%d runs in %d threads, %.1f us each\n", runs, threads, 1e6 * total / threads / runs / threads);
  TfLiteModelDelete(model);
  for (int i = 0; i < most; i++) free(inputs[i]);
  return 0;
}
