"""A Donkey Car part that names what the camera sees, and teaches new things by a button.

It talks to a running `imprint serve` over its Unix socket, and needs nothing but
Python's standard library (3.11). Begin with add_imprint(V, cfg, ctr) in manage.py.

No method raises, whatever the server does, as an exception in a part would stop the
car: a server that is gone or slow shows in the output imprint/state only.
"""

import http.client
import json
import logging
import queue
import socket
import struct
import threading
import time
import urllib.parse

logger = logging.getLogger(__name__)

OUTPUTS = ['imprint/label', 'imprint/score', 'imprint/state']

# The values of imprint/state. A label is given in the first three only.
OK = 'ok'              # label and score are of what is seen now
HOLDING = 'holding'    # a button is held: what is seen is to be taught
LEARNING = 'learning'  # the button was let go: what was seen is being taught
EMPTY = 'empty'        # the server runs, and nothing has been taught yet
WAITING = 'waiting'    # the server runs, and has given no answer lately
OFFLINE = 'offline'    # no server answers at the socket


def add_imprint(V, cfg, ctr=None):
    """Add the part to vehicle V as the configuration says, and its buttons to the
    controller ctr, if that is a joystick. Return the part.

    Call it after the camera and the controller have been added.
    """
    web = getattr(cfg, 'IMPRINT_WEB_BUTTONS', {})
    part = ImprintPart(
        socket_path=getattr(cfg, 'IMPRINT_SOCKET', '/run/imprint/serve.sock'),
        min_score=getattr(cfg, 'IMPRINT_MIN_SCORE', 0.0),
        inputs=['image'] + list(web.values()))
    for button, action in getattr(cfg, 'IMPRINT_BUTTONS', {}).items():
        if hasattr(ctr, 'set_button_down_trigger'):
            ctr.set_button_down_trigger(button, part.press(action))
            ctr.set_button_up_trigger(button, part.release(action))
    images = getattr(cfg, 'IMPRINT_IMAGE', 'cam/image_array')
    V.add(part, inputs=[images] + ['web/' + button for button in web],
          outputs=OUTPUTS, threaded=getattr(cfg, 'IMPRINT_THREADED', True))
    return part


class ImprintPart:
    """The part: run_threaded and update for threaded=True, run for threaded=False.

    inputs says what the part's inputs are: 'image' for an array of the camera (uint8, of
    shape height × width × 3, RGB, or height × width, grey), or the action of a button of
    the web page: 'teach:LABEL', 'remove:LABEL', 'undo' or 'reload'. With images the part
    asks the server what is on them; without, or with None for them, it takes what the
    server sees with a camera of its own.
    """

    def __init__(self, socket_path='/run/imprint/serve.sock', min_score=0.0,
                 inputs=('image',), max_age=1.0, timeout=1.0):
        self.socket_path = socket_path
        self.min_score = min_score
        self.inputs = list(inputs)
        self.max_age = max_age  # seconds after which an answer is not given any more
        self.timeout = timeout  # seconds for the server to answer
        self.retry = 0.5        # seconds between tries to reach a server that is gone

        self._on = True
        self._images = queue.SimpleQueue()  # to update; a put never waits
        self._sees = False                  # whether images come
        self._pressed = {}       # whether the button of each input was pressed last time
        self._answer = ('', 0.0, OFFLINE)
        self._answered = 0.0     # when
        self._refusal = ''       # what the server said last that it can't, to say it once
        self._holding = None     # label
        self._learning = 0       # lets go that the server has not answered yet
        self._server = _Server(socket_path, timeout)
        self._frame = 0          # of the last answer
        self._next_try = 0.0
        self._actions = queue.SimpleQueue()
        self._actor = None

    # What Donkey Car calls.

    def run_threaded(self, *inputs):
        """Give the latest answer at once, and the image to update."""
        try:
            image = self._read(inputs)
            if image is not None:
                self._sees = True
                self._images.put(image)
            return self._outputs()
        except Exception:
            logger.exception('imprint')
            return '', 0.0, OFFLINE

    def update(self):
        """The thread of a threaded part: asks the server again and again."""
        self._start_actor()  # not when a button is pressed, as that takes its time
        while self._on:
            try:
                image = self._newest()
                if image is None and self._sees:
                    continue
                if not self._ask(image):
                    time.sleep(self.retry)
            except Exception:
                logger.exception('imprint')
                time.sleep(self.retry)

    def run(self, *inputs):
        """Ask the server about this very image, and give its answer. It takes as long as
        the server, and at most timeout."""
        try:
            image = self._read(inputs)
            if time.monotonic() >= self._next_try and not self._ask(image, wait=False):
                self._next_try = time.monotonic() + self.retry
            return self._outputs()
        except Exception:
            logger.exception('imprint')
            return '', 0.0, OFFLINE

    def shutdown(self):
        try:
            self._on = False
            self._images.put(None)
            if self._actor is not None:
                self._actions.put(None)
                self._actor.join(self.timeout)
            self._server.close()
        except Exception:
            logger.exception('imprint')

    # Buttons. Each gives a function without arguments for a controller's trigger.

    def press(self, action):
        def imprint_press():
            self._do('press', action)
        return imprint_press

    def release(self, action):
        def imprint_release():
            self._do('release', action)
        return imprint_release

    def toggle(self, action):
        """For buttons that only tell when they are pressed: the first press begins to
        teach, the second ends it."""
        def imprint_toggle():
            self._do('toggle', action)
        return imprint_toggle

    # The rest is the part's own.

    def _read(self, inputs):
        """Take the buttons among the inputs, and return the image."""
        image = None
        for i, (kind, value) in enumerate(zip(self.inputs, inputs)):
            if kind == 'image':
                image = value
                continue
            value = bool(value)
            if value and not self._pressed.get(i):
                self._do('toggle', kind)
            self._pressed[i] = value
        return image

    def _newest(self):
        """Wait a little for the newest image that has not been sent; None is none."""
        image = None
        try:
            if self._sees:
                image = self._images.get(timeout=0.25)
            while True:
                image = self._images.get_nowait()
        except queue.Empty:
            return image

    def _outputs(self):
        label, score, state = self._answer
        if state == OK and time.monotonic() - self._answered > self.max_age:
            label, score, state = '', 0.0, WAITING
        if label and score < self.min_score:
            label = ''
        if state == OFFLINE:
            pass
        elif self._learning:
            state = LEARNING
        elif self._holding is not None:
            state = HOLDING
        return label, score, state

    def _ask(self, image, wait=True):
        """Get the next answer; False if the server does not give one."""
        try:
            if image is not None:
                answer = self._server.call('POST', '/v1/frames', _bmp(image), 'image/bmp')
            else:
                path = '/v1/result'
                if wait:
                    milliseconds = int(500 * self.timeout)
                    path += f'?after={self._frame}&wait={milliseconds}'
                answer = self._server.call('GET', path)
            new = self._read_answer(answer)
        except _Refused as e:
            if self._answer[2] == OFFLINE:
                self._answer = ('', 0.0, WAITING)
            if e.status == 503:  # a newer frame came first, or it is busy
                return True
            if str(e) != self._refusal:
                logger.warning('imprint: %s', e)
            self._refusal = str(e)
            return False
        except (OSError, http.client.HTTPException, ValueError, TypeError) as e:
            self._server.close()
            if self._answer[2] != OFFLINE:
                logger.warning('imprint: no server at %s: %s', self.socket_path, e)
            self._answer = ('', 0.0, OFFLINE)
            return False
        if image is None and wait and answer.get('frame') == self._frame:
            return True  # nothing new
        self._frame, self._refusal = answer.get('frame') or 0, ''
        self._answer, self._answered = new, time.monotonic()
        return True

    @staticmethod
    def _read_answer(answer):
        label = '' if answer.get('unknown') else answer.get('voted') or answer.get('label') or ''
        state = OK if answer.get('label') or answer.get('top') else EMPTY
        return str(label), float(answer.get('score') or 0.0), state

    def _do(self, edge, action):
        """Hand what a button does to the actor, as the server may take its time. It is
        dropped when no server answers: a press must not teach what is seen later."""
        try:
            self._start_actor()
            self._actions.put((edge, action))
        except Exception:
            logger.exception('imprint')

    def _start_actor(self):
        if self._actor is None:
            self._actor = threading.Thread(target=self._act, name='imprint buttons', daemon=True)
            self._actor.start()

    def _act(self):
        server = _Server(self.socket_path, 30.0)  # teaching many frames takes its time
        while True:
            todo = self._actions.get()
            if todo is None or not self._on:
                server.close()
                return
            try:
                sentence = self._act_on(server, *todo)
                if sentence:
                    logger.info('imprint: %s', sentence)
            except Exception as e:
                server.close()
                self._holding = None
                logger.warning('imprint: button for %s: %s', todo[1], e)

    def _act_on(self, server, edge, action):
        verb, _, label = action.partition(':')
        if verb != 'teach':
            if edge == 'release':
                return ''
            if verb == 'remove':
                return server.call('DELETE', '/v1/classes/' + urllib.parse.quote(label, safe='')).get('sentence')
            return server.call('POST', '/v1/' + verb).get('sentence')
        held = self._holding == label
        if edge == 'press' or edge == 'toggle' and not held:
            answer = server.call('POST', '/v1/teach', {'label': label, 'action': 'start'})
            self._holding = label
            return answer.get('sentence')
        if not held:
            return ''
        self._learning += 1
        try:
            return server.call('POST', '/v1/teach', {'label': label, 'action': 'stop'}).get('sentence')
        finally:
            self._learning -= 1
            self._holding = None


class _Refused(Exception):
    """The server's word that it can't."""

    def __init__(self, status, error):
        super().__init__(error)
        self.status = status


class _Server:
    """A connection to the server, opened when it is needed. One thread uses it."""

    def __init__(self, path, timeout):
        self._connection = _UnixConnection(path, timeout)
        self.open = False

    def call(self, method, path, body=None, kind='application/json'):
        """Return the answer, a dict, or raise _Refused, OSError, HTTPException or
        ValueError."""
        headers = {}
        if body is not None:
            headers['Content-Type'] = kind
            if isinstance(body, dict):
                body = json.dumps(body).encode()
        for again in (self.open, False):
            try:
                self._connection.request(method, path, body, headers)
                response = self._connection.getresponse()
                text = response.read(1 << 20)
                break
            except TimeoutError:
                raise
            except (OSError, http.client.HTTPException):
                self.close()
                if not again:  # else the server closed an idle connection, perhaps
                    raise
        self.open = True
        answer = json.loads(text)
        if not isinstance(answer, dict):
            raise ValueError('an answer that is no object')
        if response.status >= 400:
            raise _Refused(response.status, answer.get('error') or f'status {response.status}')
        return answer

    def close(self):
        self.open = False
        self._connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__('localhost', timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            self.sock = None
            raise


def _bmp(image):
    """Write an array as a BMP file: no pixel is changed, nothing but slices is needed of
    the array, and at a car's sizes it takes less time than a JPEG."""
    if len(image.shape) == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if str(image.dtype) != 'uint8' or 0 in image.shape or len(image.shape) != 2 and image.shape[2:] != (3,):
        raise ValueError(f'an image of {image.dtype} and shape {image.shape}')
    height, width = image.shape[:2]
    if len(image.shape) == 3:
        bits, palette, rows = 24, b'', image[::-1, :, ::-1].tobytes()  # from the bottom, B G R
    else:
        bits, palette, rows = 8, b''.join(bytes((v, v, v, 0)) for v in range(256)), image[::-1].tobytes()
    size = width * bits // 8
    if size % 4:
        pad = bytes(-size % 4)
        rows = b''.join(rows[y * size:(y + 1) * size] + pad for y in range(height))
    start = 14 + 40 + len(palette)
    head = struct.pack('<2sIHHI', b'BM', start + len(rows), 0, 0, start)
    info = struct.pack('<IiiHHIIiiII', 40, width, height, 1, bits, 0, len(rows), 2835, 2835, len(palette) // 4, 0)
    return head + info + palette + rows
