"""Reuses evaluated prefixes in memory that cannot be cut: by copies of whole states.

Above: `arena.py`, `admission.py`. Below: `context.py`, `disk_index.py`. For recurrent, hybrid and
sliding-window models, and for answers that must come out the same each time. A copy is the state after
exactly this many tokens; copies are made where prompts were seen to part, and where a conversation may
continue. What could have been reused from memory that can be cut, but was evaluated again, is counted in
`lost_tokens`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from samovar.engines.base import Conversation
from samovar.engines.llama.context import Context
from samovar.engines.llama.prefixes.base import Blob, Carried, Row
from samovar.engines.llama.prefixes.disk_index import WORTH_KEEPING_TOKENS, DiskIndex, PromptDigests
from samovar.engines.llama.prefixes.node import Origin
from samovar.engines.llama.prefixes.sightings import BLOCK_TOKENS
from samovar.engines.llama.tokens import common_length
from samovar.errors import EngineError
from samovar.models.snapshot_file import Snapshot
from samovar.models.worth import RESTORING, Uses, worth

REMEMBERED_PROMPTS = 32
"""This many prompts are compared with a new one, to find where they part."""


@dataclass(slots=True, eq=False)
class _State:
    """A copy of the state after exactly `tokens`."""

    tokens: list[int]
    blob: Blob
    origin: Origin
    uses: Uses
    claims: set[Conversation]
    """Who may continue from it."""
    is_saved: bool = False
    """A copy is on disk."""

    def worth(self, now: float) -> float:
        """By its bytes: see `worth.py`."""
        open_claims = sum(not claim.is_over for claim in self.claims)
        saves = len(self.tokens) * (RESTORING if self.is_saved else 1)
        return worth(self.uses.rate(now, open_claims), saves, len(self.blob))


class StatePrefixes:
    """See `base.Prefixes`. Copies are in host memory, at most `limit_bytes`, and on disk.

    `border`: copies are made at multiples of it only, and the row continues from what a copy restores even
    where it was just evaluated: so the rest is evaluated in the same micro-batches over the same cells as if
    nothing, or everything, had been reused. There must not be another row then.
    """

    is_cut_anywhere: ClassVar[bool] = False

    def __init__(self, context: Context, disk: DiskIndex, *, limit_bytes: int, border: int = 1) -> None:
        self._context, self._disk = context, disk
        self._limit_bytes, self._border = limit_bytes, border
        self._states: dict[int, _State] = {}  # by a serial number
        self._put_bytes = 0
        self._next = 0
        self._version = 0
        self._stops: dict[int, set[int]] = {}  # by the row's sequence
        self._prompts: deque[list[int]] = deque(maxlen=REMEMBERED_PROMPTS)
        self.bytes = 0
        self._lost_tokens = 0

    @property
    def used_cells(self) -> int:
        return 0

    @property
    def lost_tokens(self) -> int:
        return self._lost_tokens

    def _longest(self, tokens: Sequence[int]) -> tuple[int, int]:
        """(serial number, length) of the longest state that `tokens` begin with; (-1, 0) without one."""
        found, length = -1, 0
        for number, state in self._states.items():
            size = len(state.tokens)
            if length < size <= len(tokens) and state.tokens == tokens[:size]:
                found, length = number, size
        return found, length

    @property
    def version(self) -> tuple[int, int]:
        return self._version, self._disk.version

    def known(self, tokens: Sequence[int], digests: PromptDigests | None = None) -> int:
        prompt = tokens[:-1]
        length = self._longest(prompt)[1]
        return self._disk.best(digests or PromptDigests(prompt), length, whole=True)[1]

    def is_room(self, tokens: Sequence[int], cells: int, rows: Iterable[Row], promised: int) -> bool:
        return sum(len(row) for row in rows) + promised + cells <= self._context.cells

    def begin(
        self,
        row: Row,
        tokens: Sequence[int],
        cells: int,
        *,
        goes_on: bool,
        digests: PromptDigests | None = None,
    ) -> None:
        prompt = tokens[:-1]
        digests = digests or PromptDigests(prompt)
        if self._border > 1:
            self._context.clear()
        number, length = self._longest(prompt)
        blob = self._states[number].blob if length else b""
        entry, _ = self._disk.best(digests, length, whole=True)
        if entry is not None:
            number, length, blob = self._bring_back(entry) or (number, length, blob)
        if length and not self._context.restore(row.sequence, blob):
            if number in self._states:
                self._drop(number)
            length = 0
        if row.seen is None:
            row.seen = self._disk.see(digests, row.origin)
        if number in self._states:
            state = self._states[number]
            state.uses.use(self._now)
            state.origin = state.origin.asked_by(row.origin)
        row.tokens = list(tokens[:length])
        row.own = length
        common = max((common_length(seen, prompt) for seen in self._prompts), default=0)
        self._lost_tokens += max(0, common - length)
        self._prompts.append(list(prompt))
        # An answer's text may be other tokens when it comes back as part of the next prompt; then what goes
        # on does so from the end of this one.
        ends_here = goes_on or self._border > 1
        borders = {self._down(common), self._down(len(prompt)) if ends_here else 0}
        self._stops[row.sequence] = {at for at in borders if at >= length + WORTH_KEEPING_TOKENS}

    def _bring_back(self, entry: Snapshot) -> tuple[int, int, Blob] | None:
        """A copy on disk: its serial number, its length, the state; None when it is gone or damaged."""
        began_s = time.monotonic()
        blob = self._disk.load(entry)
        if blob is None:
            self._disk.forget(entry)
            return None
        self._disk.restored(len(entry.tokens), time.monotonic() - began_s)
        tokens = entry.tokens.tolist()
        number = self._put(tokens, blob, Origin(is_shared=True))
        if number in self._states:
            self._states[number].is_saved = True
        return number, len(tokens), blob

    def _down(self, position: int) -> int:
        return position - position % self._border

    def stop(self, row: Row, tokens: Sequence[int]) -> int:
        ahead = [at for at in self._stops.get(row.sequence, ()) if at > len(row)]
        if self._border > 1:
            ahead.append(self._down(len(row)) + self._border)
        return min([*ahead, len(tokens)])

    def share(self, row: Row, prompt: Sequence[int], tokens: Sequence[int]) -> int:
        at = self._down(common_length(prompt[:-1], tokens[:-1]))
        if at > len(row):
            self._stops.setdefault(row.sequence, set()).add(at)
            return at
        return 0

    def evaluated(self, row: Row, prompt: Sequence[int]) -> None:
        row.own = len(row)
        is_stop = len(row) in self._stops.get(row.sequence, ())
        is_border = self._border > 1 and len(row) % self._border == 0
        if is_stop or is_border:
            blob = self._context.state(row.sequence)
            if is_border:
                self._context.clear()
                if not self._context.restore(row.sequence, blob):
                    raise EngineError("The engine could not restore the state that it gave.")
            if is_stop:
                is_seen = len(row) < (row.seen or 0) + BLOCK_TOKENS
                self._put(list(row.tokens), blob, replace(row.origin, is_shared=is_seen))

    @property
    def _now(self) -> float:
        """In fillings: see `worth.py`."""
        return self._put_bytes / max(1, self._limit_bytes)

    def _put(self, tokens: list[int], blob: Blob, origin: Origin, claims: Iterable[Conversation] = ()) -> int:
        """The serial number of a state, which may be given up at once if it is large."""
        number = next((key for key, state in self._states.items() if state.tokens == tokens), None)
        if number is not None:
            state = self._states[number]
            state.claims.update(claims)
            state.origin = state.origin.asked_by(origin)
            return number
        number, self._next = self._next, self._next + 1
        self._version += 1
        self._states[number] = _State(tokens, blob, origin, Uses(self._now), set(claims))
        self.bytes += len(blob)
        self._put_bytes += len(blob)
        while self.bytes > self._limit_bytes:
            others = [key for key in self._states if key != number]
            self._drop(min(others, key=self._worth) if others else number)
        return number

    def _worth(self, number: int) -> float:
        return self._states[number].worth(self._now)

    def _drop(self, number: int) -> None:
        state = self._states.pop(number)
        self._version += 1
        self._save(state)
        self.bytes -= len(state.blob)

    def _save(self, state: _State) -> bool:
        """Copies to disk what is likely to come again. Whether that is new there."""
        if state.is_saved or not state.origin.may_be_kept or len(state.tokens) < WORTH_KEEPING_TOKENS:
            return False
        if isinstance(state.blob, bytearray) and self._disk.takes(len(state.tokens), len(state.blob)):
            state.is_saved = self._disk.offer(state.tokens, 0, state.blob)
        return state.is_saved

    def make_room(self, cells: int, wanted: Iterable[Sequence[int]] = ()) -> None:
        """Copies take no cells."""

    def tidy(self, held: int, wanted: Iterable[Sequence[int]]) -> None:
        """Copies make nothing slower."""

    def give_back(self, row: Row, conversation: Conversation | None) -> None:
        goes_on = len(row) >= WORTH_KEEPING_TOKENS and self._border == 1
        if goes_on and conversation is not None and not conversation.is_over:
            self._put(list(row.tokens), self._context.state(row.sequence), row.origin, [conversation])
        self._context.remove(row.sequence)
        self._stops.pop(row.sequence, None)
        row.tokens, row.own = [], 0

    def save(self) -> bool:
        return any(self._save(state) for state in self._states.values()) or self._disk.save_sightings()

    def clear(self) -> None:
        for number in sorted(self._states, key=self._worth, reverse=True):
            self._drop(number)
        self._disk.save_sightings()

    def carry(self, limit_bytes: int) -> list[Carried]:
        carried = []
        for number in sorted(self._states, key=self._worth, reverse=True):
            state = self._states[number]
            limit_bytes -= len(state.blob)
            if limit_bytes < 0:
                break
            carried.append(Carried(state.tokens, 0, state.blob, frozenset(state.claims), state.origin))
        return carried

    def accept(self, carried: Sequence[Carried]) -> None:
        for part in carried:
            self._put(part.tokens, part.blob, part.origin, part.claims)

    def check(self, rows: Sequence[Row]) -> None:
        assert self.bytes == sum(len(state.blob) for state in self._states.values())
        assert self.bytes <= self._limit_bytes
        assert set(self._stops) <= {row.sequence for row in rows}
        assert sum(len(row) for row in rows) <= self._context.cells
