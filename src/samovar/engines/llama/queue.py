"""Requests on their way from callers to the decode loop.

Above: `model.py` through `arena.py`, which puts in; the decode loop, which takes out. Below: nothing. Its
lock is never held while anything is evaluated, copied or read, so that no caller waits for the engine.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from samovar.engines.llama.requests import Request
from samovar.errors import ClosedError, SamovarError


class RequestQueue:
    """First in, first out. Mutable, under its lock."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: deque[Request] = deque()
        self._error: SamovarError | None = None
        self._is_told = False

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def is_closed(self) -> bool:
        return self._error is not None

    def put(self, request: Request) -> None:
        """Raises what `close` was given."""
        with self._changed:
            if self._error is not None:
                raise self._error
            self._requests.append(request)
            self._changed.notify()

    def tell(self) -> None:
        """Wakes the decode loop: a request is to end."""
        with self._changed:
            self._is_told = True
            self._changed.notify()

    def close(self, error: SamovarError | None = None) -> None:
        """Nothing more comes; anyone who tries gets `error`. Safe to call twice."""
        with self._changed:
            self._error = self._error or error or ClosedError("The model was closed.")
            self._changed.notify()

    def wait(self, timeout_s: float | None) -> bool:
        """Until something has changed; False when nothing did in that time."""
        with self._changed:
            return self._changed.wait_for(self._is_anything, timeout_s)

    def _is_anything(self) -> bool:
        return bool(self._requests) or self._is_told or self._error is not None

    def gather(self, seconds: float) -> None:
        """Waits for those who come together with the first."""
        end_s = time.monotonic() + seconds
        with self._changed:
            while (left_s := end_s - time.monotonic()) > 0 and self._error is None:
                self._changed.wait(left_s)

    def take(self) -> list[Request]:
        """All who came."""
        with self._changed:
            taken = list(self._requests)
            self._requests.clear()
            self._is_told = False
            return taken
