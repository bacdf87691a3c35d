"""Old spellings and slips with exactly one fix: the message for each, and the fix itself.

Above: whatever reads a file and meets one. Below: expressions. It fixes nothing; `mending.py` does, and holds
that the file means the same afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from samovar.errors import Fault, Fix, Place
from samovar.expressions.expression import Expression

OLD_SPELLING = "old-spelling"
OLD_FOLDERS = frozenset((".swissarmyhammer", ".sah"))
DIALECT_KEY = "dialect"
OLD_DIALECT = "swissarmyhammer"
"""The value of `dialect` in the front matter of an old file that is elsewhere."""

_ABOVE = re.compile(
    r"\A\s*---[^\S\n]*\n(?:[\s\S]*?\n)?[^\S\n]*---[^\S\n]*(?=\n|\Z)"
    r"|%%\{[\s\S]*?\}%%|(?:%%|#)[^\n]*|(?P<comment>//[^\n]*)"
)
"""What can be above a diagram's header."""
_COMMENT = re.compile(r"%%(?!\{)|//|#")


def is_old_file(path: Path | None, front_matter: Mapping[str, object] | None) -> bool:
    """Whether a file is read as one of the older system: by place or by word, never by guess."""
    is_said = front_matter is not None and front_matter.get(DIALECT_KEY) == OLD_DIALECT
    return is_said or (path is not None and bool(OLD_FOLDERS & set(path.absolute().parts)))


def old_spelling(place: Place, old: str, new: str) -> Fault:
    """The hint that `old`, which is at `place`, is written `new` now. What ends a line has no fix."""
    fix = None if "\n" in old else Fix(place=place, old=old, new=new)
    message = f"`{' '.join(old.split())}` is an old spelling: write `{new.strip()}`."
    return Fault(code=OLD_SPELLING, message=message, place=place, severity="hint", fix=fix)


def spellings(expression: Expression) -> tuple[Fault, ...]:
    """A hint for each spelling of JavaScript in an expression."""
    return tuple(old_spelling(one.place, one.old, one.new) for one in expression.old_spellings)


def _hint(code: str, message: str, place: Place, fix: Fix) -> Fault:
    return Fault(code=code, message=message, place=place, severity="hint", fix=fix)


def comment(place: Place, text: str) -> Fault:
    """The hint for the comment `text` of a diagram, which begins with `//`."""
    # `%%{` would begin a directive.
    fix = Fix(place=place, old="//", new="%% " if text.startswith("//{") else "%%")
    return _hint("mermaid-comment", "Mermaid has no `//` comments: write `%%`.", place, fix)


def comments(above: str) -> Iterator[tuple[int, str]]:
    """Where each `//` comment begins in what is above a diagram's header, and the comment."""
    return ((match.start(), match["comment"]) for match in _ABOVE.finditer(above) if match["comment"])


def semicolon(place: Place, line: str) -> Fault:
    """The hint for the `;` at `place`, which parts statements of a diagram's `line` or ends the last."""
    message = "Mermaid reads `;` as part of a name: put each statement on its own line."
    return _hint("mermaid-semicolon", message, place, _parted(place, line))


def _parted(place: Place, line: str) -> Fix:
    before, after = line[: place.column - 1], line[place.column :]
    following = after.lstrip(" \t")
    if following[:1] in ("", ";") or _COMMENT.match(following):
        blanks = len(before) - len(before.rstrip(" \t"))
        start = Place(path=place.path, line=place.line, column=place.column - blanks)
        return Fix(place=start, old=before[len(before) - blanks :] + ";", new="")
    indent = line[: len(line) - len(line.lstrip(" \t"))]
    return Fix(place=place, old=";" + after[: len(after) - len(after.lstrip(" \t"))], new="\n" + indent)


def composite(place: Place, name: str) -> Fault:
    """The hint for the composite `name`, which has no keyword before it."""
    first = name.split()[0]
    message = f"Mermaid requires the keyword of a composite: write `state {name} {{`."
    return _hint("mermaid-composite", message, place, Fix(place=place, old=first, new=f"state {first}"))


def brace(place: Place) -> Fault:
    """The hint for the `}` at `place`, which follows a name without a blank between them."""
    message = "Mermaid reads `}` as part of the name before it: put it on its own line."
    return _hint("mermaid-name", message, place, Fix(place=place, old="}", new="\n}"))
