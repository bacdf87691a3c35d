"""Tokens and text of one model's vocabulary.

Above: `chat.py`, `sampling.py`, `arena.py`. Below: `binding.py`, `controls.py`, `tokenizing.py`. It borrows
the model's vocabulary: the weights must outlive it. It does not know what a message is. It may be used in any
thread; the engine's tokenizer itself runs on threads of its own.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from samovar.engines.answer import Blank
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.controls import ControlTexts
from samovar.engines.llama.cuts import pieces
from samovar.engines.llama.tokenizing import SHALLOW_CHARACTERS, longest_match
from samovar.errors import EngineError, ModelFileError

_UNKNOWN, _CONTROL, _USER_DEFINED = 1 << 0, 1 << 3, 1 << 4
_STRIPS_LEFT, _STRIPS_RIGHT = 1 << 7, 1 << 8
_WORD_PIECE = 3
"""`LLAMA_VOCAB_TYPE_WPM`: its tokenizer puts tokens around each text whatever the file says."""
_SENTENCE_PIECES = (1, 4)
"""The engine's numbers of vocabularies of SentencePiece: BPE with bytes, unigram."""
_BLANKS = " \t\n\v\f\r"
"""What `isspace` of C finds, and the engine strips beside some tokens."""
_SPELLED_BLANK = "\u2581"
"""What a blank is in the texts of SentencePiece vocabularies."""
_ENTRY_BYTES = 256
"""Room for a short text of the header."""
_UNMERGED = ("\n", "\ue000")
"""Characters that hardly any vocabulary has in a token together with others."""


class Vocabulary:
    """The vocabulary of loaded weights."""

    def __init__(self, binding: Binding, model: Any, path: Path | None = None) -> None:
        """`path`: the model's file, for messages."""
        self.path = path
        self._ffi, self._lib, self._tokenizing = binding.ffi, binding.lib, binding.tokenizing
        self.pointer = self._lib.llama_model_get_vocab(model)
        self.size: int = self._lib.llama_vocab_n_tokens(self.pointer)
        self.bos: int = self._lib.llama_vocab_bos(self.pointer)
        self.eos: int = self._lib.llama_vocab_eos(self.pointer)
        self.adds_bos: bool = self._lib.llama_vocab_get_add_bos(self.pointer)
        self._pre_tokenizer = self._entry(model, "tokenizer.ggml.pre")
        self.controls = ControlTexts(self._control_tokens())
        self._always_parsed = ControlTexts(
            {text: token for text, token in self.controls.items() if self._attributes(token) & _USER_DEFINED}
        )
        """The engine makes tokens of these texts even if it parses no control tokens."""
        self._is_of_sentence_pieces = self._lib.llama_vocab_type(self.pointer) in _SENTENCE_PIECES
        self._blank_goes_before: bool | None = None
        """Whether the engine puts a blank before each text; None while that is not known."""
        self._around: tuple[list[int], list[int]] | None = None
        """What goes before and after a text that is read for itself; None while that is not known."""
        self._pieces: list[bytes | None] = [None] * self.size

    def _entry(self, model: Any, key: str) -> str:
        """A text of the model's header; empty if it has none."""
        buffer = self._ffi.new("char[]", _ENTRY_BYTES)
        count = self._lib.llama_model_meta_val_str(model, key.encode(), buffer, _ENTRY_BYTES)
        return bytes(self._ffi.string(buffer)).decode("utf-8", "replace") if count > 0 else ""

    def _control_tokens(self) -> dict[str, int]:
        """The texts that parse to tokens of their own: in data they must stay text.

        Left out are blanks and single characters of the kind that the engine parses in all text: neither can
        say whose turn it is, and a run of blanks is best one token in data too.
        """
        tokens: dict[str, int] = {}
        for token in range(self.size):
            attributes = self._attributes(token)
            if not attributes & (_CONTROL | _UNKNOWN | _USER_DEFINED):
                continue
            text = self.text_of(token)
            is_plain = len(text) == 1 or not text.strip(_BLANKS + _SPELLED_BLANK)
            if text and not (attributes & _USER_DEFINED and is_plain):
                tokens.setdefault(text, token)
        return tokens

    def _attributes(self, token: int) -> int:
        return int(self._lib.llama_vocab_get_attr(self.pointer, token))

    @property
    def control_texts(self) -> tuple[str, ...]:
        """The texts of `controls`, the longest first."""
        return tuple(self.controls)

    def text_of(self, token: int) -> str:
        """The vocabulary's own text of a token (for control tokens, the text that parses to it)."""
        if token < 0:
            return ""
        raw = self._ffi.string(self._lib.llama_vocab_get_text(self.pointer, token))
        return str(raw.decode("utf-8", "replace"))

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation."""
        return bool(self._lib.llama_vocab_is_eog(self.pointer, token))

    @cached_property
    def numbers(self) -> memoryview:
        """The numbers of all tokens, as 32-bit integers."""
        return memoryview(array("i", range(self.size)))

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end a generation."""
        return tuple(filter(self.is_end, range(self.size)))

    @cached_property
    def line_ends(self) -> tuple[int, ...]:
        """The tokens that say line ends and nothing else."""
        return tuple(token for token in range(self.size) if set(self.piece(token)) == {ord("\n")})

    @property
    def pieces(self) -> Sequence[bytes]:
        """What each token says. The first use takes a while."""
        if None in self._pieces:
            buffer, read = self._ffi.new("char[]", _ENTRY_BYTES), self._lib.llama_token_to_piece
            view = self._ffi.buffer(buffer)
            for token, known in enumerate(self._pieces):
                if known is None:
                    count = read(self.pointer, token, buffer, _ENTRY_BYTES, 0, False)
                    self._pieces[token] = view[:count] if count >= 0 else self._read_piece(token)
        return list(map(self.piece, range(self.size)))

    @property
    def has_pieces(self) -> bool:
        """Whether `by_piece` was made."""
        return "by_piece" in self.__dict__

    @cached_property
    def by_piece(self) -> Mapping[bytes, tuple[int, ...]]:
        """The tokens that say these bytes. The first use takes a tenth of a second for a large vocabulary."""
        found: dict[bytes, tuple[int, ...]] = {}
        for token, piece in enumerate(self.pieces):
            if piece:
                found[piece] = (*found.get(piece, ()), token)
        return found

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """The tokens of `text`; with `special`, control texts in it become control tokens."""
        return self.tokenize_parts([(text, special)])

    def tokenize_parts(self, parts: Sequence[tuple[str, bool]]) -> list[int]:
        """The tokens of several texts, each tokenized by itself as `tokenize` does: (text, special).

        Blocks. Raises `EngineError` for a line that is too long for the engine's tokenizer.
        """

        def work() -> list[int]:
            return [token for text, special in parts for token in self._tokenize_here(text, special)]

        return self._run(work, [text for text, _ in parts])

    def tokenize_apart(self, parts: Sequence[str | int]) -> list[int]:
        """The tokens of one text of which each control token is known, and nothing else becomes one.

        `parts`: texts and control tokens in turn. The tokens are those of the whole text, as if each other
        control text in it were an ordinary one. Blocks. Raises `EngineError` as `tokenize_parts` does.
        """
        beside: list[str | int] = []
        for index, part in enumerate(parts):
            if isinstance(part, str):
                if index and self._attributes(int(parts[index - 1])) & _STRIPS_RIGHT:
                    part = part.lstrip(_BLANKS)
                if index + 1 < len(parts) and self._attributes(int(parts[index + 1])) & _STRIPS_LEFT:
                    part = part.rstrip(_BLANKS)
            beside.append(part)
        texts = [part for part in beside if isinstance(part, str)]
        return self._run(partial(self._apart_here, beside), texts)

    def _run(self, work: Callable[[], list[int]], texts: Sequence[str]) -> list[int]:
        """Has `work` make tokens of `texts` if the stack is large enough."""
        is_long = sum(map(len, texts)) > SHALLOW_CHARACTERS
        return self._tokenizing.run(work, max(map(longest_match, texts), default=0), is_long=is_long)

    def spell(self, text: str) -> list[int]:
        """The tokens of a text that continues from other text; nothing in it becomes a control token.

        Blocks. Raises `EngineError` as `tokenize_parts` does.
        """
        return self._run(partial(self._plain_here, text, goes_on=True), [text])

    def tokenize_text(self, text: str) -> list[int]:
        """The tokens of a text that is read for itself, with those that begin and end one.

        Nothing in it becomes a control token. Blocks. Raises `EngineError` as `tokenize_parts` does, and
        `ModelFileError` if the vocabulary lacks a token that it says begins or ends a text.
        """
        if self._around is None:
            self._around = self._tokenizing.run(self._around_here, 1)
        before, after = self._around
        return [*before, *self.tokenize_apart([text] if text else []), *after]

    def _around_here(self) -> tuple[list[int], list[int]]:
        """The tokens before and after each text. The engine asserts that there are those it is to add."""
        lib, is_word_piece = self._lib, self._lib.llama_vocab_type(self.pointer) == _WORD_PIECE
        adds_bos, adds_eos = self.adds_bos or is_word_piece, lib.llama_vocab_get_add_eos(self.pointer)
        lacks_sep = is_word_piece and lib.llama_vocab_sep(self.pointer) < 0
        if (adds_bos and self.bos < 0) or (adds_eos and self.eos < 0) or lacks_sep:
            raise ModelFileError("The model's vocabulary lacks the token that it says begins or ends a text.")
        around = self._tokenize_piece("", False, around=True)
        plain, whole = self._tokenize_piece("x", False), self._tokenize_piece("x", False, around=True)
        for count in range(len(around) + 1):
            if [*around[:count], *plain, *around[count:]] == whole:
                return around[:count], around[count:]
        raise EngineError("The model's tokenizer does not say what begins and ends a text.")

    def _apart_here(self, parts: Sequence[str | int]) -> list[int]:
        tokens: list[int] = []
        for part in parts:
            tokens += [part] if isinstance(part, int) else self._plain_here(part)
        return tokens

    def _plain_here(self, text: str, *, goes_on: bool = False) -> list[int]:
        """The tokens of text in which nothing is a control token: what would be parsed is cut in two."""
        cut = 0
        tokens: list[int] = []
        for start, _ in self._always_parsed.every(text):
            tokens += self._piece_here(text[cut : start + 1], goes_on=goes_on or cut > 0)
            cut = start + 1
        return tokens + self._piece_here(text[cut:], goes_on=goes_on or cut > 0)

    def _piece_here(self, text: str, *, goes_on: bool) -> list[int]:
        """The tokens of plain text. If it continues from other text, no blank is put before it."""
        for before in _UNMERGED if goes_on and self._puts_blank_here() else ():
            opening, whole = self._tokenize_here(before, False), self._tokenize_here(before + text, False)
            if whole[: len(opening)] == opening:
                return whole[len(opening) :]
        return self._tokenize_here(text, False)

    def _puts_blank_here(self) -> bool:
        """Whether the engine puts a blank before each text."""
        if self._blank_goes_before is None:
            first = self._tokenize_here("x", False)
            self._blank_goes_before = b"".join(map(self.piece, first)).startswith(b" ")
        return self._blank_goes_before

    def head_blank(self) -> Blank:
        """What a blank at the head of an answer is. Blocks."""
        if not self._is_of_sentence_pieces:
            return "text"
        return "extra" if self._tokenizing.run(self._puts_blank_here, 1) else "one"

    def _tokenize_here(self, text: str, special: bool) -> list[int]:
        """On the tokenizing thread: elsewhere a long line overflows the stack, which ends the process."""
        known: dict[str, list[int]] = {}
        tokens: list[int] = []
        for piece in pieces(self._pre_tokenizer, text):
            if piece not in known:
                known[piece] = self._tokenize_piece(piece, special)
            tokens += known[piece]
        return tokens

    def _tokenize_piece(self, text: str, special: bool, *, around: bool = False) -> list[int]:
        """`around`: with the tokens that begin and end a text."""
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 8
        count = -1
        while count < 0:
            buffer = self._ffi.new("llama_token[]", room)
            count = self._lib.llama_tokenize(self.pointer, raw, len(raw), buffer, room, around, special)
            room = -count
        return list(self._ffi.unpack(buffer, count)) if count else []

    def piece(self, token: int) -> bytes:
        """The bytes a generated token stands for; empty for control tokens."""
        known = self._pieces[token]
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
