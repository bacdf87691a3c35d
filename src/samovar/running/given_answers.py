"""Answers given before a run to its questions: one for each time, or one for every time.

Above: the runner, which makes one for each run, and the visits, which ask it first. Below: paths of items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from samovar.language.item_paths import said_of


class GivenAnswers:
    """The answers given to one run. Mutable: how often each was taken."""

    def __init__(self, given: Mapping[str, Sequence[str]]) -> None:
        """`given`: by the path of a state. One answer holds for every visit, of several each for one.

        `Each/Ask` is the state Ask for every item of Each, or for each one in turn.
        """
        self._given = given
        self._taken: Counter[str] = Counter()

    def has(self, path: str) -> bool:
        """Somebody has given an answer for that state, at least for one time."""
        return said_of(path, self._given) is not None

    def next(self, path: str) -> str | None:
        """The answer for the next question of a state; None: somebody must be asked."""
        said = said_of(path, self._given)
        if said is None:
            return None
        _, given, item = said
        if len(given) == 1:
            return given[0]
        if item is not None:
            return given[item] if item < len(given) else None
        self._taken[path] += 1
        return given[self._taken[path] - 1] if self._taken[path] <= len(given) else None
