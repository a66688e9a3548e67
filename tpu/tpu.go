// Package tpu drives the Coral USB Accelerator, an Edge TPU behind a USB port, without Google's library.
package tpu
