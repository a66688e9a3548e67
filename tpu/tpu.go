// Package tpu drives the Coral USB Accelerator, an Edge TPU on USB, without Google's library. It finds the device,
// loads its firmware, runs compiled models and recovers the device after failures. Start with [USB] for the machine's
// buses, [Open] for a device, [Device.Load] for a model read by package executable, and [Model.Run]:
//
//	bus, err := tpu.USB()
//	d, err := tpu.Open(ctx, bus, tpu.Port{}, tpu.Options{})
//	m, err := d.Load(ctx, pkg)
//	err = m.Run(ctx, inputs, outputs)
//
// A Device and its Models are safe for concurrent use by multiple goroutines. They stay open through failures and
// replugging. Every failure of the device is an error that wraps one of this package's errors: see [ErrorKind].
// [Diagnose] explains why a device cannot be used.
//
// The driver makes the same transfers as Google's library. The project's docs/edgetpu-differences.md lists the
// exceptions. Register addresses and bits come from the source of libedgetpu (driver/beagle, driver/config, driver/usb)
// unless stated otherwise.
package tpu
