"""Copies of evaluated prefixes on disk, and which of them would help a prompt.

Above: `prefixes.py`, `states.py`, in the decode loop. Below: the store of snapshots, which writes in a thread
of its own and verifies what it reads. Nothing here waits for the disk but `load`.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from samovar.engines.llama.tokens import common_length

WORTH_KEEPING_TOKENS = 16
"""Shorter ranges are sooner evaluated than brought back."""


class Entry(Protocol):
    """One copy: the state of the positions `start` to the end of `tokens`."""

    @property
    def tokens(self) -> array[int]: ...

    @property
    def start(self) -> int: ...


class Store(Protocol):
    """Where copies are."""

    def entries(self) -> Sequence[Entry]: ...

    def load(self, entry: Entry) -> bytes | bytearray | memoryview | None:
        """The copy, verified; None when it is gone or damaged."""
        ...

    def offer(self, tokens: Sequence[int], start: int, blob: bytearray) -> Entry | None:
        """Has it written soon. None when the writer is behind, or nothing can be written."""
        ...

    def is_open(self, size_bytes: int) -> bool:
        """Whether an offer of this size would be taken now."""
        ...


class Kept:
    """The copies of one model's states. `store` None: nothing is kept."""

    def __init__(self, store: Store | None, bytes_per_token: int) -> None:
        self._store, self._bytes_per_token = store, bytes_per_token
        self._by_start: dict[bytes, list[Entry]] = defaultdict(list)
        self._count = 0
        self.restored_tokens = 0
        for entry in store.entries() if store else ():
            self._remember(entry)

    def __len__(self) -> int:
        return self._count

    def _remember(self, entry: Entry) -> None:
        self._by_start[_start(entry.tokens)].append(entry)
        self._count += 1

    def best(self, tokens: Sequence[int], length: int) -> tuple[Entry | None, int]:
        """The copy that takes a prompt furthest beyond the `length` tokens that are there, and how far."""
        best, longest = None, length + WORTH_KEEPING_TOKENS - 1
        if not self._count or len(tokens) <= longest:
            return None, length
        asked = array("i", tokens)
        probe = asked[length : length + WORTH_KEEPING_TOKENS]
        for entry in self._by_start.get(_start(asked), ()):
            if entry.start <= length and entry.tokens[length : length + WORTH_KEEPING_TOKENS] == probe:
                common = common_length(entry.tokens, asked)
                if common > longest:
                    best, longest = entry, common
        return best, length if best is None else longest

    def load(self, entry: Entry) -> bytes | bytearray | memoryview | None:
        """The copy itself, verified; None when it is gone or damaged."""
        assert self._store is not None
        blob = self._store.load(entry)
        if blob is not None:
            self.restored_tokens += len(entry.tokens) - entry.start
        return blob

    def forget(self, entry: Entry) -> None:
        """It was of no use."""
        entries = self._by_start[_start(entry.tokens)]
        if entry in entries:
            entries.remove(entry)
            self._count -= 1

    def takes(self, tokens: int) -> bool:
        """Whether a copy of so many tokens' state would be kept."""
        return self._store is not None and self._store.is_open(tokens * self._bytes_per_token)

    def offer(self, tokens: Sequence[int], start: int, blob: bytearray) -> bool:
        """Keeps a copy. False when it could not be taken."""
        entry = self._store.offer(tokens, start, blob) if self._store else None
        if entry is None:
            return False
        self._remember(entry)
        return True


def _start(tokens: array[int]) -> bytes:
    return tokens[:WORTH_KEEPING_TOKENS].tobytes()
