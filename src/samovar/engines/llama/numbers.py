"""Checks for invalid numbers from a model: a damaged file of the right length computes NaN.

Above: `sampling.py`, once for each answer; `embedding_context.py`, for each vector. Below: nothing.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from samovar.errors import EngineError


def not_numbers(path: Path | None) -> EngineError:
    """The message about a model that computes none. `path`: its file, if that is known."""
    name = "The model" if path is None else str(path)
    return EngineError(
        f"{name} computes invalid numbers (NaN or infinite): the file is damaged, or was converted "
        "wrongly. Fetch or copy it again, or use another file of the model."
    )


def check_logits(logits: Any, path: Path | None) -> None:
    """Raises `EngineError` unless each of these 32-bit numbers is one; minus infinity forbids a token.

    `logits`: a buffer. It takes a millisecond for 100,000 of them.
    """
    view: Iterable[float] = memoryview(logits).cast("B").cast("f")
    total = sum(view)
    if math.isfinite(total):
        return
    if math.isnan(total) or not math.isfinite(max(view)):
        raise not_numbers(path)


def unit(vector: Sequence[float], path: Path | None) -> array[float]:
    """The vector with the length 1. Raises `EngineError` for what is not numbers, or has no length."""
    length = math.hypot(*vector)
    if not 0.0 < length < math.inf:  # NaN is neither
        raise not_numbers(path)
    return array("f", [value / length for value in vector])
