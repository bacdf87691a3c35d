"""The parts of one loaded model that constraints need, created in a thread on first use.

Above: `model.py`. Below: `grammar_maker.py`, `grammars.py`, `vocabulary.py`. Meanwhile the model evaluates
the prompt: the decode loop waits for it only before the first token of the answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import anyio.to_thread

from samovar.engines.llama.answering import TokenAnswer
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.choosing import EMPTY_LINES
from samovar.engines.llama.constraint import Constraint
from samovar.engines.llama.grammar_maker import GrammarMaker
from samovar.engines.llama.grammars import Grammars, Matcher, objection
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import ClosedError, EngineError, UnmetError
from samovar.generation import Form

MOST_SOUND = 256
"""Forms that are remembered."""


class Guidance:
    """The grammars of one loaded model. Mutable: made or not."""

    def __init__(
        self,
        binding: Binding,
        vocabulary: Vocabulary,
        end: Callable[[], int],
        marks: Callable[[], Collection[int]] = tuple,
        maker: GrammarMaker | None = None,
    ) -> None:
        """`end`: gives the token that ends an answer; a negative number if there is none. `marks`: gives the
        control tokens that calls of tools have, which forms name by their numbers. `maker`: makes the
        grammars, and may have begun; it is closed here."""
        self._vocabulary, self._end, self._marks = vocabulary, end, marks
        self._maker = maker or GrammarMaker(binding)
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="samovar forms")
        self._making = threading.Lock()
        """Held while the vocabulary is used, which is freed after `close`."""
        self._grammars: Grammars | None = None
        self._is_closed = False
        self._sound: set[Form] = set()
        """Forms that could be enforced before."""

    def is_sound(self, form: Form) -> bool:
        """Whether it is known that a form can be enforced."""
        return form in self._sound

    def is_sound_now(self, form: Form) -> None:
        """From now on it is known that a form can be enforced."""
        if len(self._sound) == MOST_SOUND:
            self._sound.clear()
        self._sound.add(form)

    def is_ready(self, form: Form | None) -> bool:
        """Whether `begin` has nothing to make that takes long."""
        return self._vocabulary.has_pieces if form is None else self._grammars is not None

    async def held_to(self, answer: TokenAnswer, *, at_once: bool) -> Future[Constraint | None] | None:
        """What an answer is constrained to, which may still be made while its prompt is evaluated.

        None: to nothing.

        `at_once`: it is made when this returns, since a deterministic prompt, which is evaluated in the same
        pieces each time, does not begin before. Raises `UnmetError` for a form that cannot be enforced.
        Anyone who is cancelled does not wait for it.
        """
        form, offer = answer.held.form, answer.held.offer
        if form is None and not answer.held.choices:
            return None
        is_ready = self.is_ready(form)
        is_sound = form is not None and self.is_sound(form)
        if offer is not None and not is_sound and (reason := await _beside(offer.objection, objection)):
            raise UnmetError(reason)
        made = self.begin(form, is_behind_reasoning=answer.thinks_first)
        if at_once or (is_ready and not is_sound):
            await asyncio.wrap_future(made)
        elif (
            form is not None and offer is None and not is_sound and (reason := await _beside(objection, form))
        ):
            raise UnmetError(reason)
        return made

    def begin_tables(self) -> None:
        """Has made what every form needs, before any is asked for."""
        self._beside.submit(self._make_tables)

    def begin(self, form: Form | None, *, is_behind_reasoning: bool = False) -> Future[Constraint | None]:
        """Has made what the answer is held to; of choices (None) only the vocabulary is prepared.

        Raises `ClosedError` after `close`. The future raises `EngineError`, see `Grammars.open`.
        """

        def make() -> Constraint | None:
            if form is not None:
                return self._matcher(form, is_behind_reasoning)
            self._prepare()
            return None

        try:
            return self._beside.submit(make)
        except RuntimeError:
            raise ClosedError("The model was closed.") from None

    def _prepare(self) -> None:
        with self._making:
            if not self._is_closed:
                self._vocabulary.by_piece  # noqa: B018

    def _make_tables(self) -> None:
        with self._making:
            if not self._is_closed and self._grammars is None:
                self._grammars = self._made()

    def _matcher(self, form: Form, is_behind_reasoning: bool) -> Matcher:
        """Blocks: half a second for the first of a large vocabulary."""
        lead = EMPTY_LINES if is_behind_reasoning and form.kind == "schema" else 0
        with self._making:
            if self._is_closed:
                raise EngineError("The model was closed.")
            if self._grammars is None:
                self._grammars = self._made()
            matcher = Matcher(self._grammars, self._vocabulary, form, lead)
            self.is_sound_now(form)
            return matcher

    def _made(self) -> Grammars:
        self._vocabulary.numbers  # noqa: B018 (which samplers of forms need)
        return self._maker.make(self._vocabulary, self._end(), self._marks())

    def close(self) -> None:
        """Waits for what is being made; nothing is made from now on. Safe to call twice."""
        self._beside.shutdown(cancel_futures=True)
        self._maker.close()
        with self._making:
            self._is_closed = True
            self._grammars = None


async def _beside(ask: Callable[[Any], str | None], of: Any) -> str | None:
    return await anyio.to_thread.run_sync(ask, of, abandon_on_cancel=True)
