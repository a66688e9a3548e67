"""Test the part in donkeycar's vehicle loop, with a recorded tub and a real server.

    python3 test_vehicle.py --imprint FILE --photos DIR

FILE is the imprint command. DIR has photos in DIR/cone, DIR/ball and so on, as
`go run ./tools/photos -out DIR -n 40` makes them. The test needs the package donkeycar
(`pip install donkeycar` in a virtual environment of Python 3.11) and takes 30 seconds.

The vehicle runs at 20 loops per second and replays photos from a tub. Cones are trained
from the tub, balls while a controller button is held, and arrows by two presses of a web
button. Then the server is killed and restarted. At the end the test prints how long the
part takes per loop.
"""

import argparse
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

HZ, SECONDS = 20, 30


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


class Script:
    """A part that runs steps, pairs of a time and a function, and records the outputs."""

    def __init__(self, steps):
        self.steps = sorted(steps, key=lambda step: step[0])
        self.loops = []  # (time, label, state)

    def run(self, label, score, state):
        now = time.monotonic()
        if not self.loops:
            self.start = now
        self.loops.append((now - self.start, label, state))
        pressed = False
        while self.steps and now - self.start >= self.steps[0][0]:
            pressed = self.steps.pop(0)[1]() == 'press' or pressed
        return pressed

    def between(self, first, last):
        return [(label, state) for at, label, state in self.loops if first <= at < last]


class Server:
    def __init__(self, imprint, workspace, socket):
        self.command = [imprint, 'serve', '--workspace', workspace, '--socket', socket, '--listen', 'none', '--source', 'none']
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        return self.process.wait(10)


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
    show = lambda label: lambda: setattr(camera, 'shows', label)
    square = lambda down: lambda: joystick.events.append(('square', down))
    press = lambda: 'press'
    script = Script([
        (1.0, server.start),
        (6.0, show('ball')), (7.0, square(1)), (9.0, square(0)),
        (13.0, show('arrow')), (13.2, press), (15.2, press),
        (19.0, server.kill), (22.0, server.start),
        (27.0, show('cone')),
    ])
    cfg = argparse.Namespace(IMPRINT_SOCKET=socket, IMPRINT_BUTTONS={'square': 'teach:ball'}, IMPRINT_WEB_BUTTONS={'w1': 'teach:arrow'}, IMPRINT_THREADED=threaded)
    V = donkeycar.vehicle.Vehicle()
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
        loops, seconds = V.start(rate_hz=HZ, max_loop_count=HZ * SECONDS)
    finally:
        status = server.kill(signal.SIGTERM)

    states = lambda first, last: {state for _, state in script.between(first, last)}
    accuracy = lambda first, last, label: statistics.fmean(l == label for l, _ in script.between(first, last))
    checks = [
        ('every loop ran', loops == HZ * SECONDS),
        ('offline before the server starts', states(0, 1) == {OFFLINE}),
        ('cones are classified', accuracy(4, 6, 'cone') > 0.9 and states(4, 6) == {OK}),
        ('holding while the controller button is held', states(8, 9) == {HOLDING}),
        ('balls are classified after training', accuracy(11, 13, 'ball') > 0.9 and states(11, 13) == {OK}),
        ('holding after a press of the web button', states(14, 15) == {HOLDING}),
        ('arrows are classified after training', accuracy(17, 19, 'arrow') > 0.9 and states(17, 19) == {OK}),
        ('offline and no label after the kill', states(20.5, 22) == {OFFLINE} and accuracy(20.5, 22, '') == 1),
        ('arrows are classified after the restart', accuracy(25, 27, 'arrow') > 0.9 and states(25, 27) == {OK}),
        ('cones are classified after the restart', accuracy(28, 30, 'cone') > 0.9),
        ('the server exits with status 0', status == 0),
    ]
    for name, passed in checks:
        print(f"{'ok' if passed else 'FAILED'}: {name}")

    def summarize(name, values):
        values = sorted(values)
        print(f'{name}: median {statistics.median(values):.3f} ms, 99th percentile {values[len(values) * 99 // 100]:.3f} ms, maximum {values[-1]:.3f} ms')

    print(f'{loops} loops in {seconds:.2f} s')
    summarize('the part', [1000 * t for t in V.profiler.records[part]['times'][1:]])
    summarize('a part that does nothing', [1000 * t for t in V.profiler.records[idle]['times'][1:]])
    summarize('loop interval (target 50 ms)', [1000 * (b[0] - a[0]) for a, b in zip(script.loops, script.loops[1:])])
    if not all(passed for _, passed in checks):
        for at, label, state in script.loops[::5]:
            print(f'{at:6.2f} s  {state:9} {label}')
        return False
    return True


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
