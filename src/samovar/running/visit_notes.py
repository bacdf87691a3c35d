"""What a visit notes for the journal besides what its action gave: what was asked, what it waited for.

Above: the contexts of visits, which note; `visiting.py`, which keeps it. Below: the waist, the journal's
contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from samovar.events import PromptFigures
from samovar.executors.base import PromptReply, PromptRequest
from samovar.generation import Message, MessagePart, ModelLoading, TokenCounts
from samovar.journal.base import Exchange, LoadWait


@dataclass(slots=True)
class VisitNotes:
    """Notes of one visit. Mutable: they only grow."""

    exchanges: list[Exchange] = field(default_factory=list)
    """What was asked of models and answered."""
    failed: list[PromptFigures] = field(default_factory=list)
    """Figures of attempts that were followed by another."""
    _loading: dict[str, tuple[float, float]] = field(default_factory=dict)
    """When a model that the visit waits for was first and last said to be loading, since the run's start."""

    def exchange(
        self, request: PromptRequest, messages: Sequence[Message], reply: PromptReply | None
    ) -> None:
        """Something was asked; None: there was no answer."""
        asked = Exchange(session=request.session, fork=request.fork, messages=tuple(messages), answer=None)
        if reply is not None:
            parts = reply.parts or (MessagePart(text=reply.text),)
            asked = replace(
                asked,
                answer=replace(Message.of_parts("assistant", parts), calls=reply.calls),
                model=reply.model,
                executor=reply.executor,
                tokens=reply.tokens,
                duration_s=reply.duration_s,
                first_token_s=reply.first_token_s,
            )
        self.exchanges.append(asked)

    def loading(self, event: ModelLoading, now_s: float) -> None:
        """A model that the visit waits for is being loaded."""
        begin_s, _ = self._loading.get(event.model, (now_s, now_s))
        self._loading[event.model] = (begin_s, now_s)

    @property
    def spent(self) -> TokenCounts:
        """By attempts that were followed by another."""
        return sum((one.tokens for one in self.failed), TokenCounts())

    @property
    def loads(self) -> tuple[LoadWait, ...]:
        """The models that the visit waited for."""
        return tuple(
            LoadWait(model=model, duration_s=end_s - begin_s)
            for model, (begin_s, end_s) in self._loading.items()
        )
