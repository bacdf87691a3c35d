"""Suggests reading a file as one of the older system if it looks like one and does not say so.

Above: `samovar check`, and `mending.py`, which adds the line to the front matter. Below: `checking.py`,
`edits.py` and the library, which reads the file as it would be. No file is read so because it looks so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from samovar.checks.checking import check_workflow
from samovar.checks.edits import applied, edits_of
from samovar.errors import Fault, Fix, Place, SamovarError
from samovar.language.names import OLD_LEFT_BEHIND
from samovar.language.spelling import DIALECT_KEY, OLD_DIALECT
from samovar.library import Library

_MARKS = re.compile(
    r"^##[^\S\n]+states[^\S\n]*$|^[^\S\n]*\W{0,4}(?:action|store as)\W{0,3}:"
    r"|^(?:mode|category|initial_state|variables):|\btype_hint:"
    rf"|\b(?:swissarmyhammer|{'|'.join(sorted(OLD_LEFT_BEHIND))})\b"
    r"|-->[^:\n]*:[^\S\n]*(?-i:On ?(?:Success|Failure)|Always)[^\S\n]*$",
    re.I | re.M,
)
"""What files of the older system have, and others rarely."""
_OF_OTHERS = frozenset(("unknown-prompt", "unknown-workflow"))
"""Codes of faults that are about other files: they are not looked for before the file itself can be read."""
_SLIPS = frozenset(("unknown-action", "unknown-state", "parameter", "unknown-key"))
"""Codes of faults that are slips if they offer a name: an old file would pass over them."""


def offered(text: str, path: Path, library: Library, faults: Sequence[Fault]) -> Fault | None:
    """The hint that a line in the front matter would have the file read as an old one.

    Args:
        text: Of the file.
        path: Its path, as in the places of its faults.
        library: Reads it as it would be.
        faults: Mistakes in it as it is. None is offered if these are slips, or would not be fewer.
    """
    errors = [fault for fault in faults if fault.severity == "error"]
    is_slip = any(fault.code in _SLIPS and " Did you mean" in fault.message for fault in errors)
    if not errors or is_slip or not _MARKS.search(text):
        return None
    place = Place(path=path, line=1)
    line = f"{DIALECT_KEY}: {OLD_DIALECT}\n"
    if text.removeprefix("\ufeff").startswith("---"):
        fix = Fix(place=place, old="---", new=f"---\n{line}".removesuffix("\n"))
    else:
        fix = Fix(place=place, old="", new=f"---\n{line}---\n\n")
    message = (
        "This looks like a SwissArmyHammer file, but it is not read as one, since it is not below "
        "`.swissarmyhammer/` "
        f"or `.sah/`. If it is one, add `{line.strip()}` to the front matter."
    )
    offer = Fault(code="old-file", message=message, place=place, severity="hint", fix=fix)
    try:
        workflow = library.read(applied(text, edits_of(text, [offer], path)), path)
    except SamovarError:
        return None
    then, now = _own_errors(check_workflow(workflow, library)), _own_errors(faults)
    return offer if then != now and then <= now else None


def _own_errors(faults: Sequence[Fault]) -> Counter[str]:
    """How many errors of each code a file has by itself."""
    return Counter(one.code for one in faults if one.severity == "error" and one.code not in _OF_OTHERS)
