"""The work that benchmarks share, and the same calls made directly on the engine.

W12: twelve prompts with one system prompt of some 600 tokens, at most 24 tokens each, greedy, in turn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samovar.engines.llama.binding import Binding, open_binding
from samovar.engines.llama.chat import ChatTemplate
from samovar.engines.llama.cores import usable_cores
from samovar.engines.llama.tokens import common_length
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.generation import Message

SYSTEM = "You are a careful release engineer. " + " ".join(
    f"Rule {i}: keep answers short, name the file and the reason, never invent facts about step {i}."
    for i in range(24)
)
TOPICS = (
    "tests", "docs", "lint", "build", "cache", "config",
    "network", "storage", "memory", "threads", "errors", "release",
)  # fmt: skip
MAX_TOKENS = 24
CELLS = 8192


def question(topic: str) -> str:
    return f"In one sentence, what should we check about {topic} before shipping?"


def w12_workflow(topics: Sequence[str] = TOPICS) -> str:
    """W12 as a workflow's text: a prompt state for each topic, in a row."""
    states = [f"P{number}" for number in range(len(topics))]
    arrows = "\n".join(
        f"    {one} --> {other}" for one, other in zip(["[*]", *states], [*states, "[*]"], strict=True)
    )
    actions = "\n".join(
        f'- {state}: Prompt "{question(topic)}" result="answer_{state}" using max_tokens={MAX_TOKENS}'
        for state, topic in zip(states, topics, strict=True)
    )
    return (
        f'---\ntitle: W12\nsystem: "{SYSTEM}"\n---\n\n```mermaid\nstateDiagram-v2\n{arrows}\n```\n\n'
        f"## Actions\n\n{actions}\n"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One round of W12, from the first prompt to the last answer."""

    wall_s: float
    cpu_s: float
    evaluated_tokens: int | None
    """Of the prompts; None where the contender does not say."""
    generated_tokens: int
    answers: list[str]
    evaluate_s: float | None = None
    """In calls of the engine that evaluated prompts; None where that is not known."""
    decode_s: float | None = None
    """In those that only decoded, …"""
    decode_tokens: int | None = None
    """… and how many tokens they decoded."""
    calls_s: float | None = None
    """In calls of the engine that evaluated or decoded; None where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectSetting:
    """How the context of direct calls is made."""

    flash_attention: bool
    micro_batch_tokens: int

    @property
    def name(self) -> str:
        return f"ideal-{'flash' if self.flash_attention else 'plain'}-{self.micro_batch_tokens}"

    def __str__(self) -> str:
        flash = "on" if self.flash_attention else "off"
        return f"flash attention {flash}, micro-batches of {self.micro_batch_tokens}"


class Clock:
    """Starts when it is made."""

    def __init__(self) -> None:
        self._started, self._cpu = time.perf_counter(), time.process_time()

    def measured(
        self, *, evaluated_tokens: int | None, generated_tokens: int, answers: list[str]
    ) -> Measured:
        """What was done since."""
        return Measured(
            wall_s=time.perf_counter() - self._started,
            cpu_s=time.process_time() - self._cpu,
            evaluated_tokens=evaluated_tokens,
            generated_tokens=generated_tokens,
            answers=answers,
        )


class Direct:
    """One sequence, one loop: the longest common prefix is kept, the rest evaluated, greedily."""

    def __init__(self, path: Path, setting: DirectSetting | None = None) -> None:
        """`setting`: None is that of Samovar's table for this KV type, in llama.cpp's usual micro-batches."""
        setting = setting or DirectSetting(flash_attention=False, micro_batch_tokens=512)
        self._binding: Binding = open_binding()
        self._binding.begin_use()
        lib, ffi = self._binding.lib, self._binding.ffi
        model_params = lib.llama_model_default_params()
        model_params.n_gpu_layers = 0
        self._weights = lib.llama_model_load_from_file(str(path).encode(), model_params)
        self.vocabulary = Vocabulary(self._binding, self._weights)
        source = lib.llama_model_chat_template(self._weights, ffi.NULL)
        self.template = ChatTemplate(ffi.string(source).decode(), self.vocabulary)
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = CELLS, 512, setting.micro_batch_tokens
        params.flash_attn_type = int(setting.flash_attention)
        params.n_threads = params.n_threads_batch = usable_cores()
        self._context: Any = lib.llama_init_from_model(self._weights, params)
        self._batch = lib.llama_batch_init(512, 0, 1)
        self._held: list[int] = []
        self.start_counting()

    def start_counting(self) -> None:
        self.evaluated = self.generated = self.decode_tokens = 0
        self.evaluate_s = self.decode_s = 0.0

    def _decode(self, tokens: list[int], *, is_prompt: bool = False) -> None:
        """Evaluates `tokens` after what is held; logits for the last one."""
        batch = self._batch
        for start in range(0, len(tokens), 512):
            chunk = tokens[start : start + 512]
            for index, token in enumerate(chunk):
                batch.token[index] = token
                batch.pos[index] = len(self._held) + index
                batch.n_seq_id[index] = 1
                batch.seq_id[index][0] = 0
                batch.logits[index] = 0
            batch.logits[len(chunk) - 1] = 1
            batch.n_tokens = len(chunk)
            began = time.perf_counter()
            assert self._binding.lib.llama_decode(self._context, batch) == 0
            if is_prompt:
                self.evaluate_s += time.perf_counter() - began
            else:
                self.decode_s += time.perf_counter() - began
                self.decode_tokens += len(tokens)
            self._held += chunk

    def answer(self, messages: list[Message], max_tokens: int) -> str:
        lib = self._binding.lib
        tokens = self.template.tokens(messages)
        shared = min(common_length(self._held, tokens), len(tokens) - 1)
        lib.llama_memory_seq_rm(lib.llama_get_memory(self._context), 0, shared, -1)
        del self._held[shared:]
        self._decode(tokens[shared:], is_prompt=True)
        self.evaluated += len(tokens) - shared
        sampler = lib.llama_sampler_init_greedy()
        said: list[int] = []
        while True:
            token = lib.llama_sampler_sample(sampler, self._context, -1)
            if self.vocabulary.is_end(token):
                break
            said.append(token)
            if len(said) >= max_tokens:
                break
            self._decode([token])
        lib.llama_sampler_free(sampler)
        self.generated += len(said)
        return self.vocabulary.detokenize(said)

    def w12(self, *, warm_up: tuple[str, str] | None = None) -> Measured:
        """One round. `warm_up`: a system message and a prompt, answered before the clock starts."""
        if warm_up is not None:
            system, said = warm_up
            self.answer([Message(role="system", content=system), Message(role="user", content=said)], 1)
            self.start_counting()
        clock = Clock()
        answers = [
            self.answer(
                [Message(role="system", content=SYSTEM), Message(role="user", content=question(topic))],
                MAX_TOKENS,
            )
            for topic in TOPICS
        ]
        measured = clock.measured(
            evaluated_tokens=self.evaluated, generated_tokens=self.generated, answers=answers
        )
        return replace(
            measured,
            evaluate_s=self.evaluate_s,
            decode_s=self.decode_s,
            decode_tokens=self.decode_tokens,
        )
