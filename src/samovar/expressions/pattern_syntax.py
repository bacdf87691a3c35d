"""Reads regular expressions: the syntax of RE2 and Rust, into a program of single characters and forks.

Above: `patterns.py`, which runs it. Below: `pattern_program.py`, and `pattern_classes.py`, the sets of
characters. What needs more than
one look at a text (look-around, back-references) is refused, and so is what stands for very many characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from samovar.expressions.pattern_classes import (
    CharacterSet,
    Flags,
    PatternError,
    any_character,
    escape,
    read_class,
    single,
)
from samovar.expressions.pattern_program import Assertion, Characters, Match, Operation, Program, Split

__all__ = ["PatternError", "read_pattern"]

MOST_ATOMS = 20_000
"""Characters, with repetitions written out."""
MOST_GROUPS = 100
"""Groups within one another."""
MOST_STACKED = 20
"""Repetitions of a repetition, as in `a**`."""
_REPEAT = re.compile(r"\{\s*([0-9]+)\s*(,?)\s*([0-9]*)\s*\}")
_GROUP = re.compile(r"\?(?:P?<[A-Za-z_][\w.\[\]]*>|(?P<on>[imsxU]*)(?:-(?P<off>[imsxU]+))?(?P<end>[:)]))")


# Parts of a pattern before it is a program; sizes are known before anything is written out.


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a pattern: an operation, a row of parts, one of several, or a repetition."""

    kind: str
    size: int
    operation: Operation | None = None
    parts: tuple[_Part, ...] = ()
    least: int = 0
    most: int | None = None
    is_lazy: bool = False
    """For a repetition: it takes as few as possible."""


def _row(parts: Sequence[_Part], kind: str = "row") -> _Part:
    if len(parts) == 1:
        return parts[0]
    return _Part(kind, sum(part.size for part in parts) + 1, parts=tuple(parts))


def read_pattern(text: str) -> Program:
    """The program of a pattern. Raises `PatternError`."""
    reader = _Reader(text)
    part = reader.alternatives(Flags(), 0)
    if reader.at < len(text):
        raise PatternError("unopened group: a `)` without its `(`")
    if part.size > MOST_ATOMS:
        raise PatternError(f"it expands to too many characters, more than {MOST_ATOMS:,}")
    program = Program()
    kinds = reader.assertions
    program.knows_words = bool(kinds & {"border", "no border"})
    program.knows_lines = bool(kinds & {"line start", "line end"})
    program.operations.append(Match())
    program.next.append(0)
    program.start = _write(program, part, 0)
    return program


def _emit(program: Program, operation: Operation, then: int) -> int:
    program.operations.append(operation)
    program.next.append(then)
    return len(program.operations) - 1


def _write(program: Program, part: _Part, then: int) -> int:
    """Writes a part in front of a place, and gives where it begins."""
    if part.operation is not None:
        return _emit(program, part.operation, then)
    if part.kind == "row":
        for one in reversed(part.parts):
            then = _write(program, one, then)
        return then
    if part.kind == "one of":
        return _emit(program, Split(tuple(_write(program, one, then) for one in part.parts)), then)
    inner, least = part.parts[0], part.least
    if part.most is None:
        loop = _emit(program, Split((then,)), then)
        again = _write(program, inner, loop)
        program.operations[loop] = _split(again, then, part)
        then, least = (again, least - 1) if least else (loop, 0)
    else:
        end = then
        for _ in range(part.most - part.least):
            then = _emit(program, _split(_write(program, inner, then), end, part), then)
    for _ in range(least):
        then = _write(program, inner, then)
    return then


def _split(more: int, enough: int, part: _Part) -> Split:
    """One more or no more, what is preferred first."""
    return Split((enough, more) if part.is_lazy else (more, enough))


class _Reader:
    """Reads a pattern from left to right. Changed by each character that is read."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.assertions: set[str] = set()

    def _fail(self, message: str) -> NoReturn:
        raise PatternError(message)

    def alternatives(self, flags: Flags, depth: int) -> _Part:
        """To the end of the group, or of the pattern."""
        if depth > MOST_GROUPS:
            self._fail(f"its groups are nested more than {MOST_GROUPS} deep")
        branches: list[_Part] = []
        row: list[_Part] = []
        while self.at < len(self.text) and self.text[self.at] != ")":
            character = self.text[self.at]
            if character == "|":
                self.at += 1
                branches.append(_row(row))
                row = []
            elif character == "(" and (changed := self._flags(flags)) is not None:
                flags = changed
            elif flags.x and (character.isspace() or character == "#"):
                end = self.text.find("\n", self.at) if character == "#" else self.at
                self.at = len(self.text) if end < 0 else end + 1
            else:
                row.append(self._repeated(self._one(flags, depth), flags))
        branches.append(_row(row))
        return branches[0] if len(branches) == 1 else _row(branches, "one of")

    def _flags(self, flags: Flags) -> Flags | None:
        """Takes `(?i)` and so on, which hold to the end of the group; None if there is none."""
        match = _GROUP.match(self.text, self.at + 1)
        if match is None or match["end"] != ")":
            return None
        self.at = match.end()
        return flags.changed(match["on"], match["off"] or "")

    def _one(self, flags: Flags, depth: int) -> _Part:
        character = self.text[self.at]
        if character == "(":
            return self._group(flags, depth)
        if character in "*+?" or (character == "{" and _REPEAT.match(self.text, self.at)):
            self._fail("a repetition has nothing to repeat")
        if character == "{":
            self._fail("a literal `{` is written `\\{`")
        if character == "[":
            found, self.at = read_class(self.text, self.at, flags)
            return _characters(found)
        self.at += 1
        if character == ".":
            return _characters(any_character(flags))
        if character == "^":
            return self._assertion("line start" if flags.m else "start")
        if character == "$":
            return self._assertion("line end" if flags.m else "end")
        if character != "\\":
            return _characters(single(character, flags))
        following = self.text[self.at : self.at + 1]
        if following in ("b", "B", "A", "z"):
            self.at += 1
            kinds = {"b": "border", "B": "no border", "A": "start", "z": "end"}
            return self._assertion(kinds[following])
        found, self.at = escape(self.text, self.at, flags)
        return _characters(found)

    def _assertion(self, kind: str) -> _Part:
        self.assertions.add(kind)
        return _Part("operation", 1, Assertion(kind))

    def _group(self, flags: Flags, depth: int) -> _Part:
        begin = self.at
        self.at += 1
        if self.text.startswith("?", self.at):
            if re.compile(r"\?<?[=!]").match(self.text, self.at):
                self._fail("look-around is not supported")
            match = _GROUP.match(self.text, self.at)
            if match is None:
                self._fail(f"`{self.text[begin : begin + 4]}` does not begin a group")
            self.at = match.end()
            if match["end"] is not None:
                flags = flags.changed(match["on"], match["off"] or "")
        inner = self.alternatives(flags, depth + 1)
        if self.at >= len(self.text):
            self._fail("unclosed group: a `(` without its `)`")
        self.at += 1
        return inner

    def _repeated(self, part: _Part, flags: Flags) -> _Part:
        for _ in range(MOST_STACKED):
            character = self.text[self.at : self.at + 1]
            if character and character in "*+?":
                self.at += 1
                least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[character]
            elif (match := _REPEAT.match(self.text, self.at)) is not None:
                self.at = match.end()
                least = int(match[1][:9])
                most = (int(match[3][:9]) if match[3] else None) if match[2] else least
            else:
                return part
            is_lazy = self.text.startswith("?", self.at)
            self.at += is_lazy
            if most is not None and most < least:
                self._fail("a repetition ends before it begins")
            size = part.size * max(least if most is None else most, 1) + 1
            if size > MOST_ATOMS:
                self._fail(f"it expands to too many characters, more than {MOST_ATOMS:,}")
            is_lazy = is_lazy != flags.U
            part = _Part("repeated", size, parts=(part,), least=least, most=most, is_lazy=is_lazy)
        self._fail("it repeats repetitions too often")


def _characters(found: CharacterSet) -> _Part:
    return _Part("operation", 1, Characters(found))
