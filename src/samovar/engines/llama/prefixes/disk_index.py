"""The index of copies of evaluated prefixes on disk, to find those that help a prompt.

Above: `tree.py`, `states.py`, in the decode loop. Below: the store of snapshots, which writes in a thread
of its own and verifies what it reads. Nothing here waits for the disk but `load`. Only what is likely to come
again is offered, and only if that takes less time than evaluating it again.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Protocol

from samovar.engines.llama.prefixes.node import Origin
from samovar.engines.llama.prefixes.sightings import Sightings
from samovar.engines.llama.tokens import common_length
from samovar.models.snapshot_file import Snapshot
from samovar.models.snapshot_folder import MAX_COPIES
from samovar.models.snapshots import PIECE_BYTES
from samovar.models.worth import pays

WORTH_KEEPING_TOKENS = 8
"""Shorter ranges are as soon evaluated as brought back."""
DIGEST_BYTES = 16


class PromptDigests:
    """A prompt as the index looks it up. Mutable: the digests of its beginnings, each computed once."""

    def __init__(self, tokens: Sequence[int]) -> None:
        """`tokens`: all but the last, which is evaluated again in any case."""
        self.tokens = array("i", tokens)
        self._beginnings: dict[int, bytes] = {}
        self._hash = blake2b(digest_size=DIGEST_BYTES)
        self._hashed = 0
        """How many tokens are in the hash so far."""

    def beginning(self, start: int) -> bytes:
        """As `_beginning`. Asked in rising order, all of them together hash the prompt once."""
        found = self._beginnings.get(start)
        if found is None and start < self._hashed:
            found = _beginning(self.tokens, start)
        elif found is None:
            self._hash.update(self.tokens[self._hashed : start].tobytes())
            self._hashed = start
            found = self._hash.digest() + _next(self.tokens, start)
        self._beginnings[start] = found
        return found


class CopyStore(Protocol):
    """Where copies are: `snapshots.ModelSnapshots`."""

    def entries(self) -> Sequence[Snapshot]: ...

    def load(self, entry: Snapshot) -> bytes | bytearray | memoryview | None:
        """The copy, verified; None when it is gone or damaged."""
        ...

    def offer(
        self, tokens: Sequence[int], start: int, blob: bytearray, saves_s: float = 0.0
    ) -> Snapshot | None:
        """Has it written soon. None when the writer is behind, or nothing can be written. `saves_s`: what
        evaluating it again would take."""
        ...

    def is_open(self, size_bytes: int) -> bool:
        """Whether an offer of this size would be taken now."""
        ...

    def write_s(self, size_bytes: int) -> float:
        """What writing this much takes, as far as it was measured."""
        ...

    def sightings(self) -> Sequence[bytes]:
        """Digests of what earlier processes have asked for."""
        ...

    def keep_sightings(self, digests: bytes) -> None:
        """Has those of this process written soon, beside the others."""
        ...


class DiskIndex:
    """The copies of one model's states. `store` None: nothing is kept. It outlives the model's arenas.

    Mutable: the index, and what was brought back; the decode loop's alone.
    """

    def __init__(
        self,
        store: CopyStore | None,
        bytes_per_token: int,
        *,
        evaluate_s: Callable[[int], float | None] = lambda tokens: None,
    ) -> None:
        """`evaluate_s`: what evaluating this many tokens takes; None while that is not known."""
        self._store, self._bytes_per_token, self._evaluate_s = store, bytes_per_token, evaluate_s
        self.piece_tokens = max(WORTH_KEEPING_TOKENS, PIECE_BYTES // bytes_per_token)
        """Where prefixes can be cut, long ones are written in copies of this many."""
        self._sightings = Sightings(store.sightings() if store else ())
        # By where a copy begins, then by the tokens up to there and a few more.
        self._by_start: dict[int, dict[bytes, list[Snapshot]]] = {}
        self._used: OrderedDict[Snapshot, None] = OrderedDict()  # the one used last at the end
        self.version = 0
        """Another one whenever a copy has come or gone."""
        self.restored_tokens = 0
        self.restored_s = 0.0
        """Reading, verifying and handing over to the engine."""
        for entry in store.entries() if store else ():
            self._remember(entry)

    def _remember(self, entry: Snapshot) -> None:
        beginnings = self._by_start.setdefault(entry.start, {})
        beginnings.setdefault(_beginning(entry.tokens, entry.start), []).append(entry)
        self._used[entry] = None
        self.version += 1

    def best(self, prompt: PromptDigests, length: int, *, whole: bool = False) -> tuple[Snapshot | None, int]:
        """The copy that takes a prompt furthest beyond the `length` tokens that are there, and how far.

        It stays in the index until the next call, whatever is offered meanwhile. `whole`: a copy is of no
        use to a prompt that does not begin with all of its tokens.
        """
        while len(self._used) > MAX_COPIES:
            self.forget(next(iter(self._used)))
        best, longest = None, length + WORTH_KEEPING_TOKENS - 1
        if len(prompt.tokens) <= longest:
            return None, length
        for start in sorted(start for start in self._by_start if start <= length):
            for entry in self._by_start[start].get(prompt.beginning(start), ()):
                common = common_length(entry.tokens, prompt.tokens)
                if common > longest and (common == len(entry.tokens) or not whole):
                    best, longest = entry, common
        return best, length if best is None else longest

    def load(self, entry: Snapshot) -> bytes | bytearray | memoryview | None:
        """The copy itself, verified; None when it is gone or damaged."""
        assert self._store is not None
        self._used.move_to_end(entry)
        return self._store.load(entry)

    def restored(self, tokens: int, seconds: float) -> None:
        """This many tokens were brought back in this long."""
        self.restored_tokens += tokens
        self.restored_s += seconds

    def forget(self, entry: Snapshot) -> None:
        """It was of no use, or of least."""
        del self._used[entry]
        self.version += 1
        beginnings, beginning = self._by_start[entry.start], _beginning(entry.tokens, entry.start)
        beginnings[beginning].remove(entry)
        if not beginnings[beginning]:
            del beginnings[beginning]
        if not beginnings:
            del self._by_start[entry.start]

    def see(self, prompt: PromptDigests, origin: Origin) -> int:
        """A prompt is asked for: how much of it others have asked for before. Secret ones are forgotten."""
        return 0 if origin.is_secret else self._sightings.see(prompt.tokens, origin.asker)

    def save_sightings(self) -> bool:
        """Has the request remembered for other processes, as digests. False if it is already."""
        if self._store is None or not self._sightings.is_new:
            return False
        self._store.keep_sightings(self._sightings.digests())
        return True

    def takes(self, tokens: int, size_bytes: int | None = None) -> bool:
        """Whether a copy of this many tokens' state would be kept, and pays, if the tokens come again."""
        size_bytes = tokens * self._bytes_per_token if size_bytes is None else size_bytes
        if self._store is None or not self._store.is_open(size_bytes):
            return False
        return pays(self._evaluate_s(tokens), self._store.write_s(size_bytes), self._read_s(tokens))

    def _read_s(self, tokens: int) -> float:
        return tokens * self.restored_s / self.restored_tokens if self.restored_tokens else 0.0

    def offer(self, tokens: Sequence[int], start: int, blob: bytearray) -> bool:
        """Keeps a copy. False when it could not be taken."""
        saves_s = self._evaluate_s(len(tokens) - start) or 0.0
        entry = self._store.offer(tokens, start, blob, saves_s) if self._store else None
        if entry is None:
            return False
        self._remember(entry)
        return True


def _beginning(tokens: array[int], start: int) -> bytes:
    """Everything before `start` as a digest, and the first tokens after it."""
    before = blake2b(tokens[:start].tobytes(), digest_size=DIGEST_BYTES).digest()
    return before + _next(tokens, start)


def _next(tokens: array[int], start: int) -> bytes:
    return tokens[start : start + WORTH_KEEPING_TOKENS].tobytes()
