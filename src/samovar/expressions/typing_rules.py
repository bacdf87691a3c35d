"""The result types of operators on two known types, and mistakes between them.

Above: `checking.py`. Below: `types.py`, `kinds.py`. Nothing is said that is not sure.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping

from samovar.expressions.kinds import ANY, NUMBERS, kind_of
from samovar.expressions.types import ANYTHING, BOOL, Type, list_of, union

_SAME = (frozenset(("text",)), frozenset(("bytes",)), frozenset(("list",)))
_TIMES = frozenset(("time", "duration"))
_ORDERED = ("text", "bool", "bytes", "time", "duration")
NO_WORDS = frozenset(("false", "no", "0", "off", "none", "null", "never", "n", "f"))
"""Texts that mean no to a person, and are true."""
_LONGEST_WORD = 20
"""Characters of a text that may be one of them, with blanks around it."""


def never_equal(left: Type, right: Type) -> bool:
    """Whether no value of one is a value of the other."""
    if not (_merged(left.kinds) & _merged(right.kinds)):
        return True
    if _is_no_object(left, right) or _is_no_object(right, left):
        return True
    if left.values is None or right.values is None:
        return False
    return _keys(left.values).isdisjoint(_keys(right.values))


def _is_no_object(answer: Type, other: Type) -> bool:
    """Whether one is an answer of several fields, and the other texts that are not object of JSON."""
    if not answer.is_answer or answer.is_choice or not answer.parts or not other.values:
        return False
    return not any(str(one).lstrip().startswith("{") for one in other.values)


_LOOKS: Mapping[str, Callable[[str, str], bool]] = {
    "contains": str.__contains__,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}


def never_found(function: str, where: Type, what: Type) -> bool:
    """Whether a function that looks for something in a list, or in a text, surely finds nothing."""
    if function == "contains" and where.kinds == {"list"} and where.item is not None:
        return never_equal(what, where.item)
    if function not in _LOOKS or where.kinds != {"text"} or what.kinds != {"text"}:
        return False
    if where.values is None or what.values is None:
        return False
    looks = _LOOKS[function]
    return not any(looks(str(text), str(part)) for text in where.values for part in what.values)


def _keys(values: Iterable[object]) -> set[tuple[str, object]]:
    """What is the same for values that are equal, and for no others."""
    kinds = ((kind_of(value), value) for value in values)
    return {("number" if kind in NUMBERS else kind, value) for kind, value in kinds}


def _merged(kinds: frozenset[str]) -> frozenset[str]:
    """With one name for numbers, which are equal across their kinds."""
    return kinds | NUMBERS if kinds & NUMBERS else kinds


def cannot_be_ordered(left: Type, right: Type) -> bool:
    if left.kinds & NUMBERS and right.kinds & NUMBERS:
        return False
    return not any(kind in left.kinds and kind in right.kinds for kind in _ORDERED)


def computed(sign: str, left: Type, right: Type) -> Type | None:
    """What arithmetic gives; None if it cannot be done."""
    kinds: set[str] = set()
    if left.kinds & NUMBERS and right.kinds & NUMBERS:
        both_whole = "int" in left.kinds and "int" in right.kinds
        kinds |= {"int"} if both_whole else set()
        kinds |= {"double"} if sign != "%" and "double" in left.kinds | right.kinds else set()
    if sign == "+":
        kinds |= {kind for one in _SAME for kind in one if one <= left.kinds and one <= right.kinds}
    if sign in "+-" and left.kinds & _TIMES and right.kinds & _TIMES:
        kinds |= _TIMES
    if not kinds:
        return None
    if kinds == {"list"} and left.item is not None and right.item is not None:
        return list_of(union((left.item, right.item)))
    return Type(kinds=frozenset(kinds))


def result_of(sign: str, left: Type, right: Type) -> Type:
    """What an operator gives, as far as it can be done."""
    if sign in ("==", "!=", "<", "<=", ">", ">=", "in"):
        return BOOL
    return computed(sign, left, right) or ANYTHING


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def right_form(name: str, sign: str, known: Type, literal: object) -> str:
    """How a comparison with a literal is meant: ` Write …`, or nothing. `known` is what `name` can be."""
    texts = [str(one) for one in known.values or () if isinstance(one, str)]
    if known.is_answer and not known.is_choice and known.parts:
        fields = (field for field, part in known.parts.items() if literal in (part.values or ()))
        return f" Write `{name}.{next(fields, 'field')} {sign} {_written(literal)}`."
    is_any_text = known.kinds == {"text"} and known.values is None
    if isinstance(literal, bool | int | float) and (texts or is_any_text):
        text = str(literal).lower() if isinstance(literal, bool) else str(literal)
        return f" Write `{name} {sign} {_written(text)}`." if is_any_text or text in texts else ""
    if texts and isinstance(literal, str):
        return _nearest_text(name, sign, texts, literal)
    if isinstance(literal, str) and known.kinds == BOOL.kinds and literal.lower() in ("true", "false"):
        is_true = (literal.lower() == "true") == (sign == "==")
        return f" Write `{name if is_true else '!' + name}`."
    if isinstance(literal, str) and known.kinds <= NUMBERS and _is_number(literal):
        return f" Write `{name} {sign} {literal.strip()}`."
    return ""


def _nearest_text(name: str, sign: str, texts: Iterable[str], literal: str) -> str:
    folded = {text.lower().strip(): text for text in texts}
    close = difflib.get_close_matches(literal.lower().strip(), folded, n=1)
    return f" Write `{name} {sign} {_written(folded[close[0]])}`." if close else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def says_no(value: object) -> bool:
    """Whether a value is a text that means no to a person, and counts as true all the same."""
    is_short = isinstance(value, str) and len(value) <= _LONGEST_WORD
    return is_short and str(value).strip().lower() in NO_WORDS


def unsure_truth(known: Type) -> tuple[object, ...]:
    """The texts that a value can be, if one of them says no; else none."""
    if known.values is not None and known.kinds != {"text"}:
        return ()
    values = known.among if known.values is None else known.values
    return tuple(one for one in values if isinstance(one, str)) if any(map(says_no, values)) else ()


def always_true(shown: str, found: Type) -> str | None:
    """The message about a text that is a condition by itself; None if that may be meant."""
    if found.kinds != {"text"}:
        return None
    if found.values is not None:
        if not found.is_choice or found.is_answer or "" in found.values:
            return None
        return (
            f"`{shown}` is {found}, and each of these is true. Write the value to compare with, as in "
            f"`{shown} == {_written(found.values[0])}`."
        )
    return (
        f'`{shown}` is a text, and each but the empty one is true, "no" and "false" too. Write the '
        f'value to compare with, as in `{shown} == "yes"`, or `{shown} != ""` if any will do.'
    )


_YES = {"no": "yes", "0": "1", "off": "on", "n": "y"}


def yes_of(values: Iterable[object]) -> str:
    """What may be meant by yes, if these are the texts that a value can be."""
    texts = [str(one) for one in values]
    first = texts[0].strip().lower() if texts else "no"
    return next((one for one in texts if one.strip() and not says_no(one)), _YES.get(first, "true"))


def surely_no(known: Type, kind: str) -> bool:
    """Whether a value is of no such kind."""
    return kind not in known.kinds and known.kinds != ANY
