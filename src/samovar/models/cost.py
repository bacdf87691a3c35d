"""What a model takes in bytes, predicted from its header.

Above: the engines and `samovar models`. Below: `header.py`. Weights are mapped, so their bytes are those
of the tensors; KV is exact for plain transformers; compute buffers are an upper estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from samovar.models.architectures import RECURRENT
from samovar.models.header import Header

KvType = Literal["f16", "q8_0", "q4_0"]
KV_BLOCKS: dict[KvType, tuple[int, int]] = {"f16": (1, 2), "q8_0": (32, 34), "q4_0": (32, 18)}
"""By KV type: elements in a block, bytes of a block."""
CELL_STEP_TOKENS = 256
"""The engine rounds a context up to a multiple of this."""
COMPUTE_FLOOR_BYTES = 24 << 20
"""What a context takes beside KV however small the model: measured with the pinned build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Bytes a model is expected to take, known before anything is allocated."""

    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    context_tokens: int
    """Cells that these bytes are for: what was asked for, rounded up as the engine does."""
    estimated: bool
    """The KV figure is an estimate: part of the memory is recurrent, compressed, or shared by layers."""

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.compute_bytes


def predict(header: Header, *, context_tokens: int, kv_type: KvType = "f16", batch_tokens: int = 512) -> Cost:
    """The bytes for `context_tokens` cells of `kv_type`, with batches of `batch_tokens`."""
    cells = -(-context_tokens // CELL_STEP_TOKENS) * CELL_STEP_TOKENS
    block, block_bytes = KV_BLOCKS[kv_type]
    elements = sum(header.kv_heads) * (header.key_length + header.value_length)
    # Logits of a batch and the widest activations of a layer, in 32-bit numbers.
    widest = header.vocabulary_size + 8 * header.embedding_length
    return Cost(
        weights_bytes=header.tensor_bytes,
        kv_bytes=cells * elements * block_bytes // block,
        compute_bytes=COMPUTE_FLOOR_BYTES + 4 * widest * min(batch_tokens, 128),
        context_tokens=cells,
        estimated=header.architecture in RECURRENT or not header.plain_attention,
    )
