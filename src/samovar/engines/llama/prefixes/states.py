"""How an arena reuses what it has evaluated where memory cannot be cut: copies of whole states.

Above: `arena.py`, `admission.py`. Below: `context.py`, `disk_index.py`. For recurrent, hybrid and
sliding-window models, and for answers that must come out the same each time. A copy is the state after
exactly so many tokens; copies are made where prompts were seen to part, and where a conversation may go on.
What could have been reused from memory that can be cut, but was evaluated again, is counted in `lost_tokens`.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from samovar.engines.base import Conversation
from samovar.engines.llama.context import Context
from samovar.engines.llama.prefixes.base import Blob, Carried, Row
from samovar.engines.llama.prefixes.disk_index import WORTH_KEEPING_TOKENS, DiskIndex, PromptDigests
from samovar.engines.llama.tokens import common_length
from samovar.errors import EngineError
from samovar.models.snapshot_file import Snapshot

REMEMBERED_PROMPTS = 32
"""So many prompts are compared with a new one, to find where they part."""


@dataclass(slots=True, eq=False)
class _State:
    """A copy of the state after exactly `tokens`."""

    tokens: list[int]
    blob: Blob
    conversation: Conversation | None = None
    """Who may go on from it; None if nobody may."""
    is_saved: bool = False
    """A copy is on disk."""


class StatePrefixes:
    """See `base.Prefixes`. Copies are in host memory, at most `limit_bytes`, and on disk.

    `border`: copies are made at multiples of it only, and the row goes on from what a copy restores even
    where it was just evaluated: so the rest is evaluated in the same micro-batches over the same cells as
    if nothing, or everything, had been reused. There must be no other row then.
    """

    def __init__(self, context: Context, disk: DiskIndex, *, limit_bytes: int, border: int = 1) -> None:
        self._context, self._disk = context, disk
        self._limit_bytes, self._border = limit_bytes, border
        self._states: OrderedDict[int, _State] = OrderedDict()  # by a serial number, least used first
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
        if self._border > 1:
            self._context.clear()
        number, length = self._longest(prompt)
        blob = self._states[number].blob if length else b""
        entry, _ = self._disk.best(digests or PromptDigests(prompt), length, whole=True)
        if entry is not None:
            number, length, blob = self._bring_back(entry) or (number, length, blob)
        if length and not self._context.restore(row.sequence, blob):
            if number in self._states:
                self._drop(number)
            length = 0
        if number in self._states:
            self._states.move_to_end(number)
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
        return self._put(entry.tokens.tolist(), blob, None, is_saved=True), len(entry.tokens), blob

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
                self._put(list(row.tokens), blob, None)

    def _put(
        self,
        tokens: list[int],
        blob: Blob,
        conversation: Conversation | None,
        *,
        is_saved: bool = False,
    ) -> int:
        number = self._next
        self._next += 1
        self._version += 1
        self._states[number] = _State(tokens, blob, conversation, is_saved)
        self.bytes += len(blob)
        while self.bytes > self._limit_bytes:
            over = [
                key
                for key, state in self._states.items()
                if key != number and (state.conversation is None or state.conversation.is_over)
            ]
            self._drop(over[0] if over else next(iter(self._states)))
        return number

    def _drop(self, number: int) -> None:
        state = self._states.pop(number)
        self._version += 1
        self._save(state)
        self.bytes -= len(state.blob)

    def _save(self, state: _State) -> None:
        takes = len(state.tokens) >= WORTH_KEEPING_TOKENS and self._disk.takes(len(state.tokens))
        if takes and not state.is_saved and isinstance(state.blob, bytearray):
            state.is_saved = self._disk.offer(state.tokens, 0, state.blob)

    def make_room(self, cells: int, wanted: Iterable[Sequence[int]] = ()) -> None:
        """Copies take no cells."""

    def tidy(self, held: int, wanted: Iterable[Sequence[int]]) -> None:
        """Copies make nothing slower."""

    def give_back(self, row: Row, conversation: Conversation | None) -> None:
        goes_on = conversation is not None and not conversation.is_over
        if goes_on and len(row) >= WORTH_KEEPING_TOKENS and self._border == 1:
            self._put(list(row.tokens), self._context.state(row.sequence), conversation)
        self._context.remove(row.sequence)
        self._stops.pop(row.sequence, None)
        row.tokens, row.own = [], 0

    def save(self) -> bool:
        for state in self._states.values():
            if not state.is_saved and state.conversation is None:
                self._save(state)
                return state.is_saved
        return False

    def clear(self) -> None:
        while self._states:
            self._drop(next(iter(self._states)))

    def carry(self, limit_bytes: int) -> list[Carried]:
        carried, left_bytes = [], self.bytes
        for state in self._states.values():  # those used last are at the end
            if left_bytes <= limit_bytes:
                carried.append(Carried(state.tokens, 0, state.blob, state.conversation))
            left_bytes -= len(state.blob)
        return carried

    def accept(self, carried: Sequence[Carried]) -> None:
        for part in carried:
            self._put(part.tokens, part.blob, part.conversation)

    def check(self, rows: Sequence[Row]) -> None:
        assert self.bytes == sum(len(state.blob) for state in self._states.values())
        assert self.bytes <= self._limit_bytes
        assert set(self._stops) <= {row.sequence for row in rows}
        assert sum(len(row) for row in rows) <= self._context.cells
