"""Forms that Mermaid refuses or reads differently, although a workflow may have them: the hints.

Above: `statements.py`. Below: nothing. Pure: words of a diagram in, a sentence out, or None if Mermaid reads
them as they are meant. What Mermaid would not read either is an error, and is in `explaining.py`.
"""

from __future__ import annotations

import re

KEYWORDS = frozenset(
    (
        *("as", "default", "state", "class", "classdef", "style", "note", "click", "href", "scale"),
        *("acctitle", "accdescr", "statediagram", "statediagram-v2"),
    )
)
"""Names that Mermaid refuses, in some places."""
ENTITY = re.compile(r"#(\w{2,});")
"""A character by its name or number."""

_DIRECTION = re.compile(r"direction\s+(?:TB|BT|RL|LR)", re.I)
_OUTSIDE = re.compile(r"(?:scale|hide|click|acc)", re.I)
"""How statements begin that Mermaid knows outside of composites only."""
_NOTE_TEXT = re.compile(r"[^\S\n]*:([^\n]*[:;][^\n]*)?\Z|\s*\n\s*:")
"""A note's text where Mermaid reads another."""


def keyword_hint(name: str) -> str | None:
    """What Mermaid makes of a name that is one of its words."""
    return f"Mermaid reads the name {name!r} as a keyword." if name.lower() in KEYWORDS else None


def name_hint(name: str) -> str:
    """How a name with blanks or hyphens is declared so that Mermaid reads it."""
    return (
        f'Mermaid cannot read the name {name[:60]!r}: write `state "{name[:60]}" as '
        f"{re.sub(r'[^0-9A-Za-z]+', '_', name)[:60].strip('_') or 'X'}` to have it drawn."
    )


def declaration_hint(name: str, behind: str, *, has_kind: bool, is_glued: bool) -> str | None:
    """What Mermaid makes of `behind`, the rest of the line after `state NAME`.

    `has_kind`: it begins with the state's kind. `is_glued`: it is a comment, without a blank before it.
    """
    if behind.startswith(":"):
        look = re.match(r":::\s*([^\s;{}]*)", behind)
        end, wanted = ("class", f"class {name} {look[1]}") if look else ("text", f"{name}: text")
        return f"Mermaid reads the {end} after `state {name}` as a name: write `{wanted}`."
    if not has_kind and behind and (behind[0] not in ";#{%" or is_glued):
        return f"Mermaid reads everything after `state {name}` as names: put it on a line of its own."
    return None


def text_hint(token: str, text: str, *, is_cut: bool) -> str | None:
    """What Mermaid makes of the `text` in a label's `token`, but for a `;` at its end.

    `is_cut`: a comment followed.
    """
    if not text.strip():
        return "Mermaid requires a text after `:`."
    if "::" in token or text.endswith(":") or ";" in ENTITY.sub("", text).rstrip()[:-1]:
        return "Mermaid ends a text at `;` or `::`, and does not allow `:` at its end."
    if is_cut:
        return "Mermaid reads a comment after a text as part of the text."
    if "direction" in text and _DIRECTION.search(text):
        return "Mermaid reads any line that contains `direction TB` as only that."
    return None


def composite_hint(statement: str) -> str | None:
    """What Mermaid makes of a `statement` in a composite that only changes how a diagram looks."""
    return "Mermaid knows this only outside composites." if _OUTSIDE.match(statement) else None


def note_hint(note: str, at: int) -> str | None:
    """What Mermaid makes of a `note` whose text is expected from `at`."""
    is_read = not _NOTE_TEXT.match(note, at)
    return None if is_read else "Mermaid requires the text of a note, without `:` and `;`."
