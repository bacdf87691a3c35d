"""The parts of a model that decide its memory: the state of each layer, and the width of its computation.

Above: `header.py`, which has one of each model; `cost.py`, which multiplies. Below: `architectures.py`.
Rules as in llama.cpp build b11549: `src/llama-hparams.cpp` (elements), `src/models/` (which layers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samovar.models.architectures import Architecture, MemoryKind
from samovar.models.binary_reader import damaged, shown

KEYS = frozenset(
    [
        "block_count",
        "nextn_predict_layers",
        "embedding_length",
        "feed_forward_length",
        "expert_feed_forward_length",
        "expert_used_count",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.value_length",
        "attention.key_length_mla",
        "attention.key_length_swa",
        "attention.value_length_swa",
        "attention.shared_kv_layers",
        "attention.indexer.key_length",
        "attention.recurrent_layers",
        "attention.sliding_window",
        "attention.sliding_window_pattern",
        "full_attention_interval",
        "ssm.conv_kernel",
        "ssm.inner_size",
        "ssm.state_size",
        "ssm.group_count",
        "shortconv.l_cache",
        "wkv.head_size",
        "token_shift_count",
        "kda.head_dim",
    ]
)
"""What is looked at, each below the architecture's name."""
MOST = 1 << 24
"""No size of a model is larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Numbers of elements: of keys and values in the cache's type, of all else 32 bits each."""

    cell_elements: int
    """Elements of a token in all layers that keep every token."""
    window_elements: int
    """Elements of a token in all layers that keep a window of tokens."""
    window_tokens: int
    """0 without such layers."""
    state_elements: int
    """Elements of a sequence in all recurrent layers, for any length."""
    has_whole_states: bool | None
    """The memory cannot be cut at any token. None: not known before the engine has read the file."""
    embedding: int
    """Width of a token between the layers."""
    query: int
    """Width of all heads of a layer together; the same for keys."""
    key: int
    """Width of the keys in the layer with the most."""
    heads: int
    """How many, in the layer with the most."""
    head: int
    """Width of one head's key or value, the longer of both."""
    feed_forward: int
    """Activations of the widest layer; 0 if the file gives none."""
    experts_used: int
    """0 without experts."""
    expert_feed_forward: int
    """Activations of one expert; `feed_forward` if the file gives none."""
    inner: int
    """Activations of a recurrent layer."""
    inner_state: int
    """The largest layer's part of `state_elements`, without its convolution."""
    is_plain: bool
    """Each layer keeps its own keys and values as they are, not compressed or shared with other layers."""


class Entries:
    """The numbers in a header below its architecture's name. What they cannot be is a `ModelFileError`."""

    def __init__(self, path: Path, architecture: str, values: Mapping[str, Any]) -> None:
        self._path, self._architecture, self._values = path, architecture, values

    def __contains__(self, key: str) -> bool:
        return f"{self._architecture}.{key}" in self._values

    def whole(self, key: str, *, default: int = 0, most: int = MOST) -> int:
        """A number from 0 to `most`; of an array the largest."""
        value = self._values.get(f"{self._architecture}.{key}", default)
        if isinstance(value, list):
            value = max(value, default=0)
        if not isinstance(value, int) or not 0 <= value <= most:
            raise self._refused(key, value)
        return value

    def each(self, key: str, layers: int, *, default: int = 0) -> list[int]:
        """A number for each layer, given as one or as an array."""
        value = self._values.get(f"{self._architecture}.{key}", default)
        numbers = [value] * layers if isinstance(value, int) else value
        if (
            not isinstance(numbers, list)
            or len(numbers) < layers
            or not all(isinstance(number, int) and 0 <= number < 1 << 16 for number in numbers)
        ):
            raise self._refused(key, value)
        return numbers[:layers]

    def is_array(self, key: str) -> bool:
        return isinstance(self._values.get(f"{self._architecture}.{key}"), list)

    def _refused(self, key: str, value: object) -> Exception:
        return damaged(self._path, f"its header gives {key} as {shown(value)}")


def read_shape(kind: Architecture, entries: Entries) -> Shape:
    """Raises `ModelFileError` when a number cannot be."""
    embedding, layers = entries.whole("embedding_length"), entries.whole("block_count")
    if kind.is_measured:  # others may keep something for their predicting layers too
        layers -= entries.whole("nextn_predict_layers")
    heads = entries.whole("attention.head_count")
    length = embedding // heads if heads else 0
    key = entries.whole("attention.key_length", default=length)
    value = entries.whole("attention.value_length", default=length)
    kv_heads = entries.each(
        "attention.head_count_kv", layers, default=entries.whole("attention.head_count_kv", default=heads)
    )
    recurrent, state, inner_state = _recurrence(kind, entries, kv_heads)
    attending = [
        0 if is_recurrent and kind.name != "falcon-h1" else count
        for count, is_recurrent in zip(kv_heads, recurrent, strict=True)
    ]
    window, sliding = _sliding(kind, entries, layers)
    window_key = entries.whole("attention.key_length_swa", default=key)
    window_value = entries.whole("attention.value_length_swa", default=value)
    cell = key + value
    if not kind.is_measured:
        cell = max(cell, window_key + window_value)
    cells = sum(count * cell for count, slides in zip(attending, sliding, strict=True) if not slides)
    windows = sum(count for count, slides in zip(attending, sliding, strict=True) if slides)
    conv = 2 * entries.whole("ssm.group_count") * entries.whole("ssm.state_size")
    return Shape(
        cell_elements=cells + layers * entries.whole("attention.indexer.key_length"),
        window_elements=windows * (window_key + window_value),
        window_tokens=window,
        state_elements=sum(recurrent) * state,
        has_whole_states=_has_whole_states(kind, window),
        embedding=embedding,
        query=heads * key,
        key=max(kv_heads, default=0) * key,
        heads=heads,
        head=max(key, value),
        feed_forward=entries.whole("feed_forward_length"),
        experts_used=entries.whole("expert_used_count"),
        expert_feed_forward=entries.whole("expert_feed_forward_length")
        or entries.whole("feed_forward_length"),
        inner=entries.whole("ssm.inner_size") + conv if any(recurrent) else 0,
        inner_state=inner_state,
        is_plain=not entries.whole("attention.key_length_mla")
        and not entries.whole("attention.shared_kv_layers")
        and not (kind.memory is MemoryKind.HYBRID and window),
    )


def _recurrence(kind: Architecture, entries: Entries, kv_heads: list[int]) -> tuple[list[bool], int, int]:
    """Which layers are recurrent; elements of a sequence in one of them; of these, the inner state's."""
    layers = len(kv_heads)
    if kind.memory is MemoryKind.RECURRENT or kind.name == "falcon-h1":
        recurrent = [True] * layers
    elif kind.memory is not MemoryKind.HYBRID:
        return [False] * layers, 0, 0
    elif entries.is_array("attention.recurrent_layers"):
        recurrent = [bool(one) for one in entries.each("attention.recurrent_layers", layers)]
    elif kind.full_every:
        every = entries.whole("full_attention_interval", default=kind.full_every) or 1
        recurrent = [(layer + 1) % every != 0 for layer in range(layers)]
    else:
        recurrent = [count == 0 for count in kv_heads]
    embedding, heads = entries.whole("embedding_length"), entries.whole("attention.head_count")
    inner, state = entries.whole("ssm.inner_size"), entries.whole("ssm.state_size")
    kernel, kda = entries.whole("ssm.conv_kernel"), entries.whole("kda.head_dim")
    if "wkv.head_size" in entries:
        held = embedding * entries.whole("wkv.head_size")
        return recurrent, held + entries.whole("token_shift_count", default=2) * embedding, held
    if cache := entries.whole("shortconv.l_cache"):
        return recurrent, embedding * (cache - 1), 0
    if kda:
        held = kda * kda * heads
        return recurrent, held + 3 * (kernel - 1 if kernel else 3) * heads * kda, held
    if kind.name == "minimax-01":
        length = entries.whole("attention.key_length", default=embedding // heads if heads else 0)
        return recurrent, length * length * heads, length * length * heads
    held = inner * state
    convolved = inner + 2 * entries.whole("ssm.group_count") * state
    return recurrent, held + max(0, kernel - 1) * convolved, held


def _sliding(kind: Architecture, entries: Entries, layers: int) -> tuple[int, list[bool]]:
    """Tokens of the window, 0 for none; which layers keep no more. An upper bound if not measured."""
    window = entries.whole("attention.sliding_window", default=kind.window_tokens, most=1 << 62)
    if kind.memory not in (MemoryKind.SLIDING, MemoryKind.HYBRID) or not window:
        return 0, [False] * layers
    if kind.memory is MemoryKind.HYBRID or not kind.full_every:
        return window, [False] * layers
    pattern = "attention.sliding_window_pattern"
    if entries.is_array(pattern):
        return window, [bool(one) for one in entries.each(pattern, layers)]
    every = entries.whole(pattern, default=kind.full_every)
    return window, [every == 0 or layer % every < every - 1 for layer in range(layers)]


def _has_whole_states(kind: Architecture, window: int) -> bool | None:
    if kind.memory is MemoryKind.SLIDING:
        return window > 0 if kind.is_measured else None
    return kind.memory in (MemoryKind.RECURRENT, MemoryKind.HYBRID)
