"""The marks of reasoning, by family, found in a model's chat template and vocabulary.

Above: `reasoning.py`, which parts answers by these, and the engines, which know template and vocabulary.
Below: nothing. A model's name plays no part.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Two texts with something between them."""

    opens: str
    closes: str
    ends: str = ""
    """What ends the text after it, if the model marks that too."""


BLOCKS = (
    Block(opens="<think>", closes="</think>"),  # Qwen3, DeepSeek R1, GLM, SmolLM3, Nemotron, Granite 3.3 …
    Block(opens="[THINK]", closes="[/THINK]"),  # Magistral, Ministral
    Block(opens="<|START_THINKING|>", closes="<|END_THINKING|>"),  # Command A and R7B
    Block(opens="◁think▷", closes="◁/think▷"),  # Kimi-VL
    Block(opens="<|channel>thought\n", closes="<channel|>"),  # Gemma 4
    Block(opens="<thought>", closes="</thought>"),  # EXAONE Deep
    Block(opens="<reasoning>", closes="</reasoning>"),  # Reka Flash
    Block(opens="<|inner_prefix|>", closes="<|inner_suffix|>"),  # Apertus
    Block(opens="<|begin_of_thought|>", closes="<|end_of_thought|>"),  # OpenThinker, Sky-T1
    Block(opens="Here is my thought process:", closes="Here is my response:"),  # Granite 3.2
    Block(
        opens="Here are my reasoning steps:\n",
        closes="[BEGIN FINAL RESPONSE]",
        ends="[END FINAL RESPONSE]",
    ),  # Apriel
)
"""By family: what is around the reasoning at the head of an answer."""
USUAL = BLOCKS[0]
"""What an answer's head is looked through for, whatever the model's file says."""
WRAPS = (
    Block(opens="<response>", closes="</response>"),  # Granite 3.3, ERNIE 4.5
    Block(opens="<answer>", closes="</answer>"),  # Hunyuan
    Block(opens="<|begin_of_solution|>", closes="<|end_of_solution|>"),
)
"""What some of these models put around the text that follows."""
_NAME = r"((?:\w{1,20}[:|])?think\w{0,20}(?::\w{1,20})?)"
_TAG, _OPENED, _CLOSED = (re.compile(form.format(_NAME)) for form in ("<{}>", "<{}>$", "</{}>$"))
"""Tags of more families, as in `<seed:think>`, `<thinking>`, `<think:opensource>`: in a template, and at a
prompt's end."""

_LONGEST_TAG = 80

CHANNEL, MESSAGE, START, END = "<|channel|>", "<|message|>", "<|start|>", "<|end|>"
ENDINGS = (END, "<|return|>", "<|call|>", START)
CHANNELS = (CHANNEL, MESSAGE, "<|constrain|>", *ENDINGS)
"""Harmony (gpt-oss): an answer is several messages, each behind a header that names its channel."""
FINAL = "final"
"""The channel that is for the user; all others are the model's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Where an answer begins."""

    inside: Block | None = None
    """The prompt has opened it."""
    is_over: bool = False
    """The prompt has closed one: the model is not to think."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Markers:
    """What one model marks its reasoning with."""

    blocks: tuple[Block, ...] = (USUAL,)
    """Any of these may open an answer."""
    wraps: tuple[Block, ...] = ()
    has_channels: bool = False
    only_tokens: bool = False
    """The markers of channels are tokens of their own: the same letters in text are text."""
    is_known: bool = False
    """The template or the vocabulary says so; otherwise it is only how answers of such models look."""

    @classmethod
    def found(cls, template: str, controls: Collection[str] = ()) -> Self:
        """By the template's source, and the texts that are tokens of their own."""
        tags = (Block(opens=f"<{tag}>", closes=f"</{tag}>") for tag in _TAG.findall(template))
        known = [
            block
            for block in dict.fromkeys((*BLOCKS, *tags))
            if block.closes in template or block.opens in controls
        ]
        are_tokens = {CHANNEL, MESSAGE} <= set(controls)
        has_channels = are_tokens or (CHANNEL in template and MESSAGE in template)
        return cls(
            blocks=tuple(dict.fromkeys((*known, USUAL))),
            wraps=tuple(wrap for wrap in WRAPS if known and wrap.closes in template),
            has_channels=has_channels,
            only_tokens=are_tokens and {START, END} <= set(controls),
            is_known=bool(known) or has_channels,
        )

    def is_part(self, text: str) -> bool:
        """Whether a control token with this text is one of the markers, or within one."""
        if self.has_channels:
            return text in CHANNELS
        blocks = (*self.blocks, *self.wraps)
        return any(text in marker for block in blocks for marker in (block.opens, block.closes, block.ends))

    def beginning(self, prompt: str) -> Beginning:
        """What a prompt, as it was rendered, has opened or closed already at its end."""
        end = prompt.rstrip()
        inside = next((block for block in self.blocks if end.endswith(block.opens.rstrip())), None)
        if inside is None and (opened := _OPENED.search(end, len(end) - _LONGEST_TAG)):
            inside = Block(opens=f"<{opened[1]}>", closes=f"</{opened[1]}>")
        is_over = any(end.endswith(block.closes) for block in self.blocks)
        is_over = is_over or _CLOSED.search(end, len(end) - _LONGEST_TAG) is not None
        return Beginning(inside=None if self.has_channels else inside, is_over=is_over)
