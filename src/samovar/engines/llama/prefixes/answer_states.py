"""Copies on disk of what answers in progress have evaluated, from which another process goes on exactly.

Above: `admission.py`, in the decode loop, for answers that must be the same each time. Below: `context.py`,
the store of snapshots. Tokens of an answer that are evaluated again give numbers that differ in their last
bits. Each copy has what is new since the one before it. So that an answer does not have hundreds of copies,
one that is no longer than what is new is written again together with that.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Protocol

from samovar.engines.llama.context import Context
from samovar.engines.llama.prefixes.base import Row
from samovar.generation import KeptState
from samovar.models.snapshot_file import Snapshot
from samovar.models.snapshots import PIECE_BYTES


class AnswerStore(Protocol):
    """Where copies are: `snapshots.ModelSnapshots`."""

    def offer(
        self, tokens: Sequence[int], start: int, blob: bytearray, saves_s: float = 0.0
    ) -> Snapshot | None: ...

    def find(self, tokens: Sequence[int], start: int) -> Snapshot | None:
        """The copy of these positions; None if there is none."""
        ...

    def load(self, entry: Snapshot) -> bytes | bytearray | memoryview | None: ...

    def remove(self, tokens: Sequence[int], start: int) -> None:
        """Has it deleted soon."""
        ...


class AnswerStates:
    """The copies of one arena's answers. What there is of an answer are its own `KeptState`s.

    Mutable: the last answer that has come to its end.
    """

    def __init__(self, context: Context, store: AnswerStore | None, bytes_per_token: int) -> None:
        """`store` None: nothing is kept."""
        self._context, self._store = context, store
        self._piece_tokens = max(1, PIECE_BYTES // bytes_per_token)
        self._over: tuple[Sequence[int], Sequence[KeptState]] = ((), ())

    def keep(
        self, row: Row, kept: Sequence[KeptState], tokens: int, spent_s: float
    ) -> tuple[KeptState, ...] | None:
        """Copies what is new in a row. Gives the newest state and the one before it, whose copies are there.

        `kept`: what this gave last. `tokens`: those of the answer. None if a copy cannot be taken now.
        """
        if self._store is None:
            return None
        ends = self._ends_to_keep(list(kept[0].ends) if kept else [], len(row))
        while not ends or ends[-1] < len(row):
            start = ends[-1] if ends else 0
            is_whole = self._context.keeps_whole_states
            end = len(row) if is_whole else min(len(row), start + self._piece_tokens)
            blob = self._context.state(row.sequence, start, end)
            if self._store.offer(row.tokens[:end], start, blob, spent_s) is None:
                return None
            ends.append(end)
        newest = KeptState(ends=tuple(ends), tokens=tokens)
        before = [one for one in kept[:1] if one.ends != newest.ends]
        self.remove(row.tokens, kept, but=(newest, *before))
        return (newest, *before)

    def _ends_to_keep(self, ends: list[int], length: int) -> list[int]:
        if self._context.keeps_whole_states:
            return []
        while ends and ends[-1] < length:
            start = ends[-2] if len(ends) > 1 else 0
            if ends[-1] - start > length - ends[-1] or length - start > self._piece_tokens:
                break
            ends.pop()
        return ends

    def restore(self, row: Row, tokens: Sequence[int], kept: Sequence[KeptState]) -> KeptState | None:
        """`row`, which is empty as everything is, gets the newest state that is there; None: none is.

        `tokens`: of the prompt and the answer.
        """
        for one in kept:
            self._context.clear()
            if all(self._bring_back(row, tokens[:end], start) for start, end in _pieces(one)):
                row.tokens = list(tokens[: one.ends[-1]])
                row.own = len(row.tokens)
                return one
        self._context.clear()
        return None

    def _bring_back(self, row: Row, tokens: Sequence[int], start: int) -> bool:
        entry = self._store.find(tokens, start) if self._store else None
        blob = self._store.load(entry) if self._store and entry else None
        return blob is not None and self._context.restore(row.sequence, blob)

    def over(self, tokens: Sequence[int], kept: Sequence[KeptState]) -> None:
        """An answer has come to its end. Its copies go with the end of the next one, since whoever asked for
        it has to keep it first; and at the arena's end, which is told with nothing."""
        before, self._over = self._over, (tokens, kept)
        self.remove(*before)

    def remove(self, tokens: Sequence[int], kept: Sequence[KeptState], but: Sequence[KeptState] = ()) -> None:
        """Their copies are of no use any more, but those that others have too."""
        needed = {piece for one in but for piece in _pieces(one)}
        for start, end in {piece for one in kept for piece in _pieces(one)} - needed:
            if self._store is not None:
                self._store.remove(array("i", tokens[:end]), start)


def _pieces(kept: KeptState) -> Iterator[tuple[int, int]]:
    return pairwise((0, *kept.ends))
