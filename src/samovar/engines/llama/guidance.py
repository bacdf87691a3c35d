"""What one loaded model needs to hold its answers to forms, made when the first of them comes.

Above: `model.py`. Below: `grammars.py`, `spelling.py`, `vocabulary.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from samovar.engines.llama.binding import Binding
from samovar.engines.llama.choosing import EMPTY_LINES
from samovar.engines.llama.grammars import Grammars, Matcher
from samovar.engines.llama.spelling import TokenSpelling
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError
from samovar.generation import Form


class Guidance:
    """The grammars of one loaded model, made when the first answer needs them. Mutable: made or not."""

    def __init__(self, binding: Binding, vocabulary: Vocabulary, end: Callable[[], int]) -> None:
        """`end`: gives the token that ends an answer; a negative number if there is none."""
        self._binding, self._vocabulary, self._end = binding, vocabulary, end
        self._making = threading.Lock()
        self._grammars: Grammars | None = None
        self._is_closed = False

    def matcher(self, form: Form, *, is_behind_reasoning: bool) -> Matcher:
        """Blocks: a second for the first of a large vocabulary. Raises `EngineError`, see `Grammars.open`."""
        with self._making:
            if self._is_closed:
                raise EngineError("The model was closed.")
            if self._grammars is None:
                vocabulary = self._vocabulary
                pieces = [
                    b"" if vocabulary.is_end(token) else vocabulary.piece(token)
                    for token in range(vocabulary.size)
                ]
                self._grammars = Grammars(
                    self._binding, pieces, max(0, self._end()), TokenSpelling(vocabulary, pieces)
                )
            grammars = self._grammars
        lead = EMPTY_LINES if is_behind_reasoning and form.kind == "schema" else 0
        return Matcher(grammars, self._vocabulary, form, lead)

    def close(self) -> None:
        """Waits for what is being made; nothing is made from now on. Safe to call twice."""
        with self._making:
            self._is_closed = True
            self._grammars = None
