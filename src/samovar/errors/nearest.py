"""Finds the known name that an unknown one probably means, for suggestions in messages.

Above: everything that reports an unknown name. Below: nothing of the project.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

MOST_COMPARED = 200
"""Names that one is compared with in full; each takes some microseconds."""


def _near(name: str, names: list[str]) -> list[str]:
    """All names, or of very many those that are about as long and have the most letters in common."""
    if len(names) <= MOST_COMPARED:
        return names
    letters = set(name.lower())
    alike = [one for one in names if abs(len(one) - len(name)) <= max(2, len(name) // 3)]
    return sorted(alike, key=lambda one: -len(letters & set(one.lower())))[:MOST_COMPARED]


def same_look(name: str, known: Iterable[str]) -> str | None:
    """The known name that differs only in its Unicode form, as `ü` typed as one character or as two."""
    if name.isascii():
        return None
    form = unicodedata.normalize("NFC", name)
    return next((one for one in known if one != name and unicodedata.normalize("NFC", one) == form), None)


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the closest known name, or lists the few there are, or is empty."""
    names = sorted(set(known))
    if alike := same_look(name, names):
        return f" There is {alike!r}, which looks the same but has another Unicode form: copy it from there."
    names = _near(name, names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not close:
        folded = {known_name.lower(): known_name for known_name in names}
        close = [folded[match] for match in difflib.get_close_matches(name.lower(), folded, n=1)]
    if close:
        return f" Did you mean {close[0]!r}?"
    if names and len(names) <= 8:
        return f" There is: {', '.join(names)}."
    return ""
