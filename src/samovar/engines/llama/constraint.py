"""The tokens allowed next in a constrained answer: the contract of both kinds of constraint.

Above: `sampling.py`, which asks before each token. Below: `choosing.py` (one of some texts), `grammars.py` (a
JSON Schema, a regular expression, a grammar). A constraint belongs to one answer and follows it token by
token; it knows nothing of logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Constraint(Protocol):
    """Order: any `allows` and `mask`, then one `accept`, and so on until `is_over`; then `close`."""

    @property
    def is_over(self) -> bool:
        """The answer is whole, and nothing more can be said."""
        ...

    def allows(self, token: int) -> bool:
        """Whether the answer can continue this token, or end if the token ends an answer."""
        ...

    def mask(self, data: Any, candidates: Any) -> None:
        """Makes tokens that are not allowed impossible: their logits become minus infinity.

        `data`: a `llama_token_data` for each token of the vocabulary, in order; `candidates`: the
        `llama_token_data_array` over them.
        """
        ...

    def passes_over(self, token: int) -> bool:
        """Whether `mask` lets this token through although `allows` does not."""
        ...

    def accept(self, token: int) -> None:
        """The answer continues this token. Raises `EngineError` if it cannot."""
        ...

    def forced(self) -> list[int]:
        """The tokens that must come next, whatever the model says; empty if there is a choice."""
        ...

    def few(self) -> Sequence[int] | None:
        """All tokens with which the answer can continue or end; None if they are too many to look at."""
        ...

    def close(self) -> None:
        """Frees what it holds. Safe to call twice."""
        ...
