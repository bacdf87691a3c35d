"""`Set name="value"` and `Set name := expression`: sets one or more variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from samovar.actions.base import Action, ActionContext, Outcome, brief
from samovar.actions.blocks import taken_block
from samovar.actions.given import Value, changed_in
from samovar.actions.scanner import OPEN_TEXT, Scanner
from samovar.errors import Fault, Place, TooLargeError
from samovar.errors.counting import counted
from samovar.expressions.expression import Expression
from samovar.expressions.names import end_of_name, normal
from samovar.expressions.types import ANYTHING, Type, type_of_value
from samovar.language.markdown import TextBlock
from samovar.language.spelling import old_spelling, spellings
from samovar.language.template import Rules, Template
from samovar.values import literal, to_text

if TYPE_CHECKING:
    from samovar.language.workflow import Workflow
    from samovar.library import Library

_BEHIND = re.compile(r"\s*(:=|=(?!=))\s*")
"""What comes after the name of a variable that is set."""
_LIMIT = re.compile(r"""\s(?:with\s+)?timeout\s*=(?!=)\s*(?:"[^"]*"|'[^']*'|[^\s"']+)\s*\Z""")
"""A time limit behind an expression or a bare value."""
_BRIEF_CHARS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    name: str
    value: Value | Expression
    place: Place
    """Place of the name."""

    def of(self, variables: Mapping[str, object]) -> object:
        if isinstance(self.value, Expression):
            return self.value.evaluate(variables)
        # What tags leave of the author's own text is a literal like any other.
        written = None if self.value.is_text else self.value.template.written(variables)
        return self.value.of(variables) if written is None else literal(written)


@dataclass(frozen=True, slots=True, kw_only=True)
class Set(Action):
    verb: ClassVar[str] = "set"
    effect: ClassVar[str | None] = None
    words: ClassVar[tuple[str, ...]] = ("set", "set_variable", "cel_set", "js_set")
    form: ClassVar[str] = 'Set name="value" or Set name := expression, several with commas'

    place: Place
    assignments: tuple[Assignment, ...]
    """At least one; a later one sees the earlier ones."""
    old_spelling: Fault | None = field(default=None, compare=False, repr=False)
    """The old spelling of the keyword."""

    @classmethod
    def parse(cls, line: Scanner) -> Set:
        place, begin, word = line.where(), line.at, line.word(*cls.words)
        old = None
        if word in ("cel_set", "js_set"):
            only = _cel_set(line)
            old = old_spelling(place, line.text[begin : line.at], f"Set {only.name} := ")
            return cls(place=place, assignments=(only,), old_spelling=old)
        if word == "set_variable":
            old = old_spelling(place, line.text[begin : line.at], "Set")
        assignments = [_assignment(line)]
        while not line.is_done and not line.is_at_limit:
            if line.text[line.at] != ",":
                line.fail(f"A comma and another assignment are expected, {line.found()}.")
            line.at += 1
            assignments.append(_assignment(line))
        line.end()
        return cls(place=place, assignments=tuple(assignments), old_spelling=old)

    @property
    def names(self) -> frozenset[str]:
        names: set[str] = set()
        done: set[str] = set()
        for assignment in self.assignments:
            names |= assignment.value.names - done
            done.add(assignment.name)
        return frozenset(names) | self.names_of_timeout

    @property
    def sets(self) -> frozenset[str]:
        return frozenset(assignment.name for assignment in self.assignments)

    @property
    def named(self) -> Mapping[str, Place]:
        return {assignment.name: assignment.place for assignment in self.assignments}

    @property
    def types(self) -> Mapping[str, Type]:
        return {one.name: _type(one.value) for one in self.assignments}

    @property
    def what(self) -> str:
        return brief(", ".join(_shown(assignment) for assignment in self.assignments))

    def faults(self, library: Library, workflow: Workflow) -> tuple[Fault, ...]:
        found = [self.old_spelling] if self.old_spelling else []
        for assignment in self.assignments:
            if isinstance(assignment.value, Expression):
                found += spellings(assignment.value)
        return tuple(found)

    @property
    def texts(self) -> tuple[Template, ...]:
        return tuple(one.value.template for one in self.assignments if isinstance(one.value, Value))

    @property
    def shown(self) -> None:
        return None  # `what` has the name too

    @property
    def is_repeatable(self) -> bool:
        return True

    async def perform(self, context: ActionContext) -> Outcome:
        sets = await context.compute(lambda: self._values(context.variables))
        value = sets[self.assignments[-1].name]
        what = brief(", ".join(_filled(name, value) for name, value in sets.items()))
        return Outcome(value=value, is_new=False, sets=sets, what=what)

    def _values(self, variables: Mapping[str, object]) -> dict[str, object]:
        sets: dict[str, object] = {}
        for assignment in self.assignments:
            seen = {**variables, **sets} if sets else variables
            try:
                sets[assignment.name] = assignment.of(seen)
            except TooLargeError as error:
                what = f"The variable {assignment.name!r}"
                raise TooLargeError(what, error.most_bytes, place=error.place or self.place) from None
        return sets


def _type(value: Value | Expression) -> Type:
    if not isinstance(value, Expression) and not value.is_literal:
        return ANYTHING
    found = value.type({}) if isinstance(value, Expression) else type_of_value(value.given)
    # Not all: something from outside may have set the variable before, to another value.
    return replace(found, values=None, among=found.values or ())


def _filled(name: str, value: object) -> str:
    """`name = value`, in a time that does not grow with the value."""
    if isinstance(value, list | tuple | Mapping):
        return f"{name} = {counted(len(value), 'item')}"
    text = value[: 2 * _BRIEF_CHARS] if isinstance(value, str) else to_text(value)
    return brief(f"{name} = {text}", _BRIEF_CHARS)


def _shown(assignment: Assignment) -> str:
    if isinstance(assignment.value, Value):
        return f"{assignment.name} = {assignment.value.template.text}"
    return f"{assignment.name} := {assignment.value.text}"


def _cel_set(line: Scanner) -> Assignment:
    """The older form: a name, a blank, an expression."""
    line.blanks()
    match = re.compile(r"([^\W\d]\w*)\s*(?::?=(?!=))?\s*").match(line.text, line.at)
    if match is None:
        line.fail(f"The name of a variable is expected, {line.found()}.")
    named, line.at = line.where(match.start(1)), match.end()
    text = line.text[line.at :].rstrip()
    return Assignment(name=match.group(1), value=Expression.parse(text, line.where()), place=named)


def _assignment(line: Scanner) -> Assignment:
    line.blanks()
    named = line.at
    end = end_of_name(line.text, named)
    match = _BEHIND.match(line.text, end) if end > named else None
    is_last = end > named and not line.text[end if match is None else match.end() :].strip()
    if match is None and not (is_last and line.block is not None):
        line.fail(f"`name=` or `name :=` is expected, {line.found()}.")
    name = normal(line.text[named:end])
    line.at = end if match is None else match.end()
    if is_last and line.block is not None:
        line.at = len(line.text)
        return Assignment(
            name=name,
            value=_of_block(line, line.block, is_computed=match is not None and match[1] == ":="),
            place=line.where(named),
        )
    assert match is not None
    if match.group(1) == ":=":
        begin = line.at
        line.at = _end(line, begin, quotes="\"'")
        if limit := _LIMIT.search(line.text[begin : line.at]):
            line.at = begin + limit.start()
        return Assignment(
            name=name,
            value=Expression.parse(line.text[begin : line.at].rstrip(), line.where(begin)),
            place=line.where(named),
        )
    return Assignment(name=name, value=_value(line), place=line.where(named))


def _of_block(line: Scanner, block: TextBlock, *, is_computed: bool) -> Value | Expression:
    """The text of the block below the line, or the expression that it is."""
    if not is_computed:
        value = taken_block(line)
        assert value is not None
        return value
    line.block = None
    return Expression.parse(block.text, block.place)


def _value(line: Scanner) -> Value:
    """A text in quotes, or all that is before the next assignment, which is typed if it is JSON."""
    value = line.quoted()
    if value is not None:
        # The older system took a number in quotes for one.
        typed = line.is_old and value.is_literal
        return replace(value, given=literal(str(value.given))) if typed else value
    begin = line.at
    brackets = line.text[begin : begin + 1] in ("[", "{")
    line.at = _end(line, begin, quotes='"' if brackets else "")
    if not line.is_old and (limit := _LIMIT.search(line.text[begin : line.at])):
        line.at = begin + limit.start()
    text = line.text[begin : line.at].rstrip()
    if not text:
        line.fail(f"A value is expected, {line.found()}.", begin)
    template = Template.parse(text, line.where(begin), Rules(is_old=line.is_old))
    quotes = sum(piece.count('"') for piece in template.pieces if isinstance(piece, str))
    if quotes % 2 and not line.is_old:
        message = 'A quotation mark is not closed, in a value that does not begin with one: write name="…".'
        line.fail(message, begin + text.rindex('"'), OPEN_TEXT)
    plain = template.fill({}) if template.is_plain else None
    if not line.is_old and (changed := changed_in(template)):
        line.note("action-syntax", changed, line.where(begin))
    given = None if plain is None else literal(plain)
    return Value(template=template, quoted=False, place=line.where(begin), given=given)


def _end(line: Scanner, begin: int, *, quotes: str) -> int:
    """Where an assignment ends: at a comma before another one, outside brackets and quotes."""
    text = line.text
    at, depth = begin, 0
    while at < len(text):
        character = text[at]
        if character in quotes and character:
            closing = re.compile(rf"(?:\\.|[^{character}\\])*{character}", re.DOTALL).match(text, at + 1)
            at = closing.end() if closing else len(text)
            continue
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth <= 0 and _is_next(line, at + 1):
            return at
        at += 1
    return at


def _is_next(line: Scanner, at: int) -> bool:
    """Whether another assignment begins here: that of a block below the line may be a name alone."""
    text = line.text
    while at < len(text) and text[at].isspace():
        at += 1
    end = end_of_name(text, at)
    is_last = line.block is not None and not text[end:].strip()
    return end > at and (is_last or _BEHIND.match(text, end) is not None)
