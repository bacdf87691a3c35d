"""A conversation with its forks, as plain values: what was said on each branch, what the next prompt asks.

Above: `chatting.py`, which asks. Below: the waist's request and reply. Nothing is asked here. Branches share
what an executor holds of a conversation until one of them says something: a fork costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from samovar.errors import UsageError
from samovar.executors.base import ExecutorAbilities, PromptReply, PromptRequest
from samovar.generation import Message, Options, TokenCounts

FIRST = "main"
"""The branch that a conversation begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatExchange:
    """Something that was said, and the answer."""

    said: Message
    answers: tuple[Message, ...]
    """What followed: the answer; before it, where tools were used, calls and what they gave back."""
    model: str
    """That answered."""
    executor: str
    tokens: TokenCounts
    tools: tuple[str, ...] = ()
    """The tools that could be called for it, as names and patterns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatBranch:
    """One line of the conversation."""

    name: str
    exchanges: tuple[ChatExchange, ...] = ()
    system: str | None = None
    model: str | None = None
    """Who answers from now on; None: the default."""
    executor: str | None = None
    tools: tuple[str, ...] = ()
    """What the model may call from now on, as names and patterns."""
    held: str | None = None
    """The name by which the executor holds just these exchanges; None: they have to be said again."""
    parent: str | None = None
    """The branch that it was forked from."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """All of it, the system prompt first."""
        first = () if self.system is None else (Message(role="system", content=self.system),)
        said = (one for each in self.exchanges for one in (each.said, *each.answers))
        return (*first, *said)


class ChatTree:
    """All branches, and which of them one is on. Mutable: both, and the names that executors hold."""

    def __init__(self, options: Options, *, model: str | None = None, executor: str | None = None) -> None:
        self._branches = {FIRST: ChatBranch(name=FIRST, model=model, executor=executor)}
        self._current = FIRST
        self._options = options
        self._named: set[str] = set()
        self._count = 0
        self.attached: tuple[str, ...] = ()
        """Texts of files that go with what is said next."""
        self.tokens = TokenCounts()
        """Of all branches."""

    @property
    def branch(self) -> ChatBranch:
        """The one that one is on."""
        return self._branches[self._current]

    @property
    def names(self) -> tuple[str, ...]:
        """Of all branches."""
        return tuple(self._branches)

    # Asking ------------------------------------------------------------------------------------------

    def request(self, text: str, able: ExecutorAbilities) -> PromptRequest:
        """What asks the executor for an answer to the text, with what is attached before it."""
        branch = self.branch
        said = Message(role="user", content="".join((*self.attached, text)))
        self._count += 1
        is_shared = sum(one.held == branch.held for one in self._branches.values()) > 1
        goes_on = branch.held is not None and able.sessions and (able.fork or not is_shared)
        session = f"chat-{self._count}" if able.sessions else None
        if goes_on and not is_shared:
            session = branch.held
        if session is not None:
            self._named.add(session)
        return PromptRequest(
            messages=(said,) if goes_on else (*branch.messages, said),
            executor=branch.executor,
            model=branch.model,
            options=self._options,
            session=session,
            fork=branch.held if goes_on and is_shared else None,
            run="chat",
            visit=self._count,
        )

    def answered(self, request: PromptRequest, reply: PromptReply, between: Iterable[Message] = ()) -> None:
        """The answer is a part of the branch. `between`: calls of tools, and what they gave back."""
        answer = Message.of_parts("assistant", reply.parts) if reply.parts else None
        exchange = ChatExchange(
            said=request.messages[-1],
            answers=(*between, answer or Message(role="assistant", content=reply.text)),
            model=reply.model,
            executor=reply.executor or request.executor or "",
            tokens=reply.tokens,
            tools=self.branch.tools,
        )
        self.attached = ()
        self.tokens += reply.tokens
        branch = self.branch
        self._set(replace(branch, exchanges=(*branch.exchanges, exchange), held=request.session))

    def unanswered(self) -> None:
        """What was said is no part of the branch; what the executor has heard of it is not gone on from."""
        self._set(replace(self.branch, held=None))

    def left_over(self) -> list[str]:
        """Names by which executors hold what no branch needs any more; each is given once."""
        held = {one.held for one in self._branches.values()}
        gone = sorted(self._named - held)
        self._named -= set(gone)
        return gone

    def _set(self, branch: ChatBranch) -> None:
        self._branches[branch.name] = branch

    # Changing ----------------------------------------------------------------------------------------

    def fork(self, name: str | None) -> str:
        """Goes on in a copy of the branch; with the name of one that is there, in that one."""
        if name is None:
            count = len(self._branches)
            name = next(f"fork-{n}" for n in range(count, 2 * count + 1) if f"fork-{n}" not in self._branches)
        if name not in self._branches:
            self._set(replace(self.branch, name=name, parent=self._current))
        self._current = name
        return name

    def back(self) -> str:
        """Goes on in the branch that this one was forked from. Raises `UsageError` on the first."""
        if self.branch.parent is None:
            raise UsageError(f"{self._current} was not forked from another branch.")
        self._current = self.branch.parent
        return self._current

    def attach(self, text: str) -> None:
        """The text goes with what is said next."""
        self.attached = (*self.attached, text)

    def change(self, **changes: str | tuple[str, ...] | None) -> None:
        """Another `model`, `executor` or `system`, or other `tools`, from now on; what was said stays."""
        self._set(replace(self.branch, held=None, **changes))  # type: ignore[arg-type]
