"""TensorFlow Lite interpreters that run compiled models on the Edge TPU with the bundled library."""

import importlib
import os
from types import ModuleType
from typing import Any, Dict, Optional, Union

from . import _library

# Packages with the classes Interpreter and load_delegate, newest first. tensorflow takes seconds to load.
RUNTIMES = 'ai_edge_litert.interpreter', 'tflite_runtime.interpreter', 'tensorflow.lite.python.interpreter'


def runtime() -> ModuleType:
    """Return the module with the TensorFlow Lite interpreter: ai-edge-litert's, tflite-runtime's or tensorflow's.

    Raises ImportError if none of them is installed.
    """
    for name in RUNTIMES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as e:
            if e.name is None or e.name.partition('.')[0] != name.partition('.')[0]:
                raise  # the package is there, but something that it needs is not
    raise ImportError('a TensorFlow Lite interpreter is not installed: run "pip install ai-edge-litert"')


def load_delegate(options: Optional[Dict[str, Any]] = None) -> Any:
    """Open an Edge TPU, for the parameter experimental_delegates of an interpreter.

    options are those of libedgetpu: device ('', ':N', 'usb', 'usb:N' or 'usb:1-2.3'), Performance, and emulator, which
    names uncompiled models to compute with instead of a device. Raises ValueError with the reason if no device can be used.
    """
    return runtime().load_delegate(_library.path(), options or {})


def make_interpreter(model: Union[str, 'os.PathLike[str]', bytes], options: Optional[Dict[str, Any]] = None,
                     delegate: Any = None, **arguments: Any) -> Any:
    """Create an interpreter for a model: the path of a .tflite file, or its content.

    The options are those of load_delegate; a delegate takes their place. The other arguments are those of the interpreter.
    Call allocate_tensors before you use it.
    """
    if isinstance(model, (bytes, bytearray)):
        arguments['model_content'] = bytes(model)
    else:
        arguments['model_path'] = os.fspath(model)
    return runtime().Interpreter(experimental_delegates=[delegate or load_delegate(options)], **arguments)
