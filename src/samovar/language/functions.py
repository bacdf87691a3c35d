"""The functions of expressions: CEL's own, and those of its extensions that Samovar offers.

Above: `expression.py`. Below: `expression_tokens.py`, and `cel.stdlib`, which has the extensions of cel-go
and is imported when an expression calls one. Only those that give no more than they got are offered, so that
the bound of `effort.py` holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from samovar.language.expression_tokens import MACROS, ExpressionToken

NATIVE = MACROS | frozenset(
    (
        *("size", "contains", "startsWith", "endsWith", "matches", "has", "type", "dyn", "string", "bytes"),
        *("int", "uint", "double", "timestamp", "duration", "getFullYear", "getMonth", "getDate"),
        *("getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds"),
        *("getMilliseconds", "hasValue", "value", "orValue", "or", "optMap", "optFlatMap"),
        *("optional.of", "optional.none", "optional.ofNonZeroValue"),
    )
)
"""What the engine has itself (the optional values' methods with them)."""
EXTENSIONS = frozenset(
    (
        *("bool", "min", "max", "sum", "trim", "lowerAscii", "upperAscii"),
        *("charAt", "indexOf", "lastIndexOf", "substring"),
        *("math.greatest", "math.least", "math.abs", "math.sign", "math.sqrt"),
        *("math.ceil", "math.floor", "math.round", "math.trunc", "math.isNaN", "math.isInf", "math.isFinite"),
    )
)
"""Those of `cel.stdlib` that are offered."""
KNOWN = NATIVE | EXTENSIONS
ELSEWHERE = {
    **dict.fromkeys(("len", "length", "count"), "size"),
    **dict.fromkeys(("lower", "toLower"), "lowerAscii"),
    **dict.fromkeys(("upper", "toUpper"), "upperAscii"),
    **{"strip": "trim", "str": "string", "float": "double", "abs": "math.abs", "round": "math.round"},
}
"""What functions of other languages are called here."""


def calls(tokens: Sequence[ExpressionToken]) -> Iterator[tuple[ExpressionToken, str]]:
    """Each call of a function: the token its name begins with, and the name; `math.abs` is one name."""
    for index, token in enumerate(tokens[:-1]):
        if token.kind != "name" or token.text == "in" or tokens[index + 1].text != "(":
            continue
        if is_namespace(tokens, index - 2):
            yield tokens[index - 2], f"{tokens[index - 2].text}.{token.text}"
        else:
            yield token, token.text


def is_namespace(tokens: Sequence[ExpressionToken], index: int) -> bool:
    """Whether the name at this index is the first half of a function's name."""
    return (
        0 <= index < len(tokens) - 3
        and tokens[index].text in ("math", "optional")
        and tokens[index + 1].text == "."
        and f"{tokens[index].text}.{tokens[index + 2].text}" in KNOWN
        and tokens[index + 3].text == "("
        and (index == 0 or tokens[index - 1].text != ".")
    )


@cache
def extensions() -> Mapping[str, Callable[..., Any]]:
    """The offered functions by their names, and `contains` for lists and maps, which older engines had."""
    import logging

    from cel import stdlib

    # It says on the terminal what it raises as well, if nobody listens.
    logging.getLogger("cel").addHandler(logging.NullHandler())
    given = {name: call for library in stdlib.EXTENSIONS.values() for name, call in library.items()}
    return {name: given[name] for name in (*EXTENSIONS, "contains")}
