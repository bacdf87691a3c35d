"""What the executors that are programs share: how one is found and started, and how long it may be silent.

Above: `claude_code.py`, `acp.py`. Below: `processes/children.py`, which starts programs and ends them. What a
program fails with becomes an error of the one tree here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio

from samovar.config.declared import DeclaredExecutor
from samovar.errors import ProtocolError, SamovarError, SilentError, UnreachableError, UsageError
from samovar.errors.durations import lasting
from samovar.executors.base import PromptRequest, Wish
from samovar.generation import FinishReason, Message, Options
from samovar.processes.children import ChildProgram, ChildProgramError, ChildPrograms, ProgramToStart
from samovar.processes.given_variables import allowed
from samovar.values import MOST_VALUE_BYTES

MOST_AT_ONCE = 8
"""Programs that answer at the same time, in one run; the others wait."""
OnSent = Callable[[int], None]
MOST_SHOWN_CHARS = 2000
"""Of what a program wants to do, as a person is asked about it."""


def found_program(declared: DeclaredExecutor, usual: str = "") -> tuple[str, ...]:
    """The words that start it: those declared, else the kind's own program.

    Raises `UsageError` if there is no such program.
    """
    words = declared.command or ((usual,) if usual else ())
    if not words:
        raise UsageError(
            f"{declared.table} has no command: an executor of kind {declared.kind} is a program."
        )
    path = shutil.which(os.path.expanduser(words[0]))
    if path is None:
        where = "on PATH" if os.sep not in words[0] else "on this machine"
        way = (
            f"Correct command in {declared.table}."
            if declared.command
            else f"Install it, or say where it is: command in {declared.table}."
        )
        raise UsageError(f"The executor {declared.name!r} is the program {words[0]!r}: not {where}. {way}")
    return (os.path.abspath(path), *words[1:])


def missing_program(declared: DeclaredExecutor, usual: str = "") -> SamovarError | None:
    """Why it could not be started; None if nothing is known."""
    try:
        found_program(declared, usual)
    except UsageError as error:
        return error
    return None


def program_named(declared: DeclaredExecutor, usual: str = "") -> str:
    """The program, for a person: whom that asks, only it knows."""
    return f"the program {os.path.basename((declared.command or (usual,))[0])}"


def _nobody_counts(sent_bytes: int) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting:
    """How the programs of one executor are started."""

    declared: DeclaredExecutor
    words: tuple[str, ...]
    """The program and its own arguments."""
    usual: tuple[str, ...] = ()
    """Variables of the environment that every program of this kind may see, besides those declared."""
    on_sent: OnSent = _nobody_counts
    """Called with the bytes of each prompt that is said to it."""
    most_chars: int = MOST_VALUE_BYTES
    """Of an answer."""

    async def start(
        self,
        children: ChildPrograms,
        more: Sequence[str] = (),
        *,
        sets: dict[str, str] | None = None,
        files: dict[str, str] | None = None,
    ) -> AnsweringProgram:
        """Starts one. `more`: arguments; `sets`: variables; `files`: see `ProgramToStart`.

        Raises `UnreachableError`.
        """
        environment = allowed((*self.usual, *self.declared.environment)) | (sets or {})
        to_start = ProgramToStart(
            words=(*self.words, *more), environment=environment, folder=Path.cwd(), files=files or {}
        )
        try:
            child = await children.start(to_start)
        except ChildProgramError as error:
            raise UnreachableError(
                f"The program of {self.declared.name!r} {error}.", executor=self.declared.name
            ) from None
        return AnsweringProgram(child, self.declared, on_sent=self.on_sent)


class AnsweringProgram:
    """One program that has been started. Its state is that of its `ChildProgram`."""

    def __init__(self, child: ChildProgram, declared: DeclaredExecutor, *, on_sent: OnSent) -> None:
        self.child, self._declared, self.on_sent = child, declared, on_sent

    @property
    def is_alive(self) -> bool:
        """It has not ended, as far as is known."""
        return self.child.is_alive

    async def send(self, message: dict[str, Any]) -> None:
        """Says something to it, within the time that it may be silent. Raises `ExecutorError`."""
        with anyio.move_on_after(self._declared.silence_s) as limit:
            try:
                await self.child.send(message)
            except ChildProgramError:
                raise await self.gone() from None
        if limit.cancelled_caught:
            raise self.silent()

    async def receive(self, watch: Patience) -> dict[str, Any] | FinishReason:
        """The next thing that it says, or why it is not waited for. Raises `ExecutorError`."""
        with anyio.move_on_after(watch.left_s()) as limit:
            try:
                message = await self.child.receive()
            except ChildProgramError as error:
                raise ProtocolError(f"{self._named} {error}.", executor=self._declared.name) from None
            if message is None:
                raise await self.gone()
            watch.heard()
            return message
        assert limit.cancelled_caught
        if watch.is_over():
            return FinishReason.TIMEOUT
        raise self.silent()

    async def end(self, wait_s: float = 0.0) -> None:
        """See `ChildProgram.end`."""
        await self.child.end(wait_s)

    @property
    def _named(self) -> str:
        return f"The program of {self._declared.name!r}"

    def silent(self) -> SilentError:
        """What is said of one that hangs."""
        return SilentError(
            f"{self._named} said nothing for {lasting(self._declared.silence_s)} and was ended. If it may "
            f"take longer: silence_s in {self._declared.table}.",
            executor=self._declared.name,
        )

    async def gone(self) -> UnreachableError:
        """What is said of one that has ended without an answer."""
        how = await self.child.last_words()
        return UnreachableError(
            f"{self._named} ended without an answer{f' ({how})' if how else ''}.",
            executor=self._declared.name,
        )


class Patience:
    """How long a program is waited for. Mutable: when it was last heard, and when it last made text."""

    def __init__(self, options: Options, silence_s: float) -> None:
        self._options, self._silence_s = options, silence_s
        now = anyio.current_time()
        self._heard = self._made = now
        self._ceiling = None if options.ceiling_s is None else now + options.ceiling_s

    def heard(self) -> None:
        """It has said something."""
        self._heard = anyio.current_time()

    def made(self) -> None:
        """It has made text, or a person was waited for meanwhile: the pauses begin anew."""
        self._heard = self._made = anyio.current_time()

    def _limits(self) -> list[float]:
        """When the answer is given up."""
        made = [] if self._options.timeout_s is None else [self._made + self._options.timeout_s]
        return made + ([] if self._ceiling is None else [self._ceiling])

    def left_s(self) -> float:
        """Until it is not waited for any longer."""
        return max(0.0, min([self._heard + self._silence_s, *self._limits()]) - anyio.current_time())

    def is_over(self) -> bool:
        """By the limits of the answer, not by the silence of the program."""
        return any(anyio.current_time() >= limit for limit in self._limits())


async def may(wish: Wish, declared: DeclaredExecutor, request: PromptRequest) -> bool:
    """Whether a program may do something itself that it asks for."""
    if not request.allows_effects or declared.permission == "deny":
        return False
    if declared.permission == "allow":
        return True
    if request.permits is None:
        return False
    details = wish.details
    cut = details if len(details) <= MOST_SHOWN_CHARS else f"{details[:MOST_SHOWN_CHARS]}…"
    return await request.permits(replace(wish, what=wish.what[:100], details=cut))


def said_in(messages: Sequence[Message]) -> str:
    """What is said to a program: its last message, with those before it told as what they were.

    Programs keep a conversation themselves, and hear no answers but their own.
    """
    told = [message for message in messages if message.role != "system"]
    if len(told) == 1:
        return told[0].content
    who = {"user": "User", "assistant": "You", "tool": "Tool"}
    before = "\n\n".join(f"{who[one.role]}: {one.content}" for one in told[:-1])
    last = told[-1].content if told else ""
    return f"The conversation so far:\n\n{before}\n\nNow answer this:\n\n{last}"


def system_of(messages: Sequence[Message]) -> str | None:
    """The system message, if there is one: the last, since a new one replaces the one before."""
    return next((message.content for message in reversed(messages) if message.role == "system"), None)
