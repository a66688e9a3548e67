// The C interface of imprint: train an image classifier on a few photos, and classify with it. libimprint_edgetpu.so contains
// it. The project's docs/c.md has an introduction, and example.c is a complete program.
//
// Errors. Each function that can fail returns IMPRINT_OK or another status. It then sets *error to a sentence, unless
// error is NULL, and leaves all other results as they were. On success it does not touch *error.
//
// Memory. Free every string, result and buffer that a function returns through a pointer with imprint_free, and close
// every handle. The library copies what it needs of its arguments before a function returns. A result that you don't need
// may be NULL where the comment says so.
//
// Threads. Calls with different handles run in parallel. Calls with one handle wait for each other.
//
// Strings are UTF-8 and end with a zero byte, except that paths may contain any bytes. Tables are JSON with the keys of
// "imprint --json".
#ifndef IMPRINT_H
#define IMPRINT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The first five are the exit statuses of the command imprint. Later versions may add others, so treat an unknown status
// like IMPRINT_ERROR.
enum imprint_status {
  IMPRINT_OK = 0,
  IMPRINT_ERROR = 1,            // any other failure, such as a full disk
  IMPRINT_BAD_ARGUMENT = 2,     // an argument or option can't be used
  IMPRINT_DEVICE = 3,           // an Edge TPU is missing, in use, or failed
  IMPRINT_DATA = 4,             // a file or photo is damaged, or of the wrong kind
  IMPRINT_NOT_FOUND = 5,        // there is no such file, folder or pulled model
  IMPRINT_UNKNOWN_LABEL = 6,    // the workspace has no such class
  IMPRINT_NO_CLASSES = 7,       // the workspace has no classes yet
  IMPRINT_NO_PHOTOS = 8,        // no photo could be added, or the workspace does not have the photos
  IMPRINT_NOTHING_TO_UNDO = 9,
  IMPRINT_OTHER_SETTINGS = 10,  // the workspace has another backbone or resize mode
  IMPRINT_LOCKED = 11,          // another process keeps changing the workspace
  IMPRINT_CANCELED = 12,        // the caller's progress function returned nonzero
  IMPRINT_INTERNAL = 13,        // a fault in this library
};

// Returns the version of the library, such as "0.2.0". Do not free it.
const char *imprint_version(void);

// Frees what another function returned. NULL is allowed.
void imprint_free(void *memory);

// An option is a name with a value. Unknown names are errors.
typedef struct imprint_option {
  const char *name;
  const char *value;
} imprint_option;

// A photo in one of three forms: the path of a file; the bytes of a file in any format that imprint reads; or pixels.
// Fill the rest with zeros.
typedef struct imprint_photo {
  const char *path;   // of the file; with data or pixels, a name for the photo, or NULL
  const char *label;  // the class, if the photo is added
  const void *data;   // an encoded photo of size bytes, or NULL
  size_t size;
  const uint8_t *pixels;  // red, green and blue bytes, row by row from the top, or NULL
  int32_t width, height;
  ptrdiff_t stride;  // bytes from one row to the next; 0 means 3 * width
} imprint_photo;

// The classification of a photo, in one block of memory. Later versions may add fields at the end.
typedef struct imprint_result {
  const char *label;  // the best class, or the label of the answer "unknown"
  double score;       // of label, 0 to 1
  int unknown;        // 1 if the photo shows no trained class
  const char *nearest;        // the best class that is not the answer "unknown"
  size_t num_labels;          // number of classes, including the answer "unknown" if the model has it
  const char *const *labels;  // the classes, best first
  const double *scores;       // their scores
  const char *device;         // what ran the model, such as "cpu" or "usb:1-2"
  double milliseconds;        // time spent in the model
  uint64_t generation;        // generation of the workspace; 0 for a model
} imprint_result;

// Called after each photo. If it returns nonzero, the call that it belongs to fails with IMPRINT_CANCELED and changes
// nothing. It may run in another thread, while the caller waits, and must not call functions with the same handle.
typedef int (*imprint_progress)(void *context, size_t done, size_t total);

// A workspace: a folder with photos' embeddings and the model that is trained on them. Several processes may open it.
typedef struct imprint_workspace imprint_workspace;

// Opens the workspace in a folder. The first change creates it. The options are those of "imprint add":
//
//   backbone      file or name of the model that embeds photos; "" is the workspace's, or the built-in one
//   embedding     its tensor that is the embedding
//   resize        how photos are resized: crop, squash, pad or auto
//   head          how the last layer is trained: auto, mean, ridge, lda, ridge+lda, mean+ridge+lda, softmax or coral-sgd
//   layout        how the last layer is written: float, coral or tpu
//   compiled, uncompiled   the models for the layout tpu; uncompiled alone is what a compiled backbone was made from
//   keep_classes  true or false: keep the backbone's own classes
//   unknown       false-accept rate of the answer "unknown", such as 0.05, or off
//   none          label of that answer
//   existing      true or false: fail with IMPRINT_NO_CLASSES if there is no workspace yet
//   threads       maximum number of cores; 0 means all
//   arithmetic    how the CPU computes: tflite or edgetpu
//   device        "" or auto, cpu, usb for all Edge TPUs, or ":N", "usb:N" or "usb:BUS-PORT" for one
//   clock         low, medium, high or max
//   emulator      for tests: the uncompiled models of an emulated device, separated by colons, or "pattern"; for the layout
//                 tpu, name compiled, too
// head, layout, compiled, keep_classes, unknown and none become settings of the workspace with the next change.
int imprint_workspace_open(const char *folder, const imprint_option *options, size_t num_options,
                           imprint_workspace **workspace, char **error);

// Closes the workspace after the calls that use it. NULL is allowed.
void imprint_workspace_close(imprint_workspace *workspace);

// Changes. Each is one step that survives a power cut, and that imprint_workspace_undo undoes. *json, which may be NULL,
// becomes what the command of the same name prints with --json.

// Adds photos to the classes of their labels, and negatives, photos of things that belong to no class, to train the answer
// "unknown". A path may be a folder: with a label, all photos in it get that label; without, its subfolders are the classes.
// Photos that can't be read or that the workspace already has are skipped, and listed in "skipped" with the reason.
// Pixels become a photo in PPM format. Either list may be empty; progress may be NULL.
int imprint_workspace_add(imprint_workspace *workspace, const imprint_photo *photos, size_t num_photos,
                          const imprint_photo *negatives, size_t num_negatives, imprint_progress progress, void *context,
                          char **json, char **error);

// Removes the photos with a label, the photos at paths (files or folders), or with both, those that match both. label or
// paths may be NULL.
int imprint_workspace_remove(imprint_workspace *workspace, const char *label, const char *const *paths, size_t num_paths,
                             char **json, char **error);

// Removes the photo with the given SHA-256, 64 hexadecimal digits.
int imprint_workspace_remove_photo(imprint_workspace *workspace, const char *sha256, char **json, char **error);

int imprint_workspace_remove_negatives(imprint_workspace *workspace, char **json, char **error);

// Moves the photos at paths (files or folders) to a class, which may be new.
int imprint_workspace_move(imprint_workspace *workspace, const char *label, const char *const *paths, size_t num_paths,
                           char **json, char **error);
int imprint_workspace_rename(imprint_workspace *workspace, const char *from, const char *to, char **json, char **error);

// Trains the last layer again. The options are head and unknown; without them, the settings stay as they are.
int imprint_workspace_retrain(imprint_workspace *workspace, const imprint_option *options, size_t num_options, char **json,
                              char **error);
int imprint_workspace_undo(imprint_workspace *workspace, char **json, char **error);

// Loads the newest generation, which another process may have written. *changed, which may be NULL, becomes 1 if there is
// one. Changes see it anyway.
int imprint_workspace_reload(imprint_workspace *workspace, int *changed, char **error);

// Questions. They use the generation that was loaded last.

// Returns what "imprint list --json" prints: settings, classes with their photos, and the estimate. In addition it
// lists the negatives, and the damage that was found and worked around as "warnings".
int imprint_workspace_list(imprint_workspace *workspace, char **json, char **error);

// Returns the classes in the order of the model's scores, an array in one block of memory. Without classes it is empty.
int imprint_workspace_labels(imprint_workspace *workspace, char ***labels, size_t *num_labels, char **error);

// The accuracy on training photos that were left out, one burst at a time, with its 95 % interval.
typedef struct imprint_estimate {
  double accuracy, low, high;  // 0 to 1
  int64_t correct, total;      // photos
  int64_t excluded;            // photos that can't be left out, because their class has no others
  int64_t bursts;
} imprint_estimate;

// Without photos that can be left out, total is 0 and accuracy means nothing.
int imprint_workspace_estimate(imprint_workspace *workspace, imprint_estimate *estimate, char **error);

// Returns the number of changes so far.
int imprint_workspace_generation(imprint_workspace *workspace, uint64_t *generation, char **error);

// Returns the path of the model file, which exists if there are classes.
int imprint_workspace_model_path(imprint_workspace *workspace, char **path, char **error);

// Writes the model to a file. The options are labels (also write the labels to that file), layout and keep_classes.
// *json, which may be NULL, becomes what "imprint export --json" prints.
int imprint_workspace_export(imprint_workspace *workspace, const char *path, const imprint_option *options,
                             size_t num_options, char **json, char **error);

// Classifies one photo. Without classes it fails with IMPRINT_NO_CLASSES.
int imprint_workspace_classify(imprint_workspace *workspace, const imprint_photo *photo, imprint_result **result, char **error);

// Computes the embedding of a photo. length must be that of imprint_workspace_embedding_length.
int imprint_workspace_embed(imprint_workspace *workspace, const imprint_photo *photo, float *embedding, size_t length,
                            char **error);
int imprint_workspace_embedding_length(imprint_workspace *workspace, size_t *length, char **error);

// Returns the size of the backbone's input in pixels. Photos of any size are resized to it.
int imprint_workspace_input_size(imprint_workspace *workspace, int *width, int *height, char **error);

// A model file without a workspace.
typedef struct imprint_model imprint_model;

// Opens a TensorFlow Lite model that takes one RGB photo, compiled for the Edge TPU or not: a file or the name of a pulled
// model. The options are labels (a file with one label per line; by default the labels are in the model or next to it),
// embedding, resize, uncompiled, threads, arithmetic, device, clock and emulator, as for a workspace.
int imprint_model_open(const char *path, const imprint_option *options, size_t num_options, imprint_model **model, char **error);

// Closes the model after the calls that use it. NULL is allowed.
void imprint_model_close(imprint_model *model);

// These are like the functions for a workspace. Classifying fails with IMPRINT_DATA if the model is an embedding
// extractor. The embedding is the input of the last layer or, if that can't be found, the output, such as the scores of a
// compiled classifier.
int imprint_model_classify(imprint_model *model, const imprint_photo *photo, imprint_result **result, char **error);
int imprint_model_embed(imprint_model *model, const imprint_photo *photo, float *embedding, size_t length, char **error);
int imprint_model_embedding_length(imprint_model *model, size_t *length, char **error);
int imprint_model_input_size(imprint_model *model, int *width, int *height, char **error);
int imprint_model_labels(imprint_model *model, char ***labels, size_t *num_labels, char **error);

#ifdef __cplusplus
}
#endif

#endif
