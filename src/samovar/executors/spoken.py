"""What a program says, as the answer that it becomes: told in pieces, trimmed, ended at a stop text, bounded.

Above: the turns of the executors that are programs. Below: what trims answers. Mutable: what was said so far.
"""

from __future__ import annotations

import time

from samovar.engines.answer import Head, StopText, Tail
from samovar.errors import ProtocolError
from samovar.executors.base import OnPromptEvent, PromptReply
from samovar.generation import FinishReason, Options, PartKind, TextGenerated, TokenCounts, joined
from samovar.serving.turn import parts_of


class Spoken:
    """One answer, from the moment that it is asked for."""

    def __init__(self, name: str, options: Options, on_event: OnPromptEvent, *, most_chars: int) -> None:
        """`name`: of the executor. `most_chars`: of the whole answer, reasoning included."""
        self._name, self._on_event, self._most_chars = name, on_event, most_chars
        self._stop = StopText(options.stop)
        self._heads: dict[PartKind, Head] = {"text": Head(), "reasoning": Head(keeps_indent=False)}
        self._tails: dict[PartKind, Tail] = {"text": Tail(), "reasoning": Tail()}
        self._pieces: list[TextGenerated] = []
        self._chars = 0
        self._started = time.monotonic()
        self._first_s: float | None = None

    @property
    def is_stopped(self) -> bool:
        """A stop text was reached."""
        return self._stop.stopped

    def say(self, piece: str, kind: PartKind) -> None:
        """The next piece. Raises what whoever listens raises, and `ProtocolError` if there is too much."""
        if piece and self._first_s is None:
            self._first_s = time.monotonic() - self._started
        self._chars += len(piece)
        if self._chars > self._most_chars:
            raise ProtocolError(
                f"The program of {self._name!r} said an answer of more than {self._most_chars} characters.",
                executor=self._name,
            )
        self._tell(self._stop.feed(piece) if kind == "text" else piece, kind)

    def _tell(self, piece: str, kind: PartKind) -> None:
        text = self._tails[kind].feed(self._heads[kind].feed(piece))
        if text:
            event = TextGenerated(piece=text, kind=kind)
            self._pieces.append(event)
            self._on_event(event)

    def reply(
        self, reason: FinishReason, *, model: str, tokens: TokenCounts, cost: float | None = None
    ) -> PromptReply:
        """The answer, of which nothing more comes."""
        self._tell(self._stop.finish(), "text")
        parts = parts_of(self._pieces)
        kinds = {part.kind for part in parts}
        cut: PartKind | None = "reasoning" if kinds == {"reasoning"} else None
        if cut is None and reason is not FinishReason.STOP:
            cut = "text"
        return PromptReply(
            text=joined(parts),
            finish_reason=reason,
            model=model,
            tokens=tokens,
            duration_s=time.monotonic() - self._started,
            first_token_s=self._first_s,
            parts=parts,
            cut=cut,
            executor=self._name,
            cost=cost,
        )
