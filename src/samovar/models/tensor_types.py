"""Tensor types of the pinned engine, and their sizes: from `ggml/include/ggml.h`, `ggml-common.h`.

Above: `gguf.py`, `held_weights.py`, the engine's `convert.py`. Below: nothing. From llama.cpp build b11549.
"""

from __future__ import annotations

from dataclasses import dataclass

TYPE_SIZES: dict[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18), 42: (64, 18),
}  # fmt: skip
"""By tensor type: elements in a block, bytes of a block."""

NOT_MULTIPLIED = frozenset([9, 15, 24, 25, 26, 27, 28])
"""Tensor types (blocks of activations, integers, 64-bit numbers) that no product can be taken with: those
without a `vec_dot` in `ggml/src/ggml-cpu/ggml-cpu.c`, through which the engine would call a null pointer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor of a file, as the file describes it."""

    name: str
    """As the engine looks for it: `blk.3.ffn_up.weight`."""
    shape: tuple[int, ...]
    """Elements by dimension, the fastest first: a row of a matrix, then how many rows."""
    kind: int
    """Its type, by `enum ggml_type`."""
    size_bytes: int
    offset: int
    """From where the file's tensors begin."""
