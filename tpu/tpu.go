// Package tpu drives the Coral USB Accelerator, an Edge TPU behind a USB port, without Google's library: it finds the
// device, boots it, runs compiled models on it and brings it back when something goes wrong. Begin with [USB] for the
// machine's buses, [Open] for a device, [Device.Load] for a model out of package executable, and [Model.Run]:
//
//	bus, err := tpu.USB()
//	d, err := tpu.Open(ctx, bus, tpu.Port{}, tpu.Options{})
//	m, err := d.Load(ctx, pkg)
//	err = m.Run(ctx, inputs, outputs)
//
// What can go wrong is an error that wraps one of those of this package, never a panic or the end of the process. A
// Device stays open through failures and replugging: see there. [Diagnose] says why a device cannot be used.
//
// The protocol is that of Google's library, transfer by transfer: docs/edgetpu-differences.md of the project lists where
// it is not. Addresses of registers and their bits come from the source of libedgetpu, files driver/beagle, driver/config
// and driver/usb, where nothing else is said.
package tpu
