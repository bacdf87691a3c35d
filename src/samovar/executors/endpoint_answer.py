"""An answer as an endpoint sends it: what is heard, within which time, and what it becomes.

Above: the dialects, which say what was heard, and `endpoint_asking.py`. Below: what trims answers. What the
pieces of a kind are joined to is the answer. An answer that is held to a form is told when it is whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import anyio

from samovar.engines.answer import Head, StopText, Tail
from samovar.errors import SilentError
from samovar.errors.durations import lasting
from samovar.executors.base import OnPromptEvent
from samovar.executors.endpoint import Endpoint
from samovar.generation import FinishReason, MessagePart, Options, PartKind, TextGenerated, ToolCall
from samovar.serving.turn import parts_of

T = TypeVar("T")


# What is heard -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The next piece of the answer."""

    text: str
    kind: PartKind = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPiece:
    """The next piece of a call."""

    index: int
    """Tells the calls of an answer apart."""
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What the endpoint says it took; None: it does not say."""

    evaluated: int | None = None
    reused: int | None = None
    generated: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The model came to an end. There may be more to hear of what it took."""

    reason: FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDeclined:
    """The model, or who provides it, does not answer."""

    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """Nothing more comes."""


Heard = Said | CallPiece | Used | Ended | ModelDeclined | Over


# Time ----------------------------------------------------------------------------------------------------


class TimeUp(Exception):
    """The time that the options give an answer is over: it ends there, and nothing is wrong."""


class Watch:
    """How long an answer may take, and how long nothing may be heard. Mutable: when something was."""

    def __init__(self, options: Options, silence_s: float, endpoint: Endpoint) -> None:
        self._options, self._silence_s, self._endpoint = options, silence_s, endpoint
        self.started = self._heard = self._said = anyio.current_time()
        self.first: float | None = None

    async def within(self, call: Callable[[], Awaitable[T]]) -> T:
        """What the call gives. Raises `TimeUp`, and `SilentError` when nothing came for too long."""
        silent = self._heard + self._silence_s
        limit = float("inf")
        if self._options.timeout_s is not None and self._options.ceiling_s is not None:
            limit = min(self._said + self._options.timeout_s, self.started + self._options.ceiling_s)
        with anyio.CancelScope(deadline=min(silent, limit)):
            value = await call()
            self._heard = anyio.current_time()
            return value
        if limit <= silent:
            raise TimeUp
        raise SilentError(
            f"The executor {self._endpoint.executor!r} ({self._endpoint.host}) said nothing for "
            f"{lasting(self._silence_s)}, and was given up (silence_s of {self._endpoint.table}).",
            executor=self._endpoint.executor,
        )

    def said(self) -> None:
        """A piece of the answer came."""
        self._said = anyio.current_time()
        self.first = self._said if self.first is None else self.first

    @property
    def first_token_s(self) -> float | None:
        return None if self.first is None else self.first - self.started

    @property
    def duration_s(self) -> float:
        return anyio.current_time() - self.started


# What it becomes -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Call:
    """A call as far as it has come."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class Assembly:
    """Pieces become an answer. Mutable: what came so far."""

    def __init__(self, options: Options, on_event: OnPromptEvent, *, is_held: bool) -> None:
        """`is_held`: the text is told by `tell_whole`, and not before."""
        self._on_event, self._is_held = on_event, is_held
        self._stop = StopText(() if is_held else options.stop)
        self._heads: dict[PartKind, Head] = {"text": Head(), "reasoning": Head(keeps_indent=False)}
        self._tails: dict[PartKind, Tail] = {"text": Tail(), "reasoning": Tail()}
        self._pieces: list[TextGenerated] = []
        self._calls: dict[int, _Call] = {}
        self.held = ""
        """The text that is not told yet."""
        self.chars = 0
        """Of all that came."""
        self.usage = Used()
        self.reason: FinishReason | None = None
        self.is_over = False

    @property
    def is_stopped(self) -> bool:
        """A stop text was reached."""
        return self._stop.stopped

    def say(self, said: Said) -> None:
        """Raises what whoever listens raises."""
        self.chars += len(said.text)
        if said.kind == "text" and self._is_held:
            self.held += said.text
            return
        text = self._stop.feed(said.text) if said.kind == "text" else said.text
        self._tell(self._tails[said.kind].feed(self._heads[said.kind].feed(text)), said.kind)

    def call(self, called: CallPiece) -> None:
        self.chars += len(called.arguments)
        call = self._calls.setdefault(called.index, _Call())
        call.id, call.name = call.id or called.id, call.name or called.name
        call.arguments += called.arguments

    def use(self, used: Used) -> None:
        """What is told later counts."""
        told = {one.name: getattr(used, one.name) for one in fields(used)}
        self.usage = replace(self.usage, **{name: one for name, one in told.items() if one is not None})

    def finish(self) -> None:
        """Nothing more comes: what could have been the beginning of a stop text is text."""
        if not self._is_held and (rest := self._stop.finish()):
            self._tell(self._tails["text"].feed(self._heads["text"].feed(rest)), "text")

    def tell_whole(self, text: str) -> None:
        """The text of an answer that was held."""
        self._tell(text, "text")

    def _tell(self, text: str, kind: PartKind) -> None:
        if text:
            event = TextGenerated(piece=text, kind=kind)
            self._pieces.append(event)
            self._on_event(event)

    @property
    def parts(self) -> tuple[MessagePart, ...]:
        return parts_of(self._pieces)

    @property
    def has_text(self) -> bool:
        return any(piece.kind == "text" for piece in self._pieces)

    @property
    def has_reasoning(self) -> bool:
        return any(piece.kind == "reasoning" for piece in self._pieces)

    def calls(self, decoded: Callable[[str], str]) -> tuple[ToolCall, ...]:
        """The calls of the answer, in their order. `decoded`: the name that a tool has here."""
        found = [self._calls[index] for index in sorted(self._calls)]
        return tuple(
            ToolCall(id=one.id or f"call_{number}", name=decoded(one.name), arguments=one.arguments or "{}")
            for number, one in enumerate(found, 1)
        )
