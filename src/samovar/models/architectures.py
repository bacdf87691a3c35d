"""The table of architectures: those that the pinned engine knows, their purpose, and their memory.

Above: `header.py` (is it known?), `capabilities.py` (what a file can do), `shape.py` (which layers keep
what), `cost.py`, docs/models.md. Below: nothing. Names are those of `src/llama-arch.cpp` in llama.cpp build
b11549, patterns those of `src/models/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class MemoryKind(StrEnum):
    """What a model keeps of the tokens it has seen."""

    FULL = "full attention"
    """Keys and values of every token, in every layer."""
    SLIDING = "sliding window"
    """Some layers keep only the tokens of a window, if the file says how long it is."""
    RECURRENT = "recurrent"
    """A state of fixed size for each sequence."""
    HYBRID = "hybrid"
    """Some layers keep tokens and some a state, or each does both."""
    NONE = "none"
    """Nothing is kept: it reads a text as a whole, or is a part or a helper of other models."""


class Purpose(StrEnum):
    """What models of an architecture are made for. `capabilities.py` says what one file of it can do."""

    DECODER = "decoder"
    """Goes on from a text, token by token; may also embed."""
    ENCODER = "encoder"
    """Reads a text as a whole: embeds, or scores."""
    OTHER = "other"
    """A projector, a diffusion, draft, speech or decision model, or an encoder with a decoder: not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The known facts about one architecture."""

    name: str
    """As files have it in `general.architecture`."""
    memory: MemoryKind
    purpose: Purpose = Purpose.DECODER
    is_measured: bool = False
    """Predictions were compared with what the engine takes; for others they are upper bounds."""
    full_every: int = 0
    """The last of this many layers sees the whole context, the others a window or a state, if the file does
    not say which; 0 if it must say, or no two layers differ."""
    window_tokens: int = 0
    """The window if the file gives none."""
    feed_forward_widths: int = 3
    """Activations as wide as the feed-forward part that are held at once: 1 if it has no gate."""
    has_flash_attention: bool = True
    """Attention is computed without a table of every token with every other."""


_FULL_MEASURED = """
    llama qwen2 qwen3 qwen3moe gemma phi3 smollm3 granite granitemoe mistral3 internlm2
"""
_FULL = """
    apertus arcee arctic baichuan bailingmoe bailingmoe2 bitnet bloom chameleon chatglm codeshell cogvlm
    command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32 dots1 ernie4_5 ernie4_5-moe exaone
    falcon glm-dsa glm4 glm4moe gpt2 gptj gptneox graniteswitch grovemoe hrm_text hunyuan-dense
    hunyuan-moe hunyuan_vl hy_v3 hy_v4 jais jais2 k2-horizon maincoder minicpm minicpm3 minimax-m2
    minimax-m3 mistral4 mpt nanbeige nemotron olmo olmoe openelm orion paddleocr pangu-embedded phi2
    phimoe plamo plm qwen qwen2moe qwen2vl qwen3vl qwen3vlmoe refact seed_oss stablelm starcoder talkie
    xverse
"""
_SLIDING = """
    afmoe cohere2moe dots3note exaone-moe exaone4 gemma3n gemma4 granite_swa laguna llama4 maple mellum
    mimo2 muse-glimmer plamo3 smallthinker spark2_5 step35
"""
_HYBRID = """
    bailingmoe3 deepseek4 glm5-next kimi-k3 kimi-linear lfm2moe nemotron_h nemotron_h_moe plamo2
"""
_ENCODERS = """
    bert eurobert gemma-embedding gemma-embedding2 jina-bert-v2 jina-bert-v3 llama-embed modern-bert neo-bert
    nomic-bert nomic-bert-moe t5encoder
"""
_OTHER = """
    clef clip dflash dream eagle3 gemma4-assistant llada llada-moe pockettts qwen3tts rnd1 t5
    wavtokenizer-dec
"""


def _table() -> Iterator[Architecture]:
    for name in _FULL_MEASURED.split():
        yield Architecture(name=name, memory=MemoryKind.FULL, is_measured=True)
    yield Architecture(name="starcoder2", memory=MemoryKind.FULL, is_measured=True, feed_forward_widths=1)
    yield Architecture(name="grok", memory=MemoryKind.FULL, has_flash_attention=False)
    for name in _FULL.split():
        yield Architecture(name=name, memory=MemoryKind.FULL)

    yield Architecture(
        name="gemma2", memory=MemoryKind.SLIDING, is_measured=True, full_every=2, window_tokens=4096
    )
    for name, every in (("gemma3", 6), ("gpt-oss", 2), ("olmo2", 4), ("cohere2", 4)):
        yield Architecture(name=name, memory=MemoryKind.SLIDING, is_measured=True, full_every=every)
    for name in _SLIDING.split():
        yield Architecture(name=name, memory=MemoryKind.SLIDING)

    for name in ("mamba", "mamba2"):
        yield Architecture(name=name, memory=MemoryKind.RECURRENT, is_measured=True)
    for name in ("rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"):
        yield Architecture(name=name, memory=MemoryKind.RECURRENT)

    for name in ("jamba", "granitehybrid", "lfm2", "falcon-h1"):
        yield Architecture(name=name, memory=MemoryKind.HYBRID, is_measured=True)
    for name in ("qwen3next", "qwen35", "qwen35moe", "qwen4exp", "minimax-01"):
        yield Architecture(name=name, memory=MemoryKind.HYBRID, full_every=4)
    for name in _HYBRID.split():
        yield Architecture(name=name, memory=MemoryKind.HYBRID)

    for name in _ENCODERS.split():
        yield Architecture(name=name, memory=MemoryKind.NONE, purpose=Purpose.ENCODER)
    for name in _OTHER.split():
        yield Architecture(name=name, memory=MemoryKind.NONE, purpose=Purpose.OTHER)


ARCHITECTURES = {one.name: one for one in _table()}
"""By name."""
