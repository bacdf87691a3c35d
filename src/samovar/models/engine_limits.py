"""Assertions of the pinned engine about a model's header: a file that violates one would end the process.

Above: `header.py`. Below: nothing. From llama.cpp build b11549: `load_hparams` in `src/llama-model.cpp`,
`src/llama-vocab.cpp`, and the norms in `ggml/src/ggml-cpu/ops.cpp`. What the engine refuses with an error
of its own is not repeated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from samovar.errors.counting import counted

MOST_LAYERS = 512
MOST_EXPERTS = 1024
_ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")
_CLASSIFIER_ACTIVATIONS = ("gelu", "silu", "tanh")
_MOST_POOLING = 4
"""The last of the engine's pooling types."""
_ONE_WIDTH = (
    "bert", "eurobert", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert", "nomic-bert",
    "nomic-bert-moe", "llama-embed", "t5encoder",
)  # fmt: skip
"""Encoders whose heads have keys and values of the same length."""
_EPSILONS = (
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "attention.group_norm_epsilon",
)
_SPELLING = ("llama", "plamo2", "plamo3")
"""Tokenizers that fall back to a token for each byte."""
_BYTE_TOKEN = 6
"""In `tokenizer.ggml.token_type`."""
_ONE_EXPERT_IS_NONE = ("hunyuan-dense", "hunyuan_vl")

KEYS = frozenset(
    [
        "block_count",
        "nextn_predict_layers",
        "expert_count",
        "expert_used_count",
        "expert_group_count",
        "expert_group_used_count",
        "rope.scaling.type",
        "classifier.activation",
        "pooling_type",
        "classifier.pooling_type",
        "embedding_length",
        "embedding_length_out",
        "attention.head_count",
        "attention.key_length",
        "attention.value_length",
        "rope.dimension_count",
        "feed_forward_length",
        "dense_2_feat_in",
        "dense_3_feat_out",
        *_EPSILONS,
    ]
)
"""What is looked at, each below the architecture's name."""


def objection(
    architecture: str, values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]] | None = None
) -> str | None:
    """What the engine would assert about these entries, and tensors of these shapes; None when nothing."""
    own = {key: values[full] for key in KEYS if (full := f"{architecture}.{key}") in values}
    layers, predicting = _most(own, "block_count"), _most(own, "nextn_predict_layers")
    if not 1 <= layers <= MOST_LAYERS:
        return f"it has {counted(layers, 'layer')}, but the engine supports 1 to {MOST_LAYERS}"
    if not 0 <= predicting <= layers:
        return f"{predicting} of its {counted(layers, 'layer')} predict further tokens"
    return (
        _experts(architecture, own)
        or _settings(own)
        or _reading(architecture, own)
        or _gates(architecture, own, shapes or {})
    )


def vocabulary_objection(tokenizer: object, *, size: int, spells_every_byte: bool) -> str | None:
    """Why text could not be made tokens; None when it can."""
    if not isinstance(tokenizer, str) or tokenizer in ("none", "no_vocab") or size == 0:
        return "it has no vocabulary, so it can neither read nor write text"
    if tokenizer in _SPELLING and not spells_every_byte:
        return "its vocabulary lacks tokens for single bytes, which its tokenizer needs"
    return None


def tokenizer_objection(values: Mapping[str, Any]) -> str | None:
    """What the engine would assert about this vocabulary, or about text in it; None when nothing."""
    tokenizer, kinds = values.get("tokenizer.ggml.model"), values.get("tokenizer.ggml.token_type")
    if tokenizer == "bert" and isinstance(kinds, list) and _BYTE_TOKEN in kinds:
        return "its vocabulary of words has tokens for single bytes, which the engine cannot write"
    if tokenizer in ("gpt2", "hybriddna") and values.get("tokenizer.ggml.pre") == "whitespace":
        return f"its tokenizer {tokenizer!r} does not go with the pre-tokenizer 'whitespace'"
    return None


def _most(own: Mapping[str, Any], key: str) -> int:
    """The number, or the largest of an array; -1 when it is none of these."""
    value = own.get(key, 0)
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        return -1
    return max(numbers, default=0)


def _experts(architecture: str, own: Mapping[str, Any]) -> str | None:
    experts, used = _most(own, "expert_count"), _most(own, "expert_used_count")
    groups, groups_used = _most(own, "expert_group_count"), _most(own, "expert_group_used_count")
    if architecture in _ONE_EXPERT_IS_NONE and 0 <= experts <= 1:
        experts = used = 0
    said = f"it uses {used} of {experts} experts, and {groups_used} of {groups} groups of them"
    if not 0 <= experts <= MOST_EXPERTS or min(used, groups, groups_used) < 0:
        return said
    if experts == 0:
        return said if used or groups else None
    if not 1 <= used <= experts or groups >= experts:
        return said
    if groups > 1 and (experts % groups or not 0 < groups_used < groups):
        return said
    return None


def _settings(own: Mapping[str, Any]) -> str | None:
    for key, known in (
        ("rope.scaling.type", _ROPE_SCALINGS),
        ("classifier.activation", _CLASSIFIER_ACTIVATIONS),
    ):
        value = own.get(key, known[0])
        if value not in known:
            return f"its {key} is {str(value)[:40]!r}, but the engine knows {', '.join(known)}"
    for key in _EPSILONS:
        value = own.get(key, 0.0)
        # Not a number is not at least 0 either.
        if not (isinstance(value, int | float) and value >= 0):
            return f"its {key} is {str(value)[:40]}, but must be at least 0"
    return None


def _reading(architecture: str, own: Mapping[str, Any]) -> str | None:
    """Limits on pooling, and on encoders."""
    for key in ("pooling_type", "classifier.pooling_type"):
        pooling = own.get(key, 0)
        if not isinstance(pooling, int) or not 0 <= pooling <= _MOST_POOLING:
            return f"its {key} is {str(pooling)[:40]}, and the engine knows 0 to {_MOST_POOLING}"
    width = own.get("embedding_length", 0)
    if architecture in ("gemma-embedding", "gemma-embedding2"):
        for key in ("dense_2_feat_in", "dense_3_feat_out"):
            if own.get(key, 0) not in (0, width):
                return f"its {key} is {str(own[key])[:40]}, but must be its embedding_length"
    if architecture in _ONE_WIDTH:
        given = own.get("embedding_length_out", 0)
        if given not in (0, width):
            return f"its embedding_length_out is {str(given)[:40]}, but must be its embedding_length"
        heads = _most(own, "attention.head_count")
        length = width // heads if isinstance(width, int) and heads > 0 else 0
        key_length = own.get("attention.key_length", length)
        if heads < 1 or key_length != own.get("attention.value_length", length):
            return f"its {heads} heads have keys and values of different lengths"
        turned = own.get("rope.dimension_count", 0)
        if not isinstance(turned, int) or turned % 2 or not 0 <= turned <= key_length:
            return f"its rope.dimension_count is {str(turned)[:40]}, but its heads have {key_length}"
    return None


def _gates(architecture: str, own: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Limits on the matrices that may have a gate beside them."""
    if architecture != "jina-bert-v2":
        return None
    widths = own.get("feed_forward_length", 0)
    for name, shape in shapes.items():
        if name.endswith(".ffn_up.weight") and shape[1:] not in ((widths,), (2 * widths,)):
            return f"its tensor {name!r} has the shape {list(shape)}, and a feed_forward_length of {widths}"
    return None
