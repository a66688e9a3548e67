//go:build linux && (amd64 || arm64 || riscv64)

// The functions of imprint.h. A handle is the number of a Go object.

#include "capi.h"

#include "_cgo_export.h"
#include "fork.h"

#define HANDLE(pointer) ((uintptr_t)(pointer))

const char *imprint_version(void) { return forked() ? "" : imprintVersionText(); }

void imprint_free(void *memory) { free(memory); }

int imprint_workspace_open(const char *folder, const imprint_option *options, size_t num_options, imprint_workspace **workspace,
                           char **error) {
  return GUARDED(imprintWorkspaceOpen(folder, options, num_options, workspace, error));
}

void imprint_workspace_close(imprint_workspace *workspace) {
  if (!forked()) imprintWorkspaceClose(HANDLE(workspace));
}

int imprint_workspace_add(imprint_workspace *workspace, const imprint_photo *photos, size_t num_photos, const imprint_photo *negatives,
                          size_t num_negatives, imprint_progress progress, void *context, char **json, char **error) {
  return GUARDED(imprintWorkspaceAdd(HANDLE(workspace), photos, num_photos, negatives, num_negatives, progress, context, json, error));
}

int imprint_workspace_remove(imprint_workspace *workspace, const char *label, const char *const *paths, size_t num_paths, char **json,
                             char **error) {
  return GUARDED(imprintWorkspaceRemove(HANDLE(workspace), label, paths, num_paths, json, error));
}

int imprint_workspace_remove_photo(imprint_workspace *workspace, const char *sha256, char **json, char **error) {
  return GUARDED(imprintWorkspaceRemovePhoto(HANDLE(workspace), sha256, json, error));
}

int imprint_workspace_remove_negatives(imprint_workspace *workspace, char **json, char **error) {
  return GUARDED(imprintWorkspaceRemoveNegatives(HANDLE(workspace), json, error));
}

int imprint_workspace_move(imprint_workspace *workspace, const char *label, const char *const *paths, size_t num_paths, char **json,
                           char **error) {
  return GUARDED(imprintWorkspaceMove(HANDLE(workspace), label, paths, num_paths, json, error));
}

int imprint_workspace_rename(imprint_workspace *workspace, const char *from, const char *to, char **json, char **error) {
  return GUARDED(imprintWorkspaceRename(HANDLE(workspace), from, to, json, error));
}

int imprint_workspace_retrain(imprint_workspace *workspace, const imprint_option *options, size_t num_options, char **json,
                              char **error) {
  return GUARDED(imprintWorkspaceRetrain(HANDLE(workspace), options, num_options, json, error));
}

int imprint_workspace_undo(imprint_workspace *workspace, char **json, char **error) {
  return GUARDED(imprintWorkspaceUndo(HANDLE(workspace), json, error));
}

int imprint_workspace_reload(imprint_workspace *workspace, int *changed, char **error) {
  return GUARDED(imprintWorkspaceReload(HANDLE(workspace), changed, error));
}

int imprint_workspace_list(imprint_workspace *workspace, char **json, char **error) {
  return GUARDED(imprintWorkspaceList(HANDLE(workspace), json, error));
}

int imprint_workspace_labels(imprint_workspace *workspace, char ***labels, size_t *num_labels, char **error) {
  return GUARDED(imprintWorkspaceLabels(HANDLE(workspace), labels, num_labels, error));
}

int imprint_workspace_estimate(imprint_workspace *workspace, imprint_estimate *estimate, char **error) {
  return GUARDED(imprintWorkspaceEstimate(HANDLE(workspace), estimate, error));
}

int imprint_workspace_generation(imprint_workspace *workspace, uint64_t *generation, char **error) {
  return GUARDED(imprintWorkspaceGeneration(HANDLE(workspace), generation, error));
}

int imprint_workspace_model_path(imprint_workspace *workspace, char **path, char **error) {
  return GUARDED(imprintWorkspaceModelPath(HANDLE(workspace), path, error));
}

int imprint_workspace_export(imprint_workspace *workspace, const char *path, const imprint_option *options, size_t num_options,
                             char **json, char **error) {
  return GUARDED(imprintWorkspaceExport(HANDLE(workspace), path, options, num_options, json, error));
}

int imprint_workspace_classify(imprint_workspace *workspace, const imprint_photo *photo, imprint_result **result, char **error) {
  return GUARDED(imprintWorkspaceClassify(HANDLE(workspace), photo, result, error));
}

int imprint_workspace_embed(imprint_workspace *workspace, const imprint_photo *photo, float *embedding, size_t length, char **error) {
  return GUARDED(imprintWorkspaceEmbed(HANDLE(workspace), photo, embedding, length, error));
}

int imprint_workspace_embedding_length(imprint_workspace *workspace, size_t *length, char **error) {
  return GUARDED(imprintWorkspaceEmbeddingLength(HANDLE(workspace), length, error));
}

int imprint_workspace_input_size(imprint_workspace *workspace, int *width, int *height, char **error) {
  return GUARDED(imprintWorkspaceInputSize(HANDLE(workspace), width, height, error));
}

int imprint_model_open(const char *path, const imprint_option *options, size_t num_options, imprint_model **model, char **error) {
  return GUARDED(imprintModelOpen(path, options, num_options, model, error));
}

void imprint_model_close(imprint_model *model) {
  if (!forked()) imprintModelClose(HANDLE(model));
}

int imprint_model_classify(imprint_model *model, const imprint_photo *photo, imprint_result **result, char **error) {
  return GUARDED(imprintModelClassify(HANDLE(model), photo, result, error));
}

int imprint_model_embed(imprint_model *model, const imprint_photo *photo, float *embedding, size_t length, char **error) {
  return GUARDED(imprintModelEmbed(HANDLE(model), photo, embedding, length, error));
}

int imprint_model_embedding_length(imprint_model *model, size_t *length, char **error) {
  return GUARDED(imprintModelEmbeddingLength(HANDLE(model), length, error));
}

int imprint_model_input_size(imprint_model *model, int *width, int *height, char **error) {
  return GUARDED(imprintModelInputSize(HANDLE(model), width, height, error));
}

int imprint_model_labels(imprint_model *model, char ***labels, size_t *num_labels, char **error) {
  return GUARDED(imprintModelLabels(HANDLE(model), labels, num_labels, error));
}
