"""The prefix tree of one arena: the evaluated token prefixes in the cells, and their users.

Above: `tree.py`. Below: `node.py`, and `Cells`, three calls of the engine, so that the tree is tested alone
as a state machine. Each node is a range of a path of tokens and holds exactly its range's cells, in a
sequence of its own; a running sequence shares the cells of its whole path and pins the path's last node.

A radix tree (Morrison, "PATRICIA", 1968) over tokens, as in SGLang's RadixAttention (Zheng et al., 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from samovar.engines.llama.prefixes.node import NOBODY, Origin, PrefixNode
from samovar.engines.llama.tokens import common_length
from samovar.models.worth import RESTORING, Returns, Uses, is_dear, worth


class Cells(Protocol):
    """What the tree asks of the engine: see `context.py`."""

    def copy(self, source: int, target: int, start: int, end: int) -> None: ...

    def remove(self, sequence: int, start: int = 0, end: int = -1) -> bool: ...


class PrefixTree:
    """What is in the cells. Its clock is in fillings (`worth.py`) and continues what is added."""

    def __init__(self, cells: Cells, sequences: Sequence[int], *, filling: int) -> None:
        """`sequences`: the numbers the tree may use, one per node. `filling`: how many cells there are."""
        self._cells, self._filling = cells, max(1, filling)
        self._sequences = tuple(sequences)
        self._free = list(reversed(sequences))
        self.root = PrefixNode(None, 0, [], -1, Uses(0.0))
        self.used_cells = 0
        self.version = 0
        """Another one whenever a prefix has become longer or has gone."""
        self.steps = 0
        """Decode steps so far, as far as they are known."""
        self._added = 0
        self._returns = Returns(filling)

    @property
    def now(self) -> float:
        """On the tree's clock."""
        return self._added / self._filling

    def __iter__(self) -> Iterator[PrefixNode]:
        """Every node, parents before children."""
        todo = list(self.root.children.values())
        while todo:
            node = todo.pop()
            yield node
            todo.extend(node.children.values())

    def find(self, tokens: Sequence[int]) -> tuple[PrefixNode, int]:
        """The node in which the longest known prefix of `tokens` ends, and that prefix's length."""
        node, length = self.root, 0
        while length < len(tokens):
            child = node.children.get(tokens[length])
            if child is None:
                break
            common = common_length(child.tokens, tokens[length : length + len(child.tokens)])
            node, length = child, length + common
            if common < len(child.tokens):
                break
        return node, length

    def hold(self, tokens: Sequence[int], sequence: int, origin: Origin = NOBODY) -> PrefixNode:
        """`sequence`, which is empty, shares the longest known prefix; its last node is pinned."""
        node, length = self.find(tokens)
        if length < node.end:
            node = self._split(node, length)
        self._added += 1
        for part in node.path():
            self._returns.count(again=0 if part.uses.again else len(part.tokens))
            part.uses.use(self.now)
            part.step = self.steps
            part.origin = part.origin.asked_by(origin)
            self._cells.copy(part.sequence, sequence, part.start, part.end)
        node.pins += 1
        return node

    def let_go(self, node: PrefixNode) -> None:
        """Takes a pin back."""
        assert node.pins > 0, "a node is let go that nobody held"
        node.pins -= 1

    def add(
        self,
        node: PrefixNode,
        tokens: Sequence[int],
        sequence: int,
        origin: Origin = NOBODY,
        *,
        grow: bool = False,
    ) -> PrefixNode:
        """`sequence` has evaluated `tokens`, of which the path of `node` (pinned by it) is the start.

        What is new becomes a node, or with `grow` more of `node` itself if that has the same origin; what
        another has evaluated meanwhile is shared from it, and the sequence's own copy given up. The pin
        moves to the node returned, where all of `tokens` end.
        """
        self.let_go(node)
        end = len(tokens)
        while node.end < end:
            child = node.children.get(tokens[node.end])
            if child is None:
                start = node.end
                self._added += end - start
                if grow and self._may_grow(node, origin):
                    node.tokens.extend(tokens[start:])
                else:
                    node = self._new(node, list(tokens[start:]), origin)
                self._cells.copy(sequence, node.sequence, start, end)
                self.used_cells += end - start
                self.version += 1
                break
            common = common_length(child.tokens, tokens[child.start : child.end])
            node = child if common == len(child.tokens) else self._split(child, child.start + common)
            node.origin = node.origin.asked_by(origin)
            self._cells.remove(sequence, node.start, node.end)
            self._cells.copy(node.sequence, sequence, node.start, node.end)
        for part in node.path():
            part.uses.last, part.step = self.now, self.steps
        node.pins += 1
        return node

    def _may_grow(self, node: PrefixNode, origin: Origin) -> bool:
        origin = replace(origin, is_answer=node.origin.is_answer)
        return node.origin == origin and not node.children and not node.pins and node is not self.root

    def put(self, tokens: Sequence[int], start: int, sequence: int, origin: Origin) -> PrefixNode:
        """Takes over cells that were brought back from a copy: `sequence` has the positions from `start`,
        where a node ends, to the end of `tokens`, and nothing else."""
        node, length = self.find(tokens)
        assert node.end == start == length, "brought back in the wrong place"
        self._added += len(tokens) - start
        node = self._new(node, list(tokens[start:]), origin)
        self._cells.copy(sequence, node.sequence, start, len(tokens))
        self.used_cells += len(node.tokens)
        self.version += 1
        return node

    def cut_at(self, tokens: Sequence[int]) -> int:
        """Makes a node end where the longest known prefix of `tokens` does. Returns its length."""
        node, length = self.find(tokens)
        if length < node.end:
            self._split(node, length)
        return length

    def _new(self, parent: PrefixNode, tokens: list[int], origin: Origin) -> PrefixNode:
        node = PrefixNode(
            parent, parent.end, tokens, self._take(keep=parent), Uses(self.now), step=self.steps
        )
        node.origin = replace(origin, is_answer=origin.is_answer or parent.origin.is_answer)
        if origin.is_shared:
            self._returns.count(again=len(tokens))
            node.uses.use(self.now)
        parent.children[tokens[0]] = node
        return node

    def _split(self, node: PrefixNode, at: int) -> PrefixNode:
        """Cuts `node` in two; the upper part, which ends at position `at`, is returned."""
        assert node.parent is not None and node.start < at < node.end
        sequence = self._take(keep=node)
        above = node.tokens[: at - node.start]
        upper = PrefixNode(node.parent, node.start, above, sequence, replace(node.uses), step=node.step)
        upper.origin = node.origin
        upper.saved, node.saved = min(node.saved, len(above)), max(0, node.saved - len(above))
        self._cells.copy(node.sequence, sequence, node.start, at)
        self._cells.remove(node.sequence, node.start, at)
        node.parent.children[node.tokens[0]] = upper
        del node.tokens[: at - node.start]
        node.parent, node.start = upper, at
        upper.children[node.tokens[0]] = node
        return upper

    # Giving up ---------------------------------------------------------------------------------------

    def worth(self, node: PrefixNode) -> float:
        """What a cell of the node is worth: see `worth.py`."""
        saves = len(node.tokens) - (1 - RESTORING) * node.saved
        return worth(node.uses.rate(self.now, len(node.open_claims())), saves, len(node.tokens))

    def is_dear(self, node: PrefixNode) -> bool:
        """Whether the node's cells have cost the decode steps since its last use more than they may save."""
        if node.origin.is_over and not node.open_claims():
            return True  # another conversation would have to say the same and be answered the same
        claims, held_steps = len(node.open_claims()), self.steps - node.step
        likely = node.uses.likely(self.now, claims)
        returns = 1.0 if claims else self._returns.share
        return is_dear(likely, held_steps, returns=returns, is_saved=node.is_saved)

    def leaves(self) -> list[PrefixNode]:
        """Those that may be given up."""
        return [node for node in self if not node.children and not node.pins]

    def shorten(self, node: PrefixNode, tokens: int) -> None:
        """Gives up the last `tokens` of a leaf that nobody pins, or all of it. Its cells are free unless a
        running sequence shares them. Who may continue from its end continues from what is left."""
        assert node.parent is not None and not node.children and not node.pins
        self.version += 1
        self._returns.count(never=0 if node.uses.again else min(tokens, len(node.tokens)))
        if tokens < len(node.tokens):
            self._cells.remove(node.sequence, node.end - tokens, node.end)
            del node.tokens[-tokens:]
            node.saved = min(node.saved, len(node.tokens))
            self.used_cells -= tokens
            return
        self._cells.remove(node.sequence)
        del node.parent.children[node.tokens[0]]
        self._free.append(node.sequence)
        self.used_cells -= len(node.tokens)
        if node.parent is not self.root:
            node.parent.claims |= node.open_claims()

    # Sequence numbers --------------------------------------------------------------------------------

    def _take(self, keep: PrefixNode) -> int:
        """A free sequence number. When there is none, two nodes of a path become one, which loses no cells;
        if there are none that may, the least useful leaf off the path of `keep` goes.

        One of both is there: nodes that can be neither are held by a running sequence, or are `keep`, or
        branches that part these; and there are more numbers than twice what may run.
        """
        if not self._free:
            links = [node for node in self if len(node.children) == 1 and not node.pins and node is not keep]
            if links:
                self._join(min(links, key=_lost_by_joining))
            else:
                path = keep.path()
                node = min((node for node in self.leaves() if node not in path), key=self.worth)
                self.shorten(node, len(node.tokens))
        return self._free.pop()

    def _join(self, node: PrefixNode) -> None:
        """Makes `node`, which nobody pins, the start of its only child."""
        (child,) = node.children.values()
        assert node.parent is not None and not node.pins
        self._cells.copy(node.sequence, child.sequence, node.start, node.end)
        self._cells.remove(node.sequence)
        self._free.append(node.sequence)
        child.parent, child.start = node.parent, node.start
        child.saved = node.saved + child.saved if node.is_saved else node.saved
        child.tokens[:0] = node.tokens
        child.uses.last = max(child.uses.last, node.uses.last)
        child.step = max(child.step, node.step)
        child.claims |= node.open_claims()
        child.origin = node.origin.joined(child.origin)
        node.parent.children[child.tokens[0]] = child

    def check(self, pinned: Sequence[PrefixNode] = ()) -> None:
        """Raises AssertionError when the books do not balance. `pinned`: every pin that there should be."""
        nodes = list(self)
        numbers = [node.sequence for node in nodes] + self._free
        assert sorted(numbers) == sorted(self._sequences), "a sequence is lost or held twice"
        assert self.used_cells == sum(len(node.tokens) for node in nodes)
        for node in nodes:
            assert node.tokens, "an empty node"
            assert node.parent is not None and node.start == node.parent.end
            assert node.parent.children[node.tokens[0]] is node
            assert node.pins == sum(held is node for held in pinned), "a pin is lost or left behind"


def _lost_by_joining(node: PrefixNode) -> tuple[bool, bool, float]:
    """What would not be known any more of a node and its only child: that a conversation may continue from
    its end, that only one of both may or need be written to disk, how much longer ago the child was used."""
    (child,) = node.children.values()
    is_claimed = not node.open_claims() <= child.open_claims()
    flags = [(one.is_saved, one.origin) for one in (node, child)]
    return is_claimed, flags[0] != flags[1], node.uses.last - child.uses.last
