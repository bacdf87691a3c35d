"""An answer that outlives its process: what it goes on from, and what is kept of it while it is generated.

Above: the engines, which make one for each answer that somebody keeps; an answer to a prompt with a secret
has none. Below: the plain values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from samovar.generation import Begun, KeptState, Options

FORM = 1
"""Another number whenever the same tokens would be followed by others, with everything else as it was."""


def digest_of(identity: str, tokens: Sequence[int], options: Options) -> str:
    """Names all that an answer depends on. `identity`: the weights, and the engine's build."""
    said = f"{FORM}\0{identity}\0{options!r}\0{','.join(map(str, tokens))}"
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(slots=True, eq=False)
class Lasting:
    """Changed by whoever generates the answer alone."""

    of: str
    tell: Callable[[Begun], None]
    """Has it kept; does not wait."""
    every_s: float
    begun: Begun | None = None
    """What it goes on from, until its tokens are followed; None: it begins."""
    spent_s: float = 0.0
    """In earlier processes."""
    said: list[int] = field(default_factory=list)
    """All its tokens so far."""
    resumed: int = 0
    """How many of them are of an earlier process."""
    is_over: bool = False
    """It has come to its end, and nothing more of it is kept."""
    states: tuple[KeptState, ...] = ()
    """What there is of it on disk, the newest first."""
    _began_s: float = field(default_factory=time.monotonic)
    _kept_s: float = 0.0
    _kept_tokens: int = 0

    def choose(self, begun: Iterable[Begun], max_tokens: int, vocabulary_size: int) -> None:
        """It goes on from the one of these that is of just this answer."""
        able = [
            one
            for one in begun
            if one.of == self.of
            and 0 < len(one.tokens) < max_tokens
            and all(0 <= token < vocabulary_size for token in one.tokens)
        ]
        self.begun = max(able, key=lambda one: len(one.tokens), default=None)
        if self.begun is not None:
            self.spent_s = self.begun.spent_s

    def starts(self) -> bool:
        """It is admitted. Whether it goes on from something."""
        self._began_s = self._kept_s = time.monotonic()
        return self.begun is not None

    def anew(self) -> None:
        """What it would go on from is of no use."""
        self.begun, self.spent_s = None, 0.0

    def goes_on_from(self, state: KeptState) -> None:
        """This much of what it would go on from is there."""
        assert self.begun is not None
        self.states = self.begun.states[self.begun.states.index(state) :]
        self.begun = replace(self.begun, tokens=self.begun.tokens[: state.tokens])

    def follow(self) -> Begun:
        """What was said before; it is to be said again."""
        assert self.begun is not None
        begun, self.begun = self.begun, None
        self.resumed = self._kept_tokens = len(begun.tokens)
        return begun

    @property
    def is_due(self) -> bool:
        """It is to be kept now."""
        return bool(self.said) and time.monotonic() - self._kept_s >= self.every_s

    @property
    def is_new(self) -> bool:
        """There is something that is not kept."""
        return not self.is_over and self.begun is None and len(self.said) > self._kept_tokens

    @property
    def all_s(self) -> float:
        """How long it took so far."""
        return self.spent_s + time.monotonic() - self._began_s

    def put_off(self) -> None:
        """It is due again only after as long as ever, also if it cannot be kept now."""
        self._kept_s = time.monotonic()

    def keep(self, settled: int | None = None, weighed: tuple[tuple[int, str], ...] = ()) -> None:
        """Has everything kept that there is so far."""
        self.put_off()
        self._kept_tokens = len(self.said)
        self.tell(
            Begun(
                of=self.of,
                tokens=tuple(self.said),
                spent_s=self.all_s,
                settled=settled,
                weighed=weighed,
                states=self.states,
            )
        )
