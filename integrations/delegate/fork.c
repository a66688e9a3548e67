//go:build linux && (amd64 || arm64 || riscv64)

#include "fork.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "imprint.h"

static volatile int in_child;
static void note_fork(void) { in_child = 1; }
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, note_fork); }

const char *forked(void) {
  if (!in_child) return NULL;
  return "this process was forked after its parent had loaded the Edge TPU library: "
         "load the library in the child process only, or start the child with spawn instead of fork";
}

int refuse(char **error) {
  if (error != NULL) *error = strdup(forked());
  return IMPRINT_ERROR;
}
