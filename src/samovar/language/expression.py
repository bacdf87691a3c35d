"""Conditions and computed values: CEL expressions, read once and evaluated against variables.

Above: transitions and `Set name := …`. Below: `expression_tokens.py`, `functions.py`, `effort.py`,
`values.py`, the CEL library, which is imported when the first expression is read. `default` is no expression:
transitions know it.

A value with parts (`values.Record`) is its text by its bare name and has parts by `name.part`. CEL has no
such value, so an expression that reads a part is compiled with a second name for the map of the parts.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from samovar.errors import ExpressionError, Fault, FaultsError, Place, nearest
from samovar.language.effort import MAX_NS, Effort, measure
from samovar.language.expression_tokens import (
    ExpressionToken,
    as_cel,
    excess,
    has_javascript,
    is_macro,
    javascript_spellings,
    tokens_of,
)
from samovar.language.functions import ELSEWHERE, EXTENSIONS, KNOWN, calls, extensions, is_namespace
from samovar.language.spelling import old_spelling
from samovar.values import Record

MAX_LENGTH = 2000

_PARTS = "samovar_parts_of_"
_LITERALS = frozenset(("true", "false", "null", "in"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A CEL expression. Made by `Expression.parse`."""

    text: str
    """As it was written."""
    place: Place
    """Of its first character."""
    names: frozenset[str]
    """The variables it reads."""
    _texts: tuple[str, ...]
    """The variables it reads whole."""
    _parts: tuple[str, ...]
    """The variables of which it reads parts."""
    _extensions: frozenset[str]
    """The functions it calls that the engine does not have itself."""
    _program: Any

    @classmethod
    def parse(cls, text: str, place: Place) -> Expression:
        """Reads an expression. Raises `FaultsError`: `condition-syntax` or `unknown-function`."""
        if len(text) > MAX_LENGTH:
            raise _fault(f"An expression has at most {MAX_LENGTH} characters, this one {len(text)}.", place)
        tokens = tokens_of(text)
        if wrong := excess(tokens):
            raise _fault(wrong[0], place.within(text, wrong[1]))
        spelled = as_cel(text, tokens)
        program = _compile(spelled, place)
        called = list(calls(tokens_of(spelled))) if "(" in text else []
        if unknown := [
            _unknown(name, place.within(text, token.at)) for token, name in called if name not in KNOWN
        ]:
            raise FaultsError(unknown)
        reads = list(_reads(tokens))
        texts = {token.text for token, of_parts in reads if not of_parts}
        parts = {token.text for token, of_parts in reads if of_parts}
        if parts:
            program = _compile(_with_parts(spelled, [token for token, of_parts in reads if of_parts]), place)
        return cls(
            text=text,
            place=place,
            names=frozenset(texts | parts),
            _texts=tuple(sorted(texts)),
            _parts=tuple(sorted(parts)),
            _extensions=EXTENSIONS.intersection(name for _, name in called),
            _program=program,
        )

    @property
    def cel(self) -> str:
        """The expression as CEL has it, with one blank between its tokens."""
        return " ".join(token.text for token in tokens_of(as_cel(self.text, tokens_of(self.text))))

    @property
    def old_spellings(self) -> tuple[Fault, ...]:
        """A hint for each spelling of JavaScript."""
        if not has_javascript(self.text):
            return ()
        found = javascript_spellings(tokens_of(self.text))
        return tuple(
            old_spelling(self.place.within(self.text, at), old, new.strip()) for at, old, new in found
        )

    def evaluate(self, variables: Mapping[str, object]) -> object:
        """The value it has now.

        Raises `ExpressionError` for a variable that is not there, naming the nearest, for anything that
        CEL cannot compute, and for what might take longer than about two seconds.
        """
        try:
            bound = {name: _bare(variables[name]) for name in self._texts}
            for name in self._parts:
                value = variables[name]
                bound[_PARTS + name] = dict(value.parts) if isinstance(value, Record) else value
        except KeyError as error:
            name = str(error.args[0])
            message = f"There is no variable {name!r}.{nearest(name, variables)}"
            raise ExpressionError(f"{message} In: {self.text}", place=self.place) from None
        effort = _effort_of(self.text)
        if not effort.is_small and effort.bound_ns(variables) > MAX_NS:
            advice = "Use shorter lists or texts, or fewer macros in one expression."
            raise ExpressionError(f"This might take very long. {advice} In: {self.text}", place=self.place)
        try:
            return _plain(self._execute(bound))
        except (RuntimeError, TypeError, KeyError, ValueError, ArithmeticError, IndexError) as error:
            raise ExpressionError(f"{_reason(error)} In: {self.text}", place=self.place) from error

    def _execute(self, bound: dict[str, object]) -> object:
        if not self._extensions:
            try:
                return self._program.execute(bound)
            except RuntimeError:
                # Once more where a list or a map may have been asked whether it contains something.
                if "contains" not in self.text and "includes" not in self.text:
                    raise
        return self._program.execute(_extended(bound, self._extensions | {"contains"}))


def _extended(bound: dict[str, object], names: Iterable[str]) -> Any:
    import cel

    context = cel.Context(bound)
    for name in names:
        context.add_function(name, extensions()[name])
    return context


def _bare(value: object) -> object:
    return str(value) if isinstance(value, Record) else value


def _fault(message: str, place: Place) -> FaultsError:
    return FaultsError([Fault(code="condition-syntax", message=message, place=place)])


def _unknown(name: str, place: Place) -> Fault:
    near = f" Did you mean {ELSEWHERE[name]!r}?" if name in ELSEWHERE else nearest(name, KNOWN)
    message = f"There is no function {name!r}.{near}"
    return Fault(code="unknown-function", message=message, place=place)


def _reads(tokens: list[ExpressionToken]) -> Iterator[tuple[ExpressionToken, bool]]:
    """Each reading of a variable, and whether it is of a part of it.

    A name is no variable after a dot, before a bracket (a function), and where a macro binds it.
    """
    bound: list[tuple[str, int]] = []
    depth = 0
    for index, token in enumerate(tokens):
        before = tokens[index - 1].text if index else ""
        after = tokens[index + 1].text if index + 1 < len(tokens) else ""
        if token.text in ("(", "[", "{"):
            depth += 1
            if token.text == "(" and is_macro(tokens, index):
                bound.append((tokens[index + 1].text, depth))
        elif token.text in (")", "]", "}"):
            while bound and bound[-1][1] >= depth:
                bound.pop()
            depth -= 1
        elif token.kind == "name" and token.text not in _LITERALS and before != "." and after != "(":
            if any(name == token.text for name, _ in bound) or is_namespace(tokens, index):
                continue
            yield token, _reads_part(tokens, index)


def _reads_part(tokens: list[ExpressionToken], index: int) -> bool:
    """`name.field` and `name[…]`, but not the method call `name.method(…)`."""
    following = [token.text for token in tokens[index + 1 : index + 4]]
    if not following:
        return False
    if following[0] == "[":
        return True
    return following[0] == "." and len(following) > 1 and (len(following) < 3 or following[2] != "(")


def _with_parts(text: str, tokens: list[ExpressionToken]) -> str:
    for token in reversed(tokens):
        text = text[: token.at] + _PARTS + text[token.at :]
    return text


_FAILED = re.compile(r"Function '([\w.]+)' error: Python function call failed: (\w+): (.*?)\. Check", re.S)
_COMPLAINT = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?(.*)")


_ADVICE = {
    "=": "To compare, write `==`.",
    "&": "Write `&&` for and.",
    "|": "Write `||` for or.",
    "and": "Write `&&` for and.",
    "or": "Write `||` for or.",
    "not": "Write `!` for not.",
}


def _advice(tokens: Sequence[ExpressionToken]) -> str:
    """What CEL writes otherwise, by the first token of other languages; empty where there is none."""
    marks = "".join(token.text if len(token.text) == 1 else " " for token in tokens)
    for index, token in enumerate(tokens):
        is_word = token.kind == "name" and token.text in ("and", "or", "not")
        is_mark = token.kind == "mark" and token.text in "=&|"
        around = marks[max(index - 1, 0) : index] + marks[index + 1 : index + 2]
        if is_word or (is_mark and not set(around) & set("=!<>&|")):
            return " " + _ADVICE[token.text]
    return ""


@lru_cache(maxsize=4096)
def _effort_of(text: str) -> Effort:
    """Found when an expression is evaluated first: most of a large file's are not, and it takes time."""
    tokens = tokens_of(text)
    called = [
        name for _, name in calls(tokens_of(as_cel(text, tokens))) if name in EXTENSIONS or name == "contains"
    ]
    return measure(tokens, frozenset(token.text for token, _ in _reads(tokens)), called)


def _compile(text: str, place: Place) -> Any:
    import cel

    try:
        return cel.compile(text)
    except ValueError as error:
        match = _COMPLAINT.search(str(error))
        if match is None:
            raise _fault(f"The expression cannot be read: {error}", place) from error
        line, column, complaint = int(match.group(1)), int(match.group(2)), match.group(3)
        lines = text.split("\n")
        offset = sum(len(earlier) + 1 for earlier in lines[: line - 1]) + column - 1
        complaint = re.sub(r" expecting \{.*", "", complaint).replace("<EOF>", "the end").rstrip(".")
        advice = _advice(tokens_of(text))
        message = f"The expression {text!r} cannot be read{f'.{advice}' if advice else f': {complaint}.'}"
        raise _fault(message, place.within(text, min(offset, len(text)))) from error


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"There is no part {error.args[0]!r}."
    said = str(error).replace(_PARTS, "")
    first, _, rest = said.partition(". ")
    if isinstance(error, TypeError) and rest:
        return f"{first}. Values of one type go together: convert with int(), double() or string()."
    if failed := _FAILED.match(said):
        name, kind, why = failed.groups()
        if kind in ("AttributeError", "TypeError"):
            return f"The function {name!r} takes no such value."
        return f"The function {name!r}: {why.removeprefix(name + ': ')}."
    function = re.match(r"Undefined variable or function: '(\w+)'", said)
    if function:
        return f"There is no function {function.group(1)!r} for such a value."
    return said if said.endswith(".") else said + "."


def _plain(value: object) -> object:
    """What CEL gives, in types that a variable can hold."""
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    raise TypeError(f"A value of type {type(value).__name__} cannot be kept in a variable")
