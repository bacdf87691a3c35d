"""Picking the next token: llama.cpp's sampler chain, and a grammar for answers with given choices.

Above: `admission.py` makes one, `arena.py` asks it. Below: `binding.py`, `vocabulary.py`. A sampler belongs
to one answer; it is freed with `close`. The order (penalties, top-k, top-p, min-p, temperature) is
llama.cpp's own default order.
"""

from __future__ import annotations

import codecs
import math
from array import array
from collections.abc import Sequence
from typing import Any

from samovar.engines.answer import takes_empty_lines
from samovar.engines.llama.answering import TokenAnswer
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.numbers import check_logits
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError
from samovar.generation import Options, Sampling
from samovar.values import is_utf8

PENALTY_TOKENS = 64
RANDOM_SEED = 2**32 - 1
"""The seed that the engine replaces by one of its own each time (`LLAMA_DEFAULT_SEED` in `llama.h`)."""


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


def unfinished(raw: bytes) -> bytes | None:
    """What is left of UTF-8 behind its last whole character; None if it is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(raw)
    except UnicodeDecodeError:
        return None
    return decoder.getstate()[0]


class Sampler:
    """Picks tokens for one answer."""

    def __init__(
        self, binding: Binding, vocabulary: Vocabulary, options: Options, answer: TokenAnswer
    ) -> None:
        """`answer`: knows when its text begins, which is to be one of the choices."""
        self._answer = answer
        self._ffi, self._lib, self._vocabulary = binding.ffi, binding.lib, vocabulary
        self._grammar: Any = None
        self._is_checked = False
        self._unfinished = b""
        """Of the answer: the first bytes of a character that is not whole yet."""
        self._silent = self._silent_tokens(options.choices)
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
            # The same text each time for that seed too: that of the one before.
            links.append(lib.llama_sampler_init_dist(min(sampling.seed, RANDOM_SEED - 1)))
        for link in links:
            lib.llama_sampler_chain_add(chain, link)
        return chain

    def _silent_tokens(self, choices: Sequence[str]) -> frozenset[int]:
        """Tokens that the grammar takes for text of a choice, and that no text comes of: control tokens."""
        return frozenset(
            token
            for text, token in (self._vocabulary.controls.items() if choices else ())
            if any(text in choice for choice in choices) and not self._vocabulary.piece(token)
        )

    def _build_grammar(self, choices: Sequence[str]) -> Any:
        if not all(is_utf8(choice) and "\0" not in choice for choice in choices):
            self.close()
            raise EngineError("A choice has a NUL or half of a surrogate pair, which no model can say.")
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

        With a grammar the whole vocabulary is looked at only when the unconstrained pick is refused. Raises
        `EngineError` if an answer's first logits are not numbers.
        """
        if not self._is_checked:  # a damaged file's numbers are none from the first on
            logits = self._ffi.buffer(self._lib.llama_get_logits_ith(context, row), self._vocabulary.size * 4)
            check_logits(logits, self._vocabulary.path)
            self._is_checked = True
        if self._grammar is None:
            return int(self._lib.llama_sampler_sample(self._chain, context, row))
        if self._answer.is_free:
            thought = self._pick_thought(context, row)
            if thought is not None:
                return thought
            self._answer.settle()
        token = self._pick_from(context, row, masked=False)
        if not self._is_allowed(token):
            token = self._pick_allowed(context, row)
        self._unfinished = unfinished(self._unfinished + self._vocabulary.piece(token)) or b""
        self._lib.llama_sampler_accept(self._grammar, token)
        self._lib.llama_sampler_accept(self._chain, token)
        return token

    def _pick_allowed(self, context: Any, row: int) -> int:
        """The likeliest token with which a choice can go on, or end."""
        passed: list[int] = []
        while True:
            token = self._pick_from(context, row, masked=True, without=passed)
            if self._is_allowed(token):
                return token
            if token in passed or unfinished(self._unfinished + self._vocabulary.piece(token)) is not None:
                raise EngineError("The model's vocabulary cannot spell any of the choices.")
            passed.append(token)

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
        for token in (*without, *(self._silent if masked else ())):
            data[token].logit = -math.inf
        if masked:
            self._lib.llama_sampler_apply(self._grammar, candidates)
        self._lib.llama_sampler_apply(self._chain, candidates)
        return int(data[candidates.selected].id)

    def _is_allowed(self, token: int) -> bool:
        if token in self._silent or unfinished(self._unfinished + self._vocabulary.piece(token)) is None:
            return False  # the grammar takes a character also if it is spelled in more bytes than it has
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
