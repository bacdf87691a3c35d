"""The best model on this machine that fits, if no model is configured. It is only suggested.

Above: the command line, `preflight/`. Below: `stores.py`, `glances.py`, `fitting.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from samovar.errors import SamovarError
from samovar.generation import KvType
from samovar.memory import in_words
from samovar.models.capabilities import Capability
from samovar.models.fitting import predict_fitting, usual_tokens
from samovar.models.glances import Glances
from samovar.models.header import require
from samovar.models.package import PINS
from samovar.models.reference import DEFAULT_MODEL, parse_reference
from samovar.models.stores import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that could answer."""

    reference: str
    weights_bytes: int
    total_bytes: int
    """What it would take in memory."""
    has_chat_template: bool
    less_tokens: int | None = None
    """Tokens of its context, if only a smaller one than usual fits; None: the usual one fits, or none
    at all."""

    @property
    def said(self) -> str:
        less = f" with {self.less_tokens} tokens" if self.less_tokens else ""
        return f"{self.reference} ({in_words(self.total_bytes)} in memory, fits{less})"


def pick(candidates: Iterable[Candidate], budget_bytes: int, *, least_bytes: int) -> Candidate | None:
    """The one with the most weights that fits, has a chat template, and is larger than the default."""
    fit = [
        one
        for one in candidates
        if one.total_bytes <= budget_bytes and one.has_chat_template and one.weights_bytes > least_bytes
    ]
    return max(fit, key=lambda one: (one.weights_bytes, -len(one.reference)), default=None)


def candidates(stores: Stores, glances: Glances, budget_bytes: int, kv_type: KvType) -> Iterator[Candidate]:
    """Every model of every store that can be read, each with the context that it would have."""
    for stored in stores.listed():
        if stored.path is None:
            continue
        try:
            header = glances.header(stored.path)
            require(header, Capability.ANSWER, name=stored.reference)
            cost = predict_fitting(
                header, budget_bytes, kv_type=kv_type, asked_tokens=None, name=stored.reference
            )
        except SamovarError:
            continue
        yield Candidate(
            reference=stored.reference,
            weights_bytes=cost.weights_bytes,
            total_bytes=cost.total_bytes,
            has_chat_template=header.has_chat_template,
            less_tokens=cost.context_tokens if cost.context_tokens < usual_tokens(header) else None,
        )


def offer(stores: Stores, budget_bytes: int, kv_type: KvType) -> Candidate | None:
    """What is offered to anyone who uses the default model; None if there is nothing better."""
    default = parse_reference(DEFAULT_MODEL)
    least_bytes = PINS[default.package or "", default.file or ""].file_bytes
    with Glances(stores.memory) as glances:
        return pick(candidates(stores, glances, budget_bytes, kv_type), budget_bytes, least_bytes=least_bytes)
