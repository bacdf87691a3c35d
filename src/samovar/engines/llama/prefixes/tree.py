"""Reuses evaluated prefixes in the cells, for memory that can be cut at any token.

Above: `arena.py` and `admission.py`, which ask in the decode loop. Below: `radix.py` (what is in the cells),
`disk_index.py` (copies on disk), `context.py`. The contract is in `base.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

from samovar.engines.base import Conversation
from samovar.engines.llama.context import MAX_SEQUENCES, Context
from samovar.engines.llama.prefixes.base import Carried, Row
from samovar.engines.llama.prefixes.disk_index import WORTH_KEEPING_TOKENS, DiskIndex, PromptDigests
from samovar.engines.llama.prefixes.node import Origin, PrefixNode
from samovar.engines.llama.prefixes.radix import PrefixTree
from samovar.engines.llama.tokens import common_length

STEP_CELLS = 256
"""The engine looks at the cells up to the last used one in steps of this many, whatever is in them."""


class TreePrefixes:
    """For memory that can be cut at any token: see `Prefixes`."""

    is_cut_anywhere: ClassVar[bool] = True

    def __init__(self, context: Context, disk: DiskIndex) -> None:
        self._context, self._disk = context, disk
        self.tree = PrefixTree(context, range(context.max_running + 1, MAX_SEQUENCES), filling=context.cells)

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
        digests = digests or PromptDigests(tokens[:-1])
        if row.seen is None:
            row.seen = self._disk.see(digests, row.origin)
        self._bring_back(row, tokens[:-1], cells, digests)
        row.node = self.tree.hold(tokens[:-1], row.sequence, row.origin)
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
            node = self.tree.put(tokens[:end], length, row.sequence, Origin(is_shared=True))
            node.saved = len(node.tokens)
            self._context.remove(row.sequence)
            self._disk.restored(end - length, time.monotonic() - began_s)

    def stop(self, row: Row, tokens: Sequence[int]) -> int:
        return len(tokens)

    def share(self, row: Row, prompt: Sequence[int], tokens: Sequence[int]) -> int:
        return common_length(prompt[:-1], tokens[:-1])

    def evaluated(self, row: Row, prompt: Sequence[int]) -> None:
        # Without its last token, which the same prompt evaluates again: so that it finds a node's end.
        end = min(len(row), len(prompt) - 1)
        assert row.node is not None
        seen = row.seen or 0
        for border in (min(seen, end), end):  # what was seen before is a node of its own
            if border > row.node.end:
                origin = replace(row.origin, is_shared=border <= seen)
                row.node = self.tree.add(row.node, row.tokens[:border], row.sequence, origin, grow=row.grows)
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
            node = min(leaves, key=lambda node: (node in needed, self.tree.worth(node)))
            self._give_up(node, self.tree.used_cells - cells)

    def tidy(self, held: int, wanted: Iterable[Sequence[int]]) -> None:
        dear = self._dear()
        if not dear:
            return
        needed = self._pinned(self.tree.find(tokens)[0] for tokens in wanted)
        dear = [node for node in dear if node not in needed]
        over = sum(len(node.tokens) for node in dear)
        if over > -(held + self.used_cells - over) % STEP_CELLS:
            for node in dear:
                self._give_up(node, len(node.tokens))

    def _dear(self) -> list[PrefixNode]:
        """Nodes whose cells cost more than they may save, as do all below them; children before parents."""
        dear: dict[PrefixNode, None] = {}
        for node in reversed(list(self.tree)):
            if (
                not node.pins
                and self.tree.is_dear(node)
                and all(child in dear for child in node.children.values())
            ):
                dear[node] = None
        return list(dear)

    def _give_up(self, node: PrefixNode, cells: int) -> None:
        """The last `cells` of a leaf."""
        self._save(node)
        self.tree.shorten(node, cells)

    def _save(self, node: PrefixNode) -> None:
        """Copies to disk all of it that is likely to come again."""
        while self._save_piece(node):
            pass

    def _save_piece(self, node: PrefixNode) -> bool:
        """Whether there was one that is likely to come again, and was taken."""
        if node.is_saved or not node.origin.may_be_kept:
            return False
        start = node.unsaved_from()
        end = min(node.end, start + self._disk.piece_tokens)
        if end - max(start, node.start) < WORTH_KEEPING_TOKENS or not self._disk.takes(end - start):
            return False
        for above in node.path()[:-1]:  # what is too short to be worth a copy of its own
            if above.end > start:
                self._context.copy(above.sequence, node.sequence, max(start, above.start), above.end)
        blob = self._context.state(node.sequence, start, end)
        if start < node.start:
            self._context.remove(node.sequence, start, node.start)
        if self._disk.offer(node.prefix()[:end], start, blob):
            node.saved = end - node.start
            return True
        return False

    def save(self) -> bool:
        return any(self._save_piece(node) for node in self.tree) or self._disk.save_sightings()

    def give_back(self, row: Row, conversation: Conversation | None) -> None:
        if row.node is not None:
            self.tree.steps += row.own  # of a prompt that was evaluated, all but its answer is in the tree
            if conversation is not None and not conversation.is_over and len(row) > row.node.end:
                origin = replace(row.origin, is_answer=True)
                row.node = self.tree.add(row.node, row.tokens, row.sequence, origin)
                row.node.claims.add(conversation)
            self.tree.let_go(row.node)
        self._context.remove(row.sequence)
        row.tokens, row.own, row.node = [], 0, None

    def clear(self) -> None:
        for node in sorted(self.tree, key=self.tree.worth, reverse=True):
            self._save(node)
        self._disk.save_sightings()
        for node in reversed(list(self.tree)):  # children before parents
            if not node.children and not node.pins:
                self.tree.shorten(node, len(node.tokens))

    def carry(self, limit_bytes: int) -> list[Carried]:
        carried = []
        for node in self.tree:
            limit_bytes -= self._context.state_bytes(node.sequence, node.start, node.end)
            if limit_bytes < 0:
                break
            blob = self._context.state(node.sequence, node.start, node.end)
            claims = frozenset(node.open_claims())
            carried.append(Carried(node.prefix(), node.start, blob, claims, node.origin))
        return carried

    def accept(self, carried: Sequence[Carried]) -> None:
        for part in carried:
            there = self.tree.find(part.tokens)[1] == part.start
            fits = self.used_cells + len(part.tokens) - part.start <= self._context.cells
            if there and fits and self._context.restore(0, part.blob):
                node = self.tree.put(part.tokens, part.start, 0, part.origin)
                node.claims.update(part.claims)
                self._context.remove(0)

    def check(self, rows: Sequence[Row]) -> None:
        self.tree.check([row.node for row in rows if row.node is not None])
        for row in rows:
            assert row.node is not None and row.own == len(row) - row.node.end
        own = sum(row.own for row in rows)
        assert self.used_cells + own <= self._context.cells, "more cells than there are"
