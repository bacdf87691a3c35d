"""Constrains an answer to one of several texts, with llama.cpp's own grammar sampler.

Above: `sampling.py`. Below: `constraint.py` (the contract), `binding.py`, `vocabulary.py`. It prepares
nothing for a vocabulary, as `grammars.py` does, so choices never wait.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Sequence
from typing import Any

from samovar.engines.answer import takes_empty_lines
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import UnmetError
from samovar.values import is_utf8

MOST_FEW = 4096
"""Tokens that are looked at one by one before one is picked, at most."""
EMPTY_LINES = 2
"""A model may put at most this many line ends between its reasoning and its choice."""


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
    """The rest of UTF-8 behind its last whole character; None if it is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(raw)
    except UnicodeDecodeError:
        return None
    return decoder.getstate()[0]


class OneOf:
    """See `constraint.Constraint`. Mutable: how far the choice is spelled."""

    is_over = False
    """The answer itself knows when its choice is whole (`TokenAnswer.is_over`)."""

    def __init__(
        self,
        binding: Binding,
        vocabulary: Vocabulary,
        choices: Sequence[str],
        *,
        is_behind_reasoning: bool,
    ) -> None:
        """Raises `UnmetError` for a choice that no model can say."""
        self._ffi, self._lib, self._vocabulary = binding.ffi, binding.lib, vocabulary
        self._choices = [choice.encode("utf-8", "replace") for choice in choices]
        self._said = b""
        """The bytes of the answer so far, without empty lines before it."""
        self._unfinished = b""
        """The first bytes of an unfinished character of the answer."""
        self._silent = frozenset(
            token
            for text, token in vocabulary.controls.items()
            if any(text in choice for choice in choices) and not vocabulary.piece(token)
        )
        """Tokens that the grammar takes for text of a choice, and that no text comes of: control tokens."""
        self._grammar: Any = None
        """The engine's sampler that accepts the choices; None after `close`."""
        if not all(is_utf8(choice) and "\0" not in choice for choice in choices):
            raise UnmetError("A choice contains a NUL or half of a surrogate pair, which no model can write.")
        text = choices_grammar(choices, is_behind_reasoning=is_behind_reasoning).encode()
        grammar = self._lib.llama_sampler_init_grammar(vocabulary.pointer, text, b"root")
        if grammar == self._ffi.NULL:
            raise UnmetError(f"The choices cannot be made into a grammar: {', '.join(map(repr, choices))}")
        self._grammar = grammar

    def allows(self, token: int) -> bool:
        if token in self._silent or self.passes_over(token):
            return False  # the grammar takes a character also if it is spelled in more bytes than it has
        one = self._ffi.new("llama_token_data[1]", [(token, 1.0, 0.0)])
        candidates = self._ffi.new("llama_token_data_array *", (one, 1, -1, False))
        self._lib.llama_sampler_apply(self._grammar, candidates)
        return not math.isinf(one[0].logit)

    def mask(self, data: Any, candidates: Any) -> None:
        for token in self._silent:
            data[token].logit = -math.inf
        self._lib.llama_sampler_apply(self._grammar, candidates)

    def passes_over(self, token: int) -> bool:
        return unfinished(self._unfinished + self._vocabulary.piece(token)) is None

    def accept(self, token: int) -> None:
        self._unfinished = unfinished(self._unfinished + self._vocabulary.piece(token)) or b""
        if self._said or self._vocabulary.piece(token).strip(b"\n"):  # empty lines before it are not of it
            self._said += self._vocabulary.piece(token)
        self._lib.llama_sampler_accept(self._grammar, token)

    def forced(self) -> list[int]:
        return []

    def few(self) -> Sequence[int] | None:
        rests = {choice[len(self._said) :] for choice in self._choices if choice.startswith(self._said)}
        begun = {rest[:length] for rest in rests for length in range(1, len(rest) + 1)}
        tokens = [token for piece in begun for token in self._vocabulary.by_piece.get(piece, ())]
        found = [*tokens, *(self._vocabulary.ends if b"" in rests else ())]
        return found if len(found) <= MOST_FEW else None

    def close(self) -> None:
        if self._grammar is not None:
            self._lib.llama_sampler_free(self._grammar)
        self._grammar = None
