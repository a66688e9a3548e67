package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"time"

	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// getWorkspace describes the files that another program needs to merge the workspace.
func (s *Server) getWorkspace(w http.ResponseWriter, r *http.Request) error {
	st := store.Store{Dir: s.workspace.dir}
	generation, names := s.workspaceFiles(st)
	list := fleet.Files{Generation: generation}
	for _, name := range names {
		sum, size, err := st.SumFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a change has just removed it
		} else if err != nil {
			return err
		}
		list.Files = append(list.Files, fleet.File{Name: name, Size: size, SHA256: sum.String()})
	}
	if len(list.Files) == 0 {
		return errNoModel
	}
	return s.respondJSON(w, http.StatusOK, list)
}

// getWorkspaceFile sends one of these files, or a part of it. It does not load it into memory.
func (s *Server) getWorkspaceFile(w http.ResponseWriter, r *http.Request) error {
	st, name := store.Store{Dir: s.workspace.dir}, r.PathValue("file")
	_, names := s.workspaceFiles(st)
	if !slices.Contains(names, name) {
		return refused{http.StatusNotFound, fmt.Errorf("no such file: %.80q", name), "GET /v1/workspace lists the files"}
	}
	f, sum, size, err := st.OpenSummed(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("ETag", `"`+sum.String()+`"`)
	s.http.limitWriting(w, size)
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}

// workspaceFiles returns the names of the state and of the models that it may need, and the state's
// generation. That is the one in use, or the newest if another process has overwritten it.
func (s *Server) workspaceFiles(st store.Store) (generation uint64, names []string) {
	generation = s.live.Generation()
	if st.SlotGeneration(generation) != generation {
		generation = max(st.SlotGeneration(0), st.SlotGeneration(1))
	}
	if generation == 0 {
		return 0, nil
	}
	return generation, append([]string{store.SlotFile(generation)}, st.ModelFiles()...)
}
