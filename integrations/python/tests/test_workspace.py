"""Test workspaces and models."""

import gc
import os
import pathlib
import sys
import tempfile
import threading
import unittest
import unittest.mock

import numpy as np

import imprintkit
from environment import SMALL, Image, picture, pictures, png, ppm


class WorkspaceTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.workspace = imprintkit.Workspace(self.folder / 'workspace', threads=1)
        self.addCleanup(self.workspace.close)

    def train(self):
        return self.workspace.add_classes({label: pictures(label, 6) for label in ('red', 'green', 'blue')})

    def file(self, name, pixels):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(ppm(pixels))
        return path

    def test_changes(self):
        w = self.workspace
        self.assertEqual(self.train()['classes'], {'red': 6, 'green': 6, 'blue': 6})
        self.assertEqual(set(w.labels) - {'unknown'}, {'red', 'green', 'blue'})
        self.assertEqual(w.estimate.total, 18)
        self.assertGreater(w.estimate.accuracy, 0.9)
        self.assertTrue(os.path.exists(w.model_path))

        added = w.add('red', [self.file('more/a.ppm', picture('red', 50)), picture('red', 0), b'no photo'])
        self.assertEqual((added['photos'], len(added['skipped'])), (1, 2))
        self.assertEqual(w.generation, 2)
        self.assertEqual(w.add('red', self.file('b.ppm', picture('red', 51)))['photos'], 1)
        w.move('green', self.folder / 'more')
        self.assertEqual({label: len(photos) for label, photos in w.classes.items()}, {'red': 7, 'green': 7, 'blue': 6})
        w.remove('green', str(self.folder / 'more' / 'a.ppm'))
        w.remove_photo(w.classes['red'][0]['sha256'])
        w.rename('blue', 'sky')
        self.assertEqual({label: len(photos) for label, photos in w.classes.items()}, {'red': 6, 'green': 6, 'sky': 6})
        w.remove('sky')
        self.assertEqual(list(w.classes), ['green', 'red'])
        self.assertEqual(w.undo()['undid'], 'remove')
        self.assertIn('sky', w.classes)
        self.assertEqual(w.retrain(head='mean')['head']['method'], 'mean')

        self.assertEqual(w.add_negatives([picture('blue', 70)])['negatives'], 1)
        self.assertEqual(len(w.list()['negatives']), 1)
        w.remove_negatives()
        self.assertEqual(len(w.list().get('negatives') or []), 0)

    def test_folders(self):
        for label in 'red', 'blue':
            for n in range(2):
                self.file(f'{label}-{n}.ppm', picture(label, n)).rename(self.make(label) / f'{n}.ppm')
        self.assertEqual(self.workspace.add_classes(self.folder / 'photos')['classes'], {'red': 2, 'blue': 2})
        self.assertEqual(self.workspace.add('green', str(self.folder / 'photos' / 'red'))['photos'], 0)

    def test_path_without_text(self):
        with imprintkit.Workspace(self.folder / os.fsdecode(b'\xff')) as w:
            w.add('red', picture('red', 1))
            self.assertTrue(os.path.exists(w.model_path))

    def make(self, label):
        path = self.folder / 'photos' / label
        path.mkdir(parents=True, exist_ok=True)
        return path

    def test_photos(self):
        self.train()
        pixels = picture('red', 99)
        want = self.workspace.classify(pixels)
        self.assertEqual((want.label, want.unknown, want.nearest, want.device), ('red', False, 'red', 'cpu'))
        self.assertEqual(want.scores[0], ('red', want.score))
        self.assertAlmostEqual(sum(score for _, score in want.scores), 1, places=2)
        gray = np.full((40, 50), 7, np.uint8)
        veiled = np.dstack([pixels, pixels[:, :, 0]])  # like a file with this transparency: alpha of each pixel is its red
        deep = pixels[:, :, 1].astype('<u2') * 255 + pixels[:, :, 0]
        pgm = b'P5 128 96 65535\n' + deep.astype('>u2').tobytes()
        for name, photo, same in [
                ('path', self.file('red.ppm', pixels), pixels), ('text', str(self.folder / 'red.ppm'), pixels),
                ('bytes', ppm(pixels), pixels), ('bytearray', bytearray(ppm(pixels)), pixels),
                ('PIL', Image(pixels), pixels), ('PIL RGBA', Image(veiled, 'RGBA'), png(veiled)),
                ('PIL with a transparent color', Image(veiled, 'P', {'transparency': 0}), png(veiled)),
                ('PIL in 16 bits', Image(deep, 'I;16'), pgm), ('view', pixels[:, ::-1], pixels[:, ::-1].copy()),
                ('columns', np.asfortranarray(pixels), pixels), ('part', pixels[5:60, 5:60], pixels[5:60, 5:60].copy()),
                ('gray', gray, np.dstack([gray] * 3)), ('one channel', gray[:, :, np.newaxis], np.dstack([gray] * 3))]:
            with self.subTest(name):
                got, want = self.workspace.classify(photo), self.workspace.classify(same)
                self.assertEqual((got.label, got.scores), (want.label, want.scores))
                self.assertTrue(np.array_equal(self.workspace.embed(photo), self.workspace.embed(same)))
        self.assertEqual(self.workspace.embed(pixels).dtype, np.float32)
        self.assertEqual(self.workspace.input_size, (128, 128))

    def test_bad_photos(self):
        self.train()
        for photo, kind, text in [
                (picture('red', 1) / 255, imprintkit.BadArgumentError, 'uint8, not float64'),
                (np.zeros((4, 5, 4), np.uint8), imprintkit.BadArgumentError, r'not \(4, 5, 4\)'),
                (np.zeros((0, 5, 3), np.uint8), imprintkit.BadArgumentError, r'not \(0, 5, 3\)'),
                (17, imprintkit.BadArgumentError, 'not int'),
                (b'', imprintkit.DataError, ''),
                (b'text', imprintkit.DataError, ''),
                (self.folder / 'missing.jpg', imprintkit.NotFoundError, 'missing.jpg')]:
            with self.subTest(photo=photo), self.assertRaisesRegex(kind, text):
                self.workspace.classify(photo)

    def test_errors(self):
        w = self.workspace
        cases = [
            (imprintkit.NoClassesError, lambda: w.classify(picture('red', 1))),
            (imprintkit.NothingToUndoError, w.undo),
            (imprintkit.NotFoundError, lambda: w.add('red', self.folder / 'missing.jpg')),
            (imprintkit.NoPhotosError, lambda: w.add('red', [b'no photo'])),
            (imprintkit.BadArgumentError, lambda: w.add('two\nlines', picture('red', 1))),
            (imprintkit.BadArgumentError, lambda: w.add('red\0blue', picture('red', 1))),
            (imprintkit.BadArgumentError, lambda: w.add('\ud800', picture('red', 1))),
            (imprintkit.BadArgumentError, lambda: w.add(7, picture('red', 1))),
            (imprintkit.BadArgumentError, lambda: w.rename('red', 'red\0')),
            (imprintkit.BadArgumentError, lambda: w.classify(f'{self.file("red.ppm", picture("red", 1))}\0.jpg')),
            (imprintkit.BadArgumentError, lambda: w.export('model\0.tflite')),
            (imprintkit.BadArgumentError, lambda: w.export('\ud800.tflite')),
            (imprintkit.BadArgumentError, lambda: imprintkit.Workspace(self.folder / 'other', head='best')),
            (imprintkit.NotFoundError, lambda: imprintkit.Workspace(self.folder / 'other', backbone='nosuch')),
            (imprintkit.NoClassesError, lambda: imprintkit.Workspace(self.folder / 'other', existing=True)),
            (imprintkit.DeviceError, lambda: imprintkit.Model(SMALL + '_edgetpu.tflite').classify(picture('red', 1))),
        ]
        for kind, f in cases:
            with self.subTest(kind), self.assertRaises(kind) as raised:
                f()
            self.assertIsInstance(raised.exception, imprintkit.ImprintError)
            self.assertTrue(str(raised.exception))
        self.train()
        with self.assertRaisesRegex(imprintkit.UnknownLabelError, 'yellow'):
            w.remove('yellow')
        with imprintkit.Workspace(self.folder / 'workspace') as other:
            other.rename('red', 'rot')
        self.assertTrue(w.reload())
        self.assertFalse(w.reload())
        self.assertIn('rot', w.labels)

    def test_progress(self):
        calls = []
        self.workspace.add('red', pictures('red', 3), progress=lambda done, total: calls.append((done, total)))
        self.assertEqual(sorted(calls), [(1, 3), (2, 3), (3, 3)])

        def stop(done, total):
            raise KeyboardInterrupt
        with self.assertRaises(KeyboardInterrupt):
            self.workspace.add('blue', pictures('blue', 3), progress=stop)
        with self.assertRaises(KeyboardInterrupt):
            self.workspace.add('blue', picture('blue', 1), progress=stop)  # the first photo is the last
        for use in self.workspace.close, lambda: self.workspace.labels, lambda: self.workspace.undo():
            with self.assertRaisesRegex(imprintkit.BadArgumentError, 'progress function'):
                self.workspace.add('blue', pictures('blue', 3), progress=lambda done, total: use())
        with unittest.mock.patch.object(self.workspace, '_json', side_effect=imprintkit.errors.CanceledError('')):
            with self.assertRaises(KeyboardInterrupt):  # a signal has interrupted the function outside of Python's try
                self.workspace.add('blue', picture('blue', 1))
        self.workspace.reload()
        self.assertEqual(list(self.workspace.classes), ['red'])

    def test_interrupted_callback(self):
        """Raise KeyboardInterrupt just when ctypes calls back, as Ctrl-C may. ctypes drops it."""
        for at in range(1, 6):
            seen, calls = [], []

            def trace(frame, event, _):
                if event == 'call' and frame.f_code.co_name == 'report':
                    calls.append(event)
                    if len(calls) == at:
                        raise KeyboardInterrupt
            tracer = sys.gettrace()
            sys.settrace(trace)
            try:
                with self.assertRaises(KeyboardInterrupt):
                    self.workspace.add('red', pictures('red', 5), lambda *numbers: seen.append(numbers))
            finally:
                sys.settrace(tracer)
            self.assertEqual(len(seen), at - 1)
            if at < 5:
                self.assertEqual(self.workspace.classes, {})

    def test_threads(self):
        self.train()
        want = [self.workspace.classify(picture('red', n)).scores for n in range(8)]
        wrong = []

        def work():
            for n, scores in enumerate(want):
                if self.workspace.classify(picture('red', n)).scores != scores:
                    wrong.append(n)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])

    def test_close(self):
        self.workspace.close()
        self.workspace.close()
        with self.assertRaisesRegex(imprintkit.BadArgumentError, 'the workspace is closed'):
            self.workspace.classify(picture('red', 1))
        with imprintkit.Workspace(self.folder / 'other') as w:
            w.add('red', picture('red', 1))
        w = imprintkit.Workspace(self.folder / 'other', existing=True)
        del w
        gc.collect()

    def test_model(self):
        self.train()
        exported, labels = self.folder / 'exported.tflite', self.folder / 'labels.txt'
        self.assertEqual(self.workspace.export(exported, labels=labels)['layout'], 'float')
        self.assertEqual(labels.read_text().split('\n')[0], '0  ' + self.workspace.labels[0])
        photo = picture('green', 80)
        with imprintkit.Model(exported) as m:
            self.assertEqual(m.labels, self.workspace.labels)
            self.assertEqual(m.classify(photo).label, self.workspace.classify(photo).label)
            self.assertTrue(np.array_equal(m.embed(photo), self.workspace.embed(photo)))
        # A compiled model on an emulated device, and what it was compiled from.
        with imprintkit.Model(SMALL + '_edgetpu.tflite', emulator=SMALL + '.tflite') as compiled, \
                imprintkit.Model(SMALL + '.tflite', arithmetic='edgetpu') as uncompiled:
            self.assertEqual(compiled.classify(photo).scores, uncompiled.classify(photo).scores)
            self.assertEqual(compiled.classify(photo).device, 'usb:1-1')


if __name__ == '__main__':
    unittest.main()
