"""Test the part alone, against a fake server.

    python3 test_part.py
"""

import argparse
import http.server
import json
import os
import socket
import socketserver
import tempfile
import threading
import time
import unittest

import imprint_part
from imprint_part import EMPTY, HOLDING, LEARNING, OFFLINE, OK, OUTPUTS, WAITING, ImprintPart


class Image:
    """A replacement for numpy arrays, with only the attributes that the part needs."""

    dtype = 'uint8'

    def __init__(self, rows):
        self.rows = rows
        self.shape = (len(rows), len(rows[0])) + ((3,) if isinstance(rows[0][0], tuple) else ())

    def __getitem__(self, slices):
        rows = self.rows[::-1]
        if isinstance(slices, tuple):
            assert slices == (slice(None, None, -1), slice(None), slice(None, None, -1))
            rows = [[p[::-1] for p in row] for row in rows]
        return Image(rows)

    def tobytes(self):
        return b''.join(bytes(p) if isinstance(p, tuple) else bytes((p,)) for row in self.rows for p in row)


RED = Image([[(255, 0, 0)] * 3] * 2)


class FakeServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A server whose answers come from a dict.

    answers maps (method, path without query) to (status, answer). An answer is an object
    for JSON, bytes, or a function from the request body to either.
    """

    daemon_threads = True

    def __init__(self, path, answers):
        self.requests = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def answer(self):
                body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
                key = (self.command, self.path.partition('?')[0])
                fake.requests.append((*key, body))
                status, answer = answers.get(key, (404, {'error': 'not found'}))
                if callable(answer):
                    answer = answer(body)
                if not isinstance(answer, bytes):
                    answer = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header('Content-Length', str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_DELETE = answer

            def address_string(self):
                return 'client'

            def log_message(self, *args):
                pass

        self.open = []
        super().__init__(path, Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def process_request(self, request, client_address):
        self.open.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        pass  # clients that disconnect

    def stop(self):
        self.shutdown()
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # already closed
        self.server_close()
        os.unlink(self.server_address)


def until(condition, seconds=60):
    """Wait until condition() is true, and return its value."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got or time.monotonic() > end:
            return got
        time.sleep(0.01)


CONE = {'frame': 1, 'label': 'cone', 'score': 0.9, 'unknown': False, 'top': [{'label': 'cone', 'score': 0.9}]}


class PartTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, 'serve.sock')

    def part(self, threaded=False, **arguments):
        part = ImprintPart(self.path, **{'timeout': 60, 'max_age': 60, **arguments})
        part.retry = 0.02
        self.addCleanup(part.shutdown)
        if threaded:
            threading.Thread(target=part.update, daemon=True).start()
        return part

    def server(self, answers):
        server = FakeServer(self.path, answers)
        return server

    def test_answers(self):
        for answer, want in [
            (CONE, ('cone', 0.9, OK)),
            (CONE | {'voted': 'ball'}, ('ball', 0.9, OK)),
            (CONE | {'unknown': True}, ('', 0.9, OK)),
            ({'frame': 1, 'label': '', 'score': 0, 'unknown': True, 'top': []}, ('', 0.0, EMPTY)),
            ({'frame': 1, 'label': 'cone', 'score': 0.4, 'top': [1]}, ('', 0.4, OK)),  # below min_score
        ]:
            server = self.server({('POST', '/v1/frames'): (200, answer)})
            self.assertEqual(self.part(min_score=0.5).run(RED), want)
            server.stop()

    def test_never_raises(self):
        for status, answer, want in [
            (200, b'', OFFLINE), (200, b'not JSON', OFFLINE), (200, b'[1]', OFFLINE), (200, b'{"frame": "x", "score": "high", "top": 1}', OFFLINE),
            (200, b'{"label": 5, "score": null, "top": 7}', OK), (500, {'error': 'broken'}, WAITING), (404, b'<html>', OFFLINE), (503, {'error': 'busy'}, WAITING),
        ]:
            server = self.server({('POST', '/v1/frames'): (status, answer)})
            with self.subTest(answer=answer):
                part = self.part()
                self.assertEqual(len(part.run(RED)), len(OUTPUTS))
                self.assertEqual(part.run_threaded(RED)[2], want)
            server.stop()
        part = self.part(inputs=['image', 'teach:cone'])
        for inputs in [(), (None,), ('text',), (5, 6, 7), (Image([[1.5]]), object())]:
            self.assertEqual(part.run(*inputs), ('', 0.0, OFFLINE))
            self.assertEqual(part.run_threaded(*inputs), ('', 0.0, OFFLINE))

    def test_no_server(self):
        with socket.socket(socket.AF_UNIX) as dead:  # a socket without a listener
            dead.bind(self.path)
        part = self.part(threaded=True)
        time.sleep(0.1)
        self.assertEqual(part.run_threaded(RED), ('', 0.0, OFFLINE))
        os.unlink(self.path)
        server = self.server({('POST', '/v1/frames'): (200, CONE)})
        self.assertTrue(until(lambda: part.run_threaded(RED) == ('cone', 0.9, OK)))
        server.stop()

    def test_silent_server(self):
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(self.path)
            silent.listen()
            part = self.part(timeout=0.1)
            self.assertEqual(part.run(RED), ('', 0.0, OFFLINE))

    def test_own_camera(self):
        frames = iter(range(1, 1000))
        server = self.server({('GET', '/v1/result'): (200, lambda _: CONE | {'frame': next(frames)})})
        part = self.part(threaded=True, inputs=[])
        self.assertTrue(until(lambda: part.run_threaded() == ('cone', 0.9, OK)))
        self.assertEqual(self.part(inputs=[]).run(), ('cone', 0.9, OK))
        server.stop()

    def test_old_answer(self):
        server = self.server({('POST', '/v1/frames'): (200, CONE)})
        part = self.part(threaded=True, max_age=0.2)
        self.assertTrue(until(lambda: part.run_threaded(RED) == ('cone', 0.9, OK)))
        self.assertTrue(until(lambda: part.run_threaded(None) == ('', 0.0, WAITING)))
        server.stop()

    def test_buttons(self):
        learned = threading.Event()

        def teach(body):
            if json.loads(body)['action'] == 'stop':
                learned.wait(60)
            return {'sentence': 'yes'}

        server = self.server({('POST', '/v1/frames'): (200, CONE), ('POST', '/v1/teach'): (200, teach), ('POST', '/v1/undo'): (200, {}), ('DELETE', '/v1/classes/a%2Fb'): (200, {})})
        part = self.part(inputs=['image', 'teach:cone', 'undo', 'remove:a/b'])
        sent = lambda: [r[1:] if r[0] == 'POST' else r[:2] for r in server.requests if r[1] != '/v1/frames']
        start, stop = ('/v1/teach', b'{"label": "cone", "action": "start"}'), ('/v1/teach', b'{"label": "cone", "action": "stop"}')
        # A controller button is held.
        down, up = part.press('teach:cone'), part.release('teach:cone')
        self.assertTrue(down.__name__)  # donkeycar's print_controls prints the name
        down()
        self.assertTrue(until(lambda: part.run(RED)[2] == HOLDING))
        up()
        self.assertTrue(until(lambda: part.run(RED)[2] == LEARNING))
        learned.set()
        self.assertTrue(until(lambda: part.run(RED)[2] == OK))
        self.assertEqual(sent(), [start, stop])
        # A web button is pressed twice.
        part.run(RED, True, False, False)
        part.run(RED, True, False, False)  # still the same press
        part.run(RED, False, True, False)
        part.run(RED, True, None, True)
        self.assertTrue(until(lambda: len(sent()) == 6))
        self.assertEqual(sent()[2:], [start, ('/v1/undo', b''), stop, ('DELETE', '/v1/classes/a%2Fb')])
        server.stop()
        down()  # without a server
        self.assertTrue(until(lambda: part.run(RED)[2] == OFFLINE))

    def test_bmp(self):
        bmp = imprint_part._bmp
        self.assertEqual(bmp(RED)[:2] + bmp(RED)[54:], b'BM' + 2 * (b'\0\0\xff' * 3 + b'\0\0\0'))
        gray = bmp(Image([[1, 2], [3, 4]]))
        self.assertEqual((len(gray), gray[-8:]), (54 + 1024 + 8, b'\3\4\0\0\1\2\0\0'))
        for shape in [(2, 2, 2), (0, 4), (2, 0, 3), (3,)]:
            odd = Image([[1]])
            odd.shape = shape
            with self.assertRaises(ValueError):
                bmp(odd)

    def test_boxes(self):
        cat = {'label': 'tom', 'score': 0.9, 'box': [0.1, 0.2, 0.5, 1], 'object': 'cat', 'object_score': 0.7}
        answer = {'frame': 1, 'label': 'tom', 'score': 0.9, 'unknown': False, 'top': [], 'boxes': [cat]}
        for body, want in (
                (answer, ('tom', 0.9, OK, [cat])),
                (answer | {'label': '', 'score': 0, 'unknown': True, 'boxes': []}, ('', 0.0, OK, [])),
                (answer | {'boxes': None}, ('tom', 0.9, OK, [])),
                (b'not JSON', ('', 0.0, OFFLINE, []))):
            server = self.server({('POST', '/v1/frames'): (200, body)})
            self.assertEqual(self.part(boxes=True).run(RED), want)
            self.assertEqual(self.part().run(RED), want[:3])
            server.stop()

        class Vehicle:
            def add(self, part, **kwargs):
                self.outputs = kwargs['outputs']

        V = Vehicle()
        imprint_part.add_imprint(V, argparse.Namespace(IMPRINT_BOXES=True))
        self.assertEqual(V.outputs, OUTPUTS + ['imprint/boxes'])

    def test_add_imprint(self):
        class Vehicle:
            def add(self, *args, **kwargs):
                self.added = args, kwargs

        class Joystick:
            def __init__(self):
                self.down, self.up = {}, {}
                self.set_button_down_trigger, self.set_button_up_trigger = self.down.__setitem__, self.up.__setitem__

        V, ctr = Vehicle(), Joystick()
        cfg = argparse.Namespace(IMPRINT_SOCKET=self.path, IMPRINT_BUTTONS={'square': 'teach:cone'}, IMPRINT_WEB_BUTTONS={'w1': 'teach:cone', 'w2': 'undo'})
        part = imprint_part.add_imprint(V, cfg, ctr)
        self.assertEqual(V.added, ((part,), {'inputs': ['cam/image_array', 'web/w1', 'web/w2'], 'outputs': OUTPUTS, 'threaded': True}))
        self.assertEqual((list(ctr.down), list(ctr.up), part.inputs), (['square'], ['square'], ['image', 'teach:cone', 'undo']))
        imprint_part.add_imprint(V, argparse.Namespace(), object())  # a web controller has no triggers


if __name__ == '__main__':
    unittest.main()
