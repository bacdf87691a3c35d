"""The capabilities of a model file: answer prompts, embed texts, score texts; and why others are missing.

Above: `header.py`, the engine, and anyone who finds models before a run. Below: `architectures.py`. It is
decided by the architecture, the file's pooling type, and whether it has the tensors that make scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from samovar.models.architectures import Architecture, Purpose

KEYS = frozenset(
    ["pooling_type", "attention.causal", "decision.block_count", "embedding_length", "embedding_length_out"]
)
"""What is looked at, each below the architecture's name."""
HEADS = frozenset(["cls.weight", "cls.output.weight"])
"""Tensors of which a model that scores texts has at least one."""


class Capability(StrEnum):
    """What can be asked of a model."""

    ANSWER = "answer"
    EMBED = "embed"
    RERANK = "rerank"


class Pooling(IntEnum):
    """How one vector is made of those of a text's tokens: `enum llama_pooling_type` of `llama.h`."""

    NONE = 0
    MEAN = 1
    """Their mean."""
    CLS = 2
    """That of the first token."""
    LAST = 3
    """That of the last token."""
    RANK = 4
    """A score, by a head of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a file can do."""

    can: frozenset[Capability]
    pooling: Pooling
    """How its embeddings are pooled: as the file says, and otherwise the mean."""
    reads_whole: bool
    """It reads a text as a whole: no part of one can be evaluated before the rest."""


def abilities_of(kind: Architecture, values: Mapping[str, Any], *, has_head: bool) -> Abilities:
    """By the entries of a file's header, which are known to be such as the engine takes."""
    said = values.get(f"{kind.name}.pooling_type", Pooling.NONE)
    pooling = Pooling(said)
    is_causal = (
        kind.purpose is Purpose.DECODER and values.get(f"{kind.name}.attention.causal", True) is not False
    )
    own = {key: values.get(f"{kind.name}.{key}", 0) for key in ("embedding_length", "embedding_length_out")}
    if pooling is Pooling.RANK:
        can = {Capability.RERANK} if has_head else set()
    elif kind.purpose is Purpose.OTHER or values.get(f"{kind.name}.decision.block_count", 0):
        can = set()
    elif own["embedding_length_out"] not in (0, own["embedding_length"]):
        can = set()  # several vectors for each text, of another length
    elif is_causal and pooling is Pooling.NONE:
        can = {Capability.ANSWER, Capability.EMBED}
    else:
        can = {Capability.EMBED}
    return Abilities(
        can=frozenset(can),
        pooling=pooling or Pooling.MEAN,
        reads_whole=not is_causal,
    )


def missing(abilities: Abilities, wanted: Capability, *, name: str, architecture: str) -> str | None:
    """Why the model called `name` cannot do what is wanted, and what can be done; None if it can."""
    if wanted in abilities.can:
        return None
    if Capability.RERANK in abilities.can:
        what = "scores how well texts fit each other (a reranking model)"
    elif abilities.pooling is Pooling.RANK:
        return (
            f"{name} says that it scores texts (rank pooling), but has no head for it: "
            "it was not converted completely. Fetch or convert it again."
        )
    elif abilities.can:
        what = "makes embeddings of texts"
    else:
        return f"{name} is a {architecture!r} model, which can neither answer prompts nor embed texts."
    if wanted is Capability.ANSWER:
        able = "; in Python, `app.embed(texts, model=…)` embeds with it" * (Capability.EMBED in abilities.can)
        return f"{name} {what}: it cannot answer prompts. Use a model that was made to answer{able}."
    if wanted is Capability.EMBED:
        return f"{name} {what}: it cannot embed them. Use an embedding model, or one that answers prompts."
    return f"{name} {what}: it has no head to score texts with."
