"""The names of variables: letters of any script, digits and `_`, in one Unicode form.

Above: whatever declares, sets or reads a variable. Below: nothing.
"""

from __future__ import annotations

import re
import unicodedata

RESERVED = frozenset(("true", "false", "null", "in"))
"""What an expression reads as something else."""

_PLAIN = re.compile(r"[^\W\d]\w*")


def normal(name: str) -> str:
    """A name in the form in which all are compared (NFC): `ü` is one character, however it was typed."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def end_of_name(text: str, at: int) -> int:
    """Where the name that begins at an offset ends; the offset itself if none does."""
    match = _PLAIN.match(text, at)
    if match is None:
        return at
    end = match.end()
    # Marks, as in the decomposed `ü` and in the vowels of Indic scripts, are part of a name.
    while end < len(text) and _is_part(text[end]):
        end += 1
    return end


def _is_part(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character) in ("Mn", "Mc")


def is_name(text: str) -> bool:
    """Whether an expression can read a variable of this name."""
    return bool(text) and end_of_name(text, 0) == len(text) and text not in RESERVED


def why_unreadable(name: str) -> str | None:
    """Why no expression can read a variable of this name, as a sentence with what to do; else None."""
    if is_name(name):
        return None
    if name in RESERVED:
        return f"{name!r} has another meaning in expressions: use another name, as in '{name}_value'."
    if is_name(better := re.sub(r"[\W]+", "_", name).strip("_")):
        return f"No expression can read {name!r}: a name has letters, digits and _, as in {better!r}."
    return (
        f"No expression can read {name!r}: a name has letters, digits and _, and does not begin with a digit."
    )
