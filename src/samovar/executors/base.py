"""The waist: the workflow half asks for an answer here, in plain values.

Above: the workflow half, which knows only this file and the names of `table.py`. Below: the members of this
shelf, which may use the model half, a server, or a script. Nothing here knows what a model or a workflow is.

An executor lives as long as the app. `open` gives a connection for one run; leaving it gives back all
the run holds, on every path. A connection may be asked from several tasks at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from samovar.errors.counting import counted
from samovar.generation import (
    Embeddings,
    FinishReason,
    GoingOn,
    Message,
    MessagePart,
    Options,
    PartKind,
    PromptEvent,
    TokenCounts,
    ToolCall,
    joined,
)
from samovar.values.certainty import ChosenValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that a program wants to do itself, in words that the user's rules know."""

    kind: Literal["shell", "write", "fetch"]
    words: tuple[str, ...]
    """`shell`: the program and its arguments; `write`: the whole path; `fetch`: the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a program that answers a prompt wants to do itself."""

    program: str
    """The name of the executor."""
    what: str
    """What it calls that, in a few words: it is data, whoever wrote it."""
    details: str = ""
    """With what, as the program says it: a command, a path; data too."""
    deeds: tuple[Deed, ...] = ()
    """All that it would do; empty if that is not known."""


Permits = Callable[[Wish], Awaitable[bool]]
"""What the user's rules say, or else the person of the run. Nobody there: no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRequest:
    """One prompt, ready to be answered."""

    messages: tuple[Message, ...]
    """At least one; at most one `system`, which comes first."""
    executor: str | None = None
    """The name of the executor that is to answer, or several with commas between them: the next one answers
    if one fails with what may pass. None means that of the settings."""
    model: str | None = None
    """A model reference; None means the executor's default."""
    options: Options = field(default_factory=Options)
    session: str | None = None
    """The named conversation of this run to continue; None asks in a fresh one."""
    fork: str | None = None
    """The named conversation of this run to start from a copy of: `session` then begins again as that copy;
    without `session` the copy is a fresh one."""
    history: tuple[Message, ...] = ()
    """What that conversation has said before, if the executor does not know it: of a run that continues in
    another process. It comes before `messages`."""
    may_come_again: bool = False
    """Once `session` is over, all of it may be sent again by someone who keeps no conversation: what was
    evaluated for it is kept as long as there is room."""
    is_own: bool = False
    """`session` is a name that nobody wrote: the conversation of this visit alone."""
    is_from_server: bool = False
    """A server of tools wants it, while it is called: it is no part of what the visit says."""
    run: str = ""
    """The run's id, for logs."""
    visit: int = 0
    """The number of the visit within the run, for logs."""
    permits: Permits | None = field(default=None, compare=False, repr=False)
    """Whether a program may do what it wants to do itself, where the settings say that it asks; None: no."""
    going_on: GoingOn | None = field(default=None, compare=False, repr=False)
    """How the answer outlives this process, if the executor can continue one (`resumes`); None: it does not.
    It is what was kept of the answers to the same request."""
    allows_effects: bool = True
    """False: whoever answers does nothing itself, whatever the settings say."""


OnPromptEvent = Callable[[PromptEvent], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptReply:
    """The whole answer and what it cost. Figures are measured, or None."""

    text: str
    """Without the reasoning."""
    finish_reason: FinishReason
    model: str
    """The reference of the model that answered."""
    tokens: TokenCounts = field(default_factory=TokenCounts)
    duration_s: float = 0.0
    """From the call to the last token, waiting and loading included."""
    first_token_s: float | None = None
    """From the call to the first token; None when there was none."""
    dropped_messages: int = 0
    """The oldest ones that were left out to make room (`overflow="drop_oldest"`)."""
    parts: tuple[MessagePart, ...] = ()
    """All of the answer in its order, reasoning and text; may be empty if it is nothing but its text."""
    cut: PartKind | None = None
    """The part that did not end; None if all of it did."""
    chosen: tuple[ChosenValue, ...] = ()
    """The choices that the answer holds, with how sure the model was of each; empty if nobody says."""

    calls: tuple[ToolCall, ...] = ()
    """What the model wants tools to do (`FinishReason.CALLS`). Whoever asked does it, and asks again in the
    same conversation with what they gave back."""
    tools_tokens: int | None = None
    """Of the prompt: those of the tools' definitions; None if that is not known."""
    context_tokens: int | None = None
    """That the prompt and the answer had room for; None if that is not known."""
    executor: str = ""
    """The name of the one that answered, which may be a later one of those that were named."""
    cost: float | None = None
    """In the currency of the executor's prices; None if they or the tokens are not known, which is not
    zero. What a model on this machine answers costs 0."""

    @property
    def reasoning(self) -> str:
        """What the model thought before it answered."""
        return joined(self.parts, "reasoning")


def cut_off(cut: PartKind, reason: FinishReason, tokens: TokenCounts, options: Options) -> str:
    """The message about an answer that did not get beyond its reasoning, or is not whole."""
    if reason in (FinishReason.TIMEOUT, FinishReason.CANCELLED):
        return f"The answer was given up ({reason}) before it was what the {options.held_by} asks for."
    ways, said = "Give it more with max_tokens=…", counted(tokens.generated, "token")
    if cut == "call":
        return (
            f"The answer was cut off after {said} (max_tokens is {options.max_tokens}), "
            f"within a call of a tool. {ways}"
        )
    if cut == "text":
        return (
            f"The answer was cut off after {said} (max_tokens is "
            f"{options.max_tokens}), before it matched the {options.held_by}. {ways}, or ask for less."
        )
    if reason is FinishReason.STOP:
        return "The model ended its answer within its reasoning, so there is no text. Try think=off."
    return (
        f"The model's reasoning used all {said} (max_tokens is {options.max_tokens}), "
        f"so the answer has no text. {ways}, or turn its reasoning off with think=off."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorAbilities:
    """What an executor can do, so that what it cannot is refused before the run. False means refused."""

    choices: bool = False
    """The answer is one of several texts, enforced."""
    schema: bool = False
    regex: bool = False
    grammar: bool = False
    tools: bool = False
    """It gives calls back to anyone who asked."""
    own_tools: bool = False
    """It uses tools of its own, without asking here."""
    sessions: bool = False
    fork: bool = False
    embeddings: bool = False
    deterministic: bool = False
    """The same text each time."""
    confidence: bool = False
    """It says how sure it was of a choice."""
    sampling: frozenset[str] = frozenset()
    """The fields of `Sampling` that it takes notice of."""
    stop: bool = False
    think: bool = False
    template: bool = False
    budget: bool = False
    """Its memory is within the budget in bytes."""
    evaluated: bool = False
    """It says how many tokens of a prompt were computed and how many were there already."""
    usage: bool = False
    """It says how many tokens an answer took."""
    resumes: bool = False
    """An answer that was interrupted goes on in another process from the token where it was."""
    cost: bool = False
    """It says itself what an answer cost, as far as it knows that."""


class Connection(Protocol):
    """One run's access to an executor."""

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        """Answers one prompt.

        `on_event` is called on the caller's event loop, in order, before this returns. When it raises,
        generation stops and the exception comes out of here.

        Raises a `ModelError` when no answer can be had. A timeout is not an error: the reply says so in
        `finish_reason`. On cancellation the generation stops and everything is given back first.
        """
        ...


@runtime_checkable
class Forgets(Protocol):
    """A connection that can end a named conversation before the run does, which not every one can."""

    async def forget(self, session: str) -> None:
        """The conversation of that name, if there is one, is over: all that it holds is given back."""
        ...


async def forget(connection: Connection, session: str) -> None:
    """Ends a named conversation, if the connection can; else it ends with the run."""
    if isinstance(connection, Forgets):
        await connection.forget(session)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """Texts to be embedded."""

    texts: tuple[str, ...]
    prefix: str = ""
    """Put before each of them as it is: what the model was trained to find there."""
    executor: str | None = None
    """The name of the executor that is to embed; None means that of the settings."""
    model: str | None = None
    """A model reference; None means the executor's default."""


@runtime_checkable
class Embedder(Protocol):
    """An executor that can embed texts, which not every one can."""

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Each text as a vector of length 1, in their order.

        Raises a `ModelError` when it cannot be had: `ContextError` names the text that is too long. On
        cancellation everything is given back first.
        """
        ...


@runtime_checkable
class Counter(Protocol):
    """An executor that can count the tokens of a prompt without answering it, which not every one can."""

    async def count(self, request: PromptRequest) -> int:
        """The tokens of `history` and `messages` as the model would get them, tools included.

        Nothing is evaluated. Raises a `ModelError` when it cannot be had.
        """
        ...


class Executor(Protocol):
    """Answers prompts. One that can also embed texts has what `Embedder` has, one that counts `Counter`."""

    name: str
    """How settings, workflows and prompts name it."""

    def open(self, run: str) -> AbstractAsyncContextManager[Connection]:
        """A connection for the run with this id; closed exactly once, on every path."""
        ...
