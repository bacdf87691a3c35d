"""Makes tiny models: random weights, a byte-level vocabulary, a chat template, a few hundred kilobytes.

The real engine loads one in milliseconds, so that tests of the engine are tests of the engine. There is one
architecture for each kind of memory that the engine has: `TENSORS` says what each is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
WINDOW_TOKENS = 32
CONVOLUTION, STATE = 4, 16
"""Of a recurrent layer: tokens that its convolution sees; state elements for each inner one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large each part is. The defaults are the smallest that every architecture takes."""

    layers: int = 2
    width: int = 64
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 128
    more_tokens: int = 0
    """Added to the vocabulary; no text becomes one."""

    @property
    def head(self) -> int:
        return self.width // self.heads

    @property
    def inner(self) -> int:
        """Of a recurrent layer; the engine takes no other factor."""
        return 2 * self.width

    @property
    def step_rank(self) -> int:
        return max(1, self.width // 16)


Tensors = Iterator[tuple[str, tuple[int, ...]]]
"""Names below `blk.<layer>.`, and shapes, the slowest dimension first."""


def _attention(sizes: Sizes) -> Tensors:
    yield "attn_q.weight", (sizes.width, sizes.width)
    yield "attn_k.weight", (sizes.kv_heads * sizes.head, sizes.width)
    yield "attn_v.weight", (sizes.kv_heads * sizes.head, sizes.width)
    yield "attn_output.weight", (sizes.width, sizes.width)


def _feed_forward(sizes: Sizes) -> Tensors:
    yield "ffn_norm.weight", (sizes.width,)
    yield "ffn_gate.weight", (sizes.feed_forward, sizes.width)
    yield "ffn_up.weight", (sizes.feed_forward, sizes.width)
    yield "ffn_down.weight", (sizes.width, sizes.feed_forward)


def _recurrence(sizes: Sizes) -> Tensors:
    yield "ssm_in.weight", (2 * sizes.inner, sizes.width)
    yield "ssm_conv1d.weight", (sizes.inner, CONVOLUTION)
    yield "ssm_conv1d.bias", (sizes.inner,)
    yield "ssm_x.weight", (sizes.step_rank + 2 * STATE, sizes.inner)
    yield "ssm_dt.weight", (sizes.inner, sizes.step_rank)
    yield "ssm_dt.bias", (sizes.inner,)
    yield "ssm_a", (sizes.inner, STATE)
    yield "ssm_d", (sizes.inner,)
    yield "ssm_out.weight", (sizes.width, sizes.inner)


def _plain(sizes: Sizes, layer: int) -> Tensors:
    yield from _attention(sizes)
    yield from _feed_forward(sizes)


def _sliding(sizes: Sizes, layer: int) -> Tensors:
    yield from _plain(sizes, layer)
    yield "post_attention_norm.weight", (sizes.width,)
    yield "post_ffw_norm.weight", (sizes.width,)


def _recurrent(sizes: Sizes, layer: int) -> Tensors:
    return _recurrence(sizes)


def _hybrid(sizes: Sizes, layer: int) -> Tensors:
    if hybrid_kv_heads(sizes)[layer]:
        yield from _attention(sizes)
    else:
        yield from _recurrence(sizes)
        yield "ssm_dt_norm.weight", (sizes.step_rank,)
        yield "ssm_b_norm.weight", (STATE,)
        yield "ssm_c_norm.weight", (STATE,)
    yield from _feed_forward(sizes)


def hybrid_kv_heads(sizes: Sizes) -> list[int]:
    """By layer: recurrent ones (0) and ones with attention, in turn."""
    return [sizes.kv_heads if layer % 2 else 0 for layer in range(sizes.layers)]


def _encoder(sizes: Sizes, layer: int) -> Tensors:
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        yield f"{name}.weight", (sizes.width, sizes.width)
        yield f"{name}.bias", (sizes.width,)
    yield "attn_output_norm.weight", (sizes.width,)
    yield "attn_output_norm.bias", (sizes.width,)
    yield "ffn_up.weight", (sizes.feed_forward, sizes.width)
    yield "ffn_up.bias", (sizes.feed_forward,)
    yield "ffn_down.weight", (sizes.width, sizes.feed_forward)
    yield "ffn_down.bias", (sizes.width,)
    yield "layer_output_norm.weight", (sizes.width,)
    yield "layer_output_norm.bias", (sizes.width,)


def _turning_encoder(sizes: Sizes, layer: int) -> Tensors:
    for name, shape in _encoder(sizes, layer):
        if not name.startswith("ffn") and not name.endswith(("q.bias", "k.bias", "v.bias", "output.bias")):
            yield name, shape
    for name, shape in _feed_forward(sizes):
        if name != "ffn_norm.weight":
            yield name, shape


ENCODERS: dict[str, Callable[[Sizes, int], Tensors]] = {"bert": _encoder, "nomic-bert": _turning_encoder}
"""Of architectures that read a text as a whole: the tensors of a layer."""
TENSORS: dict[str, Callable[[Sizes, int], Tensors]] = {
    "llama": _plain,
    "gemma2": _sliding,
    "mamba": _recurrent,
    "jamba": _hybrid,
}
"""By architecture: the tensors of a layer, beside its `attn_norm`."""


def make_tiny(
    path: Path,
    architecture: str = "llama",
    *,
    seed: int = 0,
    chat_template: str | None = CHATML,
    context: int = 4096,
    sizes: Sizes | None = None,
    vocabulary: Callable[[gguf.GGUFWriter, int], int] | None = None,
    amend: Callable[[gguf.GGUFWriter], object] = lambda writer: None,
    part_tensors: int = 0,
) -> Path:
    """Writes a random model to `path`; `vocabulary` and `amend` add to its header.

    `part_tensors`: of several files each has so many, as llama-gguf-split makes them; 0: one file.
    """
    sizes = sizes or Sizes()
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), architecture, split_max_tensors=part_tensors)
    writer.add_name(f"tiny {seed}")
    _add_sizes(writer, architecture, sizes, context)
    if architecture in ENCODERS:
        vocabulary, chat_template = vocabulary or add_word_pieces(), None
    size = (vocabulary or add_bytes())(writer, sizes.more_tokens)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    amend(writer)
    for name, shape in _all_tensors(architecture, sizes, size, context):
        if name.endswith("norm.weight"):
            values = np.ones(shape)
        elif name.endswith("ssm_a"):
            values = -np.ones(shape)  # a state that fades
        else:
            values = random.standard_normal(shape) / np.sqrt(shape[-1])
        writer.add_tensor(name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _all_tensors(architecture: str, sizes: Sizes, vocabulary: int, context: int) -> Tensors:
    yield "token_embd.weight", (vocabulary, sizes.width)
    if architecture in ENCODERS:
        yield "token_embd_norm.weight", (sizes.width,)
        yield "token_embd_norm.bias", (sizes.width,)
        yield "token_types.weight", (2, sizes.width)
        if architecture == "bert":
            yield "position_embd.weight", (context, sizes.width)
        for layer in range(sizes.layers):
            for name, shape in ENCODERS[architecture](sizes, layer):
                yield f"blk.{layer}.{name}", shape
        return
    yield "output_norm.weight", (sizes.width,)
    if architecture != "gemma2":  # which has no other than the embeddings
        yield "output.weight", (vocabulary, sizes.width)
    for layer in range(sizes.layers):
        yield f"blk.{layer}.attn_norm.weight", (sizes.width,)
        for name, shape in TENSORS[architecture](sizes, layer):
            yield f"blk.{layer}.{name}", shape


def _add_sizes(writer: gguf.GGUFWriter, architecture: str, sizes: Sizes, context: int) -> None:
    writer.add_context_length(context)
    writer.add_embedding_length(sizes.width)
    writer.add_block_count(sizes.layers)
    writer.add_layer_norm_rms_eps(1e-5)
    if architecture in ENCODERS:
        writer.add_layer_norm_eps(1e-5)
        writer.add_token_type_count(2)
        writer.add_causal_attention(False)
    if architecture == "mamba":
        writer.add_head_count(0)
        writer.add_feed_forward_length(0)
    else:
        writer.add_head_count(sizes.heads)
        kv_heads = sizes.heads if architecture in ENCODERS else sizes.kv_heads
        writer.add_head_count_kv(hybrid_kv_heads(sizes) if architecture == "jamba" else kv_heads)
        writer.add_rope_dimension_count(sizes.head)
        writer.add_feed_forward_length(sizes.feed_forward)
    if architecture == "gemma2":
        writer.add_key_length(sizes.head)
        writer.add_value_length(sizes.head)
        writer.add_sliding_window(WINDOW_TOKENS)
    if architecture in ("mamba", "jamba"):
        writer.add_ssm_conv_kernel(CONVOLUTION)
        writer.add_ssm_inner_size(sizes.inner)
        writer.add_ssm_state_size(STATE)
        writer.add_ssm_time_step_rank(sizes.step_rank)


def add_bytes(
    control: tuple[str, ...] = CONTROL, user_defined: tuple[str, ...] = ()
) -> Callable[[gguf.GGUFWriter, int], int]:
    """Bytes, a few merges, the control tokens, of which the first begins a text and the last ends one."""

    def add(writer: gguf.GGUFWriter, more: int) -> int:
        plain = byte_texts() + [merge.replace(" ", "") for merge in MERGES]
        tokens = [*plain, *control, *(f"<|more {number}|>" for number in range(more)), *user_defined]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(tokens)
        kinds = [gguf.TokenType.NORMAL] * len(plain) + [gguf.TokenType.CONTROL] * (len(control) + more)
        writer.add_token_types(kinds + [gguf.TokenType.USER_DEFINED] * len(user_defined))
        writer.add_token_merges(list(MERGES))
        writer.add_bos_token_id(len(plain))
        writer.add_eos_token_id(len(plain) + len(control) - 1)
        writer.add_add_bos_token(False)
        return len(tokens)

    return add


def add_sentence_pieces(user_defined: tuple[str, ...] = ()) -> Callable[[gguf.GGUFWriter, int], int]:
    """Bytes, letters and a few pieces as SentencePiece has them. A blank goes before each text."""

    def add(writer: gguf.GGUFWriter, more: int) -> int:
        special = ["<unk>", "<s>", "</s>"]
        bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
        plain = ["\u2581", *map(chr, range(33, 127)), "\u2581hi", "\u2581the", "INST", "ur", "rn", "</", "/s"]
        tokens = [*special, *bytes_, *plain, *(f"<more {number}>" for number in range(more)), *user_defined]
        kinds = gguf.TokenType
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_scores([-float(number) for number in range(len(tokens))])
        writer.add_token_types(
            [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL]
            + [kinds.BYTE] * len(bytes_)
            + [kinds.NORMAL] * len(plain)
            + [kinds.CONTROL] * more
            + [kinds.USER_DEFINED] * len(user_defined)
        )
        writer.add_unk_token_id(0)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_add_bos_token(True)
        writer.add_add_space_prefix(True)
        return len(tokens)

    return add


WORDS = ("hello", "world", "the", "a", "cat", "sat", "on", "mat", "##s", "##ing", "price", "steel", "rise")


def add_word_pieces() -> Callable[[gguf.GGUFWriter, int], int]:
    """A vocabulary as BERT has it: words and their ends, letters, and the tokens around a text."""

    def add(writer: gguf.GGUFWriter, more: int) -> int:
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        letters = [chr(letter) for letter in range(33, 127) if not chr(letter).isupper()]
        # As files have them: the beginning of a word is marked, and what goes on is not.
        plain = ["\u2581" + one for one in (*letters, *(word for word in WORDS if word[0] != "#"))]
        tokens = [*special, *plain, *letters, *(word[2:] for word in WORDS if word[0] == "#")]
        tokens += [f"[more {number}]" for number in range(more)]
        tokens = list(dict.fromkeys(tokens))
        kinds = gguf.TokenType
        writer.add_tokenizer_model("bert")
        writer.add_token_list(tokens)
        writer.add_token_types([kinds.CONTROL if one in special else kinds.NORMAL for one in tokens])
        writer.add_pad_token_id(0)
        writer.add_unk_token_id(1)
        writer.add_bos_token_id(2)
        writer.add_sep_token_id(3)
        writer.add_mask_token_id(4)
        return len(tokens)

    return add


def byte_texts() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes (Radford et al., 2019, `bytes_to_unicode`)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def patched(source: Path, target: Path, old: bytes, new: bytes) -> Path:
    """A copy in which the first `old` is `new`, of the same length."""
    raw = source.read_bytes()
    assert len(old) == len(new) and old in raw
    target.write_bytes(raw.replace(old, new, 1))
    return target
