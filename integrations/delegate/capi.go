//go:build cgo && linux && (amd64 || arm64 || riscv64)

package main

// The functions behind imprint.h, which capi.c declares. They convert arguments and results; package handle does the work.

// #include "capi.h"
import "C"

import (
	"context"
	"runtime/cgo"
	"unsafe"

	"github.com/imprintkit/imprint/integrations/delegate/handle"
)

var (
	library     = &handle.Library{Host: devices, Log: logger}
	versionText = C.CString(version)
)

//export imprintVersionText
func imprintVersionText() *C.char { return versionText }

//export imprintWorkspaceOpen
func imprintWorkspaceOpen(folder C.const_text, given C.const_options, n C.size_t, out unsafe.Pointer, failure **C.char) C.int {
	return call(failure, func() error {
		if err := required("folder", folder != nil, "workspace", out != nil); err != nil {
			return err
		}
		options, err := optionsAt(given, n)
		if err != nil {
			return err
		}
		w, err := library.OpenWorkspace(context.Background(), goString(folder), options)
		if err == nil {
			*(*C.uintptr_t)(out) = C.uintptr_t(cgo.NewHandle(w))
		}
		return err
	})
}

//export imprintWorkspaceClose
func imprintWorkspaceClose(h C.uintptr_t) { closeHandle[*handle.Workspace](h) }

//export imprintWorkspaceAdd
func imprintWorkspaceAdd(h C.uintptr_t, photos C.const_photos, n C.size_t, negatives C.const_photos, m C.size_t, progress C.imprint_progress, argument unsafe.Pointer, json, failure **C.char) C.int {
	return call(failure, func() error {
		w, err := at[*handle.Workspace](h)
		if err != nil {
			return err
		}
		add, err := photosAt(photos, n)
		if err != nil {
			return err
		}
		others, err := photosAt(negatives, m)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var show func(done, total int)
		if progress != nil {
			show = func(done, total int) {
				if C.call_progress(progress, argument, C.size_t(done), C.size_t(total)) != 0 {
					cancel()
				}
			}
		}
		added, err := w.Add(ctx, add, others, show)
		return setJSON(json, added, err)
	})
}

// changed calls f with a workspace and sets *json to its result.
func changed(h C.uintptr_t, json, failure **C.char, f func(context.Context, *handle.Workspace) (any, error)) C.int {
	return call(failure, func() error {
		w, err := at[*handle.Workspace](h)
		if err != nil {
			return err
		}
		result, err := f(context.Background(), w)
		return setJSON(json, result, err)
	})
}

//export imprintWorkspaceRemove
func imprintWorkspaceRemove(h C.uintptr_t, label C.const_text, paths C.const_texts, n C.size_t, json, failure **C.char) C.int {
	return changed(h, json, failure, func(ctx context.Context, w *handle.Workspace) (any, error) {
		list, err := textsAt(paths, n)
		if err != nil {
			return nil, err
		}
		return w.Remove(ctx, goString(label), list)
	})
}

//export imprintWorkspaceRemovePhoto
func imprintWorkspaceRemovePhoto(h C.uintptr_t, sha256 C.const_text, json, failure **C.char) C.int {
	return changed(h, json, failure, func(ctx context.Context, w *handle.Workspace) (any, error) {
		if err := required("sha256", sha256 != nil); err != nil {
			return nil, err
		}
		return w.RemovePhoto(ctx, goString(sha256))
	})
}

//export imprintWorkspaceRemoveNegatives
func imprintWorkspaceRemoveNegatives(h C.uintptr_t, json, failure **C.char) C.int {
	return changed(h, json, failure, func(ctx context.Context, w *handle.Workspace) (any, error) { return w.RemoveNegatives(ctx) })
}

//export imprintWorkspaceMove
func imprintWorkspaceMove(h C.uintptr_t, label C.const_text, paths C.const_texts, n C.size_t, json, failure **C.char) C.int {
	return changed(h, json, failure, func(ctx context.Context, w *handle.Workspace) (any, error) {
		if err := required("label", label != nil); err != nil {
			return nil, err
		}
		list, err := textsAt(paths, n)
		if err != nil {
			return nil, err
		}
		return w.Move(ctx, goString(label), list)
	})
}

//export imprintWorkspaceRename
func imprintWorkspaceRename(h C.uintptr_t, from, to C.const_text, json, failure **C.char) C.int {
	return changed(h, json, failure, func(ctx context.Context, w *handle.Workspace) (any, error) {
		if err := required("from", from != nil, "to", to != nil); err != nil {
			return nil, err
		}
		return w.Rename(ctx, goString(from), goString(to))
	})
}

//export imprintWorkspaceRetrain
func imprintWorkspaceRetrain(h C.uintptr_t, given C.const_options, n C.size_t, json, failure **C.char) C.int {
	return changed(h, json, failure, func(ctx context.Context, w *handle.Workspace) (any, error) {
		options, err := optionsAt(given, n)
		if err != nil {
			return nil, err
		}
		return w.Retrain(ctx, options)
	})
}

//export imprintWorkspaceUndo
func imprintWorkspaceUndo(h C.uintptr_t, json, failure **C.char) C.int {
	return changed(h, json, failure, func(ctx context.Context, w *handle.Workspace) (any, error) { return w.Undo(ctx) })
}

//export imprintWorkspaceExport
func imprintWorkspaceExport(h C.uintptr_t, path C.const_text, given C.const_options, n C.size_t, json, failure **C.char) C.int {
	return changed(h, json, failure, func(ctx context.Context, w *handle.Workspace) (any, error) {
		if err := required("path", path != nil); err != nil {
			return nil, err
		}
		options, err := optionsAt(given, n)
		if err != nil {
			return nil, err
		}
		return w.Export(ctx, goString(path), options)
	})
}

//export imprintWorkspaceList
func imprintWorkspaceList(h C.uintptr_t, json, failure **C.char) C.int {
	return changed(h, json, failure, func(_ context.Context, w *handle.Workspace) (any, error) { return w.List() })
}

//export imprintWorkspaceReload
func imprintWorkspaceReload(h C.uintptr_t, changed *C.int, failure **C.char) C.int {
	return question(h, failure, changed, false, func(w *handle.Workspace) (C.int, error) {
		if did, err := w.Reload(context.Background()); err != nil || !did {
			return 0, err
		}
		return 1, nil
	})
}

//export imprintWorkspaceLabels
func imprintWorkspaceLabels(h C.uintptr_t, labels ***C.char, n *C.size_t, failure **C.char) C.int {
	return labelsOf(h, labels, n, failure, (*handle.Workspace).Labels)
}

//export imprintWorkspaceEstimate
func imprintWorkspaceEstimate(h C.uintptr_t, estimate *C.imprint_estimate, failure **C.char) C.int {
	return question(h, failure, estimate, true, func(w *handle.Workspace) (C.imprint_estimate, error) {
		e, err := w.Estimate()
		low, high := e.Interval()
		return C.imprint_estimate{
			accuracy: C.double(e.Accuracy()), low: C.double(low), high: C.double(high),
			correct: C.int64_t(e.Correct), total: C.int64_t(e.Total), excluded: C.int64_t(e.Excluded), bursts: C.int64_t(e.Bursts),
		}, err
	})
}

//export imprintWorkspaceGeneration
func imprintWorkspaceGeneration(h C.uintptr_t, generation *C.uint64_t, failure **C.char) C.int {
	return question(h, failure, generation, true, func(w *handle.Workspace) (C.uint64_t, error) {
		n, err := w.Generation()
		return C.uint64_t(n), err
	})
}

//export imprintWorkspaceModelPath
func imprintWorkspaceModelPath(h C.uintptr_t, path **C.char, failure **C.char) C.int {
	return question(h, failure, path, true, func(w *handle.Workspace) (*C.char, error) {
		p, err := w.ModelPath()
		if err != nil {
			return nil, err
		}
		return C.CString(p), nil
	})
}

//export imprintWorkspaceClassify
func imprintWorkspaceClassify(h C.uintptr_t, photo C.const_photos, result **C.imprint_result, failure **C.char) C.int {
	return classified(h, photo, result, failure, (*handle.Workspace).Classify)
}

//export imprintWorkspaceEmbed
func imprintWorkspaceEmbed(h C.uintptr_t, photo C.const_photos, embedding *C.float, length C.size_t, failure **C.char) C.int {
	return embedded(h, photo, embedding, length, failure, (*handle.Workspace).EmbeddingLength, (*handle.Workspace).Embed)
}

//export imprintWorkspaceEmbeddingLength
func imprintWorkspaceEmbeddingLength(h C.uintptr_t, length *C.size_t, failure **C.char) C.int {
	return lengthOf(h, length, failure, (*handle.Workspace).EmbeddingLength)
}

//export imprintWorkspaceInputSize
func imprintWorkspaceInputSize(h C.uintptr_t, width, height *C.int, failure **C.char) C.int {
	return sizeOf(h, width, height, failure, (*handle.Workspace).InputSize)
}

//export imprintModelOpen
func imprintModelOpen(path C.const_text, given C.const_options, n C.size_t, out unsafe.Pointer, failure **C.char) C.int {
	return call(failure, func() error {
		if err := required("path", path != nil, "model", out != nil); err != nil {
			return err
		}
		options, err := optionsAt(given, n)
		if err != nil {
			return err
		}
		m, err := library.OpenModel(context.Background(), goString(path), options)
		if err == nil {
			*(*C.uintptr_t)(out) = C.uintptr_t(cgo.NewHandle(m))
		}
		return err
	})
}

//export imprintModelClose
func imprintModelClose(h C.uintptr_t) { closeHandle[*handle.Model](h) }

//export imprintModelClassify
func imprintModelClassify(h C.uintptr_t, photo C.const_photos, result **C.imprint_result, failure **C.char) C.int {
	return classified(h, photo, result, failure, (*handle.Model).Classify)
}

//export imprintModelEmbed
func imprintModelEmbed(h C.uintptr_t, photo C.const_photos, embedding *C.float, length C.size_t, failure **C.char) C.int {
	return embedded(h, photo, embedding, length, failure, (*handle.Model).EmbeddingLength, (*handle.Model).Embed)
}

//export imprintModelEmbeddingLength
func imprintModelEmbeddingLength(h C.uintptr_t, length *C.size_t, failure **C.char) C.int {
	return lengthOf(h, length, failure, (*handle.Model).EmbeddingLength)
}

//export imprintModelInputSize
func imprintModelInputSize(h C.uintptr_t, width, height *C.int, failure **C.char) C.int {
	return sizeOf(h, width, height, failure, (*handle.Model).InputSize)
}

//export imprintModelLabels
func imprintModelLabels(h C.uintptr_t, labels ***C.char, n *C.size_t, failure **C.char) C.int {
	return labelsOf(h, labels, n, failure, (*handle.Model).Labels)
}
