"""One answer of a model in tokens: the meaning of each generated token, and the tokens allowed next.

Above: `model.py`, which makes one for each request; `arena.py`, `admission.py`, whose decode loop feeds it.
Below: `engines/answer.py`, `offer.py`, `vocabulary.py`. Control tokens are shown to nobody, but some mark
reasoning, and calls of tools.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from samovar.engines.answer import AnswerParts, Verdict
from samovar.engines.llama.offer import Offer
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.generation import Form, PartKind, TextGenerated, ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldTo:
    """What an answer is held to."""

    choices: tuple[str, ...] = ()
    form: Form | None = None
    """None: to choices, or to nothing."""
    marks: Mapping[int, bytes] = field(default_factory=dict)
    """The control tokens that calls of tools may have, and their texts."""
    opener: int | None = None
    """The one that begins a call, if it may have calls."""
    offer: Offer | None = None
    """What it may call; None if there are no tools."""


class TokenAnswer:
    """One answer. Mutable, by the decode loop: what was said so far."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        answer: AnswerParts,
        markers: Mapping[int, bytes],
        held: HeldTo | None = None,
    ) -> None:
        """`markers`: of the vocabulary's tokens those that mark reasoning, or are parts of marks."""
        self._vocabulary, self._answer, self._markers = vocabulary, answer, markers
        self.held = held or HeldTo()
        self._choices = self.held.choices
        self._spelled = ""
        self.thinks_first = answer.is_free
        """It is held to its choices or its form once the model has done with thinking."""
        self.calls: tuple[ToolCall, ...] = ()
        """Those of the answer, once `finish` was called for one that came to its end."""

    @property
    def is_free(self) -> bool:
        """What comes is not yet the text, which is constrained to choices or to a form."""
        return self._answer.is_free

    @property
    def is_over(self) -> bool:
        """A stop text was reached, or it is one of its choices and can become no other."""
        if self._choices and self._spelled in self._choices:
            others = (choice for choice in self._choices if choice != self._spelled)
            return not any(choice.startswith(self._spelled) for choice in others)
        return self._answer.stopped

    @property
    def reasoning_tokens(self) -> int:
        return self._answer.reasoning_tokens

    def feed(self, token: int) -> list[TextGenerated]:
        """What may be shown now."""
        if token == self.held.opener:
            self._answer.open_calls()
        raw, is_token, is_hidden = self._said(token)
        return self._spell(self._answer.feed(raw, token, is_token=is_token, is_hidden=is_hidden))

    def finish(self, *, is_done: bool = False) -> list[TextGenerated]:
        """What was held back, once nothing more comes. `is_done`: the model was done, and has said all.

        Raises `EngineError` if it was done and its calls cannot be read.
        """
        pieces = self._answer.finish()
        if is_done:
            self.calls = self._answer.calls
        return pieces

    def judge(self, token: int) -> Verdict:
        """What a token would do while the answer is free; nothing is changed."""
        if self._vocabulary.is_end(token):
            return "says" if self._answer.may_be_text else "thinks"
        if token == self.held.opener:
            return "says"
        raw, is_token, is_hidden = self._said(token)
        return self._answer.judge(raw, is_token=is_token, is_hidden=is_hidden)

    def settle(self) -> None:
        """What comes from now on is the text."""
        self._answer.settle()

    def cut(self, *, is_done: bool) -> PartKind | None:
        """See `AnswerParts.cut`."""
        return self._answer.cut(is_done=is_done)

    def _said(self, token: int) -> tuple[bytes, bool, bool]:
        """What a token says, whether it is a marker's, and whether it is shown to nobody."""
        piece = self._vocabulary.piece(token)
        if self._answer.is_calling:
            return self.held.marks.get(token, piece), False, False
        marker = self._markers.get(token)
        return (piece, False, False) if marker is None else (piece or marker, True, not piece)

    def _spell(self, pieces: list[TextGenerated]) -> list[TextGenerated]:
        if self._choices:
            self._spelled += "".join(piece.piece for piece in pieces if piece.kind == "text")
        return pieces
