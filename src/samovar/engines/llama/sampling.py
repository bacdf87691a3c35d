"""Picks the next token: llama.cpp's sampler chain, with the answer's constraint.

Above: `admission.py` makes one, `arena.py` asks it. Below: `choosing.py` and `grammars.py` by their contract
(`constraint.py`), `binding.py`, `vocabulary.py`. A sampler belongs to one answer; it is freed with `close`.
The order (penalties, top-k, top-p, min-p, temperature) is llama.cpp's own default order. What chance decides
depends on the seed and on the place of the token alone, so an answer that goes on in another process needs no
count of what was drawn before.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from hashlib import blake2b
from typing import Any

from samovar.engines.judging import Said, judged
from samovar.engines.llama.answering import TokenAnswer
from samovar.engines.llama.binding import Binding
from samovar.engines.llama.choosing import OneOf
from samovar.engines.llama.constraint import Constraint
from samovar.engines.llama.numbers import check_logits
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.engines.llama.weighing import Allowed, Watched, kept, read
from samovar.errors import EngineError
from samovar.generation import Options, Sampling
from samovar.values.certainty import ChosenValue, has_choices

PENALTY_TOKENS = 64
RANDOM_SEED = 2**32 - 1
"""The seed that the engine replaces by one of its own each time (`LLAMA_DEFAULT_SEED` in `llama.h`)."""


MOST_CROSSING = 32
"""Tokens that would end the reasoning and begin the choice in one: this many are skipped, and no more."""


class Sampler:
    """Picks tokens for one answer."""

    def __init__(
        self,
        binding: Binding,
        vocabulary: Vocabulary,
        options: Options,
        answer: TokenAnswer,
        constraint: Future[Constraint | None] | None = None,
    ) -> None:
        """`answer`: knows when its text begins, which is constrained to its choices or to `constraint`; that
        is made before the first token is picked."""
        self._answer = answer
        self._ffi, self._lib, self._vocabulary = binding.ffi, binding.lib, vocabulary
        self._is_checked = False
        self._made = constraint
        self._constraint: Constraint | None = None
        choices, held_by = answer.held.choices, options.held_by or "tools' schemas"
        self._held_to = "any of the choices" if choices else f"what the {held_by} asks for"
        if choices:
            is_behind = answer.thinks_first
            self._constraint = OneOf(binding, vocabulary, choices, is_behind_reasoning=is_behind)
        self._options = options
        self._is_watched = not options.may_call and (
            bool(choices) or (options.schema is not None and has_choices(json.loads(options.schema)))
        )
        """Its answer holds choices, of which it is kept how sure they were."""
        self._said = bytearray()
        """By what is constrained to a form."""
        self._steps: list[Watched] = []
        self._picked = 0
        """Tokens of the answer so far."""
        self.settled: int | None = None
        """How many there were when the model had to stop thinking; None: it never had to."""
        self._draws = False
        """The last link of its chain decides by chance."""
        self._chain = self._build_chain(options.sampling)
        self._is_stateless = options.sampling.temperature <= 0.0 and options.sampling.repeat_penalty == 1.0
        """What its chain picks does not depend on what it was shown before."""

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
            links.append(lib.llama_sampler_init_dist(seed_at(sampling.seed, 0)))
            self._draws = True
        for link in links:
            lib.llama_sampler_chain_add(chain, link)
        self._last_link = len(links) - 1
        return chain

    def _draw_anew(self) -> None:
        """Chance begins anew with each token: how often it was asked before makes no difference."""
        if self._draws and self._picked:
            lib = self._lib
            lib.llama_sampler_free(lib.llama_sampler_chain_remove(self._chain, self._last_link))
            seed = seed_at(self._options.sampling.seed, self._picked)
            lib.llama_sampler_chain_add(self._chain, lib.llama_sampler_init_dist(seed))

    def remember(self, tokens: Sequence[int]) -> None:
        """Shows the chain the end of the prompt, which the repetition penalty looks back on."""
        for token in tokens[-PENALTY_TOKENS:]:
            self._lib.llama_sampler_accept(self._chain, token)

    def pick(self, context: Any, row: int) -> list[int]:
        """The next token from the logits of `row` of the last batch, and those that must come behind it.

        With a constraint the whole vocabulary is looked at only when the unconstrained pick is refused.
        Raises `EngineError` if an answer's first logits are not numbers, or if nothing can come next.
        """
        if not self._is_checked:  # a damaged file's numbers are none from the first on
            logits = self._ffi.buffer(self._lib.llama_get_logits_ith(context, row), self._vocabulary.size * 4)
            check_logits(logits, self._vocabulary.path)
            self._is_checked = True
        self._has_been_made()
        self._draw_anew()
        tokens = self._pick(context, row)
        self._picked += len(tokens)
        return tokens

    def _pick(self, context: Any, row: int) -> list[int]:
        if self._constraint is None:
            return [int(self._lib.llama_sampler_sample(self._chain, context, row))]
        if self._answer.is_free:
            thought = self._pick_thought(context, row)
            if thought is not None:
                return [thought]
            self._settle()
        return self._forced() or [*self._accepted([self._watched(context, row)]), *self._forced()]

    def follow(self, token: int, settled: int | None, weighed: Mapping[int, str]) -> None:
        """Leaves behind what `pick` did when it gave this token, the next one, in another process. As then,
        the answer is fed with it afterwards. `settled` and `weighed`: what was kept of that answer."""
        self._has_been_made()
        if self._constraint is not None and self._picked == settled:
            self._settle()
        if self._constraint is None or self._answer.is_free:
            self._lib.llama_sampler_accept(self._chain, token)
        else:
            self._weigh_again(token, weighed)
            self._accepted([token])
        self._picked += 1

    def _has_been_made(self) -> None:
        if self._made is not None:
            made, self._made = self._made, None
            self._constraint = made.result() or self._constraint

    def _settle(self) -> None:
        self.settled = self._picked
        self._answer.settle()

    def _weigh_again(self, token: int, weighed: Mapping[int, str]) -> None:
        assert self._constraint is not None
        if self._is_watched and self._picked in weighed:
            self._weigh(token, self._constraint.few() or (), read(weighed[self._picked]))

    def weighed(self) -> tuple[tuple[int, str], ...] | None:
        """For `follow`: what may be part of a choice, by its place, and how likely the others were. None if
        that is too much to keep."""
        return kept(self._steps)

    def chosen(self) -> tuple[ChosenValue, ...]:
        """The choices of the answer, if it is whole, with how sure each was."""
        if not self._is_watched:
            return ()
        return judged(self._options.choices, self._options.schema, bytes(self._said), self._steps)

    def _watched(self, context: Any, row: int) -> int:
        """What `_pick_held` picks. If it may be part of a choice, it is kept how likely the others were."""
        assert self._constraint is not None
        token = self._pick_held(context, row)
        if self._is_watched:
            few = self._constraint.few() or ()
            logits = self._lib.llama_get_logits_ith(context, row)
            self._weigh(token, few, array("f", [logits[one] for one in few]))
        return token

    def _weigh(self, token: int, few: Sequence[int], logits: array[float]) -> None:
        allowed = Allowed(few, logits, self._piece)
        self._steps.append(Watched(len(self._said), self._piece(token), allowed, self._picked))

    def _piece(self, token: int) -> Said:
        return None if self._vocabulary.is_end(token) else self._vocabulary.piece(token)

    @property
    def is_over(self) -> bool:
        """What the answer is constrained to is whole, and nothing more can come."""
        return self._constraint is not None and self._constraint.is_over

    def _forced(self) -> list[int]:
        assert self._constraint is not None
        return self._accepted(self._constraint.forced())

    def _accepted(self, tokens: list[int]) -> list[int]:
        assert self._constraint is not None
        for token in tokens:
            self._constraint.accept(token)
            self._said += self._piece(token) or b""
            self._lib.llama_sampler_accept(self._chain, token)
        return tokens

    def _pick_held(self, context: Any, row: int) -> int:
        """The likeliest token with which the answer can continue, or end."""
        assert self._constraint is not None
        if self._is_stateless:  # in a fraction of the time
            token = int(self._lib.llama_sampler_sample(self._chain, context, row))
        else:
            token = self._pick_from(context, row, masked=False)
        passed: list[int] = []
        while not self._constraint.allows(token):
            token = self._pick_from(context, row, masked=True, without=passed)
            if not self._constraint.allows(token):
                if token in passed or not self._constraint.passes_over(token):
                    raise EngineError(f"The model's vocabulary cannot spell {self._held_to}.")
                passed.append(token)
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
        _fill(ffi.buffer(data), logits, self._vocabulary.numbers)
        candidates = ffi.new("llama_token_data_array *", (data, size, -1, False))
        for token in without:
            data[token].logit = -math.inf
        if masked:
            assert self._constraint is not None
            self._constraint.mask(data, candidates)
        self._lib.llama_sampler_apply(self._chain, candidates)
        return int(data[candidates.selected].id)

    def close(self) -> None:
        """Frees the chain and the constraint. Safe to call twice."""
        if self._chain is not None:
            self._lib.llama_sampler_free(self._chain)
        if self._constraint is not None:
            self._constraint.close()
        self._chain = self._constraint = None


def seed_at(seed: int, place: int) -> int:
    """The seed of the choice of one token of an answer."""
    digest = blake2b(f"{seed} {place}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") % RANDOM_SEED


def _fill(data: Any, logits: Any, ids: memoryview) -> None:
    """Writes (id, logit, 0) for each token, as strided views: a loop in Python takes 10 ms."""
    words = memoryview(data).cast("B").cast("i")
    words[0::3] = ids
    words[1::3] = memoryview(logits).cast("B").cast("i")
