"""Makes tiny models: random weights, a byte-level vocabulary, a chat template, a few hundred kilobytes.

The real engine loads one in milliseconds, so that tests of the engine are tests of the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = ("h e", "l l", "he ll", "Ġ t", "o n", "e r", "Ġ a", "i n")
HEADS, KV_HEADS = 4, 2


def byte_texts() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes (Radford et al., 2019, `bytes_to_unicode`)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def make_tiny(
    path: Path,
    *,
    seed: int = 0,
    chat_template: str | None = CHATML,
    context: int = 4096,
    layers: int = 2,
    width: int = 64,
    amend: Callable[[gguf.GGUFWriter], object] = lambda writer: None,
) -> Path:
    """Writes a random model of the llama architecture to `path`; `amend` adds to its header."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(f"tiny {seed}")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // HEADS)
    size = _add_vocabulary(writer)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    amend(writer)

    def tensor(name: str, *shape: int) -> None:
        writer.add_tensor(name, (random.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(width, dtype=np.float32))

    kv_width = width // HEADS * KV_HEADS
    tensor("token_embd.weight", size, width)
    ones("output_norm.weight")
    tensor("output.weight", size, width)
    for layer in range(layers):
        ones(f"blk.{layer}.attn_norm.weight")
        ones(f"blk.{layer}.ffn_norm.weight")
        tensor(f"blk.{layer}.attn_q.weight", width, width)
        tensor(f"blk.{layer}.attn_k.weight", kv_width, width)
        tensor(f"blk.{layer}.attn_v.weight", kv_width, width)
        tensor(f"blk.{layer}.attn_output.weight", width, width)
        tensor(f"blk.{layer}.ffn_gate.weight", 2 * width, width)
        tensor(f"blk.{layer}.ffn_up.weight", 2 * width, width)
        tensor(f"blk.{layer}.ffn_down.weight", width, 2 * width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_vocabulary(writer: gguf.GGUFWriter) -> int:
    """Bytes, a few merges, the control tokens. Returns its size."""
    plain = byte_texts() + [merge.replace(" ", "") for merge in MERGES]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*plain, *CONTROL])
    writer.add_token_types([gguf.TokenType.NORMAL] * len(plain) + [gguf.TokenType.CONTROL] * len(CONTROL))
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(len(plain))
    writer.add_eos_token_id(len(plain) + 2)
    writer.add_add_bos_token(False)
    return len(plain) + len(CONTROL)


def patched(source: Path, target: Path, old: bytes, new: bytes) -> Path:
    """A copy in which the first `old` is `new`, of the same length."""
    raw = source.read_bytes()
    assert len(old) == len(new) and old in raw
    target.write_bytes(raw.replace(old, new, 1))
    return target
