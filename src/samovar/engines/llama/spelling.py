"""Text within an answer as tokens: the same ones that the model saw in its training.

Above: `grammars.py`, for text that an answer must continue. Below: `vocabulary.py`. The tokens say exactly
the bytes that were asked for, or their beginning.
"""

from __future__ import annotations

from collections.abc import Sequence

from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError


class TokenSpelling:
    """The tokens of a text within an answer: those of the vocabulary's own tokenizer, if they say it."""

    def __init__(self, vocabulary: Vocabulary, pieces: Sequence[bytes]) -> None:
        self._vocabulary, self._pieces = vocabulary, pieces
        self._longest = max(map(len, pieces), default=1)

    def __call__(self, raw: bytes) -> list[int]:
        try:
            tokens = self._vocabulary.spell(raw.decode())
        except (UnicodeDecodeError, EngineError):  # part of a character; a line that is too long
            return self._greedy(raw)
        said = b"".join(self._pieces[token] for token in tokens)
        return tokens if said == raw else self._greedy(raw)

    def _greedy(self, raw: bytes) -> list[int]:
        """The longest piece each time; up to where no token says the next byte."""
        tokens: list[int] = []
        place = 0
        while place < len(raw):
            for size in range(min(self._longest, len(raw) - place), 0, -1):
                found = self._vocabulary.by_piece.get(raw[place : place + size], ())
                token = next((one for one in found if self._pieces[one]), None)
                if token is not None:
                    break
            else:
                return tokens
            tokens.append(token)
            place += size
        return tokens
