"""Train an image classifier on a few photos, and run models on a Coral Edge TPU.

Workspace trains and classifies in this process. Client talks to a running "imprint serve". make_interpreter runs compiled
models with TensorFlow Lite. The package imprintkit.pycoral has the interface of Google's pycoral.
"""

from ._client import Client
from ._interpreter import load_delegate, make_interpreter
from ._library import version
from ._workspace import Estimate, Model, Result, Workspace
from .errors import (BadArgumentError, DataError, DeviceError, ImprintError, LockedError, NoClassesError, NoPhotosError,
                     NothingToUndoError, NotFoundError, OtherSettingsError, ServerError, UnknownLabelError)

__all__ = [
    'BadArgumentError', 'Client', 'DataError', 'DeviceError', 'Estimate', 'ImprintError', 'LockedError', 'Model',
    'NoClassesError', 'NoPhotosError', 'NothingToUndoError', 'NotFoundError', 'OtherSettingsError', 'Result', 'ServerError',
    'UnknownLabelError', 'Workspace', 'load_delegate', 'make_interpreter', 'version',
]
