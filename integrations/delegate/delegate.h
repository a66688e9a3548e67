// The C interface of libedgetpu (tflite/public/edgetpu_c.h), and that of the emulated device.
#ifndef IMPRINT_DELEGATE_H
#define IMPRINT_DELEGATE_H

#include <stddef.h>
#include <stdint.h>

struct TfLiteDelegate;

enum edgetpu_device_type {
  EDGETPU_APEX_PCI = 0,
  EDGETPU_APEX_USB = 1,
};

struct edgetpu_device {
  enum edgetpu_device_type type;
  const char *path;
};

struct edgetpu_option {
  const char *name;
  const char *value;
};

#ifdef __cplusplus
extern "C" {
#endif

// Returns the devices that are plugged in, or NULL if there are none. Pass the result to edgetpu_free_devices.
struct edgetpu_device *edgetpu_list_devices(size_t *num_devices);
void edgetpu_free_devices(struct edgetpu_device *devices);

// Opens the device at a path of edgetpu_list_devices, or any device if path is NULL. On failure it returns NULL and
// writes the reason to standard error.
struct TfLiteDelegate *edgetpu_create_delegate(enum edgetpu_device_type type, const char *path,
                                               const struct edgetpu_option *options, size_t num_options);
void edgetpu_free_delegate(struct TfLiteDelegate *delegate);

// With 1 or more, the driver logs failures and recoveries to standard error; with 10, details too. 0 is the default.
void edgetpu_verbosity(int verbosity);

// Returns a text such as "BuildLabel(imprint 0.2.0), RuntimeVersion(14)".
const char *edgetpu_version(void);

// These functions act on the emulated device with the given index, from 0, and return -1 if there is none. They test how
// a program copes with failures.

// Unplugs the device if plugged is 0, or else plugs it in.
int imprint_emulator_plug(int device, int plugged);

// Makes a later transfer on an endpoint fail, counted from 0, and cancels an earlier call. Endpoint 0x01 receives programs,
// inputs and parameters, 0x81 sends outputs, and 0x82 sends the end of a run. kind is "fail", "stall", "delay",
// "truncate", "disconnect" or "hang", or NULL for no failure. Returns -1 for any other kind, too.
int imprint_emulator_fail(int device, int endpoint, int transfer, const char *kind);

// The entry points that TensorFlow Lite looks up in an external delegate.
struct TfLiteDelegate *tflite_plugin_create_delegate(char **names, char **values, size_t num_options,
                                                     void (*report_error)(const char *));
void tflite_plugin_destroy_delegate(struct TfLiteDelegate *delegate);

#ifdef __cplusplus
}
#endif

#endif
