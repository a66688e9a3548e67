"""Test the interface of pycoral, with ai-edge-litert or tflite-runtime and an emulated device."""

import ctypes
import os
import tempfile
import unittest

import numpy as np

import imprintkit
from environment import SMALL, picture, pictures
from imprintkit.pycoral.adapters import classify, common, detect, segment
from imprintkit.pycoral.learn.backprop.softmax_regression import SoftmaxRegression
from imprintkit.pycoral.learn.imprinting.engine import ImprintingEngine
from imprintkit.pycoral.utils import dataset, edgetpu

COMPILED = SMALL + '_edgetpu.tflite'


class FakeInterpreter:
    """An interpreter with the given outputs, and an input of 200 × 100 pixels."""

    def __init__(self, outputs, signatures=None, quantization=(0.0, 0)):
        self.outputs, self.signatures, self.quantization = outputs, signatures or {}, quantization
        self.input = np.full((1, 100, 200, 3), 9, np.uint8)

    def get_input_details(self):
        return [{'index': -1, 'shape': np.array([1, 100, 200, 3]), 'dtype': np.uint8, 'quantization': (1.0, 0)}]

    def get_output_details(self):
        return [{'index': i, 'shape': np.array(t.shape), 'dtype': t.dtype.type, 'quantization': self.quantization}
                for i, t in enumerate(self.outputs)]

    def tensor(self, index):
        return lambda: self.input if index < 0 else self.outputs[index]

    def _get_full_signature_list(self):
        return self.signatures


class AdaptersTest(unittest.TestCase):
    def test_classify(self):
        i = FakeInterpreter([np.array([[3, 7, 250, 7]], np.uint8)], quantization=(0.5, 5))
        self.assertEqual(classify.num_classes(i), 4)
        self.assertEqual(list(classify.get_scores(i)), [-1, 1, 122.5, 1])
        self.assertEqual(classify.get_classes(i), [(2, 122.5), (1, 1), (3, 1), (0, -1)])
        self.assertEqual(classify.get_classes(i, top_k=2), [classify.Class(2, 122.5), classify.Class(1, 1)])
        self.assertEqual([c.id for c in classify.get_classes(i, score_threshold=1)], [2, 1, 3])
        self.assertEqual(classify.get_classes_from_scores([0.25, 0.5], top_k=9), [(1, 0.5), (0, 0.25)])
        self.assertEqual(classify.get_classes_from_scores([0.25, 0.5], top_k=0), [(1, 0.5), (0, 0.25)])
        for scores, top_k in ([0.25, 0.5], 1.5), (0.25, 1):
            self.assertRaises(TypeError, classify.get_classes_from_scores, scores, top_k)
        for scores in np.array([0, 3, 250], np.uint8), np.array([-128, 3, 100], np.int8), np.array([False, True]):
            self.assertEqual([c.id for c in classify.get_classes_from_scores(scores)], list(range(len(scores)))[::-1])
        self.assertEqual(list(classify.get_scores(FakeInterpreter([np.array([[0.5, 2]], np.float32)]))), [0.5, 2])

    def test_input(self):
        i = FakeInterpreter([])
        self.assertEqual(common.input_size(i), (200, 100))
        common.set_input(i, np.arange(60000).reshape(100, 200, 3) % 251)
        self.assertEqual(list(common.input_tensor(i)[0, 1]), [3, 4, 5])
        sizes = []

        def resize(size):
            sizes.append(size)
            return np.full((size[1], size[0], 3), 77, np.uint8)
        image, scale = common.set_resized_input(i, (300, 300), resize)
        self.assertEqual((sizes, image.shape, scale), ([(100, 100)], (100, 100, 3), (1 / 3, 1 / 3)))
        self.assertTrue((i.input[0, :, :100] == 77).all() and (i.input[0, :, 100:] == 0).all())
        self.assertRaises(ValueError, common.set_resized_input, i, (300,), resize)

    def test_segment(self):
        got = segment.get_output(FakeInterpreter([np.array([[[1, 2], [3, 4]]], np.int64)]))
        self.assertEqual((got.dtype, got.tolist()), (np.uint8, [[1, 2], [3, 4]]))

    def test_detect(self):
        boxes, ids = np.array([[[0, 0.25, 0.5, 1], [0.1, 0.2, 0.3, 0.4]]], np.float32), np.array([[16, 3]], np.float32)
        scores, count = np.array([[0.75, 0.5]], np.float32), np.array([2], np.float32)
        first = detect.Object(16, 0.75, detect.BBox(100, 0, 400, 100))
        second = detect.Object(3, 0.5, detect.BBox(80, 20, 160, 60))
        named = {'serving_default': {'inputs': {}, 'outputs': {'output_0': 3, 'output_1': 1, 'output_2': 0, 'output_3': 2}}}
        for name, outputs, signatures in [
                ('number last', [boxes, ids, scores, count], None),
                ('scores first', [scores, boxes, count, ids], None),
                ('signature', [ids, scores, boxes, count], named)]:
            with self.subTest(name):
                i = FakeInterpreter(outputs, signatures)
                self.assertEqual(detect.get_objects(i, image_scale=(0.5, 0.5)), [first, second])
                self.assertEqual(detect.get_objects(i, 0.6, (0.5, 0.5)), [first])
        with self.assertRaises(IndexError):  # fewer boxes than scores
            detect.get_objects(FakeInterpreter([boxes[:, :1], ids, scores, count]))
        with self.assertRaisesRegex(ValueError, 'this model has 2'):
            detect.get_objects(FakeInterpreter([], {'a': {}, 'b': {}}))

    def test_boxes(self):
        a, b = detect.BBox(0, 10, 20, 30), detect.BBox(10, 20, 40, 50)
        self.assertEqual((a.width, a.height, a.area, a.valid), (20, 20, 400, True))
        self.assertEqual((a.scale(2, 3), a.translate(1, -1)), (detect.BBox(0, 30, 40, 90), detect.BBox(1, 9, 21, 29)))
        self.assertEqual(detect.BBox.intersect(a, b), detect.BBox(10, 20, 20, 30))
        self.assertEqual(detect.BBox.union(a, b), detect.BBox(0, 10, 40, 50))
        self.assertAlmostEqual(detect.BBox.iou(a, b), 100 / 1200)
        self.assertFalse(detect.BBox.intersect(a, detect.BBox(30, 0, 40, 10)).valid)
        self.assertEqual(detect.BBox.iou(a, detect.BBox(30, 0, 40, 10)), 0)

    def test_labels(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'labels.txt')
            for text, want in [('cat\nhot dog\n', {0: 'cat', 1: 'hot dog'}), ('0  cat\n7:hot dog\n', {0: 'cat', 7: 'hot dog'}),
                               ('7:\n0::x\n5 :: y z', {7: '', 0: 'x', 5: 'y z'}), ('3 a:b\r\n5 : c\nü\n', {3: 'a:b', 5: 'c', 2: 'ü'}), ('1001\n\n2nd place', {0: '1001', 1: '', 2: '2nd place'})]:
                with open(path, 'w', encoding='utf-8', newline='') as f:
                    f.write(text)
                self.assertEqual(dataset.read_label_file(path), want)


class EdgeTpuTest(unittest.TestCase):
    def setUp(self):
        self.delegate = edgetpu.load_edgetpu_delegate({'emulator': 'pattern'})
        self.interpreter = edgetpu.make_interpreter(COMPILED, delegate=self.delegate)

    def test_run_inference(self):
        i = self.interpreter
        handle = i._native_handle()
        pixels = np.arange(128 * 128 * 3 + 1).astype(np.uint8)
        with self.assertRaisesRegex(RuntimeError, 'not ready'):
            edgetpu.invoke_with_bytes(handle, pixels.tobytes())
        i.allocate_tensors()
        size = pixels.size - 1
        view = common.output_tensor(i, 0)  # pycoral's functions run although a view exists
        pointer = pixels.ctypes.data_as(ctypes.c_void_p)
        buffer = os.memfd_create('pixels')
        self.addCleanup(os.close, buffer)
        os.write(buffer, pixels)
        for name, run in [
                ('array', lambda: edgetpu.run_inference(i, pixels)), ('bytes', lambda: edgetpu.run_inference(i, pixels.tobytes())),
                ('memory', lambda: edgetpu.run_inference(i, (pointer, pixels.size))),
                ('handle and bytes', lambda: edgetpu.invoke_with_bytes(handle, pixels.tobytes())),
                ('handle and memory', lambda: edgetpu.invoke_with_membuffer(handle, pixels.ctypes.data, size)),
                ('file', lambda: edgetpu.invoke_with_dmabuffer(handle, buffer, size))]:
            with self.subTest(name):
                i.tensor(common.input_details(i, 'index'))()[:] = 0
                view[:] = 0
                run()
                self.assertTrue(np.array_equal(common.input_tensor(i).reshape(-1), pixels[:size]))
                self.assertGreater(view.max(), 0)
        with self.assertRaisesRegex(ValueError, f'input size={size - 1}, expected={size}'):
            edgetpu.run_inference(i, pixels[:size - 1])
        self.assertRaises(TypeError, edgetpu.run_inference, i, [1, 2])
        self.assertRaises(ValueError, edgetpu.run_inference, i, pixels[:size].reshape(128, 128, 3))
        self.assertRaises(ValueError, edgetpu.invoke_with_bytes, 17, b'')
        self.assertFalse(edgetpu.supports_dmabuf(handle))

    def test_devices(self):
        self.assertRegex(edgetpu.get_runtime_version(), r'^BuildLabel\(imprint .*\), RuntimeVersion\(14\)$')
        self.assertTrue(edgetpu.set_verbosity(0))
        self.assertEqual([d for d in edgetpu.list_edge_tpus() if d['type'] != 'usb'], [])
        with self.assertRaisesRegex(ValueError, 'drives Edge TPUs on USB only'):
            edgetpu.make_interpreter(COMPILED, device='pci:0')
        with open(COMPILED, 'rb') as f:
            i = imprintkit.make_interpreter(f.read(), {'emulator': SMALL + '.tflite'}, num_threads=1)
        i.allocate_tensors()
        common.set_input(i, np.zeros((128, 128, 3), np.uint8))
        i.invoke()
        self.assertEqual(classify.num_classes(i), 1001)


class LearnTest(unittest.TestCase):
    """Train with the extractor that is built into imprint."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        with imprintkit.Workspace(os.path.join(self.folder, 'workspace'), layout='coral', resize='squash', unknown='off') as w:
            w.add_classes({label: pictures(label, 3) for label in ('red', 'green')})
            self.model, self.size = w.model_path, w.input_size
        self.delegate = edgetpu.load_edgetpu_delegate({'emulator': 'pattern'})  # the models have no compiled operator

    def interpreter(self, model):
        i = edgetpu.make_interpreter(model, delegate=self.delegate)
        i.allocate_tensors()
        return i

    def scores(self, interpreter, pixels):
        width, height = self.size
        rows, columns = np.arange(height) * pixels.shape[0] // height, np.arange(width) * pixels.shape[1] // width
        common.set_input(interpreter, pixels[rows][:, columns])
        interpreter.invoke()
        return classify.get_scores(interpreter)

    def test_imprinting(self):
        for keep in True, False:
            with self.subTest(keep_classes=keep):
                engine = ImprintingEngine(self.model, keep)
                self.assertEqual(engine.num_classes, 2 if keep else 0)
                extractor = self.interpreter(engine.serialize_extractor_model())
                order = ['green', 'red', 'blue']  # the first two are in the model
                for label in order[engine.num_classes:]:
                    for pixels in pictures(label, 3):
                        embedding = self.scores(extractor, pixels)
                        self.assertEqual(embedding.shape, (engine.embedding_dim,))
                        engine.train(embedding, order.index(label))
                classifier = self.interpreter(engine.serialize_model())
                for n, label in enumerate(order):
                    for pixels in pictures(label, 4, first=40):
                        self.assertEqual(self.scores(classifier, pixels).argmax(), n)
        # The model of an engine can be trained further.
        path = os.path.join(self.folder, 'again.tflite')
        with open(path, 'wb') as f:
            f.write(engine.serialize_model())
        again = ImprintingEngine(path, keep_classes=True)
        again.train(embedding, 2)
        self.assertEqual(again.num_classes, 3)
        with imprintkit.Model(path) as m:
            self.assertEqual(m.labels, ['0', '1', '2'])

    def test_imprinting_errors(self):
        with self.assertRaisesRegex(ValueError, 'Failed to open file: nosuch.tflite'):
            ImprintingEngine('nosuch.tflite')
        with self.assertRaisesRegex(ValueError, 'needs L2_NORMALIZATION'):
            ImprintingEngine(SMALL + '.tflite')
        engine = ImprintingEngine(self.model)
        self.assertRaisesRegex(RuntimeError, 'Model is not trained', engine.serialize_model)
        self.assertRaisesRegex(RuntimeError, 'an embedding has the shape', engine.train, [1.0], 0)
        self.assertRaisesRegex(RuntimeError, 'not finite', engine.train, np.full(engine.embedding_dim, np.nan), 0)
        self.assertEqual(engine.num_classes, 0)
        self.assertRaisesRegex(RuntimeError, 'class 1 is not between 0 and 0', engine.train, np.ones(engine.embedding_dim), 1)
        engine.train(np.ones(engine.embedding_dim), 0)
        engine.train(np.ones(engine.embedding_dim), 0)
        self.assertEqual(engine.num_classes, 1)

    def test_softmax_regression(self):
        path = os.path.join(self.folder, 'extractor.tflite')
        with open(path, 'wb') as f:
            f.write(ImprintingEngine(self.model).serialize_extractor_model())
        extractor = self.interpreter(path)
        labels = ['red', 'green', 'blue']
        data = {}
        for kind, first in ('train', 0), ('val', 40):
            data['data_' + kind] = np.array([self.scores(extractor, p) for label in labels for p in pictures(label, 5, first)])
            data['labels_' + kind] = np.repeat(np.arange(3), 5)
        model = SoftmaxRegression(data['data_train'].shape[1], 3, weight_scale=0.05, seed=1)
        model.train_with_sgd(data, 300, 0.5, batch_size=30, print_every=0)
        self.assertEqual(model.get_accuracy(data['data_val'], data['labels_val']), 1)
        classifier = self.interpreter(model.serialize_model(path))
        self.assertEqual(classify.num_classes(classifier), 3)
        for n, label in enumerate(labels):
            logits = model._logits(self.scores(extractor, picture(label, 50)))
            want = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            got = self.scores(classifier, picture(label, 50))
            self.assertEqual(got.argmax(), n)
            self.assertLess(np.abs(got - want).max(), 0.03)
        self.assertRaises(ValueError, SoftmaxRegression, 10)
        self.assertRaises(ValueError, SoftmaxRegression(10, 2).serialize_model, path)


if __name__ == '__main__':
    unittest.main()
