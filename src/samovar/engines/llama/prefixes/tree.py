"""What was evaluated before, in the cells: for memory that can be cut at any token.

Above: `arena.py` and `admission.py`, which ask in the decode loop. Below: `radix.py` (what is in the cells),
`disk_index.py` (copies on disk), `context.py`. The contract is in `base.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from samovar.engines.base import Conversation
from samovar.engines.llama.context import MAX_SEQUENCES, Context
from samovar.engines.llama.prefixes.base import Carried, Row
from samovar.engines.llama.prefixes.disk_index import WORTH_KEEPING_TOKENS, DiskIndex, PromptDigests
from samovar.engines.llama.prefixes.radix import PrefixNode, PrefixTree
from samovar.engines.llama.tokens import common_length

STEP_CELLS = 256
"""The engine looks at the cells up to the last used one in steps of so many, whatever is in them."""
CHEAP_TOKENS = 64
"""Shorter ones are sooner evaluated again than paid for with each token that is decoded beside them."""


class TreePrefixes:
    """For memory that can be cut at any token: see `Prefixes`."""

    def __init__(self, context: Context, disk: DiskIndex) -> None:
        self._context, self._disk = context, disk
        self.tree = PrefixTree(context, range(context.max_running + 1, MAX_SEQUENCES))

    @property
    def used_cells(self) -> int:
        return self.tree.used_cells

    @property
    def lost_tokens(self) -> int:
        return 0

    @property
    def version(self) -> tuple[int, int]:
        return self.tree.version, self._disk.version

    def known(self, tokens: Sequence[int], digests: PromptDigests | None = None) -> int:
        length = self.tree.find(tokens[:-1])[1]
        return self._disk.best(digests or PromptDigests(tokens[:-1]), length)[1]

    def is_room(self, tokens: Sequence[int], cells: int, rows: Iterable[Row], promised: int) -> bool:
        node, length = self.tree.find(tokens[:-1])
        pinned = self._pinned(row.node for row in rows)
        shared = sum(len(part.tokens) for part in node.path() if part not in pinned)
        if node not in pinned:
            shared -= node.end - length  # a node that is known in part is cut
        held = sum(len(part.tokens) for part in pinned) + sum(row.own for row in rows)
        return held + promised + shared + cells - length <= self._context.cells

    def _pinned(self, nodes: Iterable[PrefixNode | None]) -> set[PrefixNode]:
        return {part for node in nodes if node is not None for part in node.path()}

    def begin(
        self,
        row: Row,
        tokens: Sequence[int],
        cells: int,
        *,
        goes_on: bool,
        digests: PromptDigests | None = None,
    ) -> None:
        self._bring_back(row, tokens[:-1], cells, digests or PromptDigests(tokens[:-1]))
        row.node = self.tree.hold(tokens[:-1], row.sequence)
        row.tokens = list(tokens[: row.node.end])
        row.own = 0

    def _bring_back(self, row: Row, tokens: Sequence[int], cells: int, digests: PromptDigests) -> None:
        """Puts into the tree what is on disk beyond what is in the cells."""
        while True:
            length = self.tree.find(tokens)[1]
            entry, end = self._disk.best(digests, length)
            if entry is None:
                return
            began_s = time.monotonic()
            needed = len(entry.tokens) - entry.start
            self.make_room(cells - needed, [tokens])
            if self.tree.used_cells + needed > cells or self.tree.find(tokens)[1] != length:
                return
            blob = self._disk.load(entry)
            if blob is None or not self._context.restore(row.sequence, blob):
                self._disk.forget(entry)
                continue
            self.tree.cut_at(tokens)
            self.tree.put(tokens[:end], length, row.sequence)
            self._context.remove(row.sequence)
            self._disk.restored(end - length, time.monotonic() - began_s)

    def stop(self, row: Row, tokens: Sequence[int]) -> int:
        return len(tokens)

    def share(self, row: Row, prompt: Sequence[int], tokens: Sequence[int]) -> int:
        return common_length(prompt[:-1], tokens[:-1])

    def evaluated(self, row: Row, prompt: Sequence[int]) -> None:
        # Without its last token, which the same prompt evaluates anew: so that it finds a node's end.
        end = min(len(row), len(prompt) - 1)
        assert row.node is not None
        if end > row.node.end:
            before = row.node
            row.node = self.tree.add(before, row.tokens[:end], row.sequence, grow=row.grows)
            row.grows = True
        row.own = len(row) - row.node.end

    def make_room(self, cells: int, wanted: Iterable[Sequence[int]] = ()) -> None:
        if self.tree.used_cells <= cells:
            return
        needed = self._pinned(self.tree.find(tokens)[0] for tokens in wanted)
        while self.tree.used_cells > cells:
            leaves = self.tree.leaves()
            if not leaves:
                return
            self._give_up(min(leaves, key=lambda node: (node in needed, not node.is_over, node.used)))

    def tidy(self, held: int, wanted: Iterable[Sequence[int]]) -> None:
        if not self._idle():
            return
        needed = self._pinned(self.tree.find(tokens)[0] for tokens in wanted)
        while True:
            idle = [node for node in self._idle() if node not in needed]
            over = sum(len(node.tokens) for node in idle)
            if over <= -(held + self.used_cells - over) % STEP_CELLS:
                return
            leaves = [node for node in idle if not node.children and self._is_cheap(node)]
            if not leaves:
                return
            self._give_up(min(leaves, key=lambda node: node.used))

    def _idle(self) -> list[PrefixNode]:
        """Nodes that neither a row nor a conversation needs, nor any below them."""
        idle: list[PrefixNode] = []
        for node in reversed(list(self.tree)):  # children before parents
            if not node.pins and node.is_over and all(child in idle for child in node.children.values()):
                idle.append(node)
        return idle

    def _is_cheap(self, node: PrefixNode) -> bool:
        return len(node.tokens) < CHEAP_TOKENS or node.is_saved or self._disk.takes(len(node.tokens))

    def _give_up(self, node: PrefixNode) -> None:
        self._save(node)
        self.tree.drop(node)

    def _save(self, node: PrefixNode) -> None:
        worth = len(node.tokens) >= WORTH_KEEPING_TOKENS and not (node.is_answer and node.is_over)
        if worth and not node.is_saved and self._disk.takes(len(node.tokens)):
            blob = self._context.state(node.sequence, node.start, node.end)
            node.is_saved = self._disk.offer(node.prefix(), node.start, blob)

    def save(self) -> bool:
        for node in self.tree:
            if not node.is_saved and not node.is_answer and len(node.tokens) >= WORTH_KEEPING_TOKENS:
                self._save(node)
                return node.is_saved
        return False

    def give_back(self, row: Row, conversation: Conversation | None) -> None:
        if row.node is not None:
            if conversation is not None and not conversation.is_over and len(row) > row.node.end:
                row.node = self.tree.add(row.node, row.tokens, row.sequence, answer=True)
                row.node.conversation = conversation
            self.tree.let_go(row.node)
        self._context.remove(row.sequence)
        row.tokens, row.own, row.node = [], 0, None

    def clear(self) -> None:
        self.make_room(0)

    def carry(self, limit_bytes: int) -> list[Carried]:
        carried = []
        for node in self.tree:
            limit_bytes -= self._context.state_bytes(node.sequence, node.start, node.end)
            if limit_bytes < 0:
                break
            blob = self._context.state(node.sequence, node.start, node.end)
            carried.append(Carried(node.prefix(), node.start, blob, node.conversation))
        return carried

    def accept(self, carried: Sequence[Carried]) -> None:
        for part in carried:
            there = self.tree.find(part.tokens)[1] == part.start
            fits = self.used_cells + len(part.tokens) - part.start <= self._context.cells
            if there and fits and self._context.restore(0, part.blob):
                node = self.tree.put(part.tokens, part.start, 0)
                node.conversation = part.conversation
                self._context.remove(0)

    def check(self, rows: Sequence[Row]) -> None:
        self.tree.check([row.node for row in rows if row.node is not None])
        for row in rows:
            assert row.node is not None and row.own == len(row) - row.node.end
        own = sum(row.own for row in rows)
        assert self.used_cells + own <= self._context.cells, "more cells than there are"
