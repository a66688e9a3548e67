"""Test build.py."""

import base64
import csv
import hashlib
import io
import os
import struct
import sys
import tempfile
import unittest
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import build  # noqa: E402


def library(machine, *names):
    """Return what build reads of a shared library: the start of its header, and the versions of glibc."""
    return b'\x7fELF\x02\x01'.ljust(18, b'\0') + struct.pack('<H', machine) + b'\0'.join([b'', *names, b''])


class BuildTest(unittest.TestCase):
    def test_platform(self):
        for machine, names, want in [
                (62, [b'GLIBC_2.2.5', b'GLIBC_2.14', b'GLIBC_2.3.2'], 'manylinux_2_14_x86_64'),
                (62, [b'GLIBC_2.2.5'], 'manylinux_2_5_x86_64'),
                (183, [b'GLIBC_2.17', b'GLIBC_PRIVATE'], 'manylinux_2_17_aarch64')]:
            self.assertEqual(build.platform(library(machine, *names)), want)
        for bad in b'', b'\x7fELF\x01\x01' + bytes(40), library(40, b'GLIBC_2.4'), library(62):
            self.assertRaises(SystemExit, build.platform, bad)

    def test_version(self):
        for text, want in [('0.2.0', '0.2.0'), ('v0.2.0', '0.2.0'), ('0.2.0-4-g73b981e', '0.2.0.post4+73b981e'),
                           ('0.2.0-4-g73b981e-dirty', '0.2.0.post4+73b981e.dirty'), ('0.2.0-dirty', '0.2.0+dirty'),
                           ('73b981e-dirty', '0.dev0+73b981e.dirty'), ('0.3.0-rc1', '0.dev0+0.3.0.rc1')]:
            self.assertEqual(build.version(text), want)

    def test_wheel(self):
        with tempfile.TemporaryDirectory() as folder:
            path = build.build(library(62, b'GLIBC_2.17'), '1.2', folder)
            self.assertEqual(os.path.basename(path), 'imprintkit-1.2-py3-none-manylinux_2_17_x86_64.whl')
            with open(path, 'rb') as f:
                first = f.read()
            build.build(library(62, b'GLIBC_2.17'), '1.2', folder)
            with open(path, 'rb') as f:
                self.assertEqual(f.read(), first)
        with zipfile.ZipFile(io.BytesIO(first)) as wheel:
            rows = list(csv.reader(io.TextIOWrapper(wheel.open('imprintkit-1.2.dist-info/RECORD'))))
            self.assertEqual([row[0] for row in rows], wheel.namelist())
            for name, digest, size in rows[:-1]:
                content = wheel.read(name)
                want = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()
                self.assertEqual((digest, size), ('sha256=' + want, str(len(content))))
            for name in ('imprintkit/__init__.py', 'imprintkit/py.typed', 'imprintkit/libimprint_edgetpu.so',
                         'imprintkit/pycoral/learn/imprinting/engine.py', 'imprintkit-1.2.dist-info/METADATA'):
                self.assertIn(name, wheel.namelist())


if __name__ == '__main__':
    unittest.main()
