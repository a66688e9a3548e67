//go:build ignore

// test_capi tests the C interface imprint.h:
//
//   test_capi PHOTOS SCRATCH
//
// PHOTOS is a folder with a folder of photos for each of the classes arrow and ball. The exit status is 1 after a failure.

#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "imprint.h"

#if __GLIBC__ == 2 && __GLIBC_MINOR__ < 33
#define mallinfo2 mallinfo
#endif

static char *error;  // set by the last call
static char photos[PATH_MAX], scratch[PATH_MAX];
static int failures = 0;

static void failed(int line, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "test_capi.c:%d: ", line);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  failures++;
}

#define CHECK(condition) \
  do { \
    if (!(condition)) failed(__LINE__, "%s is false", #condition); \
  } while (0)

// Checks the status of a call. A call that fails must set error.
static void expect(int line, int want, int got) {
  if (got != want) failed(line, "got status %d, want %d: %s", got, want, error ? error : "no error");
  if ((got != IMPRINT_OK) != (error != NULL && *error != '\0')) failed(line, "status %d with the error \"%s\"", got, error ? error : "NULL");
  imprint_free(error);
  error = NULL;
}

#define EXPECT(want, call) expect(__LINE__, want, call)

static const char *in(const char *folder, const char *name) {
  static char paths[64][2 * PATH_MAX];  // more than any test uses at once
  static int next = 0;
  char *path = paths[next++ % 64];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

static imprint_workspace *open_workspace(const char *name) {
  const imprint_option options[] = {{"threads", "1"}, {"unknown", "off"}};
  imprint_workspace *w = NULL;
  EXPECT(IMPRINT_OK, imprint_workspace_open(in(scratch, name), options, 2, &w, &error));
  return w;
}

static void *read_file(const char *path, size_t *size) {
  FILE *f = fopen(path, "rb");
  char *data = malloc(1 << 20);
  *size = f && data ? fread(data, 1, 1 << 20, f) : 0;
  if (f) fclose(f);
  return data;
}

static void test_open(void) {
  imprint_workspace *w = NULL;
  imprint_model *m = NULL;
  const imprint_option unknown = {"colour", "red"}, nameless = {NULL, "x"}, valueless = {"threads", NULL}, bad = {"head", "\xff\xfe"};
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_open(NULL, NULL, 0, &w, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_open("ws", NULL, 0, NULL, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_open("ws", NULL, 1, &w, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_open("ws", &unknown, SIZE_MAX, &w, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_open("ws", &unknown, 1, &w, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_open("ws", &nameless, 1, &w, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_open("ws", &valueless, 1, &w, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_open("ws", &bad, 1, &w, &error));
  EXPECT(IMPRINT_NO_CLASSES, imprint_workspace_open(in(scratch, "none"), &(imprint_option){"existing", "true"}, 1, &w, &error));
  EXPECT(IMPRINT_NOT_FOUND, imprint_workspace_open(in(scratch, "none"), &(imprint_option){"backbone", "/nonexistent"}, 1, &w, &error));
  CHECK(imprint_workspace_open(NULL, NULL, 0, &w, NULL) == IMPRINT_BAD_ARGUMENT);
  EXPECT(IMPRINT_NOT_FOUND, imprint_model_open("/nonexistent.tflite", NULL, 0, &m, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_model_open(NULL, NULL, 0, &m, &error));
  EXPECT(IMPRINT_DATA, imprint_model_open(in(photos, "arrow/01.jpg"), NULL, 0, &m, &error));
  CHECK(w == NULL && m == NULL);
  imprint_workspace_close(NULL);
  imprint_model_close(NULL);
  imprint_free(NULL);
  CHECK(strlen(imprint_version()) > 0);
}

// Calls functions with handles that are NULL or of another type, and without a place for the result.
static void test_handles(imprint_workspace *w, imprint_model *m) {
  const imprint_photo photo = {.path = in(photos, "ball/01.jpg")};
  imprint_result *result = NULL;
  const char *sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
  size_t n = 7;
  float value;
  char **labels;
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_classify(NULL, &photo, &result, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_classify((imprint_workspace *)m, &photo, &result, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_model_classify((imprint_model *)w, &photo, &result, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_classify(w, NULL, &result, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_classify(w, &photo, NULL, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_labels(w, NULL, &n, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_labels(w, &labels, NULL, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_estimate(w, NULL, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_embed(w, &photo, NULL, 256, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_embed(w, &photo, &value, 1, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_embed(w, &photo, &value, SIZE_MAX, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_rename(w, NULL, "a", NULL, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_rename(w, "arrow", "a\xff", NULL, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_remove(w, NULL, NULL, 0, NULL, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_remove(w, NULL, NULL, 3, NULL, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_remove(w, NULL, (const char *const[]){NULL}, 1, NULL, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_remove_photo(w, NULL, NULL, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_export(w, NULL, NULL, 0, NULL, &error));
  EXPECT(IMPRINT_UNKNOWN_LABEL, imprint_workspace_remove(w, "nosuch", NULL, 0, NULL, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_remove_photo(w, "00", NULL, &error));
  EXPECT(IMPRINT_NO_PHOTOS, imprint_workspace_remove_photo(w, sha256, NULL, &error));
  CHECK(result == NULL && n == 7);
}

// Returns a gray picture of 64 by 48 pixels with a black row at the top.
static const uint8_t *picture(void) {
  static uint8_t pixels[64 * 48 * 3];
  memset(pixels, 128, sizeof pixels);
  memset(pixels, 0, 64 * 3);
  return pixels;
}

static void test_photos(imprint_workspace *w) {
  size_t size;
  void *data = read_file(in(photos, "arrow/01.jpg"), &size);
  const struct {
    int status;
    imprint_photo photo;
  } tests[] = {
      {IMPRINT_OK, {.path = in(photos, "arrow/01.jpg")}},
      {IMPRINT_OK, {.data = data, .size = size}},
      {IMPRINT_OK, {.pixels = picture(), .width = 64, .height = 48}},
      {IMPRINT_OK, {.pixels = picture(), .width = 60, .height = 48, .stride = 64 * 3}},
      {IMPRINT_OK, {.pixels = picture() + 47 * 64 * 3, .width = 64, .height = 48, .stride = -64 * 3}},  // upside down
      {IMPRINT_BAD_ARGUMENT, {0}},
      {IMPRINT_NOT_FOUND, {.path = "/nonexistent.jpg"}},
      {IMPRINT_ERROR, {.path = photos}},
      {IMPRINT_DATA, {.data = data, .size = 100}},
      {IMPRINT_DATA, {.data = data, .size = 0}},
      {IMPRINT_DATA, {.data = data, .size = SIZE_MAX}},
      {IMPRINT_BAD_ARGUMENT, {.size = size}},
      {IMPRINT_BAD_ARGUMENT, {.data = data, .size = size, .pixels = picture(), .width = 64, .height = 48}},
      {IMPRINT_BAD_ARGUMENT, {.pixels = picture(), .width = 64}},
      {IMPRINT_BAD_ARGUMENT, {.pixels = picture(), .width = -64, .height = 48}},
      {IMPRINT_BAD_ARGUMENT, {.pixels = picture(), .width = INT32_MAX, .height = INT32_MAX}},
      {IMPRINT_BAD_ARGUMENT, {.pixels = picture(), .width = INT32_MIN, .height = 1, .stride = PTRDIFF_MIN}},
      {IMPRINT_BAD_ARGUMENT, {.pixels = picture(), .width = 64, .height = 48, .stride = 100}},
  };
  double scores[2] = {0};
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
    imprint_result *r = NULL;
    int got = imprint_workspace_classify(w, &tests[i].photo, &r, &error);
    if (got != tests[i].status) failed(__LINE__, "photo %zu", i);
    EXPECT(tests[i].status, got);
    CHECK((r != NULL) == (tests[i].status == IMPRINT_OK));
    if (r != NULL && i < 2) scores[i] = r->score;
    if (r != NULL) CHECK(r->num_labels == 2 && !strcmp(r->labels[0], r->label) && r->scores[0] == r->score && r->scores[1] <= r->score);
    if (r != NULL) CHECK(!strcmp(r->device, "cpu") && !strcmp(r->nearest, r->label) && r->unknown == 0 && r->generation > 0);
    imprint_free(r);
  }
  CHECK(scores[0] == scores[1]);
  free(data);
}

static int cancel(void *calls, size_t done, size_t total) {
  ++*(int *)calls;
  return done <= total;
}

static void test_changes(imprint_workspace *w) {
  char *json = NULL, *path = NULL, **labels = NULL;
  size_t n = 0;
  uint64_t generation = 0;
  int calls = 0, width = 0, height = 0, changed = 1;
  imprint_estimate e;
  const imprint_photo folders[] = {{.path = in(photos, "arrow"), .label = "arrow"}, {.path = in(photos, "ball"), .label = "ball"}};
  const imprint_photo gray = {.label = "gray", .pixels = picture(), .width = 64, .height = 48};
  const char *paths[] = {in(photos, "ball/01.jpg")};
  EXPECT(IMPRINT_NO_CLASSES, imprint_workspace_classify(w, &gray, &(imprint_result *){NULL}, &error));
  EXPECT(IMPRINT_NOTHING_TO_UNDO, imprint_workspace_undo(w, NULL, &error));
  EXPECT(IMPRINT_CANCELED, imprint_workspace_add(w, folders, 2, NULL, 0, cancel, &calls, NULL, &error));
  EXPECT(IMPRINT_CANCELED, imprint_workspace_add(w, &gray, 1, NULL, 0, cancel, &calls, NULL, &error));
  EXPECT(IMPRINT_NO_PHOTOS, imprint_workspace_add(w, &(imprint_photo){.label = "a", .data = "x", .size = 1}, 1, NULL, 0, NULL, NULL, NULL, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_add(w, &(imprint_photo){.data = "x", .size = 1}, 1, NULL, 0, NULL, NULL, NULL, &error));
  EXPECT(IMPRINT_BAD_ARGUMENT, imprint_workspace_add(w, NULL, 2, NULL, 0, NULL, NULL, NULL, &error));
  CHECK(calls > 0);
  EXPECT(IMPRINT_OK, imprint_workspace_add(w, folders, 2, &gray, 1, NULL, NULL, &json, &error));
  CHECK(json != NULL && strstr(json, "\"classes\":{\"arrow\":6,\"ball\":6}") != NULL && strstr(json, "\"negatives\":1") != NULL);
  imprint_free(json);
  EXPECT(IMPRINT_OK, imprint_workspace_remove_negatives(w, NULL, &error));
  EXPECT(IMPRINT_OK, imprint_workspace_add(w, &gray, 1, NULL, 0, NULL, NULL, NULL, &error));
  EXPECT(IMPRINT_OK, imprint_workspace_move(w, "gray", paths, 1, NULL, &error));
  EXPECT(IMPRINT_OK, imprint_workspace_undo(w, NULL, &error));
  EXPECT(IMPRINT_OK, imprint_workspace_remove(w, "gray", NULL, 0, NULL, &error));
  EXPECT(IMPRINT_OK, imprint_workspace_rename(w, "arrow", "\xe2\x86\x92", NULL, &error));
  EXPECT(IMPRINT_OK, imprint_workspace_retrain(w, &(imprint_option){"head", "ridge"}, 1, NULL, &error));
  EXPECT(IMPRINT_OK, imprint_workspace_labels(w, &labels, &n, &error));
  CHECK(n == 2 && !strcmp(labels[0], "ball") && !strcmp(labels[1], "\xe2\x86\x92"));
  imprint_free(labels);
  EXPECT(IMPRINT_OK, imprint_workspace_generation(w, &generation, &error));
  CHECK(generation == 8);
  EXPECT(IMPRINT_OK, imprint_workspace_reload(w, &changed, &error));
  EXPECT(IMPRINT_OK, imprint_workspace_reload(w, NULL, &error));
  CHECK(changed == 0);
  EXPECT(IMPRINT_OK, imprint_workspace_estimate(w, &e, &error));
  CHECK(e.total + e.excluded == 12 && e.low <= e.accuracy && e.accuracy <= e.high);
  EXPECT(IMPRINT_OK, imprint_workspace_input_size(w, &width, &height, &error));
  CHECK(width == 128 && height == 128);
  EXPECT(IMPRINT_OK, imprint_workspace_list(w, &json, &error));
  CHECK(strstr(json, "\"label\":\"ball\"") != NULL);
  imprint_free(json);
  EXPECT(IMPRINT_OK, imprint_workspace_model_path(w, &path, &error));
  CHECK(access(path, R_OK) == 0);
  imprint_free(path);
}

static void test_embed(imprint_workspace *w, imprint_model *m) {
  const imprint_photo photo = {.path = in(photos, "ball/02.jpg")};
  size_t n = 0, k = 0;
  int width = 0, height = 0;
  char **labels = NULL;
  EXPECT(IMPRINT_OK, imprint_workspace_embedding_length(w, &n, &error));
  EXPECT(IMPRINT_OK, imprint_model_embedding_length(m, &k, &error));
  EXPECT(IMPRINT_OK, imprint_model_input_size(m, &width, &height, &error));
  CHECK(n == k && n > 0 && width == 128 && height == 128);
  float *a = calloc(n, sizeof *a), *b = calloc(n, sizeof *b);
  EXPECT(IMPRINT_OK, imprint_workspace_embed(w, &photo, a, n, &error));
  EXPECT(IMPRINT_OK, imprint_model_embed(m, &photo, b, n, &error));
  CHECK(memcmp(a, b, n * sizeof *a) == 0);
  free(a);
  free(b);
  EXPECT(IMPRINT_OK, imprint_model_labels(m, &labels, &n, &error));
  CHECK(n == 2 && !strcmp(labels[0], "ball"));
  imprint_free(labels);
}

// Classifies with a workspace, which several threads may share.
static void *work(void *workspace) {
  const imprint_photo photo = {.path = in(photos, "arrow/02.jpg")};
  for (int i = 0; i < 20; i++) {
    char *problem = NULL;
    imprint_result *r = NULL;
    if (imprint_workspace_classify(workspace, &photo, &r, &problem) != IMPRINT_OK) return problem;
    imprint_free(r);
  }
  return NULL;
}

static void test_threads(imprint_workspace *w) {
  imprint_workspace *other = open_workspace("ws");
  imprint_workspace *handles[] = {w, other, w, other};
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, work, handles[i]);
  for (int i = 0; i < 4; i++) {
    void *problem;
    pthread_join(threads[i], &problem);
    if (problem != NULL) failed(__LINE__, "%s", (char *)problem);
  }
  imprint_workspace_close(other);
}

static void test_fork(imprint_workspace *w) {
  pid_t child = fork();
  if (child == 0) {
    imprint_workspace_close(w);
    int status = imprint_workspace_undo(w, NULL, &error);
    _exit(status == IMPRINT_ERROR && strstr(error, "spawn") != NULL ? 0 : 1);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

// Checks that many calls leave nothing in C's memory.
static void test_memory(imprint_workspace *w) {
  const imprint_photo photo = {.path = in(photos, "arrow/03.jpg")};
  size_t before = 0;
  for (int i = 0; i < 600; i++) {
    imprint_result *r = NULL;
    char *json = NULL, **labels = NULL;
    size_t n;
    EXPECT(IMPRINT_OK, imprint_workspace_classify(w, &photo, &r, &error));
    EXPECT(IMPRINT_OK, imprint_workspace_list(w, &json, &error));
    EXPECT(IMPRINT_OK, imprint_workspace_labels(w, &labels, &n, &error));
    EXPECT(IMPRINT_UNKNOWN_LABEL, imprint_workspace_remove(w, "nosuch", NULL, 0, NULL, &error));
    imprint_free(r);
    imprint_free(json);
    imprint_free(labels);
    if (i % 30 == 0) imprint_workspace_close(open_workspace("ws"));
    if (i == 300) before = mallinfo2().uordblks;
  }
  size_t after = mallinfo2().uordblks;
  if (after > before + 4096) failed(__LINE__, "300 rounds left %zu bytes in C's memory", after - before);
}

int main(int argc, char **argv) {
  if (argc != 3 || realpath(argv[1], photos) == NULL || realpath(argv[2], scratch) == NULL) return fprintf(stderr, "usage: test_capi PHOTOS SCRATCH\n"), 2;
  test_open();
  imprint_workspace *w = open_workspace("ws");
  imprint_model *m = NULL;
  test_changes(w);
  EXPECT(IMPRINT_OK, imprint_workspace_export(w, in(scratch, "model.tflite"), &(imprint_option){"labels", in(scratch, "labels.txt")}, 1, NULL, &error));
  EXPECT(IMPRINT_OK, imprint_model_open(in(scratch, "model.tflite"), NULL, 0, &m, &error));
  test_handles(w, m);
  test_photos(w);
  test_embed(w, m);
  test_threads(w);
  test_fork(w);
  test_memory(w);
  imprint_model_close(m);
  imprint_workspace_close(w);
  if (failures > 0) fprintf(stderr, "%d failures\n", failures);
  return failures > 0;
}
