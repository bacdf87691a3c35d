"""The books of one arena's KV cells, and the sequences parked for their prefixes.

Above: `arena.py`, whose decode loop is the only one to change these. Below: nothing; it calls no engine,
so it is tested alone, as a state machine. A cell is named by a serial number; forking a sequence shares
its cells, and a cell is free again when no sequence has it (`llama_memory_seq_cp`, `_seq_rm`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Row:
    """One sequence's cells: `tokens[i]` is in the cell named `cells[i]`."""

    id: int
    """The sequence's number in the engine."""
    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.cells)


class Ledger:
    """Who holds which cell. Changed by `append`, `fork` and `drop` only."""

    def __init__(self, cells: int) -> None:
        self.capacity = cells
        self._holders: Counter[int] = Counter()
        self._next = 0

    @property
    def used(self) -> int:
        return len(self._holders)

    def append(self, row: Row, tokens: Sequence[int]) -> None:
        """`row` has evaluated these tokens, each into a new cell."""
        fresh = range(self._next, self._next + len(tokens))
        self._next += len(tokens)
        self._holders.update(fresh)
        row.cells.extend(fresh)
        row.tokens.extend(tokens)

    def fork(self, source: Row, target: Row, length: int) -> None:
        """`target`, which is empty, shares the first `length` cells of `source`."""
        target.cells[:] = source.cells[:length]
        target.tokens[:] = source.tokens[:length]
        self._holders.update(target.cells)

    def drop(self, row: Row, start: int = 0) -> None:
        """`row` gives up its cells from `start` on."""
        holders = self._holders
        for cell in row.cells[start:]:
            if holders[cell] == 1:
                del holders[cell]
            else:
                holders[cell] -= 1
        del row.cells[start:], row.tokens[start:]

    def check(self, rows: Iterable[Row]) -> None:
        """Every cell is held exactly as often as the rows say."""
        counted: Counter[int] = Counter()
        for row in rows:
            assert len(row.tokens) == len(row.cells), row
            counted.update(row.cells)
        assert counted == self._holders, "cells are held that no sequence has"
        assert self.used <= self.capacity, (self.used, self.capacity)


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two sequences have in common from the start."""
    limit = min(len(left), len(right))
    if left[:limit] == right[:limit]:
        return limit
    low, high = 0, limit  # left[:low] is equal, left[:high] is not
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low


class Parked:
    """Finished sequences kept for their prefix, least recently used first."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def add(self, row: Row) -> None:
        self._rows.append(row)

    def longest(self, tokens: Sequence[int], *, also: Iterable[Row] = ()) -> tuple[Row | None, int]:
        """The row (parked, or one of `also`) with the longest prefix in common with `tokens`.

        A parked one becomes the most recently used.
        """
        best, length = None, 0
        for row in (*self._rows, *also):
            common = common_length(row.tokens, tokens)
            if common > length:
                best, length = row, common
        if best is not None and best in self._rows:
            self._rows.remove(best)
            self._rows.append(best)
        return best, length

    def oldest(self, keep: Row | None = None) -> Row | None:
        """Takes out the least recently used one that is not `keep`."""
        for index, row in enumerate(self._rows):
            if row is not keep:
                return self._rows.pop(index)
        return None

    def take_covered(self, by: Row) -> list[Row]:
        """Takes out the rows whose tokens are all at the start of `by`."""
        covered = [row for row in self._rows if common_length(row.tokens, by.tokens) == len(row)]
        self._rows = [row for row in self._rows if row not in covered]
        return covered
