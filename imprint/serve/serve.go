// Package serve keeps a workspace and its device at work: it takes frames from a
// camera, answers each with the newest model, and teaches while a button is held.
// Start with [ParseSource] for the camera.
package serve
