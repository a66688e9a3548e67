//go:build ignore

// example trains two classes on folders of photos and says what another photo shows:
//
//   cc -o example example.c -limprint_edgetpu
//   ./example WORKSPACE CLASS1=FOLDER1 CLASS2=FOLDER2 PHOTO

#include <stdio.h>
#include <string.h>

#include "imprint.h"

// Prints an error and returns the exit status.
static int fail(int status, char *error) {
  fprintf(stderr, "example: %s\n", error);
  imprint_free(error);
  return status;
}

int main(int argc, char **argv) {
  if (argc != 5) return fprintf(stderr, "usage: example WORKSPACE CLASS1=FOLDER1 CLASS2=FOLDER2 PHOTO\n"), 2;

  imprint_photo folders[2] = {{0}};
  for (int i = 0; i < 2; i++) {
    folders[i].label = strtok(argv[2 + i], "=");
    folders[i].path = strtok(NULL, "");
  }

  char *error;
  imprint_workspace *workspace;
  int status = imprint_workspace_open(argv[1], NULL, 0, &workspace, &error);
  if (status != IMPRINT_OK) return fail(status, error);

  imprint_estimate estimate;
  imprint_result *result = NULL;
  status = imprint_workspace_add(workspace, folders, 2, NULL, 0, NULL, NULL, NULL, &error);
  if (status == IMPRINT_OK) status = imprint_workspace_estimate(workspace, &estimate, &error);
  if (status == IMPRINT_OK) status = imprint_workspace_classify(workspace, &(imprint_photo){.path = argv[4]}, &result, &error);
  if (status == IMPRINT_OK) {
    printf("accuracy %.0f %% on %ld photos left out\n", 100 * estimate.accuracy, (long)estimate.total);
    printf("%s: %s %.0f %%\n", argv[4], result->unknown ? "unknown" : result->label, 100 * result->score);
    imprint_free(result);
  }
  imprint_workspace_close(workspace);
  return status == IMPRINT_OK ? 0 : fail(status, error);
}
