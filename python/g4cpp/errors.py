"""Every exception this package raises on its own account.

All are `G4Error` and, where one fits, the natural built-in too, so `except ValueError` or `except
FileNotFoundError` work. The C++ bindings look these classes up here by name and raise them with one message
string, "[place] what: expected, found"; `ContextOverflowError` gets (message, n_tokens, n_ctx). Renaming a
class here means renaming it in the bindings.
"""

from __future__ import annotations


class G4Error(Exception):
    """Base of all errors of g4cpp."""


class GGUFError(G4Error, ValueError):
    """The file is not a sound GGUF file; the message names the field and the numbers."""


class ModelError(G4Error, ValueError):
    """Not a model this engine can run, though the file is sound; or a model that is closed or gives NaN."""


class ArgumentError(G4Error, ValueError):
    """An argument outside what the call accepts."""


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument of the wrong type, or an option that does not exist."""


class ContextOverflowError(G4Error, ValueError):
    """More tokens than the context holds: `n_tokens` were asked for, `n_ctx` is the size of the context."""

    def __init__(self, message: str, n_tokens: int, n_ctx: int) -> None:
        super().__init__(message)
        self.n_tokens = n_tokens
        self.n_ctx = n_ctx

    def __reduce__(self) -> tuple[type[ContextOverflowError], tuple[str, int, int]]:
        return type(self), (str(self), self.n_tokens, self.n_ctx)


class MemoryPlanError(G4Error, MemoryError):
    """What was asked for does not fit the memory of the machine."""


class DeviceError(G4Error, RuntimeError):
    """The device is absent, unknown or failed."""


class FileError(G4Error, OSError):
    """A file could not be opened, read or written."""


class MissingFileError(FileError, FileNotFoundError):
    """The file or folder does not exist."""


class ConversionError(G4Error, ValueError):
    """A checkpoint cannot be converted; the message names the tensor or the setting."""


class TemplateError(G4Error, ValueError):
    """A chat template is absent, malformed, or refused the messages."""


class MediaError(G4Error, ValueError):
    """An image, a sound or a video that cannot be read: corrupt, empty, too large, or of an unknown format."""


class MissingExtraError(G4Error, ImportError):
    """A library of an optional extra is not installed; the message names the extra."""
