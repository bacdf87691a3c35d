"""Tokens and text of one model's vocabulary.

Above: `chat.py`, `sampling.py`, `arena.py`. Below: `binding.py`, `tokenizing.py`. It borrows the model's
vocabulary: the weights must outlive it. It does not know what a message is. It may be used in any thread;
the engine's tokenizer itself runs on a thread of its own, one call after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from samovar.engines.llama.binding import Binding
from samovar.engines.llama.tokenizing import longest_match

_CONTROL = 1 << 3
_UNKNOWN = 1 << 0


class Vocabulary:
    """The vocabulary of loaded weights."""

    def __init__(self, binding: Binding, model: Any) -> None:
        self._ffi, self._lib, self._tokenizing = binding.ffi, binding.lib, binding.tokenizing
        self.pointer = self._lib.llama_model_get_vocab(model)
        self.size: int = self._lib.llama_vocab_n_tokens(self.pointer)
        self.bos: int = self._lib.llama_vocab_bos(self.pointer)
        self.eos: int = self._lib.llama_vocab_eos(self.pointer)
        self.adds_bos: bool = self._lib.llama_vocab_get_add_bos(self.pointer)
        self.control_texts = self._control_texts()
        self._pieces: dict[int, bytes] = {}

    def _control_texts(self) -> tuple[str, ...]:
        """The texts that parse to control tokens, longest first: in data they must stay text."""
        texts = [
            self.text_of(token)
            for token in range(self.size)
            if self._lib.llama_vocab_get_attr(self.pointer, token) & (_CONTROL | _UNKNOWN)
        ]
        return tuple(sorted(filter(None, set(texts)), key=lambda text: (-len(text), text)))

    def text_of(self, token: int) -> str:
        """The vocabulary's own text of a token (for control tokens, the text that parses to it)."""
        if token < 0:
            return ""
        raw = self._ffi.string(self._lib.llama_vocab_get_text(self.pointer, token))
        return str(raw.decode("utf-8", "replace"))

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation."""
        return bool(self._lib.llama_vocab_is_eog(self.pointer, token))

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """The tokens of `text`; with `special`, control texts in it become control tokens."""
        return self.tokenize_parts([(text, special)])

    def tokenize_parts(self, parts: Sequence[tuple[str, bool]]) -> list[int]:
        """The tokens of several texts, each tokenized by itself as `tokenize` does: (text, special).

        Blocks. Raises `EngineError` for a line that is too long for the engine's tokenizer.
        """
        characters = max((longest_match(text) for text, _ in parts), default=0)
        return self._tokenizing.run(partial(self._tokenize_here, parts), characters)

    def _tokenize_here(self, parts: Sequence[tuple[str, bool]]) -> list[int]:
        """On the tokenizing thread: elsewhere a long line overflows the stack, which ends the process."""
        tokens: list[int] = []
        for text, special in parts:
            raw = text.encode("utf-8", "replace")
            room = len(raw) + 8
            count = -1
            while count < 0:
                buffer = self._ffi.new("llama_token[]", room)
                count = self._lib.llama_tokenize(self.pointer, raw, len(raw), buffer, room, False, special)
                room = -count
            if count:
                tokens += self._ffi.unpack(buffer, count)
        return tokens

    def piece(self, token: int) -> bytes:
        """The bytes a generated token stands for; empty for control tokens."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._read_piece(token)
        return known

    def _read_piece(self, token: int) -> bytes:
        room = 64
        while True:
            buffer = self._ffi.new("char[]", room)
            count = self._lib.llama_token_to_piece(self.pointer, token, buffer, room, 0, False)
            if count >= 0:
                return bytes(self._ffi.buffer(buffer, count))
            room = -count

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of tokens, control tokens left out."""
        return b"".join(map(self.piece, tokens)).decode("utf-8", "replace")
