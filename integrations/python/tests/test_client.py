"""Test the client with a running imprint serve."""

import contextlib
import os
import re
import socket
import subprocess
import tempfile
import threading
import unittest

import imprintkit
from environment import PROGRAM, Image, picture, pictures, ppm


TOKEN = '0123456789abcdef'


class ClientTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.socket = os.path.join(folder.name, 'serve.sock')
        self.server = subprocess.Popen(
            [PROGRAM, 'serve', '--workspace', os.path.join(folder.name, 'workspace'), '--socket', self.socket,
             '--listen', '127.0.0.1:0', '--token', TOKEN, '--device', 'cpu'],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(self.stop)
        printed, address = '', None
        while address is None:
            line = self.server.stdout.readline()
            self.assertTrue(line, f'the server ended after printing: {printed}')
            printed += line
            address = re.search(r'http://127\.0\.0\.1:\d+', line)
        self.address = address[0]
        self.reader = threading.Thread(target=self.server.stdout.read)  # a full pipe would stop the server
        self.reader.start()
        self.client = imprintkit.Client(self.socket)
        self.addCleanup(self.client.close)

    def stop(self):
        self.server.terminate()
        self.server.wait()
        self.reader.join()
        self.server.stdout.close()

    def test_classes(self):
        c = self.client
        for label in 'red', 'blue', 'gr ü/n?':
            answer = c.add(label, pictures({'gr ü/n?': 'green'}.get(label, label), 4))
        self.assertEqual(answer['generation'], 3)
        self.assertEqual(set(c.labels()) - {'unknown'}, {'red', 'blue', 'gr ü/n?'})
        photo = picture('red', 60)
        want = c.classify(photo)
        self.assertEqual((want['label'], want['unknown']), ('red', False))
        for same in ppm(photo), Image(photo):
            self.assertEqual(c.classify(same)['top'], want['top'])
        photos = {k['label']: k['photos'] for k in c.classes()['classes']}
        self.assertEqual({k: len(v) for k, v in photos.items()}, {'red': 4, 'blue': 4, 'gr ü/n?': 4})
        self.assertTrue(c.thumbnail(photos['red'][0]['sha256']).startswith(b'\xff\xd8'))
        c.remove_photo(photos['red'][0]['sha256'])
        c.rename('gr ü/n?', 'green')
        c.retrain(head='mean')
        c.remove('green')
        self.assertIn('undid', c.undo()['sentence'])
        self.assertIn('green', c.labels())
        self.assertEqual(c.model()[4:8], b'TFL3')
        self.assertIn('imprint_images 11', c.metrics())

    def test_frames(self):
        c = self.client
        self.assertEqual(c.health()['source']['state'], 'none')
        with c.teaching('red') as outcome:
            for n in range(3):
                c.frame(picture('red', n))
        self.assertEqual((outcome['state'], outcome['frames']), ('done', 3))
        with contextlib.suppress(ZeroDivisionError), c.teaching('blue'):
            c.frame(picture('blue', 0))
            raise ZeroDivisionError
        self.assertEqual([k['label'] for k in c.classes()['classes']], ['red'])
        self.assertEqual(c.result()['frame'], 4)
        self.assertIsNone(c.result(after=4, wait=0.01))
        self.assertEqual(c.frame_jpeg(), ppm(picture('blue', 0)))
        results = c.results()
        self.assertEqual(next(results)['frame'], 4)
        c.frame(picture('red', 9))
        self.assertEqual(next(results)['frame'], 5)
        results.close()
        self.assertIn('classes', {kind for kind, _ in [next(c.events('classes'))]})

    def test_token(self):
        with imprintkit.Client(self.address, token=TOKEN) as c:
            c.add('red', picture('red', 1))
            self.assertEqual(c.classify(picture('red', 2))['label'], 'red')
            self.assertEqual(c.reload()['generation'], 1)
        with imprintkit.Client(self.address) as c, self.assertRaises(imprintkit.ServerError) as raised:
            c.labels()
        self.assertEqual(raised.exception.status, 401)
        self.assertTrue(raised.exception.hint)
        self.assertRaises(imprintkit.BadArgumentError, imprintkit.Client, 'ftp://host')

    def test_errors(self):
        for status, f in [(404, lambda: self.client.remove('yellow')), (415, lambda: self.client.classify(b'no photo')),
                          (409, self.client.undo), (400, lambda: self.client.teach('start', 'two\nlines'))]:
            with self.subTest(status), self.assertRaises(imprintkit.ServerError) as raised:
                f()
            self.assertEqual(raised.exception.status, status)
        self.client.add('red', picture('red', 1))
        events = self.client.events('classes')
        next(events)
        self.server.terminate()
        self.server.wait()
        with self.assertRaises(imprintkit.ServerError):
            for _ in events:  # what the server sent before it ended
                pass
        with self.assertRaisesRegex(imprintkit.ServerError, 'no answer from imprint serve at') as raised:
            self.client.classify(picture('red', 1))
        self.assertEqual((raised.exception.status, raised.exception.hint), (None, 'start the server with: imprint serve'))

    def test_idle_connection(self):
        """A server may close a connection that is idle. Questions are asked again; changes use a new connection."""
        self.client.add('red', picture('red', 1))
        for f in self.client.labels, lambda: self.client.classify(picture('red', 2)), self.client.undo:
            self.client.health()
            self.client._local.connection.sock.shutdown(socket.SHUT_RDWR)
            f()


if __name__ == '__main__':
    unittest.main()
