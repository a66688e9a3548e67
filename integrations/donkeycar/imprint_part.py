"""A Donkey Car part that labels camera images and learns new classes while a button is held.

Call add_imprint(V, cfg, ctr) in manage.py. The part talks to a running `imprint serve`
over its Unix socket. It needs Python 3.11 and only the standard library.

No method raises, because an exception in a part stops the car. If the server is gone or
slow, the output imprint/state says so.
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
BOXES = 'imprint/boxes'  # the fourth output of a part with boxes

# These are the values of imprint/state. Only the first three come with a label.
OK = 'ok'              # label and score are current
HOLDING = 'holding'    # a teach button is held, and the server collects photos
LEARNING = 'learning'  # the button was released, and the server adds the photos
EMPTY = 'empty'        # the workspace has no classes yet
WAITING = 'waiting'    # the server runs but has sent no recent result
OFFLINE = 'offline'    # no server answers on the socket


def add_imprint(V, cfg, ctr=None):
    """Add an ImprintPart to vehicle V and return it.

    The settings are IMPRINT_SOCKET, IMPRINT_MIN_SCORE, IMPRINT_BUTTONS,
    IMPRINT_WEB_BUTTONS, IMPRINT_IMAGE, IMPRINT_BOXES and IMPRINT_THREADED in cfg.
    IMPRINT_BUTTONS applies if ctr is a joystick controller. Call add_imprint after the camera and the
    controller have been added.
    """
    web = getattr(cfg, 'IMPRINT_WEB_BUTTONS', {})
    boxes = getattr(cfg, 'IMPRINT_BOXES', False)
    part = ImprintPart(
        socket_path=getattr(cfg, 'IMPRINT_SOCKET', '/run/imprint/serve.sock'),
        min_score=getattr(cfg, 'IMPRINT_MIN_SCORE', 0.0),
        inputs=['image'] + list(web.values()), boxes=boxes)
    for button, action in getattr(cfg, 'IMPRINT_BUTTONS', {}).items():
        if hasattr(ctr, 'set_button_down_trigger'):
            ctr.set_button_down_trigger(button, part.press(action))
            ctr.set_button_up_trigger(button, part.release(action))
    images = getattr(cfg, 'IMPRINT_IMAGE', 'cam/image_array')
    V.add(part, inputs=[images] + ['web/' + button for button in web],
          outputs=OUTPUTS + [BOXES] * boxes, threaded=getattr(cfg, 'IMPRINT_THREADED', True))
    return part


class ImprintPart:
    """The Donkey Car part, with the outputs OUTPUTS. It can run threaded or not.

    inputs lists the kind of each input of the part:

    - 'image': an array from the camera, uint8, of shape (height, width, 3) in RGB or
      (height, width) in gray. The part sends it to the server to classify.
    - an action, for a button of the web page: 'teach:LABEL', 'remove:LABEL', 'undo' or
      'reload'. For 'teach', the first press starts teaching and the second ends it.

    Without an image, or while it is None, the part reports the latest result from the
    server's own camera.

    Results older than max_age seconds are not reported. Requests to the server time out
    after timeout seconds. A label with a score below min_score is reported as ''.

    With boxes, there is a fourth output, BOXES: a list of what the detector of the
    workspace found, best first. Each is a dict with label, score and box, the left, top,
    right and bottom edges from 0 to 1. Label and score are those of the
    largest object.
    """

    def __init__(self, socket_path='/run/imprint/serve.sock', min_score=0.0,
                 inputs=('image',), max_age=1.0, timeout=1.0, boxes=False):
        self.socket_path = socket_path
        self.min_score = min_score
        self.inputs = list(inputs)
        self.max_age = max_age
        self.timeout = timeout
        self.boxes = boxes
        self.retry = 0.5        # seconds between attempts to reach the server

        self._on = True
        self._images = queue.SimpleQueue()  # images for update; put never blocks
        self._sees = False       # whether images have arrived
        self._pressed = {}       # whether the button at each input was pressed in the last loop
        self._result = ('', 0.0, OFFLINE)
        self._result_time = 0.0
        self._found = []         # the boxes of the last result
        self._refusal = ''       # the last error from the server, to log it once
        self._holding = None     # label of the held teach button, or None
        self._learning = 0       # number of releases that the server has not answered yet
        self._server = _Server(socket_path, timeout)
        self._frame = 0          # number of the last result's frame
        self._next_try = 0.0
        self._actions = queue.SimpleQueue()
        self._actor = None

    # Donkey Car calls these methods.

    def run_threaded(self, *inputs):
        """Pass the image to update and return the latest result without waiting."""
        try:
            image = self._read(inputs)
            if image is not None:
                self._sees = True
                self._images.put(image)
            return self._outputs()
        except Exception:
            logger.exception('imprint')
            return self._with_boxes('', 0.0, OFFLINE, [])

    def update(self):
        """Query the server in a loop. Donkey Car runs it in its own thread."""
        self._start_actor()  # starting a thread at the first press would delay the loop
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
        """Classify this image and return the result. Wait up to timeout seconds."""
        try:
            image = self._read(inputs)
            if time.monotonic() >= self._next_try and not self._ask(image, wait=False):
                self._next_try = time.monotonic() + self.retry
            return self._outputs()
        except Exception:
            logger.exception('imprint')
            return self._with_boxes('', 0.0, OFFLINE, [])

    def shutdown(self):
        """Stop the threads and close the connections."""
        try:
            self._on = False
            self._images.put(None)
            if self._actor is not None:
                self._actions.put(None)
                self._actor.join(self.timeout)
            self._server.close()
        except Exception:
            logger.exception('imprint')

    # These methods return triggers for controller buttons, which are functions without arguments.

    def press(self, action):
        """Return the trigger for pressing the button of an action."""
        def imprint_press():
            self._do('press', action)
        return imprint_press

    def release(self, action):
        """Return the trigger for releasing the button of an action."""
        def imprint_release():
            self._do('release', action)
        return imprint_release

    def toggle(self, action):
        """Return the trigger for a button that only reports presses.

        For 'teach', the first press starts teaching and the second ends it.
        """
        def imprint_toggle():
            self._do('toggle', action)
        return imprint_toggle

    # Implementation.

    def _read(self, inputs):
        """Return the image among the inputs, and handle button presses."""
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
        """Return the newest unsent image, or None if none arrives within a short time."""
        image = None
        try:
            if self._sees:
                image = self._images.get(timeout=0.25)
            while True:
                image = self._images.get_nowait()
        except queue.Empty:
            return image

    def _outputs(self):
        label, score, state = self._result
        found = self._found if state == OK else []
        if state == OK and time.monotonic() - self._result_time > self.max_age:
            label, score, state, found = '', 0.0, WAITING, []
        if label and score < self.min_score:
            label = ''
        if state == OFFLINE:
            pass
        elif self._learning:
            state = LEARNING
        elif self._holding is not None:
            state = HOLDING
        return self._with_boxes(label, score, state, found)

    def _with_boxes(self, label, score, state, found):
        return (label, score, state, found) if self.boxes else (label, score, state)

    def _ask(self, image, wait=True):
        """Get the next result from the server. Return False if that fails."""
        try:
            if image is not None:
                answer = self._server.call('POST', '/v1/frames', _bmp(image), 'image/bmp')
            else:
                path = '/v1/result'
                if wait:
                    milliseconds = int(500 * self.timeout)
                    path += f'?after={self._frame}&wait={milliseconds}'
                answer = self._server.call('GET', path)
            new = self._parse(answer)
        except _Refused as e:
            if self._result[2] == OFFLINE:
                self._result = ('', 0.0, WAITING)
            if e.status == 503:  # the server is busy, or a newer frame took precedence
                return True
            if str(e) != self._refusal:
                logger.warning('imprint: %s', e)
            self._refusal = str(e)
            return False
        except (OSError, http.client.HTTPException, ValueError, TypeError) as e:
            self._server.close()
            if self._result[2] != OFFLINE:
                logger.warning('imprint: no server at %s: %s', self.socket_path, _reason(e))
            self._result = ('', 0.0, OFFLINE)
            return False
        if image is None and wait and answer.get('frame') == self._frame:
            return True  # nothing new
        self._frame, self._refusal = answer.get('frame') or 0, ''
        boxes = answer.get('boxes')
        self._found = boxes if isinstance(boxes, list) else []
        self._result, self._result_time = new, time.monotonic()
        return True

    @staticmethod
    def _parse(answer):
        label = '' if answer.get('unknown') else answer.get('voted') or answer.get('label') or ''
        # A detector that finds nothing gives an empty list.
        state = OK if answer.get('label') or answer.get('top') or answer.get('boxes') == [] else EMPTY
        return str(label), float(answer.get('score') or 0.0), state

    def _do(self, edge, action):
        """Queue an action for the actor thread, because the server may be slow.

        If no server answers, the actor drops the action, because a press must not add
        photos that the camera takes later.
        """
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
        server = _Server(self.socket_path, 30.0)  # adding many photos takes a while
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
                logger.warning('imprint: %s failed: %s', todo[1], _reason(e))

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


def _reason(e):
    """Return the message of an exception, without the error number."""
    return getattr(e, 'strerror', None) or e


class _Refused(Exception):
    """An HTTP error status from the server."""

    def __init__(self, status, error):
        super().__init__(error)
        self.status = status


class _Server:
    """A connection to the server, opened on demand. Only one thread may use it."""

    def __init__(self, path, timeout):
        self._connection = _UnixConnection(path, timeout)
        self.open = False

    def call(self, method, path, body=None, kind='application/json'):
        """Send a request and return the answer, a dict.

        Raise _Refused, OSError, HTTPException or ValueError.
        """
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
                if not again:  # the server may have closed an idle connection
                    raise
        self.open = True
        answer = json.loads(text)
        if not isinstance(answer, dict):
            raise ValueError('the answer is not a JSON object')
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
    """Return an image array as a BMP file.

    BMP is lossless and needs only slicing. At the image sizes of a car, encoding takes less
    time than JPEG.
    """
    if len(image.shape) == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if str(image.dtype) != 'uint8' or 0 in image.shape or len(image.shape) != 2 and image.shape[2:] != (3,):
        raise ValueError(f'unsupported image of type {image.dtype} and shape {image.shape}')
    height, width = image.shape[:2]
    if len(image.shape) == 3:
        bits, palette, rows = 24, b'', image[::-1, :, ::-1].tobytes()  # bottom row first, BGR
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
