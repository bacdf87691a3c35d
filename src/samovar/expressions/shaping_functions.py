"""Functions that split texts, join them, and read data from them.

Above: `functions.py`, whose table says what each takes. Below: `formats.py`, patterns. What is made is
counted before it is: of data that is read, as much as its text may at most stand for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from samovar.errors.counting import counted
from samovar.expressions import formats
from samovar.expressions.kinds import WrongError, called, kind_of
from samovar.expressions.meter import Meter
from samovar.expressions.results import kept
from samovar.expressions.text_functions import pattern_of
from samovar.values import ITEM_BYTES, to_text

T = TypeVar("T")
_CHARACTERS_A_STEP = 8
"""Characters of data that are read in about the time of a step."""
_PLACE = re.compile(r"%(?:%|(?P<digits>\.[0-9]{1,2})?(?P<kind>[sdfexX]))")


def split(meter: Meter, text: str, separator: str, most: int = -1) -> list[str]:
    """`most`: parts, the last of which has the rest; below 0 as many as there are."""
    text, separator = str(text), str(separator)
    count = text.count(separator) + 1 if separator else len(text)
    count = count if most < 0 else min(count, most)
    meter.read(len(text))
    meter.made(len(text) + ITEM_BYTES * count)
    if most == 0:
        return []
    if not separator:
        return list(text) if count == len(text) else [*text[: count - 1], text[count - 1 :]]
    return text.split(separator, count - 1)


def join(meter: Meter, items: Sequence[object], separator: str = "") -> str:
    texts = [_plain_text("join", one, meter) for one in items]
    meter.made(len(separator) * max(len(texts) - 1, 0))
    return str(separator).join(texts)


def _plain_text(name: str, value: object, meter: Meter) -> str:
    """The text of a value that is one by itself."""
    if kind_of(value) not in ("text", "int", "double", "bool"):
        raise WrongError(
            f"The function {name!r} takes texts, numbers, true and false, not {called(value)}; "
            "map(…) converts each item to text."
        )
    text = to_text(value)
    meter.made(len(text))
    return str(text)


def replace(meter: Meter, text: str, old: str, new: str, most: int = -1) -> str:
    text, old = str(text), str(old)
    meter.read(len(text))
    count = text.count(old)
    count = count if most < 0 else min(count, most)
    meter.made(len(text) + count * max(len(new) - len(old), 0))
    return text.replace(old, str(new), count)


def format_of(meter: Meter, *values: object) -> str:
    """A text with `%s`, `%d`, `%.2f` and so on, then the values for them: several, or one list."""
    if not values or not isinstance(values[0], str):
        raise WrongError("The function 'format' takes a text first.")
    template, *given = values
    if len(given) == 1 and isinstance(given[0], list | tuple):
        given = list(given[0])
    left, pieces, at = iter(given), list[str](), 0
    text, count = str(template), 0
    while (sign := text.find("%", at)) >= 0:
        match = _PLACE.match(text, sign)
        if match is None:
            shown = text[sign : sign + 4]
            raise WrongError(f"The function 'format' does not know {shown!r}; `%%` is a percent sign.")
        pieces += [text[at:sign], "%" if match.group() == "%%" else _formatted(match, left, meter)]
        count += match.group() != "%%"
        at = match.end()
    if count < len(given):
        raise WrongError(
            f"The function 'format' has {counted(len(given), 'value')} for {counted(count, 'place')}."
        )
    meter.made(len(text) + ITEM_BYTES * len(pieces))
    return "".join((*pieces, text[at:]))


_NONE = object()


def _formatted(match: re.Match[str], values: object, meter: Meter) -> str:
    value = next(values, _NONE)  # type: ignore[call-overload]
    place, kind, digits = match.group(), match["kind"], match["digits"] or ""
    if value is _NONE:
        raise WrongError(f"The function 'format' has no value for {place!r}.")
    if kind == "s":
        return to_text(kept(value, meter))
    allowed = ("int",) if kind in "dxX" else ("int", "double")
    if kind_of(value) not in allowed or (digits and kind in "dxX"):
        wanted = "a whole number" if kind in "dxX" else "a number"
        raise WrongError(f"The function 'format' takes {wanted} for {place!r}, not {called(value)}.")
    meter.made(400)  # the digits of the largest number
    return f"{value:{digits}{kind}}"


def lines(meter: Meter, text: str) -> list[str]:
    meter.made(len(text) + ITEM_BYTES * (text.count("\n") + text.count("\r")))
    meter.spend(len(text) // _CHARACTERS_A_STEP)
    return formats.lines_of(str(text))


def code(meter: Meter, text: str, language: str = "") -> str:
    meter.made(2 * len(text) + ITEM_BYTES * text.count("\n"))
    meter.spend(len(text) // _CHARACTERS_A_STEP)
    return _read("code", lambda one: formats.code_of(one, str(language)), text)


def json(meter: Meter, text: str) -> object:
    _data(meter, text, ",:[{")
    return _read("json", formats.json_in, text)


def csv(meter: Meter, text: str) -> list[dict[str, str]]:
    _data(meter, text, ",\n\r")
    return _read("csv", formats.rows_of, text)


def _data(meter: Meter, text: str, signs: str) -> None:
    """Counts what is made of a text, by the signs that begin a value in it."""
    meter.made(len(text) + 2 * ITEM_BYTES * sum(map(text.count, signs)))
    meter.spend(len(text) // _CHARACTERS_A_STEP)


def _read(name: str, read: Callable[[str], T], text: str) -> T:
    try:
        return read(str(text))
    except ValueError as error:
        raise WrongError(f"The function {name!r} cannot read the text: {error}.") from None


def find(meter: Meter, text: str, pattern: str) -> str:
    """The first part that a pattern matches; an empty text if there is none."""
    known = pattern_of(str(pattern))
    if not known.is_in(str(text), meter):
        return ""
    span = known.first(str(text), 0, meter)
    meter.made(span[1] - span[0] if span else 0)
    return str(text)[slice(*span)] if span else ""


def find_all(meter: Meter, text: str, pattern: str) -> list[str]:
    """Each part that a pattern matches, from left to right, but for empty ones."""
    known, at, found = pattern_of(str(pattern)), 0, list[str]()
    text = str(text)
    while at <= len(text) and (span := known.first(text, at, meter)):
        begin, end = span
        if end > begin:
            meter.made(end - begin + ITEM_BYTES)
            found.append(text[begin:end])
        at = max(end, begin + 1)
    return found
