"""The prefix tree of one arena: which evaluated token prefixes are in the cells, and who uses them.

Above: `tree.py`. Below: `Cells`, three calls of the engine, so that the tree is tested alone as a state
machine. Each node is a range of a path of tokens and holds exactly its range's cells, in a sequence of its
own; a running sequence shares the cells of its whole path and pins the path's last node.

A radix tree (Morrison, "PATRICIA", 1968) over tokens, as in SGLang's RadixAttention (Zheng et al., 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from samovar.engines.base import Conversation
from samovar.engines.llama.tokens import common_length


class Cells(Protocol):
    """What the tree asks of the engine: see `context.py`."""

    def copy(self, source: int, target: int, start: int, end: int) -> None: ...

    def remove(self, sequence: int, start: int = 0, end: int = -1) -> bool: ...


@dataclass(slots=True, eq=False)
class PrefixNode:
    """The tokens at the positions `start` to `end` of a path, and the sequence that holds their cells."""

    parent: PrefixNode | None
    """None for the root."""
    start: int
    tokens: list[int]
    sequence: int
    """Its number in the engine; -1 for the root."""
    children: dict[int, PrefixNode] = field(default_factory=dict)
    """By their first token."""
    pins: int = 0
    """Running sequences whose path ends here; with one, neither it nor an ancestor is given up."""
    used: int = 0
    """When it was last of use, on the tree's own clock."""
    conversation: Conversation | None = None
    """Who may go on from its end."""
    is_answer: bool = False
    """Generated, never part of a prompt so far."""
    is_saved: bool = False
    """A copy is on disk."""

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)

    @property
    def is_over(self) -> bool:
        """Nobody is known to need it: no conversation goes on from here."""
        return self.conversation is None or self.conversation.is_over

    def path(self) -> list[PrefixNode]:
        """From the root's child to this one."""
        nodes: list[PrefixNode] = []
        node: PrefixNode | None = self
        while node is not None and node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    def prefix(self) -> list[int]:
        """All tokens from position 0 to `end`."""
        return [token for node in self.path() for token in node.tokens]


class PrefixTree:
    """`sequences`: the numbers the tree may use, one per node."""

    def __init__(self, cells: Cells, sequences: Sequence[int]) -> None:
        self._cells = cells
        self._sequences = tuple(sequences)
        self._free = list(reversed(sequences))
        self.root = PrefixNode(None, 0, [], -1)
        self.used_cells = 0
        self.version = 0
        """Another one whenever a prefix has become longer or has gone."""
        self._now = 0

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

    def hold(self, tokens: Sequence[int], sequence: int) -> PrefixNode:
        """`sequence`, which is empty, shares the longest known prefix; its last node is pinned."""
        node, length = self.find(tokens)
        if length < node.end:
            node = self._split(node, length)
        self._now += 1
        for part in node.path():
            part.used = self._now
            part.is_answer = False
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
        *,
        grow: bool = False,
        answer: bool = False,
    ) -> PrefixNode:
        """`sequence` has evaluated `tokens`, of which the path of `node` (pinned by it) is the start.

        What is new becomes a node, or with `grow` more of `node` itself; what another has evaluated
        meanwhile is shared from it, and the sequence's own copy given up. The pin moves to the node
        returned, where all of `tokens` end.
        """
        self.let_go(node)
        self._now += 1
        end = len(tokens)
        while node.end < end:
            child = node.children.get(tokens[node.end])
            if child is None:
                start = node.end
                if grow and not node.children and not node.pins and node is not self.root:
                    node.tokens.extend(tokens[start:])
                    node.is_saved = False
                else:
                    node = self._new(node, list(tokens[start:]), answer)
                self._cells.copy(sequence, node.sequence, start, end)
                self.used_cells += end - start
                self.version += 1
                break
            common = common_length(child.tokens, tokens[child.start : child.end])
            node = child if common == len(child.tokens) else self._split(child, child.start + common)
            node.is_answer = node.is_answer and answer
            self._cells.remove(sequence, node.start, node.end)
            self._cells.copy(node.sequence, sequence, node.start, node.end)
        for part in node.path():
            part.used = self._now
        node.pins += 1
        return node

    def put(self, tokens: Sequence[int], start: int, sequence: int) -> PrefixNode:
        """Takes over cells that were brought back from a copy: `sequence` has the positions from `start`,
        where a node ends, to the end of `tokens`, and nothing else."""
        node, length = self.find(tokens)
        assert node.end == start == length, "brought back in the wrong place"
        node = self._new(node, list(tokens[start:]), answer=False)
        self._cells.copy(sequence, node.sequence, start, len(tokens))
        self.used_cells += len(node.tokens)
        self.version += 1
        node.is_saved = True
        self._now += 1
        node.used = self._now
        return node

    def cut_at(self, tokens: Sequence[int]) -> int:
        """Makes a node end where the longest known prefix of `tokens` does. Returns its length."""
        node, length = self.find(tokens)
        if length < node.end:
            self._split(node, length)
        return length

    def _new(self, parent: PrefixNode, tokens: list[int], answer: bool) -> PrefixNode:
        node = PrefixNode(
            parent, parent.end, tokens, self._take(keep=parent), is_answer=answer, used=self._now
        )
        parent.children[tokens[0]] = node
        return node

    def _split(self, node: PrefixNode, at: int) -> PrefixNode:
        """Cuts `node` in two; the upper part, which ends at position `at`, is returned."""
        assert node.parent is not None and node.start < at < node.end
        sequence = self._take(keep=node)
        upper = PrefixNode(node.parent, node.start, node.tokens[: at - node.start], sequence, used=node.used)
        upper.is_answer, upper.is_saved = node.is_answer, node.is_saved
        self._cells.copy(node.sequence, sequence, node.start, at)
        self._cells.remove(node.sequence, node.start, at)
        node.parent.children[node.tokens[0]] = upper
        del node.tokens[: at - node.start]
        node.parent, node.start = upper, at
        upper.children[node.tokens[0]] = node
        return upper

    # Giving up ---------------------------------------------------------------------------------------

    def leaves(self, wanted: Callable[[PrefixNode], bool] = lambda node: True) -> list[PrefixNode]:
        """Those that may be given up, least recently used first."""
        free = [node for node in self if not node.children and not node.pins and wanted(node)]
        return sorted(free, key=lambda node: (node.used, -node.start))

    def drop(self, node: PrefixNode) -> None:
        """Gives up a leaf that nobody pins. Its cells are free unless a running sequence shares them."""
        assert node.parent is not None and not node.children and not node.pins
        self._cells.remove(node.sequence)
        del node.parent.children[node.tokens[0]]
        self._free.append(node.sequence)
        self.used_cells -= len(node.tokens)
        self.version += 1

    # Sequence numbers --------------------------------------------------------------------------------

    def _take(self, keep: PrefixNode) -> int:
        """A free sequence number. When there is none, two nodes of a path become one, which loses no cells;
        where there are none that may, the least useful leaf off the path of `keep` goes.

        One of both is there: nodes that can be neither are held by a running sequence, or are `keep`, or
        branches that part these; and there are more numbers than twice what may run.
        """
        if not self._free:
            links = [node for node in self if len(node.children) == 1 and not node.pins and node is not keep]
            if links:
                self._join(min(links, key=_lost_by_joining))
            else:
                path = keep.path()
                self.drop(self.leaves(lambda node: node not in path)[0])
        return self._free.pop()

    def _join(self, node: PrefixNode) -> None:
        """Makes `node`, which nobody pins, the start of its only child."""
        (child,) = node.children.values()
        assert node.parent is not None and not node.pins
        self._cells.copy(node.sequence, child.sequence, node.start, node.end)
        self._cells.remove(node.sequence)
        self._free.append(node.sequence)
        child.parent, child.start = node.parent, node.start
        child.tokens[:0] = node.tokens
        child.used = max(child.used, node.used)
        child.conversation = node.conversation if child.is_over else child.conversation
        child.is_answer = child.is_answer and node.is_answer
        child.is_saved = child.is_saved and node.is_saved
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


def _lost_by_joining(node: PrefixNode) -> tuple[bool, bool, int]:
    """What would not be known any more of a node and its only child: that a conversation may go on from its
    end, that one of both is on disk, how much longer ago the child was used."""
    (child,) = node.children.values()
    is_claimed = not node.is_over and not child.is_over and node.conversation is not child.conversation
    return is_claimed, node.is_saved != child.is_saved, node.used - child.used
