"""Picking the next token: llama.cpp's sampler chain, and a grammar for answers with given choices.

Above: `admission.py` makes one, `arena.py` asks it. Below: `binding.py`, `vocabulary.py`. A sampler belongs
to one answer; it is freed with `close`. The order (penalties, top-k, top-p, min-p, temperature) is
llama.cpp's own default order.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

from samovar.engines.answer import takes_empty_lines
from samovar.engines.llama.answering import TokenAnswer
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError
from samovar.generation import Options, Sampling

PENALTY_TOKENS = 64


EMPTY_LINES = 2
"""At most so many line ends may a model put between its reasoning and its choice."""
MOST_CROSSING = 32
"""Tokens that would end the reasoning and begin the choice in one: so many are passed over, and no more."""


def choices_grammar(choices: Sequence[str], *, is_behind_reasoning: bool = False) -> str:
    """GBNF (llama.cpp's grammar format) that accepts exactly one of the texts.

    Models put empty lines behind their reasoning, so these are accepted there too.
    """
    spelled = " | ".join(f'"{_quote(choice)}"' for choice in choices)
    if is_behind_reasoning and takes_empty_lines(choices):
        return "root ::= " + '"\\n"? ' * EMPTY_LINES + f"({spelled})"
    return f"root ::= {spelled}"


def _quote(text: str) -> str:
    """`text` inside a GBNF string. Everything but plain letters and digits is given by code point."""
    return "".join(char if char.isascii() and char.isalnum() else f"\\U{ord(char):08X}" for char in text)


class Sampler:
    """Picks tokens for one answer."""

    def __init__(
        self, binding: Binding, vocabulary: Vocabulary, options: Options, answer: TokenAnswer
    ) -> None:
        """`answer`: knows when its text begins, which is to be one of the choices."""
        self._answer = answer
        self._ffi, self._lib, self._vocabulary = binding.ffi, binding.lib, vocabulary
        self._grammar: Any = None
        self._ids = memoryview(array("i", range(vocabulary.size if options.choices else 0)))
        self._chain = self._build_chain(options.sampling)
        if options.choices:
            self._grammar = self._build_grammar(options.choices)

    def _build_chain(self, sampling: Sampling) -> Any:
        lib = self._lib
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        links = []
        if sampling.repeat_penalty != 1.0:
            links.append(
                lib.llama_sampler_init_penalties(
                    self._vocabulary.size, PENALTY_TOKENS, sampling.repeat_penalty, 0.0, 0.0
                )
            )
        if sampling.temperature <= 0.0:
            links.append(lib.llama_sampler_init_greedy())
        else:
            if sampling.top_k > 0:
                links.append(lib.llama_sampler_init_top_k(sampling.top_k))
            if sampling.top_p < 1.0:
                links.append(lib.llama_sampler_init_top_p(sampling.top_p, 1))
            if sampling.min_p > 0.0:
                links.append(lib.llama_sampler_init_min_p(sampling.min_p, 1))
            links.append(lib.llama_sampler_init_temp(sampling.temperature))
            links.append(lib.llama_sampler_init_dist(sampling.seed))
        for link in links:
            lib.llama_sampler_chain_add(chain, link)
        return chain

    def _build_grammar(self, choices: Sequence[str]) -> Any:
        text = choices_grammar(choices, is_behind_reasoning=self._answer.thinks_first).encode()
        grammar = self._lib.llama_sampler_init_grammar(self._vocabulary.pointer, text, b"root")
        if grammar == self._ffi.NULL:
            self.close()
            raise EngineError(f"The choices cannot be made into a grammar: {', '.join(map(repr, choices))}")
        return grammar

    def remember(self, tokens: Sequence[int]) -> None:
        """Shows the chain the end of the prompt, which the repetition penalty looks back on."""
        for token in tokens[-PENALTY_TOKENS:]:
            self._lib.llama_sampler_accept(self._chain, token)

    def pick(self, context: Any, row: int) -> int:
        """The next token from the logits of `row` of the last batch.

        With a grammar the whole vocabulary is looked at only when the unconstrained pick is refused.
        """
        if self._grammar is None:
            return int(self._lib.llama_sampler_sample(self._chain, context, row))
        if self._answer.is_free:
            thought = self._pick_thought(context, row)
            if thought is not None:
                return thought
            self._answer.settle()
        token = self._pick_from(context, row, masked=False)
        if not self._is_allowed(token):
            token = self._pick_from(context, row, masked=True)
            if not self._is_allowed(token):
                raise EngineError("The model's vocabulary cannot spell any of the choices.")
        self._lib.llama_sampler_accept(self._grammar, token)
        self._lib.llama_sampler_accept(self._chain, token)
        return token

    def _pick_thought(self, context: Any, row: int) -> int | None:
        """The next token while the model thinks; None if it would rather say something."""
        passed: list[int] = []
        while True:
            token = self._pick_from(context, row, masked=False, without=passed)
            verdict = self._answer.judge(token)
            if verdict == "says" or (verdict == "crosses" and len(passed) == MOST_CROSSING):
                return None
            if verdict == "thinks":
                self._lib.llama_sampler_accept(self._chain, token)
                return token
            passed.append(token)

    def _pick_from(self, context: Any, row: int, *, masked: bool, without: Sequence[int] = ()) -> int:
        ffi, size = self._ffi, self._vocabulary.size
        logits = ffi.buffer(self._lib.llama_get_logits_ith(context, row), size * 4)
        data = ffi.new("llama_token_data[]", size)
        _fill(ffi.buffer(data), logits, self._ids)
        candidates = ffi.new("llama_token_data_array *", (data, size, -1, False))
        for token in without:
            data[token].logit = -math.inf
        if masked:
            self._lib.llama_sampler_apply(self._grammar, candidates)
        self._lib.llama_sampler_apply(self._chain, candidates)
        return int(data[candidates.selected].id)

    def _is_allowed(self, token: int) -> bool:
        one = self._ffi.new("llama_token_data[1]", [(token, 1.0, 0.0)])
        candidates = self._ffi.new("llama_token_data_array *", (one, 1, -1, False))
        self._lib.llama_sampler_apply(self._grammar, candidates)
        return not math.isinf(one[0].logit)

    def close(self) -> None:
        """Frees the chain and the grammar. Safe to call twice."""
        for sampler in (self._chain, self._grammar):
            if sampler is not None:
                self._lib.llama_sampler_free(sampler)
        self._chain = self._grammar = None


def _fill(data: Any, logits: Any, ids: memoryview) -> None:
    """Writes (id, logit, 0) for each token, as strided views: a loop in Python takes 10 ms."""
    words = memoryview(data).cast("B").cast("i")
    words[0::3] = ids
    words[1::3] = memoryview(logits).cast("B").cast("i")
