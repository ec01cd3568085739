"""Stop strings in a text that arrives in pieces.

Text is passed on as soon as it cannot belong to a stop string any more. How the text is cut into pieces
changes when it is passed on, never what comes out. Strings are compared by code points, not normalised.
"""

from __future__ import annotations

from collections.abc import Sequence

from g4cpp.errors import ArgumentError, ArgumentTypeError


class StopStrings:
    """Finds the first stop string and cuts the text before it.

    The first is the one that is complete first; of several that end with the same character, the longest.

    Raises ArgumentTypeError (a plain `str`, or an element that is none) and ArgumentError (an empty string).
    """

    def __init__(self, stop: Sequence[str]) -> None:
        if isinstance(stop, str):
            raise ArgumentTypeError(f"[stop] a sequence of strings expected, the string {stop!r} found")
        for string in stop:
            if not isinstance(string, str):
                raise ArgumentTypeError(f"[stop] strings expected, {string!r} found")
            if not string:
                raise ArgumentError("[stop] non-empty strings expected, '' found")
        self._stop = tuple(stop)
        self._held = ""
        self._matched: str | None = None

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come; from then on everything fed is dropped."""
        return self._matched is not None

    @property
    def matched(self) -> str | None:
        """The stop string that has come."""
        return self._matched

    def feed(self, piece: str) -> str:
        """Takes the next piece and returns the text that is now certain to come before any stop string.

        While no stop string has come, the end that may begin one is withheld.
        """
        if self.stopped:
            return ""
        text = self._held + piece
        found = [(at + len(string), at, string) for string in self._stop if (at := text.find(string)) >= 0]
        if found:
            _, at, self._matched = min(found)
            self._held = ""
            return text[:at]
        certain = len(text) - self._beginning_of_a_stop(text)
        self._held = text[certain:]
        return text[:certain]

    def flush(self) -> str:
        """Ends the text: returns what was withheld."""
        rest, self._held = self._held, ""
        return rest

    def _beginning_of_a_stop(self, text: str) -> int:
        """Length of the longest end of `text`, which contains no stop string, that one begins with."""
        longest = max(map(len, self._stop), default=1) - 1
        for start in range(max(0, len(text) - longest), len(text)):
            end = text[start:]
            if any(string.startswith(end) for string in self._stop):
                return len(end)
        return 0
