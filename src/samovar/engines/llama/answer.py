"""The text of an answer as it grows: bytes in, whole characters out, never part of a stop text.

Above: `arena.py`, `admission.py`. Below: nothing. It knows neither tokens nor the engine, so it is tested
alone.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class AnswerText:
    """One answer. `feed` gives what may be shown; `stopped` says that a stop text was reached."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = tuple(filter(None, stop))
        self._held = ""
        self.stopped = False

    def feed(self, piece: bytes) -> str:
        """The characters that are whole and cannot begin a stop text any more."""
        text = self._decoder.decode(piece)
        return self._release(text) if self._stop else text

    def finish(self) -> str:
        """What was held back, once nothing more comes. A character cut in the middle is U+FFFD."""
        text = self._decoder.decode(b"", final=True)
        shown = self._release(text) if self._stop else text
        # A stop text that was reached leaves nothing held.
        shown, self._held = shown + self._held, ""
        return shown

    def _release(self, text: str) -> str:
        if self.stopped:
            return ""
        self._held += text
        found = [index for index in map(self._held.find, self._stop) if index >= 0]
        if found:
            self.stopped = True
            shown, self._held = self._held[: min(found)], ""
            return shown
        keep = max(map(self._overlap, self._stop))
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def _overlap(self, stop: str) -> int:
        """The length of the longest end of what is held that begins `stop`."""
        for length in range(min(len(stop) - 1, len(self._held)), 0, -1):
            if self._held.endswith(stop[:length]):
                return length
        return 0
