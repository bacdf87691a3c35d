"""One `${…}` in the text of an action: an expression, or in a command a form of the shell's own.

Above: `pieces.py`, the scanner of action lines. Below: expressions. The same rules hold wherever a text is
read, to find its end and to find its values. Old files keep what a `${…}` meant in them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from samovar.errors import ExpressionError, Fault, FaultsError, Fix, Place, TemplateError
from samovar.expressions.absent import no_variable
from samovar.expressions.expression import Expression
from samovar.expressions.names import RESERVED
from samovar.language.paths import ENVIRONMENT, PATH, Path, path_of
from samovar.language.spelling import OLD_SPELLING

_SIMPLE = re.compile(r"\$\{\s*([^\W\d]\w*(?:\.[^\W\d]\w*|\[-?\d{1,9}\])*)\s*\}")
"""What needs no parser to find its end."""
_OLD = re.compile(rf"\$\{{\s*({PATH})\s*\}}")
_SHELL_FORM = re.compile(
    r"\$\{(?:[#!]?\w+(?::?[-=?+]|##?|%%?|//?|:\d|\^\^?|,,?|\[[@*]|@\w)|[#!]\w+[\[}]|[#?*@!$-]\})"
)
"""How a parameter of the shell begins that is not just a name: `${x:-y}`, `${x%.*}`, `${#x}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a text may hold besides Liquid."""

    dollar: bool = True
    """`${…}` is read; else it is plain text."""
    shell: bool = False
    """The text is a command for a shell, which has a `${…}` of its own."""
    is_old: bool = False
    """The text is in a file of the older system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dollar:
    """A `${…}`."""

    end: int
    """The offset behind it; of what is left to the shell, behind its `${`."""
    value: Expression | Path | None
    """A path in old files. None: it is left to the shell."""
    fault: Fault | None = None
    """What is to be said of what is left to the shell."""


def read_dollar(text: str, begin: int, place: Place, rules: Rules) -> Dollar:
    """Reads the `${…}` that begins at an offset.

    Args:
        text: With the `${…}` in it, and what may come behind.
        begin: Where it begins.
        place: Of its `$`.
        rules: Of the text.

    Raises:
        FaultsError: `condition-syntax` or `unknown-function`.
    """
    if rules.is_old and (match := _OLD.match(text, begin)):
        return Dollar(end=match.end(), value=path_of(match, dollar=True))
    if rules.is_old and rules.shell:
        return Dollar(end=begin + 2, value=None, fault=_of_the_shell(text, begin, place, is_old=True))
    match = _SIMPLE.match(text, begin)
    if match and match[1] not in RESERVED:
        expression = Expression.parse(match[1], place.within(match.group(), match.start(1) - begin))
        return Dollar(end=match.end(), value=expression)
    try:
        expression, end = Expression.parse_braced(text, begin, place)
    except FaultsError:
        if rules.shell and _SHELL_FORM.match(text, begin):
            return Dollar(end=begin + 2, value=None, fault=_of_the_shell(text, begin, place, is_old=False))
        raise
    return Dollar(end=end, value=expression)


def dollar_end(text: str, begin: int, place: Place, rules: Rules) -> int:
    """Where the `${…}` ends that begins at an offset, as `read_dollar` has it, which it raises as."""
    match = None if rules.is_old else _SIMPLE.match(text, begin)
    return match.end() if match else read_dollar(text, begin, place, rules).end


def value_of(expression: Expression, variables: Mapping[str, object]) -> object:
    """What a `${…}` is now; a variable alone with all its parts. Raises `TemplateError`."""
    name = expression.name
    if name is not None:
        if name in variables:
            return variables[name]
        raise TemplateError(no_variable(name, variables), place=expression.place)
    try:
        return expression.evaluate(variables)
    except ExpressionError as error:
        hint = ENVIRONMENT if "env" in expression.names else ""
        raise TemplateError(error.message + hint, place=error.place) from error


def _of_the_shell(text: str, begin: int, place: Place, *, is_old: bool) -> Fault:
    close = text.find("}", begin, begin + 200)
    shown = text[begin : close + 1] if close >= 0 else text[begin : begin + 20]
    shown = " ".join(shown.split())
    fix = Fix(place=place, old="${", new="$${")
    if is_old:
        message = f"`{shown}` is left to the shell: write $${{ for the shell's own form."
        return Fault(code=OLD_SPELLING, message=message, place=place, severity="hint", fix=fix)
    message = f"`{shown}` is not an expression: write $${{ for the shell's own form."
    return Fault(code="template-syntax", message=message, place=place, fix=fix)
