"""Test the part in donkeycar's vehicle loop, with a recorded tub and a real server.

    python3 test_vehicle.py --imprint FILE --photos DIR

FILE is the imprint command. DIR has photos in DIR/cone, DIR/ball and so on, as
`go run ./tools/photos -out DIR -n 40` makes them. The test needs the package donkeycar
(`pip install donkeycar` in a virtual environment of Python 3.11) and takes about 20 seconds.

The vehicle runs at 20 loops per second and replays photos from a tub. Cones are trained
from the tub, balls while a controller button is held, and arrows by two presses of a web
button. Then the server is killed and restarted. At the end the test prints how long the
part takes per loop.
"""

import argparse
import collections
import glob
import logging
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

try:
    os.environ.setdefault('LOGLEVEL', 'WARNING')
    import donkeycar
    import numpy
    from donkeycar.parts.controller import PS4JoystickController
    from donkeycar.parts.tub_v2 import Tub
    from PIL import Image
except ImportError as e:
    print(f'donkeycar cannot be imported: {e}')
    sys.exit(3)

from imprint_part import HOLDING, OFFLINE, OK, add_imprint

HZ = 20
WINDOW = 40     # the loops in a row in which the part must report what a step wants
PATIENCE = 120  # how long a step may take, in seconds, on a busy machine


def record_tub(folder, photos):
    """Record the photos with donkeycar, one session per class."""
    for label in ('cone', 'ball', 'arrow'):
        tub = Tub(folder, inputs=['cam/image_array', 'user/angle', 'user/mode', 'shows'], types=['image_array', 'float', 'str', 'str'])
        for name in sorted(glob.glob(os.path.join(photos, label, '*'))):
            picture = Image.open(name).convert('RGB').resize((160, 120))
            tub.write_record({'cam/image_array': numpy.asarray(picture), 'user/angle': 0.5, 'user/mode': 'user', 'shows': label})
        tub.close()
    tub = Tub(folder)
    tub.delete_records([3])
    tub.close()


class Camera:
    """A part that replays a tub's photos of one class. Set shows to change the class."""

    def __init__(self, folder):
        self.images = {}
        tub = Tub(folder, read_only=True)
        for record in tub:
            picture = Image.open(os.path.join(folder, 'images', record['cam/image_array']))
            self.images.setdefault(record['shows'], []).append(numpy.asarray(picture))
        tub.close()
        self.shows = 'cone'
        self.count = 0

    def run(self):
        self.count += 1
        images = self.images[self.shows]
        return images[self.count % len(images)]


class Joystick:
    """A fake joystick for the controller to poll."""

    def __init__(self):
        self.events = []

    def poll(self):
        time.sleep(0.005)
        return (*(self.events.pop(0) if self.events else (None, None)), None, None)


class Nothing:
    """A part that does nothing, to measure the cost of the loop itself."""

    def run(self, image):
        return None


class Step:
    """An action, and what the part must report after it: the state in WINDOW loops in a row, and the label in nine of ten."""

    def __init__(self, name, action, state, label=None):
        self.name, self.action, self.state, self.label = name, action, state, label

    def reached(self, reports):
        right = sum(self.label in (None, label) for label, _ in reports)
        return len(reports) == WINDOW and all(state == self.state for _, state in reports) and right > 0.9 * WINDOW


class Script:
    """A part that carries out steps, one after the other, and then stops the vehicle."""

    def __init__(self, vehicle, steps):
        self.vehicle, self.steps = vehicle, collections.deque(steps)
        self.began = None  # when the current step began
        self.loops = []    # times
        self.reports = collections.deque(maxlen=WINDOW)  # pairs of a label and a state

    def run(self, label, score, state):
        now = time.monotonic()
        self.loops.append(now)
        self.reports.append((label, state))
        if self.began is not None:
            if not self.steps[0].reached(self.reports):
                if now - self.began > PATIENCE:
                    print(f'FAILED: {self.steps[0].name}; the last reports: {list(self.reports)}')
                    self.vehicle.on = False
                return False
            print(f'ok: {self.steps.popleft().name}')
            if not self.steps:
                self.vehicle.on = False
                return False
        self.began = now
        self.reports.clear()
        return self.steps[0].action() == 'press'


class Server:
    def __init__(self, imprint, workspace, socket):
        self.command = [imprint, 'serve', '--workspace', workspace, '--socket', socket, '--listen', 'none', '--source', 'none']
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        return self.process.wait(60)


def drive(options, scratch, threaded):
    tub, workspace, socket = (os.path.join(scratch, name) for name in ('tub', 'workspace', 'serve.sock'))
    os.mkdir(tub)
    record_tub(tub, options.photos)
    # A classifier needs two classes.
    add = [options.imprint, 'add', '--workspace', workspace]
    print(subprocess.run(add + ['--label', 'cone', '--tub', tub, '--where', 'shows=cone'], check=True, capture_output=True, text=True).stdout, end='')
    subprocess.run(add + ['--label', 'box', os.path.join(options.photos, 'box')], check=True, capture_output=True)

    server, joystick = Server(options.imprint, workspace, socket), Joystick()
    camera = Camera(tub)
    cfg = argparse.Namespace(IMPRINT_SOCKET=socket, IMPRINT_BUTTONS={'square': 'teach:ball'}, IMPRINT_WEB_BUTTONS={'w1': 'teach:arrow'}, IMPRINT_THREADED=threaded)
    V = donkeycar.vehicle.Vehicle()

    def hold_button():
        camera.shows = 'ball'
        joystick.events.append(('square', 1))

    def press_button():
        camera.shows = 'arrow'
        return 'press'

    script = Script(V, [
        Step('offline before the server starts', lambda: None, OFFLINE, ''),
        Step('cones are classified', server.start, OK, 'cone'),
        Step('holding while the controller button is held', hold_button, HOLDING),
        Step('balls are classified after training', lambda: joystick.events.append(('square', 0)), OK, 'ball'),
        Step('holding after a press of the web button', press_button, HOLDING),
        Step('arrows are classified after training', lambda: 'press', OK, 'arrow'),
        Step('offline and no label after the kill', server.kill, OFFLINE, ''),
        Step('arrows are classified after the restart', server.start, OK, 'arrow'),
        Step('cones are classified after the restart', lambda: setattr(camera, 'shows', 'cone'), OK, 'cone'),
    ])
    V.add(camera, outputs=['cam/image_array'])
    ctr = PS4JoystickController()
    ctr.js = joystick
    V.add(ctr, inputs=['cam/image_array', 'user/mode', 'recording'], outputs=['user/steering', 'user/throttle', 'user/mode', 'recording'], threaded=True)
    idle = Nothing()
    V.add(idle, inputs=['cam/image_array'])
    part = add_imprint(V, cfg, ctr)
    ctr.print_controls()
    V.add(script, inputs=['imprint/label', 'imprint/score', 'imprint/state'], outputs=['web/w1'])
    try:
        loops, seconds = V.start(rate_hz=HZ)
    finally:
        status = server.process and server.kill(signal.SIGTERM)

    print(f"{'ok' if status == 0 else 'FAILED'}: the server exits with status 0")

    def summarize(name, values):
        values = sorted(values)
        print(f'{name}: median {statistics.median(values):.3f} ms, 99th percentile {values[len(values) * 99 // 100]:.3f} ms, maximum {values[-1]:.3f} ms')

    print(f'{loops} loops in {seconds:.2f} s')
    summarize('the part', [1000 * t for t in V.profiler.records[part]['times'][1:]])
    summarize('a part that does nothing', [1000 * t for t in V.profiler.records[idle]['times'][1:]])
    summarize('loop interval (target 50 ms)', [1000 * (b - a) for a, b in zip(script.loops, script.loops[1:])])
    return not script.steps and status == 0


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description='Test the part in a donkeycar vehicle.')
    parser.add_argument('--imprint', required=True)
    parser.add_argument('--photos', required=True)
    parser.add_argument('--in-loop', action='store_true', help='run the part without its own thread')
    options = parser.parse_args()
    logging.getLogger('imprint_part').setLevel(logging.INFO)
    print(f'donkeycar {donkeycar.__version__}, Python {sys.version.split()[0]}')
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(not drive(options, scratch, not options.in_loop))
