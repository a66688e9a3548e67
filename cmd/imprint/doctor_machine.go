package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/serve"
	"github.com/imprintkit/imprint/imprint/serve/source"
	"github.com/imprintkit/imprint/tpu"
)

// serviceSocket is the socket of the systemd service in integrations/systemd.
const serviceSocket = "/run/imprint/serve.sock"

// machineFindings reports on cameras, backbones, a running server and the workspace. The last
// finding's fix says what to do next.
func machineFindings(c *cli.Context) []tpu.Finding {
	cameras := source.Cameras()
	found := append(cameraFindings(cameras), backboneFinding())
	dir := workspace(c)
	found = append(found, serverFinding(c.Context, serve.SocketPath(dir), serviceSocket))
	return append(found, workspaceFinding(dir, cameras))
}

func cameraFindings(cameras []source.Camera) []tpu.Finding {
	var found []tpu.Finding
	for _, camera := range cameras {
		f := tpu.Finding{State: "camera", Text: fmt.Sprintf("camera %s: %s", camera.Path, camera.Name)}
		if errors.Is(camera.Err, fs.ErrPermission) {
			f = tpu.Finding{Severity: tpu.Hint, State: "camera-no-permission", Text: fmt.Sprintf("you have no permission to open the camera %s", camera.Path), Fix: "sudo usermod -aG video $USER, then log in again"}
		}
		found = append(found, f)
	}
	if found == nil {
		found = append(found, tpu.Finding{State: "no-camera", Text: "no local camera found; imprint serve also reads network cameras and folders"})
	}
	return found
}

func backboneFinding() tpu.Finding {
	names := []string{"built-in"}
	for _, m := range models.List() {
		if _, err := (models.Store{}).Path(m.Name); err == nil && m.Embedding > 0 {
			names = append(names, m.Name)
		}
	}
	return tpu.Finding{State: "backbones", Text: "backbones: " + strings.Join(names, ", ")}
}

// serverFinding reports on the first server that listens on one of the sockets.
func serverFinding(ctx context.Context, sockets ...string) tpu.Finding {
	for _, socket := range sockets {
		h, err := serve.AskHealth(ctx, socket)
		switch {
		case errors.Is(err, serve.ErrNoServer):
		case errors.Is(err, fs.ErrPermission):
			return tpu.Finding{Severity: tpu.Hint, State: "server-no-permission", Text: "you have no permission to use the server at " + socket, Fix: "sudo usermod -aG plugdev $USER, then log in again"}
		case err != nil:
			return tpu.Finding{Severity: tpu.Hint, State: "server-failed", Text: err.Error(), Fix: "restart imprint serve"}
		case h.Status != "ok":
			return tpu.Finding{Severity: tpu.Hint, State: "server-" + h.Status, Text: fmt.Sprintf("imprint serve at %s is %s: %s", socket, h.Status, strings.Join(serverErrors(h), "; "))}
		default:
			return tpu.Finding{State: "server", Text: "imprint serve runs at " + socket}
		}
	}
	return tpu.Finding{State: "no-server", Text: "imprint serve is not running"}
}

// serverErrors lists what is wrong with a server.
func serverErrors(h serve.Health) (texts []string) {
	for _, text := range []string{h.Device.Error, h.Source.Error} {
		if text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// needsTPU reports whether the model of the workspace in dir runs on an Edge TPU.
func needsTPU(dir string) bool {
	file, err := tflite.ReadModel(filepath.Join(dir, "model.tflite"))
	if err != nil {
		return false
	}
	m, err := tflite.Parse(file.Model)
	return err == nil && backbone.Compiled(m)
}

// detectorProblem returns an error if the workspace in dir has a detector that can't be loaded.
func detectorProblem(dir string) error {
	ws, err := imprint.Open(dir, imprint.Options{Existing: true})
	if err != nil {
		return err
	}
	defer ws.Close()
	if ws.Settings().Detector != nil {
		_, err = ws.Snapshot()
	}
	return err
}

// workspaceFinding reports on the workspace in dir. Its fix says what to do next.
func workspaceFinding(dir string, cameras []source.Camera) tpu.Finding {
	classes, err := workspaceLabels(dir)
	if err == nil {
		err = detectorProblem(dir)
	}
	switch {
	case err != nil && lostModel("detector-")(err):
		return tpu.Finding{Severity: tpu.Hint, State: "workspace-failed", Text: err.Error(), Fix: hint(err, "doctor")}
	case err != nil && !errors.Is(err, imprint.ErrNoClasses):
		return tpu.Finding{Severity: tpu.Hint, State: "workspace-failed", Text: err.Error(), Fix: "restore a backup of " + dir + ", or name another folder with --workspace DIR"}
	case len(classes) == 0:
		return tpu.Finding{Severity: tpu.Hint, State: "no-classes", Text: fmt.Sprintf("the workspace %s has no classes yet", dir), Fix: "imprint add ./photos, where photos has a folder for each class"}
	}
	next := "imprint classify PHOTO"
	for _, camera := range cameras {
		if camera.Err == nil {
			next = "imprint serve --source camera:" + camera.Path
			break
		}
	}
	return tpu.Finding{State: "classes", Text: fmt.Sprintf("the workspace %s has %s", dir, count(len(classes), "class")), Fix: next}
}
