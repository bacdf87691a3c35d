"""The memory of a model in bytes, predicted from its header, and the sizes of its contexts.

Above: the engines and `samovar models`. Below: `header.py`, `shape.py`, `tuning.py`, and `held_weights.py`
for where weights are. Weights, keys, values, states and logits are exact; buffers for evaluation follow
formulas that were fitted to what llama.cpp build b11549 allocates, from above. docs/models.md says for which
models this was compared; for others every rule that may apply is taken to apply, and buffers are half as much
again.
"""

from __future__ import annotations

from dataclasses import dataclass

from samovar.generation import KvType
from samovar.models.architectures import ARCHITECTURES, Architecture
from samovar.models.header import Header
from samovar.models.held_weights import EngineBuild, hold, this_build
from samovar.models.shape import Shape
from samovar.models.tuning import Tuning, table

# How contexts are made --------------------------------------------------------------------------------

MAX_RUNNING = 16
"""Sequences that may be evaluated, numbered from 0; buffers for their logits are allocated beforehand."""
MAX_RUNNING_WHOLE = 4
"""If each has a state of its own besides cells, which is allocated beforehand too."""
KV_BLOCKS: dict[KvType, tuple[int, int]] = {"f16": (1, 2), "q8_0": (32, 34), "q4_0": (32, 18)}
"""By KV type: elements in a block, bytes of a block."""
CELL_STEP_TOKENS = 256
"""The engine rounds a context up to a multiple of this, and the window's cells too."""

# What is kept beside them -----------------------------------------------------------------------------

SNAPSHOT_PART = 4
"""Copies of states in host memory may take one part in this many of what the context keeps, …"""
SNAPSHOT_STATES = 2 * MAX_RUNNING_WHOLE
"""… but as much again if all reuse is by such copies, and at least this many recurrent states."""
RUNTIME_BYTES = 4 << 20
"""What the engine takes for each context however small the model: measured with the pinned build."""
TOKEN_BYTES, MERGE_BYTES = 288, 160
"""Bytes of the engine's tables, for each token of the vocabulary, and for each pair that is merged into one,
if the tokenizer has such: measured so too. There are about as many of both."""
FORM_TOKEN_BYTES = 1100
"""Bytes of the tables that hold answers to a form, for each token of the vocabulary: measured so too."""
TENSOR_BYTES = 4096
"""Bytes of the engine's graphs, for each tensor: measured so too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDevices:
    """What of a model is put on devices."""

    layers: int = 0
    """As the engine counts them: the output is one."""
    is_unified: bool = False
    """Their memory is the host's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Bytes a model is expected to take, known before anything is allocated."""

    weights_bytes: int
    """All tensors as they are held in the host's memory, mapped from the file or private."""
    private_weights_bytes: int = 0
    """The part of `weights_bytes` that is the process's own: no other process that uses the file shares
    it."""
    repack: bool = True
    """The load may put weights into another order in private memory, which makes evaluating faster."""
    gpu_layers: int = 0
    """Layers that are put on devices, as the engine counts them: the output is one."""
    device_bytes: int = 0
    """On devices that have memory of their own: weights, keys and values, buffers. Not in `total_bytes`, that
    is of the host's memory."""
    kv_bytes: int
    """Keys and values of all cells, and the states of recurrent layers, as far as the host has them."""
    compute_bytes: int
    """Buffers for evaluation, and the engine's own tables."""
    scores_bytes: int = 0
    """Bytes of additional buffers without flash attention: memory is taken as the context fills."""
    output_bytes: int = 0
    """Logits of all sequences that may run together."""
    snapshot_bytes: int = 0
    """The most that copies of states may take in host memory; it is taken as they are made."""
    forms_bytes: int = 0
    """Bytes of the tables by which answers are constrained to a form; they are made for the first such
    answer."""
    embedding_bytes: int = 0
    """Bytes of the context that texts are embedded in."""
    embedding_tokens: int = 0
    """The longest text that it takes; 0: there is no such context."""
    carry_bytes: int = 0
    """While an arena of this size takes the place of another, the most that copies of what that one has
    evaluated may take. Not in `total_bytes`."""
    context_tokens: int
    """Cells that these bytes are for: the requested number, rounded up as the engine does. 0 of a model that
    cannot answer."""
    estimated: bool
    """An upper bound: this architecture was not compared with what the engine takes, or this model's memory
    is compressed, or shared by layers."""

    @property
    def mapped_weights_bytes(self) -> int:
        """The part of `weights_bytes` that is in memory once for all processes that use the file."""
        return self.weights_bytes - self.private_weights_bytes

    @property
    def fixed_bytes(self) -> int:
        """All but copies of states and of what was evaluated."""
        return self.total_bytes - self.snapshot_bytes

    @property
    def replacing_bytes(self) -> int:
        """While an arena of this size takes the place of another: the room for copies is for those then."""
        return self.fixed_bytes + max(self.snapshot_bytes, self.carry_bytes)

    @property
    def total_bytes(self) -> int:
        return (
            self.weights_bytes
            + self.kv_bytes
            + self.compute_bytes
            + self.scores_bytes
            + self.output_bytes
            + self.snapshot_bytes
            + self.forms_bytes
            + self.embedding_bytes
        )


def predict(
    header: Header,
    *,
    context_tokens: int,
    kv_type: KvType = "f16",
    tuning: Tuning | None = None,
    repack: bool = True,
    build: EngineBuild | None = None,
    on_devices: OnDevices | None = None,
) -> Cost:
    """The bytes for `context_tokens` cells of `kv_type`.

    `tuning`: the settings of the context; None: the table's for a CPU. `repack`: whether the engine may
    repack weights. `build`: what it is compiled for; None: as the pinned wheel for this machine.
    """
    tuning = tuning or table("cpu", kv_type)
    on_devices = on_devices or OnDevices()
    held = hold(header, build or this_build(), repack=repack, gpu_layers=on_devices.layers)
    kind, shape = ARCHITECTURES[header.architecture], header.shape
    cells = -(-context_tokens // CELL_STEP_TOKENS) * CELL_STEP_TOKENS
    sequences = (MAX_RUNNING_WHOLE if shape.has_whole_states else MAX_RUNNING) + 1
    window_cells = _window_cells(shape, cells, sequences, tuning.micro_batch_tokens)
    block, block_bytes = KV_BLOCKS[kv_type]
    elements = cells * shape.cell_elements + window_cells * shape.window_elements
    state_bytes = 4 * shape.state_elements
    kv_bytes = elements * block_bytes // block + sequences * state_bytes
    output_bytes = 4 * sequences * header.vocabulary_size
    estimated = not kind.is_measured or not shape.is_plain
    buffer_bytes, scores_bytes = _buffer_bytes(
        kind, shape, (cells, window_cells), sequences, output_bytes, tuning
    )
    if kv_type != "f16":  # keys and values are rotated by two matrices before they are quantized
        buffer_bytes += 2 * 4 * shape.head**2
    compute_bytes = (
        buffer_bytes * (3 if estimated else 2) // 2
        + RUNTIME_BYTES
        + (TOKEN_BYTES + MERGE_BYTES * header.has_merges) * header.vocabulary_size
        + TENSOR_BYTES * len(header.tensors)
    )
    scores_bytes = scores_bytes * (3 if estimated else 2) // 2
    weights_bytes, device_bytes, away_bytes = held.mapped_bytes + held.private_bytes, 0, 0
    if on_devices.is_unified:
        weights_bytes += held.device_bytes
    elif on_devices.layers > 0:
        away_bytes = kv_bytes * min(on_devices.layers - 1, header.layers) // header.layers
        device_bytes = held.device_bytes + away_bytes + compute_bytes + scores_bytes + output_bytes
    return Cost(
        weights_bytes=weights_bytes,
        private_weights_bytes=held.private_bytes,
        repack=repack,
        gpu_layers=on_devices.layers,
        device_bytes=device_bytes,
        kv_bytes=kv_bytes - away_bytes,
        compute_bytes=compute_bytes,
        scores_bytes=scores_bytes,
        output_bytes=output_bytes,
        snapshot_bytes=max(kv_bytes, SNAPSHOT_STATES * state_bytes)
        if shape.has_whole_states
        else kv_bytes // SNAPSHOT_PART,
        forms_bytes=FORM_TOKEN_BYTES * header.vocabulary_size,
        context_tokens=cells,
        estimated=estimated,
    )


def _window_cells(shape: Shape, cells: int, sequences: int, micro_batch_tokens: int) -> int:
    """As in `src/llama-kv-cache-iswa.cpp`: a window for each sequence, and one micro-batch."""
    if not shape.window_elements:
        return 0
    needed = min(cells, shape.window_tokens * sequences + micro_batch_tokens)
    return -(-needed // CELL_STEP_TOKENS) * CELL_STEP_TOKENS


def _buffer_bytes(
    kind: Architecture,
    shape: Shape,
    all_cells: tuple[int, int],
    sequences: int,
    output_bytes: int,
    tuning: Tuning,
) -> tuple[int, int]:
    """The buffer of the largest graph, which the engine reserves beforehand, in two parts: without the scores
    of attention, and what these add. `all_cells`: those of the whole context, and of windows.

    Nodes whose results are no longer needed give their room to later ones, so that only the widest places
    count: attention, the feed-forward part, a recurrence, or the logits at the end.
    """
    cells, window_cells = all_cells
    tokens = -(-min(cells, tuning.micro_batch_tokens) // sequences) * sequences
    kept_cells = cells if shape.cell_elements else 0
    has_scores = tuning.flash_attention is False or not kind.has_flash_attention
    masks = (4 if has_scores else 2) * tokens * (kept_cells + window_cells)
    around = 5 * shape.embedding
    used = shape.experts_used
    attention = 3 * (shape.embedding + shape.query) + 2 * shape.key
    widths = [around, attention]
    if used:
        widths += [around + 3 * used * shape.expert_feed_forward, (6 + 2 * used) * shape.embedding]
    if not used or not kind.is_measured:  # which may have experts in some layers only
        widths += [around + kind.feed_forward_widths * shape.feed_forward]
    layers = 4 * tokens * max(widths)
    if shape.inner:
        layers = max(layers, 30 * tokens * shape.inner + 2 * 4 * sequences * shape.inner_state)
    # The logits take the place of the masks if they fit there.
    logits = 4 * tokens * around + output_bytes + (masks if masks < output_bytes else 0)
    plain = max(masks + layers, logits)
    if not has_scores:
        return plain, 0
    # Of each token with each cell, while attention is computed.
    scores = 4 * tokens * max(kept_cells, window_cells) * shape.heads
    return plain, max(0, masks + scores + 4 * tokens * attention - plain)
