"""`Command ["program", "word", …]`: runs a program without a shell. Each item is one word.

An item that is exactly one `${list}` is one word for each of its elements. The program is what is written;
what makes a word code for another shell or interpreter is refused (`programs.py`). What it shares with
`Shell` is in `launching.py`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from samovar.actions.base import ActionContext, brief, made_of
from samovar.actions.blocks import taken_block
from samovar.actions.given import Value
from samovar.actions.launching import FORM, OPTIONS, Launch, Launching, checked, read_options
from samovar.actions.process import Command
from samovar.actions.program_doubts import doubts
from samovar.actions.program_tables import reads_as_code
from samovar.actions.programs import list_refusal, refusal
from samovar.actions.scanner import Scanner
from samovar.actions.shell_words import Word
from samovar.errors import Fault, Place
from samovar.language.pieces import Held
from samovar.values import to_text

_INPUT = -1
"""The number of a value in what the program reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgram(Launching):
    verb: ClassVar[str] = "command"
    words: ClassVar[tuple[str, ...]] = ("command",)
    form: ClassVar[str] = f'Command ["program", "word", …] [with] {FORM}'

    place: Place
    items: tuple[Value, ...]
    """The program, which is literal, and its words."""

    @classmethod
    def begins(cls, line: Scanner) -> bool:
        # `Command` begins sentences too, in the older files where any text is allowed.
        return re.compile(r"\s*command\s*[\[\"']", re.IGNORECASE).match(line.text, line.at) is not None

    @classmethod
    def parse(cls, line: Scanner) -> RunProgram:
        place, _ = line.where(), line.word("command")
        items = _items(line)
        options = read_options(line, OPTIONS)
        launch = Launch.parse(line, options)
        if launch.stdin is None:  # what it reads may be a block: each line of that is one of its input
            launch = replace(launch, stdin=taken_block(line, ends="\n"))
        found = _check_words(line, items, launch)
        for name in launch.variables:
            if reads_as_code(name):
                message = f"A value cannot be used here: shells read the value of {name} as code."
                line.note("shell-value", message, options["env"].value.place)
        line.end()
        return cls(place=place, items=items, launch=launch, doubts=found)

    @property
    def names(self) -> frozenset[str]:
        names = (item.names for item in self.items)
        return frozenset().union(*names, self.launch.names, self.names_of_timeout)

    @property
    def what(self) -> str:
        return brief(" ".join(item.template.text for item in self.items))

    @property
    def doing(self) -> str:
        return " ".join(item.template.text for item in self.items) + self.launch.doing + made_of(self.names)

    def command_now(self, context: ActionContext) -> Command:
        words = tuple(
            checked(word, f"the word {number}", self.place)
            for number, word in enumerate(self._filled(context.variables))
        )
        environment = self.launch.filled_environment(context.variables, self.place)
        return self.launch.command(words, context, self.place, environment, text=shlex.join(words))

    def _filled(self, variables: Mapping[str, object]) -> Iterator[str]:
        for item in self.items:
            value = item.of(variables)
            if item.template.is_value and isinstance(value, list | tuple):
                yield from map(to_text, value)
            else:
                yield to_text(value)


def _items(line: Scanner) -> tuple[Value, ...]:
    line.blanks()
    begin = line.at
    if not line.symbol("["):
        line.fail(f"A list of words is expected, {line.found()}.")
    items: list[Value] = []
    while not line.symbol("]"):
        if items and not line.symbol(","):
            line.fail(f"A comma or the end of the list is expected, {line.found()}.")
        items.append(line.expect_quoted("Each word"))
    if not items:
        line.fail("The list is empty: the first word is the program.", begin)
    program = items[0]
    if not program.is_literal:
        message = "The program must be written out: a value can only be one of the words after it."
        line.note("shell-value", message, program.place)
    elif not str(program.given).strip():
        line.note("action-syntax", "The program is empty.", program.place)
    return tuple(items)


def _check_words(line: Scanner, items: Sequence[Value], launch: Launch) -> tuple[Fault, ...]:
    """Notes values that would be code; gives warnings about the others."""
    words = [
        Word(_outline(item), None if item.is_literal else number, quoted=True)
        for number, item in enumerate(items)
    ]
    lists = {number for number, item in enumerate(items) if not item.is_literal and item.template.is_value}
    refused = None
    if items[0].is_literal:
        refused = refusal(words, _INPUT if launch.has_input else None) or list_refusal(words, lists)
    if refused is not None:
        value = launch.stdin if refused.number == _INPUT else items[refused.number]
        assert value is not None
        line.note("shell-value", f"A value cannot be used here: {refused.why}.", value.place)
    return tuple(
        Fault(code="shell-option", message=doubt, place=items[number].place, severity="warning")
        for number, doubt in doubts(words)
    )


def _outline(item: Value) -> str:
    """The word with NUL in the place of each value."""
    if item.is_literal:
        return str(item.given)
    outline = item.template.outline
    if outline is None:
        return "\0"
    return "".join("\0" if isinstance(piece, Held) else piece for piece in outline)
