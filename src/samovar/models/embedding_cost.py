"""The memory of a context for embedding texts, predicted from the header.

Above: the engine. Below: `cost.py`, `header.py`. What reads a text as a whole takes it in one piece, so that
its buffers grow with the longest text; the others take pieces of the usual size. The engine keeps logits of
every token of a piece, also of models that have none: they are most of it if the vocabulary is large.
"""

from __future__ import annotations

from dataclasses import replace

from samovar.models.architectures import ARCHITECTURES, MemoryKind
from samovar.models.capabilities import Abilities
from samovar.models.cost import (
    CELL_STEP_TOKENS,
    MERGE_BYTES,
    RUNTIME_BYTES,
    TENSOR_BYTES,
    TOKEN_BYTES,
    Cost,
)
from samovar.models.header import Header
from samovar.models.held_weights import EngineBuild, hold, this_build
from samovar.models.tuning import MICRO_BATCH_TOKENS

FIRST_EMBEDDING_TOKENS = 256
"""The longest text that an embedding model has room for at first."""


def batch_tokens(abilities: Abilities, tokens: int) -> int:
    """How many tokens are evaluated in one piece, if texts have up to `tokens`."""
    return tokens if abilities.reads_whole else min(tokens, MICRO_BATCH_TOKENS)


def room_for(header: Header, tokens: int) -> int:
    """The tokens that a context is made for, if texts have `tokens`."""
    stepped = max(1, -(-tokens // CELL_STEP_TOKENS)) * CELL_STEP_TOKENS
    return min(stepped, header.context_tokens) if header.abilities.reads_whole else stepped


def with_embedding(cost: Cost, header: Header, tokens: int) -> Cost:
    """`cost` with a context besides, for texts of `tokens`; 0: as it is."""
    if not tokens:
        return cost
    room = room_for(header, tokens)
    return replace(cost, embedding_tokens=room, embedding_bytes=_context_bytes(header, room))


def predict_embedder(header: Header, tokens: int, build: EngineBuild | None = None) -> Cost:
    """What a model takes that cannot answer, with room for texts of `tokens`; all of it in the host's memory.

    `build`: what the engine is compiled for; None: as the pinned wheel for this machine.
    """
    held = hold(header, build or this_build(), repack=True, gpu_layers=0)
    tables = RUNTIME_BYTES // 2 + (TOKEN_BYTES + MERGE_BYTES * header.has_merges) * header.vocabulary_size
    alone = Cost(
        weights_bytes=held.mapped_bytes + held.private_bytes,
        private_weights_bytes=held.private_bytes,
        kv_bytes=0,
        compute_bytes=tables,
        context_tokens=0,
        estimated=not ARCHITECTURES[header.architecture].is_measured,
    )
    return with_embedding(alone, header, tokens)


def _context_bytes(header: Header, room: int) -> int:
    kind, shape = ARCHITECTURES[header.architecture], header.shape
    piece = batch_tokens(header.abilities, room)
    keeps = kind.memory is not MemoryKind.NONE
    kept = 0
    if keeps:
        kept = 2 * room * (shape.cell_elements + shape.window_elements)
        kept += 4 * shape.state_elements
    logits = 4 * piece * header.vocabulary_size
    vectors = 4 * piece * shape.embedding
    # Attention, without flash attention: every token with every other one, as a mask and for each head.
    attention = piece * room * (6 + 4 * shape.heads)
    attention += 4 * piece * (5 * shape.embedding + shape.query + 2 * shape.key)
    feed_forward = max(shape.feed_forward, shape.experts_used * shape.expert_feed_forward)
    wide = 4 * piece * max(5 * shape.embedding + 3 * feed_forward, 30 * shape.inner) + 8 * shape.inner_state
    graph = max(attention, wide) + (logits if keeps else 0)
    return kept + logits + vectors + graph + RUNTIME_BYTES // 2 + TENSOR_BYTES * len(header.tensors)
