"""`Store As: name`, a line of the older system: stores the value of the action above it.

Above: `action_lines.py`. Below: nothing. Texts in, texts out.
"""

from __future__ import annotations

import re

_STORE_LINE = re.compile(
    r"^\s*(?:\*\*)?store as(?:\*\*)?\s*:(?:\*\*)?\s*[`\"']?(?P<name>[A-Za-z_]\w*)[`\"']?\s*$", re.I
)


def _stored(text: str, name: str) -> str:
    """An action with its value kept under a name, if it can keep one and does not say where."""
    if " result=" in text or not re.match(r"(execute|prompt|shell|command|run|delegate)\b", text, re.I):
        return text
    joint = " " if " with " in text or text.lower().startswith(("execute", "prompt")) else " with "
    return f'{text}{joint}result="{name}"'


def split_stored(text: str) -> tuple[str, list[str]]:
    """The first line of a bullet, which keeps its value if one of the others says so, and those others."""
    first, *more = text.split("\n")
    stored = next((match for line in more if (match := _STORE_LINE.match(line))), None)
    if stored is not None:
        more = [line for line in more if not _STORE_LINE.match(line)]
        first = _stored(first.rstrip(), stored["name"])
    return first, more


def with_store(section: str, text: str) -> str:
    """An action, with what the section below its state says about storing: `**Store As**: name`."""
    for source in section.split("\n"):
        if source.startswith("#"):
            break
        if match := _STORE_LINE.match(source):
            return _stored(text, match["name"])
    return text
