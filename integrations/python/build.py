"""Build a wheel of imprintkit from the shared library. tools/wheel.sh builds both.

    python3 build.py --library libimprint_edgetpu.so --version 0.2.0 --output FOLDER

The tag of the wheel follows from the library: its processor, and the newest version of glibc that it needs. The same library
makes the same bytes.
"""

import argparse
import base64
import hashlib
import os
import re
import struct
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
MACHINES = {62: 'x86_64', 183: 'aarch64', 243: 'riscv64'}  # e_machine of an ELF file

METADATA = '''Metadata-Version: 2.1
Name: imprintkit
Version: {version}
Summary: Train an image classifier on a few photos, and run models on a Coral Edge TPU
Home-page: https://github.com/imprintkit/imprint
License: Apache-2.0
Platform: Linux
Requires-Python: >=3.9
Requires-Dist: numpy
Provides-Extra: litert
Requires-Dist: ai-edge-litert; extra == "litert"
Description-Content-Type: text/markdown

{description}'''

WHEEL = '''Wheel-Version: 1.0
Generator: imprintkit build.py
Root-Is-Purelib: false
Tag: {tag}
'''


def platform(library: bytes) -> str:
    """Return the platform tag for a shared library, such as manylinux_2_17_x86_64 (PEP 600)."""
    if library[:6] != b'\x7fELF\x02\x01':
        raise SystemExit('the library is not a 64-bit little-endian ELF file')
    machine, = struct.unpack_from('<H', library, 18)
    if machine not in MACHINES:
        raise SystemExit(f'there is no wheel for processors with the ELF number {machine}')
    needed = [(int(a), int(b)) for a, b in re.findall(rb'\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)', library)]
    if not needed:
        raise SystemExit('the library does not name the glibc that it needs')
    # The oldest glibc that wheels can name is 2.5.
    major, minor = max([(2, 5), *needed])
    return f'manylinux_{major}_{minor}_{MACHINES[machine]}'


def version(text: str) -> str:
    """Return a version in Python's form (PEP 440) for one of git describe, such as 0.2.0-4-g73b981e, or a bare commit."""
    match = re.fullmatch(r'v?(\d+(?:\.\d+)*)(?:-(\d+)-g([0-9a-f]+))?(-dirty)?', text)
    if not match:
        return '0.dev0+' + re.sub('[^0-9a-z]+', '.', text.lower()).strip('.')
    number, commits, commit, dirty = match.groups()
    local = '.'.join(part for part in (commit, 'dirty' if dirty else None) if part)
    return number + (f'.post{commits}' if commits else '') + (f'+{local}' if local else '')


def files(library: bytes):
    """Yield the names and contents of the package's files."""
    package = os.path.join(HERE, 'imprintkit')
    for folder, folders, names in os.walk(package):
        folders[:] = [f for f in folders if f != '__pycache__']
        for name in names:
            if name.endswith('.py') or name == 'py.typed':
                path = os.path.join(folder, name)
                with open(path, 'rb') as f:
                    yield os.path.relpath(path, HERE), f.read()
    yield 'imprintkit/libimprint_edgetpu.so', library


def record(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()
    return f'{name},sha256={digest},{len(content)}\n'


def build(library: bytes, number: str, output: str) -> str:
    """Write the wheel into a folder, and return its path."""
    tag = 'py3-none-' + platform(library)
    info = f'imprintkit-{number}.dist-info'
    with open(os.path.join(HERE, 'README.md'), encoding='utf-8') as f:
        description = f.read()
    with open(os.path.join(HERE, '..', '..', 'LICENSE'), 'rb') as f:
        license_text = f.read()
    content = sorted(files(library)) + [
        (f'{info}/LICENSE', license_text),
        (f'{info}/METADATA', METADATA.format(version=number, description=description).encode()),
        (f'{info}/WHEEL', WHEEL.format(tag=tag).encode()),
    ]
    content.append((f'{info}/RECORD', (''.join(record(*c) for c in content) + f'{info}/RECORD,,\n').encode()))
    os.makedirs(output, exist_ok=True)
    path = os.path.join(output, f'imprintkit-{number}-{tag}.whl')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
        for name, data in content:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o100755 if name.endswith('.so') else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description='Build a wheel of imprintkit.')
    for name in 'library', 'version', 'output':
        parser.add_argument('--' + name, required=True)
    arguments = parser.parse_args()
    with open(arguments.library, 'rb') as f:
        library = f.read()
    path = build(library, version(arguments.version), arguments.output)
    print(f'{path} ({os.path.getsize(path) / 1e6:.1f} MB)')


if __name__ == '__main__':
    main()
