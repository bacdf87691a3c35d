"""Copies of evaluated prefixes on disk, and which of them would help a prompt.

Above: `tree.py`, `states.py`, in the decode loop. Below: the store of snapshots, which writes in a thread
of its own and verifies what it reads. Nothing here waits for the disk but `load`.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from samovar.engines.llama.tokens import common_length
from samovar.models.snapshot_file import Snapshot
from samovar.models.snapshots import MAX_COPIES

WORTH_KEEPING_TOKENS = 8
"""Shorter ranges are as soon evaluated as brought back."""


class CopyStore(Protocol):
    """Where copies are: `snapshots.ModelSnapshots`."""

    def entries(self) -> Sequence[Snapshot]: ...

    def load(self, entry: Snapshot) -> bytes | bytearray | memoryview | None:
        """The copy, verified; None when it is gone or damaged."""
        ...

    def offer(self, tokens: Sequence[int], start: int, blob: bytearray) -> Snapshot | None:
        """Has it written soon. None when the writer is behind, or nothing can be written."""
        ...

    def is_open(self, size_bytes: int) -> bool:
        """Whether an offer of this size would be taken now."""
        ...


class DiskIndex:
    """The copies of one model's states. `store` None: nothing is kept. It outlives the model's arenas.

    Mutable: the index, and what was brought back; the decode loop's alone.
    """

    def __init__(self, store: CopyStore | None, bytes_per_token: int) -> None:
        self._store, self._bytes_per_token = store, bytes_per_token
        # By where a copy begins, then by the tokens up to there and a few more.
        self._by_start: dict[int, dict[bytes, list[Snapshot]]] = {}
        self._used: OrderedDict[Snapshot, None] = OrderedDict()  # the one used last at the end
        self.restored_tokens = 0
        self.restored_s = 0.0
        """Reading, verifying and handing over to the engine."""
        for entry in store.entries() if store else ():
            self._remember(entry)

    def _remember(self, entry: Snapshot) -> None:
        beginnings = self._by_start.setdefault(entry.start, {})
        beginnings.setdefault(_beginning(entry.tokens, entry.start), []).append(entry)
        self._used[entry] = None

    def best(self, tokens: Sequence[int], length: int, *, whole: bool = False) -> tuple[Snapshot | None, int]:
        """The copy that takes a prompt furthest beyond the `length` tokens that are there, and how far.

        It stays in the index until the next call, whatever is offered meanwhile. `whole`: a copy is of no
        use to a prompt that does not begin with all of its tokens.
        """
        while len(self._used) > MAX_COPIES:
            self.forget(next(iter(self._used)))
        best, longest = None, length + WORTH_KEEPING_TOKENS - 1
        if not self._by_start or len(tokens) <= longest:
            return None, length
        asked = array("i", tokens)
        for start, beginnings in self._by_start.items():
            if start <= length:
                for entry in beginnings.get(_beginning(asked, start), ()):
                    common = common_length(entry.tokens, asked)
                    if common > longest and (common == len(entry.tokens) or not whole):
                        best, longest = entry, common
        return best, length if best is None else longest

    def load(self, entry: Snapshot) -> bytes | bytearray | memoryview | None:
        """The copy itself, verified; None when it is gone or damaged."""
        assert self._store is not None
        self._used.move_to_end(entry)
        return self._store.load(entry)

    def restored(self, tokens: int, seconds: float) -> None:
        """So many tokens were brought back in so long."""
        self.restored_tokens += tokens
        self.restored_s += seconds

    def forget(self, entry: Snapshot) -> None:
        """It was of no use, or of least."""
        del self._used[entry]
        beginnings, beginning = self._by_start[entry.start], _beginning(entry.tokens, entry.start)
        beginnings[beginning].remove(entry)
        if not beginnings[beginning]:
            del beginnings[beginning]
        if not beginnings:
            del self._by_start[entry.start]

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


def _beginning(tokens: array[int], start: int) -> bytes:
    """Everything before `start` as a digest, and the first tokens after it."""
    before = hashlib.blake2b(tokens[:start].tobytes(), digest_size=16).digest()
    return before + tokens[start : start + WORTH_KEEPING_TOKENS].tobytes()
