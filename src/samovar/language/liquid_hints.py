"""The right form for text that Liquid cannot read, for people used to other languages.

Above: `rendering.py`, which has Liquid read a template. Below: nothing. Pure: the sentence that Liquid says,
and an advice for it. It does not know where the template is written.
"""

from __future__ import annotations

import re

_FILTERS = {"+": "plus", "-": "minus", "*": "times", "/": "divided_by", "%": "modulo"}
_COMPUTES = (
    "Liquid has no {0!r}: it computes with filters, as in `n | {1}: 1`. `Set x := n {0} 1` takes an "
    "expression."
)
_ADVICE = (
    (r"unexpected '[&|]'", "Write `and` or `or`."),
    (r"unexpected '\?'", 'Write `{% if x %}…{% else %}…{% endif %}`, or `x | default: "…"`.'),
    (r"unknown operator '!'|disallowed not", "Write `{% unless x %}`, or `x == false`."),
    (r"found '\('", "A filter is written after the value, as in `x | size`."),
    (r"found '(?:==|!=|<=?|>=?)'", "Comparisons belong in `{% if … %}`."),
    (r"found (?:integer|float)", "A filter is written after a `|`, as in `n | minus: 1`."),
)


def advice_for(said: str) -> str:
    """A sentence to follow what Liquid says, with a blank before it; empty if there is no advice."""
    if computes := re.search(r"unexpected '([-+*/%])'", said):
        return " " + _COMPUTES.format(computes[1], _FILTERS[computes[1]])
    return next((f" {advice}" for pattern, advice in _ADVICE if re.search(pattern, said)), "")
