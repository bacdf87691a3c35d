"""The scripted engine's tokens, which are words, and its vectors of texts.

Above: `scripted.py`. Below: nothing.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from zlib import crc32

MOST_NUMBER = 2**32 - 1
"""Of a token."""
DIMENSIONS = 64
"""Of its vectors."""


def words(text: str) -> list[str]:
    """The scripted engine's tokens: words, each with the blanks before it."""
    return re.findall(r"\s*\S+|\s+$", text)


def number_of(token: str) -> int:
    """The scripted engine's number of a token."""
    return crc32(token.encode("utf-8", "surrogatepass"))


def vector_of(tokens: Sequence[str]) -> array[float]:
    """The scripted engine's vector of a text: how often each word is there, at a place by its name."""
    counts = [0.0] * DIMENSIONS
    for token in tokens:
        counts[crc32(token.strip().lower().encode("utf-8", "replace")) % DIMENSIONS] += 1.0
    length = math.hypot(*counts)
    return array("f", [count / length for count in counts])
