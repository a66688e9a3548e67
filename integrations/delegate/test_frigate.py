r"""Run Frigate's Edge TPU detector plug-in, unmodified, with the delegate and an emulated device.

    LD_LIBRARY_PATH=FOLDER IMPRINT_EDGETPU_EMULATOR=MODEL python3 test_frigate.py \
        --frigate FOLDER --imprint PROGRAM --model COMPILED --uncompiled MODEL PHOTO...

The plug-in loads libedgetpu.so.1.0 from the path of libraries, with the emulated device that the variable plugs in. FOLDER has Frigate's sources. Each photo is resized to the
model's input. The detections of the plug-in must be equal to those of imprint in the Edge TPU's arithmetic. They are also
compared with those of TensorFlow Lite and the uncompiled model. See tools/frigate.sh.
"""

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import tempfile
import types
from unittest import mock

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

MIN_SCORE = 0.4  # the plug-in's
# What the plug-in needs of Frigate. All else that these files import is replaced.
REAL = {'frigate.detectors.detection_api', 'frigate.detectors.detector_config', 'frigate.detectors.plugins.edgetpu_tfl'}


class Stub(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return mock.MagicMock()


class Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the files in REAL in the folder of Frigate, and stubs for the other modules of Frigate and for requests."""

    def __init__(self, frigate):
        self.frigate = frigate

    def find_spec(self, name, path, target=None):
        if name.split('.')[0] not in ('frigate', 'requests'):
            return None
        if name in REAL:
            return importlib.util.spec_from_file_location(name, os.path.join(self.frigate, name.replace('.', '/') + '.py'))
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return Stub(spec.name)

    def exec_module(self, module):
        pass


def select(boxes, classes, scores, count):
    """Return what the plug-in returns for the outputs of a detector: rows of class, score and box."""
    rows = np.zeros((20, 6), np.float32)
    for i in range(int(count[0])):
        if scores[0][i] < MIN_SCORE:
            break
        rows[i] = [classes[0][i], scores[0][i], *boxes[0][i]]
    return rows


def imprint(arguments, tensor, shapes):
    """Return the outputs that imprint computes in the Edge TPU's arithmetic."""
    with tempfile.TemporaryDirectory() as folder:
        tensor.tofile(f'{folder}/in')
        command = [arguments.imprint, 'run', '-q', arguments.model, '--device', 'cpu', '--uncompiled', arguments.uncompiled, '--input', f'{folder}/in']
        for n in range(len(shapes)):
            command += ['--output', f'{folder}/{n}']
        subprocess.run(command, check=True)
        return [np.fromfile(f'{folder}/{n}', np.float32).reshape(s) for n, s in enumerate(shapes)]


def main():
    parser = argparse.ArgumentParser()
    for name in 'frigate', 'imprint', 'model', 'uncompiled':
        parser.add_argument('--' + name, required=True)
    parser.add_argument('photos', nargs='+')
    arguments = parser.parse_args()
    sys.meta_path.insert(0, Stubs(arguments.frigate))
    from frigate.detectors.detector_config import ModelTypeEnum
    from frigate.detectors.plugins.edgetpu_tfl import EdgeTpuTfl

    lite = Interpreter(arguments.uncompiled)
    lite.allocate_tensors()
    _, height, width, _ = lite.get_input_details()[0]['shape']
    outputs = lite.get_output_details()
    model = types.SimpleNamespace(path=arguments.model, width=width, height=height, model_type=ModelTypeEnum.ssd)
    detector = EdgeTpuTfl(types.SimpleNamespace(device='usb', model=model))

    failed = found = equal = 0
    for photo in arguments.photos:
        pixels = cv2.cvtColor(cv2.imread(photo), cv2.COLOR_BGR2RGB)
        tensor = cv2.resize(pixels, (width, height))[np.newaxis]
        got = detector.detect_raw(tensor)
        want = select(*imprint(arguments, tensor, [tuple(d['shape']) for d in outputs]))
        lite.set_tensor(lite.get_input_details()[0]['index'], tensor)
        lite.invoke()
        on_cpu = select(*(lite.get_tensor(d['index']) for d in outputs))
        n = np.count_nonzero(got[:, 1])
        found += n
        failed += not np.array_equal(got, want)
        equal += np.array_equal(got, on_cpu)
        print(f'{os.path.basename(photo)}: {n} objects, as imprint {np.array_equal(got, want)}, as TensorFlow Lite {np.array_equal(got, on_cpu)}, '
              f'largest difference {np.abs(got - on_cpu).max():.3f}')
    print(f'{len(arguments.photos)} photos, {found} objects: {len(arguments.photos) - failed} equal imprint, {equal} equal TensorFlow Lite')
    if failed or not found:
        sys.exit(1)


if __name__ == '__main__':
    main()
