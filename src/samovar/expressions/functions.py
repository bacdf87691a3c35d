"""The functions of expressions: one table of names, parameters, results and implementations.

Above: the parser, the compiler, the checks of types. Below: `text_functions.py`, `shaping_functions.py`,
`list_functions.py`, `number_functions.py` and `time_functions.py`, which do the work. Any function may be
called as a method of its first value, too. A new one is one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from samovar.errors import nearest
from samovar.expressions import list_functions as lists
from samovar.expressions import number_functions as numbers
from samovar.expressions import shaping_functions as shaping
from samovar.expressions import text_functions as texts
from samovar.expressions import time_functions as times
from samovar.expressions.kinds import ANY, NUMBERS
from samovar.expressions.tree import MACROS

Kinds = frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function."""

    call: Callable[..., object]
    """Gets what it may use, then its values, which are of the kinds it takes. Raises `WrongError`."""
    takes: tuple[Kinds, ...]
    """The kinds of each value."""
    least: int
    """Values that must be given."""
    is_open: bool
    """It takes any number of values."""
    gives: Kinds
    """The kinds of what it gives."""
    item: Kinds | Literal["same"] | None
    """Kinds of the items of a list that it gives, or the items of the list that it takes. None:
    any."""


def _function(
    call: Callable[..., object], takes: str, gives: str, *, least: int | None = None, is_open: bool = False
) -> Function:
    """`takes`: the kinds of each value, alternatives with `|`, values with blanks between them.

    `gives` may end with the kind of the items, as in `list:text`; `:same` is that of the list it takes.
    """
    gives, _, item = gives.partition(":")
    kinds = tuple(_kinds(one) for one in takes.split())
    return Function(
        call=call,
        takes=kinds,
        least=len(kinds) if least is None else least,
        is_open=is_open,
        gives=_kinds(gives),
        item="same" if item == "same" else _kinds(item) if item else None,
    )


def _kinds(text: str) -> Kinds:
    if text == "any":
        return ANY
    return frozenset(kind for one in text.split("|") for kind in (NUMBERS if one == "number" else {one}))


FUNCTIONS: Mapping[str, Function] = {
    "size": _function(texts.size, "text|bytes|list|map", "int"),
    "contains": _function(texts.contains, "text|list|map any", "bool"),
    "startsWith": _function(texts.starts_with, "text text", "bool"),
    "endsWith": _function(texts.ends_with, "text text", "bool"),
    "matches": _function(texts.matches, "text text", "bool"),
    "trim": _function(texts.trim, "text", "text"),
    "lowerAscii": _function(texts.lower_ascii, "text", "text"),
    "upperAscii": _function(texts.upper_ascii, "text", "text"),
    "charAt": _function(texts.char_at, "text int", "text"),
    "indexOf": _function(texts.index_of, "text text int", "int", least=2),
    "lastIndexOf": _function(texts.last_index_of, "text text int", "int", least=2),
    "substring": _function(texts.substring, "text int int", "text", least=2),
    "split": _function(shaping.split, "text text int", "list:text", least=2),
    "join": _function(shaping.join, "list text", "text", least=1),
    "replace": _function(shaping.replace, "text text text int", "text", least=3),
    "format": _function(shaping.format_of, "any", "text", is_open=True),
    "lines": _function(shaping.lines, "text", "list:text"),
    "json": _function(shaping.json, "text", "any"),
    "csv": _function(shaping.csv, "text", "list:map"),
    "code": _function(shaping.code, "text text", "text", least=1),
    "find": _function(shaping.find, "text text", "text"),
    "findAll": _function(shaping.find_all, "text text", "list:text"),
    "range": _function(lists.range_of, "int int int", "list:int", least=1),
    "reverse": _function(lists.reverse, "text|list", "text|list:same"),
    "sort": _function(lists.sort, "list", "list:same"),
    "unique": _function(lists.unique, "list", "list:same"),
    "zip": _function(lists.zip_of, "list", "list:list", is_open=True),
    "merge": _function(lists.merge, "map", "map", is_open=True),
    "first": _function(lists.first, "list", "any:same"),
    "last": _function(lists.last, "list", "any:same"),
    "slice": _function(lists.slice_of, "text|list int int", "text|list:same", least=2),
    "type": _function(texts.type_of, "any", "type"),
    "dyn": _function(texts.same, "any", "any"),
    "string": _function(texts.string, "text|bool|number|bytes|time|duration", "text"),
    "bytes": _function(texts.bytes_of, "text|bytes", "bytes"),
    "bool": _function(texts.bool_of, "bool|text", "bool"),
    "int": _function(numbers.int_of, "number|text|time", "int"),
    "double": _function(numbers.double_of, "number|text", "double"),
    "min": _function(numbers.least, "any", "any", least=0, is_open=True),
    "max": _function(numbers.greatest, "any", "any", least=0, is_open=True),
    "sum": _function(numbers.sum_of, "any", "number|duration", least=0, is_open=True),
    "round": _function(numbers.rounded, "number int", "number", least=1),
    "math.greatest": _function(numbers.greatest, "any", "any", least=0, is_open=True),
    "math.least": _function(numbers.least, "any", "any", least=0, is_open=True),
    "math.abs": _function(numbers.absolute, "number", "number"),
    "math.sign": _function(numbers.sign, "number", "number"),
    "math.sqrt": _function(numbers.root, "number", "double"),
    "math.ceil": _function(numbers.ceil, "number", "double"),
    "math.floor": _function(numbers.floor, "number", "double"),
    "math.round": _function(numbers.round_half_away, "number", "double"),
    "math.trunc": _function(numbers.trunc, "number", "double"),
    "math.isNaN": _function(numbers.is_nan, "number", "bool"),
    "math.isInf": _function(numbers.is_inf, "number", "bool"),
    "math.isFinite": _function(numbers.is_finite, "number", "bool"),
    "timestamp": _function(times.timestamp, "text|time", "time"),
    "duration": _function(times.duration, "text|duration", "duration"),
    **{name: _function(call, "time", "int") for name, call in times.OF_TIMES.items()},
    **{name: _function(call, "time|duration", "int") for name, call in times.OF_BOTH.items()},
}
NAMESPACES = frozenset(name.partition(".")[0] for name in FUNCTIONS if "." in name)
SURENESS = ("confidence", "alternatives")
"""What asks how sure a model was of a choice."""
KNOWN = frozenset((*FUNCTIONS, *MACROS, *SURENESS, "has", "default"))
"""What can be called."""

_ELSEWHERE = {
    **dict.fromkeys(("len", "length", "count"), "size"),
    **dict.fromkeys(("lower", "toLower"), "lowerAscii"),
    **dict.fromkeys(("upper", "toUpper"), "upperAscii"),
    **dict.fromkeys(("orValue", "optMap", "optFlatMap", "hasValue", "of", "none"), "default"),
    **dict.fromkeys(("coalesce", "get", "getOrDefault", "ofNonZeroValue"), "default"),
    **{"strip": "trim", "str": "string", "float": "double", "abs": "math.abs"},
    **{
        "uint": "int",
        "number": "double",
        "any": "exists",
        "some": "exists",
        "every": "all",
        "has_key": "contains",
    },
    **{"startswith": "startsWith", "endswith": "endsWith", "findall": "findAll"},
    **{"sorted": "sort", "reversed": "reverse", "distinct": "unique", "splitlines": "lines"},
    **{"parseJson": "json", "fromJson": "json", "extract": "find", "match": "find", "sub": "replace"},
}
"""What functions of other languages are called here."""


def unknown_function(name: str) -> str:
    """The message about a function that is not there."""
    near = f" Did you mean {_ELSEWHERE[name]!r}?" if name in _ELSEWHERE else nearest(name[:100], KNOWN)
    return f"There is no function {name!r}.{near}"


def arity_wrong(name: str, count: int) -> str | None:
    """The mistake in passing this many values to a function; None if there is none."""
    function = FUNCTIONS[name]
    most = len(function.takes)
    if function.is_open or function.least <= count <= most:
        return None
    takes = str(most) if most == function.least else f"{function.least} or {most}"
    return (
        f"The function {name!r} takes {takes} value{'s' if takes != '1' else ''}, not {count}; "
        "the value before the dot counts."
    )
