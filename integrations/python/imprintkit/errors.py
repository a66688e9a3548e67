"""The exceptions that imprintkit raises. All are ImprintError."""

from typing import Dict, Optional, Type


class ImprintError(Exception):
    """A call failed. The text says what was tried, on what, and why it failed.

    hint is a suggestion of what to do about it, or ''.
    """

    def __init__(self, message: str, hint: str = '') -> None:
        super().__init__(message)
        self.hint = hint


class BadArgumentError(ImprintError, ValueError):
    """An argument or option can't be used."""


class DeviceError(ImprintError):
    """An Edge TPU is missing, in use, or failed."""


class DataError(ImprintError, ValueError):
    """A file or photo is damaged, or of the wrong kind."""


class NotFoundError(ImprintError, LookupError):
    """There is no such file, folder or pulled model."""


class UnknownLabelError(ImprintError, LookupError):
    """The workspace has no such class."""


class NoClassesError(ImprintError):
    """The workspace has no classes yet."""


class NoPhotosError(ImprintError):
    """No photo could be added, or the workspace does not have the photos."""


class NothingToUndoError(ImprintError):
    """There is no change to undo."""


class OtherSettingsError(ImprintError):
    """The workspace has another backbone or resize mode."""


class LockedError(ImprintError):
    """Another process keeps changing the workspace."""


class CanceledError(ImprintError):
    """The progress function stopped a call, which has changed nothing. Workspace raises the function's exception instead."""


class ServerError(ImprintError):
    """The server refused a request, or can't be reached.

    status is the HTTP status, or None if there was no answer.
    """

    def __init__(self, message: str, hint: str = '', status: Optional[int] = None) -> None:
        super().__init__(message, hint)
        self.status = status


# The values of enum imprint_status in imprint.h. The others are ImprintError.
BY_STATUS: Dict[int, Type[ImprintError]] = {
    2: BadArgumentError,
    3: DeviceError,
    4: DataError,
    5: NotFoundError,
    6: UnknownLabelError,
    7: NoClassesError,
    8: NoPhotosError,
    9: NothingToUndoError,
    10: OtherSettingsError,
    11: LockedError,
    12: CanceledError,
}
