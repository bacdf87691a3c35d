"""Text within an answer as tokens: the same ones that the model saw in its training.

Above: `grammars.py`, for text that an answer must continue. Below: `vocabulary.py`. The tokens say exactly
the bytes that were asked for, or their beginning.
"""

from __future__ import annotations

from collections.abc import Collection

from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError


class TokenSpelling:
    """The tokens of a text within an answer: those of the vocabulary's own tokenizer, if they say it."""

    def __init__(self, vocabulary: Vocabulary, without: Collection[int], longest: int) -> None:
        """`without`: tokens that are never text. `longest`: at most as many bytes has one that is."""
        self._vocabulary, self._without, self._longest = vocabulary, without, longest

    def __call__(self, raw: bytes) -> list[int]:
        try:
            tokens = self._vocabulary.spell(raw.decode())
        except (UnicodeDecodeError, EngineError):  # part of a character; a line that is too long
            return self._greedy(raw)
        said = b"".join(self._vocabulary.piece(token) for token in tokens if token not in self._without)
        return tokens if said == raw else self._greedy(raw)

    def _greedy(self, raw: bytes) -> list[int]:
        """The longest piece each time; up to where no token says the next byte."""
        tokens: list[int] = []
        place = 0
        while place < len(raw):
            for size in range(min(self._longest, len(raw) - place), 0, -1):
                found = self._vocabulary.by_piece.get(raw[place : place + size], ())
                token = next((one for one in found if one not in self._without), None)
                if token is not None:
                    break
            else:
                return tokens
            tokens.append(token)
            place += size
        return tokens
