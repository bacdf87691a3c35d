"""`Shell "command"`: runs a command, with values handed over as data.

Values go through the environment and are quoted for the place where they stand (`quoting.py`); a value
with NUL, or of 128 KiB and more, fails before anything starts.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from samovar.actions.base import Action, ActionContext, Outcome, brief
from samovar.actions.process import Command, CommandResult
from samovar.actions.quoting import VARIABLE, Quoted, quote
from samovar.actions.scanner import Pair, Scanner, Value
from samovar.actions.shell_text import UnquotableError
from samovar.errors import ActionError, Fault, Place, ShellError, TimedOutError, TooLargeError
from samovar.expressions.types import ANYTHING, FRACTIONAL, TEXT, WHOLE, Type, list_of
from samovar.language.names import OF_COMMAND
from samovar.language.pieces import Held, Piece
from samovar.language.template import Rules, Template
from samovar.language.workflow import UnknownNames
from samovar.values import Record, duration_s, lines_of, to_text

if TYPE_CHECKING:
    from samovar.language.workflow import Workflow
    from samovar.library import Library

LARGEST_VALUE_BYTES = 128 * 1024
"""What Linux takes as one variable of the environment, name and all."""
OF_COMMAND_TYPES: Mapping[str, Type] = dict.fromkeys(("text", "stdout", "stderr"), TEXT) | {
    "exit_code": WHOLE,
    "duration_s": FRACTIONAL,
    "lines": list_of(TEXT),
    "json": ANYTHING,
}
"""All parts of a command's value."""
SAID_CHARS = 500
"""Of what a command wrote last, which a message begins with; `…` stands where it was cut."""
_CANNOT = "A value cannot be used here: {}."
_OPTIONS = ("timeout", "result", "working_dir", "env", "retry_safe", "detach")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Action):
    verb: ClassVar[str] = "shell"
    words: ClassVar[tuple[str, ...]] = ("shell",)
    runs_command: ClassVar[bool] = True
    form: ClassVar[str] = (
        'Shell "command" [with timeout=30 result="variable" working_dir="folder" '
        'env={"NAME":"value"} retry_safe=true detach=true]'
    )

    place: Place
    command: Value
    result: str | None = None
    timeout: Value | None = None
    folder: Value | None = None
    environment: tuple[tuple[str, Template], ...] = ()
    retry_safe: bool = False
    """It may be repeated when it is not known whether it was done."""
    detach: bool = False
    """What it leaves running may outlive the run."""
    doubts: tuple[Fault, ...] = ()
    """Warnings about values in the command."""

    @classmethod
    def parse(cls, line: Scanner) -> Shell:
        place, _ = line.where(), line.word("shell")
        command = line.expect_quoted("The command", shell=True)
        if command.is_literal and not str(command.given).strip():
            line.note("action-syntax", "The command is empty.", command.place)
        line.word("with")
        options: dict[str, Pair] = {}
        for pair in line.pairs():
            pair = _plain_key(pair)
            if pair.key not in _OPTIONS:
                line.unknown(pair, _OPTIONS)
            options[pair.key] = pair
        shell = cls(
            place=place,
            command=command,
            result=line.variable(options["result"]) if "result" in options else None,
            timeout=_timeout(line, options.get("timeout")),
            folder=options["working_dir"].value if "working_dir" in options else None,
            environment=_environment(line, options.get("env")),
            retry_safe=_is_true(line, options.get("retry_safe")),
            detach=_is_true(line, options.get("detach")),
            doubts=_check_command(line, command),
        )
        line.end()
        return shell

    @property
    def names(self) -> frozenset[str]:
        values = [value for value in (self.command, self.timeout, self.folder) if value]
        names = frozenset().union(*(value.names for value in values))
        return names.union(*(template.names for _, template in self.environment))

    @property
    def sets(self) -> frozenset[str]:
        return frozenset((*OF_COMMAND, self.result)) if self.result else frozenset(OF_COMMAND)

    @property
    def is_repeatable(self) -> bool:
        return self.retry_safe

    @property
    def types(self) -> Mapping[str, Type]:
        own = {name: OF_COMMAND_TYPES[name] for name in OF_COMMAND}
        return own | (
            {self.result: replace(TEXT, parts=OF_COMMAND_TYPES, is_closed=True)} if self.result else {}
        )

    @property
    def what(self) -> str:
        return brief(self.command.template.text)

    def faults(self, library: Library, workflow: Workflow) -> tuple[Fault, ...]:
        return self.doubts

    async def perform(self, context: ActionContext) -> Outcome:
        command = await context.compute(lambda: self._command(context))
        finished = await context.run_command(command)
        if finished.is_cut:
            raise TooLargeError("What the command wrote", command.most_bytes, place=self.place)
        value = await context.compute(lambda: _record(finished))
        sets = {name: value.part(name) for name in OF_COMMAND}
        if self.result:
            sets[self.result] = value
        return Outcome(value=value, sets=sets, error=self._error(finished, command.timeout_s))

    def _error(self, finished: CommandResult, timeout_s: float | None) -> ActionError | None:
        if finished.timed_out:
            limit_s = finished.duration_s if timeout_s is None else timeout_s
            return TimedOutError(
                f"The command took longer than {limit_s:g} s and was stopped.", place=self.place
            )
        if finished.exit_code:
            said = finished.stderr.strip() or finished.stdout.strip()
            end = said if len(said) <= SAID_CHARS else f"…{said[-SAID_CHARS:]}"
            tail = f": {brief(end, 200)}" if said else "."
            return ShellError(f"The command ended with status {finished.exit_code}{tail}", place=self.place)
        return None

    def _command(self, context: ActionContext) -> Command:
        variables = context.variables
        environment = dict(os.environ)
        for name, template in self.environment:
            environment[name] = _checked(template.fill(variables), name, self.place)
        pieces = self.command.template.hold(variables, UnknownNames(context.workflow))
        quoted = self._quoted(pieces)
        for number, held in enumerate(quoted.held):
            name = VARIABLE.format(number)
            environment[name] = _checked(to_text(held.value), name, self.place)
        return Command(
            text=quoted.command,
            environment=environment,
            folder=self._folder(context),
            timeout_s=self._timeout_s(variables),
            detach=self.detach,
            most_bytes=context.settings.value_bytes,
        )

    def _quoted(self, pieces: Iterable[Piece]) -> Quoted:
        try:
            return quote([self._raw_as_text(piece) for piece in pieces])
        except UnquotableError as error:
            raise ShellError(_CANNOT.format(error.message), place=self.command.place) from None

    def _raw_as_text(self, piece: Piece) -> Piece:
        if isinstance(piece, Held) and piece.raw:
            return _checked(to_text(piece.value), "a raw value", self.place)
        return piece

    def _folder(self, context: ActionContext) -> Path:
        if self.folder is None:
            return context.folder
        text = _checked(self.folder.text(context.variables), "working_dir", self.place)
        return context.folder / text

    def _timeout_s(self, variables: Mapping[str, object]) -> float | None:
        if self.timeout is None:
            return None
        value = self.timeout.of(variables)
        seconds = _seconds(value)
        if seconds is None:
            raise ActionError(f"`timeout` is a duration, not {to_text(value)!r}.", place=self.timeout.place)
        return seconds


def _record(finished: CommandResult) -> Record:
    parts: dict[str, object] = {
        "stdout": finished.stdout,
        "stderr": finished.stderr,
        "exit_code": finished.exit_code,
        "duration_s": finished.duration_s,
        "lines": lines_of(finished.stdout, "The list of lines that the command wrote"),
    }
    return Record(finished.stdout.rstrip("\r\n"), parts)


def _checked(text: str, name: str, place: Place) -> str:
    """A text that the environment can hold. Raises `ShellError`."""
    if "\0" in text:
        raise ShellError(f"A value with a NUL character cannot be given to a command ({name}).", place=place)
    try:
        size_bytes = len(os.fsencode(text)) + len(name) + 2
    except UnicodeEncodeError:
        raise ShellError(f"A value is no text that a command can be given ({name}).", place=place) from None
    if size_bytes > LARGEST_VALUE_BYTES:
        raise ShellError(
            f"A value of {size_bytes} bytes is too large to be given to a command; the most is 128 KiB. "
            "Write it to a file and give its name.",
            place=place,
        )
    return text


def _check_command(line: Scanner, command: Value) -> tuple[Fault, ...]:
    """Notes values that cannot be quoted, as far as that is known before the run; gives the doubts."""
    outline: Sequence[Piece] | None = command.template.outline
    if outline is None:
        return ()
    held = [piece for piece in outline if isinstance(piece, Held)]
    places = [command.template.place.within(command.template.text, value.offset) for value in held]
    doubts = [
        Fault(
            code="shell-raw",
            message="`| raw` makes a value part of the command: it can add words and commands.",
            place=place,
            severity="warning",
        )
        for value, place in zip(held, places, strict=True)
        if value.raw
    ]
    if doubts:
        # What a raw value opens or closes is not known before the run, when all is read again.
        return tuple(doubts)
    try:
        quoted = quote(outline)
    except UnquotableError as error:
        line.note("shell-value", _CANNOT.format(error.message), places[error.number])
        return ()
    return tuple(
        Fault(code="shell-option", message=doubt, place=places[number], severity="warning")
        for number, doubt in quoted.warnings
    )


def _plain_key(pair: Pair) -> Pair:
    """The older spelling `working-dir` is `working_dir`."""
    return Pair(key=pair.key.replace("-", "_"), value=pair.value, place=pair.place)


def _timeout(line: Scanner, pair: Pair | None) -> Value | None:
    if pair is None:
        return None
    if pair.value.is_literal and _seconds(pair.value.given) is None:
        line.note("option-value", "`timeout` is a duration above 0, as in 30, 30s or 2min.", pair.value.place)
    return pair.value


def _seconds(value: object) -> float | None:
    try:
        return duration_s(value) or None
    except ValueError:
        return None


def _is_true(line: Scanner, pair: Pair | None) -> bool:
    if pair is None:
        return False
    text = str(pair.value.given).lower()
    if not pair.value.is_literal or text not in ("true", "false"):
        line.note("option-value", f"`{pair.key}` is true or false.", pair.value.place)
    return text == "true"


def _environment(line: Scanner, pair: Pair | None) -> tuple[tuple[str, Template], ...]:
    if pair is None:
        return ()
    text = pair.value.template.text
    try:
        read = json.loads(text)
    except ValueError:
        read = None
    if not isinstance(read, dict) or not all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in read):
        message = '`env` is a map of names to texts, as in {"NAME":"value"}.'
        line.note("option-value", message, pair.value.place)
        return ()
    place, rules = pair.value.place, Rules(is_old=line.is_old)
    return tuple((name, Template.parse(to_text(value), place, rules)) for name, value in read.items())
