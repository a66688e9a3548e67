"""Test the delegate in Python with an emulated device.

    python3 test_delegate.py --library LIBRARY --imprint PROGRAM --models FOLDER --twice MODEL --written MODEL

The interpreter is ai-edge-litert or tflite-runtime, whichever is installed. FOLDER has Coral's models, compiled and
uncompiled. The first MODEL has two compiled operators (see the command testmodel), and imprint has trained the second.
"""

import argparse
import contextlib
import ctypes
import gc
import os
import subprocess
import sys
import tempfile
import threading
import unittest

import numpy as np

try:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType, load_delegate
except ImportError:
    from tflite_runtime.interpreter import Interpreter, OpResolverType, load_delegate

SMALL = 'mobilenet_v1_0.25_128_quant'
EXTRACTOR = 'mobilenet_v1_1.0_224_quant_embedding_extractor'
MODELS = [SMALL, 'mobilenet_v1_0.5_160_quant', EXTRACTOR, 'deeplabv3_mnv2_dm05_pascal_quant',
          'movenet_single_pose_lightning_ptq', 'detect/ssdlite_v2_1class']

arguments = None


def path(model, compiled=False):
    return os.path.join(arguments.models, model + ('_edgetpu' if compiled else '') + '.tflite')


def delegate(emulator, **options):
    return load_delegate(arguments.library, {'emulator': emulator, **options})


def interpreter(model, *delegates):
    # XNNPACK, the default, would round differently in the operators behind the compiled one.
    i = Interpreter(model, experimental_delegates=delegates, experimental_preserve_all_tensors=True,
                    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    i.allocate_tensors()
    return i


def set_inputs(i):
    files = []
    for seed, t in enumerate(i.get_input_details()):
        tensor = np.random.default_rng(seed).integers(0, 256, t['shape']).astype(np.uint8).view(t['dtype'])
        i.set_tensor(t['index'], tensor)
        files.append(tensor.tobytes())
    return files


def compiled_outputs(i):
    """Return the indices of the compiled operators' outputs."""
    return [int(t) for op in i._get_ops_details() if op['op_name'] == 'edgetpu-custom-op' for t in op['outputs']]


def imprint_run(model, uncompiled, inputs, tensors):
    """Return what imprint computes in the Edge TPU's arithmetic."""
    with tempfile.TemporaryDirectory() as folder:
        command = [arguments.imprint, 'run', model, '--device', 'cpu', '--uncompiled', uncompiled, '-q']
        for n, content in enumerate(inputs):
            with open(f'{folder}/{n}.in', 'wb') as f:
                f.write(content)
            command += ['--input', f'{folder}/{n}.in']
        for t in tensors:
            command += ['--tensor', str(t), '--output', f'{folder}/{t}.out']
        subprocess.run(command, check=True)
        outputs = []
        for t in tensors:
            with open(f'{folder}/{t}.out', 'rb') as f:
                outputs.append(f.read())
        return outputs


class Emulator:
    """The functions of the library that make the emulated device fail."""

    def __init__(self):
        self.library = ctypes.CDLL(arguments.library)

    def fail(self, endpoint, transfer, kind):
        assert self.library.imprint_emulator_fail(0, endpoint, transfer, kind) == 0

    def plug(self, plugged):
        assert self.library.imprint_emulator_plug(0, plugged) == 0


@contextlib.contextmanager
def standard_error():
    """Yield a function that returns what the process has written to standard error."""
    with tempfile.TemporaryFile('w+') as f:
        saved = os.dup(2)
        os.dup2(f.fileno(), 2)
        try:
            def text():
                f.seek(0)
                return f.read()
            yield text
        finally:
            os.dup2(saved, 2)
            os.close(saved)


class Outputs(unittest.TestCase):
    def test_bytes(self):
        cases = [(path(m, True), path(m)) for m in MODELS if m in (SMALL, EXTRACTOR) or os.path.exists(path(m, True))]
        for model, uncompiled in [*cases, (arguments.twice, path(SMALL)), (arguments.written, path(EXTRACTOR))]:
            with self.subTest(model=model):
                tensors = compiled_outputs(Interpreter(model))
                i = interpreter(model, delegate(uncompiled))
                if model == arguments.written:
                    tensors += [int(t['index']) for t in i.get_output_details()]
                inputs = set_inputs(i)
                i.invoke()
                for t, want in zip(tensors, imprint_run(model, uncompiled, inputs, tensors)):
                    self.assertEqual(i.get_tensor(t).tobytes(), want, f'tensor {t}')
            print(f'{os.path.basename(model)}: {len(tensors)} tensors')


class Failures(unittest.TestCase):
    def setUp(self):
        self.interpreter = interpreter(path(SMALL, True), delegate('pattern'))
        self.emulator = Emulator()
        set_inputs(self.interpreter)
        self.output = self.interpreter.get_output_details()[0]['index']
        self.interpreter.invoke()
        self.want = self.interpreter.get_tensor(self.output)

    def assert_right(self, message):
        self.interpreter.set_tensor(self.output, np.zeros_like(self.want))
        self.interpreter.invoke()
        self.assertTrue(np.array_equal(self.interpreter.get_tensor(self.output), self.want), message)

    def test_every_transfer(self):
        for kind in b'fail', b'stall', b'disconnect':
            failed = 0
            for endpoint in 0x01, 0x81, 0x82:
                for n in range(100):
                    self.emulator.fail(endpoint, n, kind)
                    try:
                        self.interpreter.invoke()
                        break  # a run has fewer than n transfers
                    except RuntimeError as e:
                        self.assertIn('inference on USB port 1-1: ', str(e))
                    failed += 1
                    self.emulator.plug(1)
                    self.assert_right(f'after {kind} at transfer {n} on endpoint {endpoint:#x}')
            self.emulator.fail(0, 0, None)
            self.assertEqual(failed, 6)  # two each of instructions and input, one of output, one event

    def test_replug(self):
        for n in range(arguments.replugs):
            self.emulator.plug(0)
            with self.assertRaisesRegex(RuntimeError, 'disconnected|no Edge TPU'):
                self.interpreter.invoke()
            self.emulator.plug(1)
            self.assert_right(f'after plugging in {n} times')

    def test_memory(self):
        def resident():
            with open('/proc/self/statm') as f:
                return int(f.read().split()[1]) * os.sysconf('SC_PAGESIZE') / 1e6
        for n in range(arguments.invokes):
            if n == arguments.invokes // 2:
                before = resident()
            self.interpreter.invoke()
        grown = resident() - before
        print(f'{resident():.0f} MB resident, {grown:.2f} more than after half of {arguments.invokes} runs')
        self.assertLess(grown, 2)


class Sharing(unittest.TestCase):
    def test_threads(self):
        shared = delegate('pattern')
        second = 'mobilenet_v1_0.5_160_quant'
        errors = []

        def work(name, d):
            try:
                i = interpreter(path(name, True), d)
                set_inputs(i)
                output = i.get_output_details()[0]['index']
                for _ in range(20):
                    i.invoke()
                    got = i.get_tensor(output).ravel()
                    if not np.array_equal(got, (np.arange(got.size) * 7).astype(np.uint8)):
                        errors.append(name)
            except Exception as e:
                errors.append(e)
        threads = [threading.Thread(target=work, args=a) for a in [
            (SMALL, shared), (second, shared), (SMALL, delegate('pattern')), (second, delegate('pattern', device=':1'))]]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(errors, [])

    def test_delegate_goes_first(self):
        d = delegate('pattern')
        i = interpreter(path(SMALL, True), d)
        i._delegates = []
        del d
        gc.collect()
        i.invoke()

    def test_fork(self):
        d = delegate('pattern')
        i = interpreter(path(SMALL, True), d)
        child = os.fork()
        if child == 0:  # a call into Go would hang here
            status = 1
            try:
                i.invoke()
            except RuntimeError as e:
                status = 0 if 'spawn' in str(e) else 2
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        i.invoke()


class Creation(unittest.TestCase):
    def test_errors(self):
        for options, want in [
                ({'emulator': ''}, 'no Edge TPU is plugged in: plug it into a USB 3 port'),
                ({'device': 'pci:0'}, 'this library drives Edge TPUs on USB only'),
                ({'device': 'gpu'}, 'want "usb"'),
                ({'Performance': 'Fast'}, 'want Low, Medium, High or Max')]:
            with self.subTest(options=options), self.assertRaisesRegex(ValueError, want):
                load_delegate(arguments.library, options)

    def test_unknown_option(self):
        with standard_error() as text:
            delegate('pattern', threads='4')
            self.assertIn('imprint: warning: unknown option "threads" ignored\n', text())

    def test_wrong_uncompiled_model(self):
        with self.assertRaisesRegex(RuntimeError, 'not supported by the emulator'):
            interpreter(path(SMALL, True), delegate(path(EXTRACTOR)))

    def test_c_interface(self):
        library = ctypes.CDLL(arguments.library)
        library.edgetpu_version.restype = ctypes.c_char_p
        self.assertRegex(library.edgetpu_version().decode(), r'^BuildLabel\(imprint .*\), RuntimeVersion\(14\)$')
        library.edgetpu_create_delegate.restype = ctypes.c_void_p
        with standard_error() as text:
            self.assertIsNone(library.edgetpu_create_delegate(0, None, None, ctypes.c_size_t(0)))
            self.assertIn('imprint: error: unusable option device="pci"', text())


def main():
    parser = argparse.ArgumentParser()
    for name in 'library', 'imprint', 'models', 'twice', 'written':
        parser.add_argument('--' + name, required=True)
    parser.add_argument('--invokes', type=int, default=1000)
    parser.add_argument('--replugs', type=int, default=5)
    global arguments
    arguments, rest = parser.parse_known_args()
    unittest.main(argv=sys.argv[:1] + rest)


if __name__ == '__main__':
    main()
