"""The shared part of the actions that run a command: options, input, and outcome.

Above: `shell.py`, `command.py`. Below: `process.py`, which runs one, and templates. A value with NUL, or of
128 KiB and more, fits into no word and no variable of the environment, and fails before anything starts.
"""

from __future__ import annotations

import json
import os
import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from samovar.actions.base import Action, ActionContext, Outcome, brief
from samovar.actions.given import Pair, Value, map_in
from samovar.actions.process import Command, CommandResult
from samovar.actions.scanner import Scanner
from samovar.errors import ActionError, Fault, Place, ShellError, TimedOutError, TooLargeError
from samovar.errors.durations import lasting
from samovar.expressions.types import ANYTHING, FRACTIONAL, TEXT, WHOLE, Type, list_of
from samovar.language.names import OF_COMMAND
from samovar.language.template import Rules, Template
from samovar.values import Record, lines_of, to_text

if TYPE_CHECKING:
    from samovar.language.workflow import Workflow
    from samovar.library import Library

LARGEST_VALUE_BYTES = 128 * 1024
"""What Linux takes as one word or one variable of the environment, name and all."""
OF_COMMAND_TYPES: Mapping[str, Type] = dict.fromkeys(("text", "stdout", "stderr"), TEXT) | {
    "exit_code": WHOLE,
    "duration_s": FRACTIONAL,
    "lines": list_of(TEXT),
    "json": ANYTHING,
}
"""All parts of a command's value."""
SAID_CHARS = 500
"""Characters of a command's last output, at the beginning of a message; `…` marks a cut."""
OPTIONS = ("timeout", "result", "working_dir", "env", "stdin", "retry_safe", "detach")
FORM = (
    '[result="variable"] [timeout=30s] [stdin="text"] [working_dir="folder"] [env={"NAME":"value"}] '
    "[retry_safe=true] [detach=true]"
)
"""How the options are written."""


def read_options(line: Scanner, known: tuple[str, ...]) -> dict[str, Pair]:
    """Takes the options behind a command, by name; notes those that are not `known`, and the time limit."""
    line.word("with")
    options: dict[str, Pair] = {}
    for pair in line.pairs():
        # The older spelling `working-dir` is `working_dir`.
        pair = replace(pair, key=pair.key.replace("-", "_"))
        if pair.key not in known:
            line.unknown(pair, known)
        options[pair.key] = pair
    if "timeout" in options:
        line.limit(options["timeout"].value)
    return options


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a command is run, and where what it leaves goes."""

    result: str | None = None
    folder: Value | None = None
    environment: tuple[tuple[str, Template], ...] = ()
    stdin: Value | None = None
    """What it reads; None: nothing."""
    retry_safe: bool = False
    """It may be repeated when it is not known whether it was done."""
    detach: bool = False
    """What it leaves running may outlive the run."""

    @classmethod
    def parse(cls, line: Scanner, options: Mapping[str, Pair]) -> Launch:
        return cls(
            result=line.variable(options["result"]) if "result" in options else None,
            folder=options["working_dir"].value if "working_dir" in options else None,
            environment=_environment(line, options.get("env")),
            stdin=options["stdin"].value if "stdin" in options else None,
            retry_safe=_is_true(line, options.get("retry_safe")),
            detach=_is_true(line, options.get("detach")),
        )

    @property
    def names(self) -> frozenset[str]:
        values = [value.names for value in (self.folder, self.stdin) if value]
        return frozenset().union(*values, *(template.names for _, template in self.environment))

    @property
    def sets(self) -> frozenset[str]:
        return frozenset((*OF_COMMAND, self.result)) if self.result else frozenset(OF_COMMAND)

    @property
    def types(self) -> Mapping[str, Type]:
        own = {name: OF_COMMAND_TYPES[name] for name in OF_COMMAND}
        return own | (
            {self.result: replace(TEXT, parts=OF_COMMAND_TYPES, is_closed=True)} if self.result else {}
        )

    @property
    def doing(self) -> str:
        """What it adds to a command, as written, for anyone who is asked to allow that."""
        env = {name: template.text for name, template in self.environment}
        where = f" in {self.folder.template.text}" if self.folder else ""
        reads = f" reading {self.stdin.template.text!r}" if self.stdin else ""
        return where + reads + (f" with {json.dumps(env)}" if env else "")

    @property
    def has_input(self) -> bool:
        """There is a value in what the command reads."""
        return self.stdin is not None and not self.stdin.is_literal

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of its environment that a value is in."""
        return tuple(name for name, template in self.environment if not template.is_plain)

    def filled_environment(self, variables: Mapping[str, object], place: Place) -> dict[str, str]:
        """The whole environment of the command. Raises `ShellError`."""
        environment = dict(os.environ)
        for name, template in self.environment:
            environment[name] = checked(template.fill(variables), name, place)
        return environment

    def command(
        self,
        words: tuple[str, ...],
        context: ActionContext,
        place: Place,
        environment: Mapping[str, str],
        *,
        text: str,
    ) -> Command:
        """What is to be run. Raises `ShellError`. `text`: how the command is shown."""
        folder = context.folder
        if self.folder is not None:
            folder /= checked(self.folder.text(context.variables), "working_dir", place)
        return Command(
            text=text,
            words=words,
            stdin=None if self.stdin is None else readable(self.stdin.text(context.variables), place),
            environment=environment,
            adds={name: environment[name] for name, _ in self.environment},
            folder=folder,
            timeout_s=context.timeout_s,
            detach=self.detach,
            most_bytes=context.settings.value_bytes,
        )

    async def outcome(
        self, finished: CommandResult, command: Command, context: ActionContext, place: Place
    ) -> Outcome:
        """What comes of it. Raises `TooLargeError`."""
        if finished.is_cut:
            raise TooLargeError("The command's output", command.most_bytes, place=place)
        value = await context.compute(lambda: record_of(finished))
        sets = {name: value.part(name) for name in OF_COMMAND}
        if self.result:
            sets[self.result] = value
        return Outcome(value=value, sets=sets, error=_error(finished, context.timeout_s, place))


@dataclass(frozen=True, slots=True, kw_only=True)
class Launching(Action):
    """An action that runs a command: what all of them have of it."""

    effect: ClassVar[str | None] = "runs a command"
    runs_command: ClassVar[bool] = True
    keeps_time: ClassVar[bool] = True
    takes_items: ClassVar[bool] = True

    launch: Launch
    doubts: tuple[Fault, ...] = ()
    """Warnings about values in the command."""

    @property
    def result(self) -> str | None:
        """The variable that its value goes to besides `result`."""
        return self.launch.result

    @property
    def sets(self) -> frozenset[str]:
        return self.launch.sets

    @property
    def types(self) -> Mapping[str, Type]:
        return self.launch.types

    @property
    def is_repeatable(self) -> bool:
        return self.launch.retry_safe

    def with_result(self, name: str | None) -> Self:
        return replace(self, launch=replace(self.launch, result=name))

    def faults(self, library: Library, workflow: Workflow) -> tuple[Fault, ...]:
        return self.doubts

    @abstractmethod
    def command_now(self, context: ActionContext) -> Command:
        """The command with the values that variables have now. Raises `ShellError`, `TemplateError`."""

    async def perform(self, context: ActionContext) -> Outcome:
        command = await context.compute(lambda: self.command_now(context))
        finished = await context.run_command(command)
        return await self.launch.outcome(finished, command, context, self.place)


def record_of(finished: CommandResult) -> Record:
    """What a command left, as a value."""
    value = finished.stdout.rstrip("\r\n")
    parts: dict[str, object] = {
        "stdout": finished.stdout,
        "stderr": finished.stderr,
        "exit_code": finished.exit_code,
        "duration_s": finished.duration_s,
        "lines": lines_of(value, "The list of the command's output lines"),
    }
    return Record(value, parts)


def readable(text: str, place: Place) -> str:
    """A text that a command can read. Raises `ShellError`."""
    try:
        text.encode("utf-8", errors="surrogateescape")
    except UnicodeEncodeError:
        raise ShellError("A value cannot be passed to a command as text (stdin).", place=place) from None
    return text


def _error(finished: CommandResult, timeout_s: float | None, place: Place) -> ActionError | None:
    how = failure_of(finished, timeout_s)
    if how is None:
        return None
    if finished.timed_out:
        return TimedOutError(f"The command {how}.", place=place)
    stop = "" if _said_last(finished) else "."  # what it said has an end of its own
    return ShellError(f"The command {how}{stop}", exit_code=finished.exit_code, place=place)


def failure_of(finished: CommandResult, timeout_s: float | None) -> str | None:
    """How a command failed, as the end of a sentence; None if it did not."""
    if finished.timed_out:
        limit_s = finished.duration_s if timeout_s is None else timeout_s
        return f"took longer than {lasting(limit_s)} and was stopped"
    if not finished.exit_code:
        return None
    said = _said_last(finished)
    return f"ended with status {finished.exit_code}" + (f": {said}" if said else "")


def _said_last(finished: CommandResult) -> str:
    """The end of what it wrote, in brief: of its standard error, if it wrote there."""
    said = finished.stderr.strip() or finished.stdout.strip()
    return brief(said if len(said) <= SAID_CHARS else f"…{said[-SAID_CHARS:]}", 200)


def checked(text: str, name: str, place: Place) -> str:
    """A text that a word, or the environment, can hold. Raises `ShellError`."""
    if "\0" in text:
        raise ShellError(f"A value with a NUL character cannot be passed to a command ({name}).", place=place)
    try:
        size_bytes = len(os.fsencode(text)) + len(name) + 2
    except UnicodeEncodeError:
        raise ShellError(f"A value cannot be passed to a command as text ({name}).", place=place) from None
    if size_bytes > LARGEST_VALUE_BYTES:
        raise ShellError(
            f"A value of {size_bytes} bytes is too large to be a word of a command (at most "
            '128 KiB). Let the command read it from standard input: stdin="${…}".',
            place=place,
        )
    return text


def _is_true(line: Scanner, pair: Pair | None) -> bool:
    if pair is None:
        return False
    text = str(pair.value.given).lower()
    if not pair.value.is_literal or text not in ("true", "false"):
        line.note("option-value", f"`{pair.key}` must be true or false.", pair.value.place)
    return text == "true"


def _environment(line: Scanner, pair: Pair | None) -> tuple[tuple[str, Template], ...]:
    if pair is None:
        return ()
    read = map_in(pair.value.template.text)
    if read is None or not all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in read):
        message = '`env` must be a map of names to texts, as in {"NAME":"value"}.'
        line.note("option-value", message, pair.value.place)
        return ()
    place, rules = pair.value.place, Rules(is_old=line.is_old)
    return tuple((name, Template.parse(to_text(value), place, rules)) for name, value in read.items())
