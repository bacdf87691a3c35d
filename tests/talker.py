"""Makes tiny models that say what they are told, so that the real engine generates it.

Nothing is computed in them but which token follows which: each token is one dimension, and the output has the
next token's weight there. So each text that is said may come once.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np

from tests.tiny import CHATML, CONTROL, byte_texts

WIDTH = 512


def make_talker(
    path: Path,
    says: Sequence[str],
    *,
    chat_template: str | None = CHATML,
    control: tuple[str, ...] = CONTROL,
    behind: str = "\n",
) -> Path:
    """A model that says these texts, each one token, and then ends. `control`: as of `tiny.add_bytes`.

    `behind`: the last token of its prompts, behind which it begins: a character, or one of `control`.
    """
    own = [text for text in says if text not in control and _spelled(text) not in byte_texts()]
    tokens = [*byte_texts(), *control, *map(_spelled, own)]
    place = {text: number for number, text in enumerate(tokens)}
    chain = [_spelled(behind) if behind not in control else behind]
    chain += [text if text in control else _spelled(text) for text in says] + [control[-1]]
    assert len(tokens) <= WIDTH and len(set(chain)) == len(chain), "each text once"
    output = np.zeros((len(tokens), WIDTH), np.float32)
    for before, after in itertools.pairwise(chain):
        output[place[after], place[before]] = 1
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("talker")
    _add_sizes(writer)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    kinds = gguf.TokenType
    writer.add_token_types([kinds.NORMAL] * 256 + [kinds.CONTROL] * len(control) + [kinds.NORMAL] * len(own))
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(255 + len(control))
    writer.add_add_bos_token(False)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    _add_tensors(writer, output)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _spelled(text: str) -> str:
    """A text as GPT-2's vocabularies have it."""
    letters = byte_texts()
    return "".join(letters[byte] for byte in text.encode())


def _add_sizes(writer: gguf.GGUFWriter) -> None:
    writer.add_context_length(4096)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_head_count(8)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(WIDTH // 8)
    writer.add_feed_forward_length(32)


def _add_tensors(writer: gguf.GGUFWriter, output: np.ndarray) -> None:
    writer.add_tensor("token_embd.weight", np.eye(len(output), WIDTH, dtype=np.float32))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor("output.weight", output)
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(WIDTH, np.float32))
    shapes = {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (WIDTH // 8, WIDTH),
        "attn_v": (WIDTH // 8, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (32, WIDTH),
        "ffn_up": (32, WIDTH),
        "ffn_down": (WIDTH, 32),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros(shape, np.float32))
