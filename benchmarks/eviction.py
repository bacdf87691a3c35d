"""What is evaluated again because it had to be given up, against the least that is possible.

    python -m benchmarks.eviction [--record] [--accesses FILE]

Recorded accesses of the shipped examples (`accesses.py`) are replayed with room for a quarter, half and three
quarters of all that they ask for: by the product's own prefix tree over cells that are only counted, by two
simpler rules, and by the optimum, which knows what comes next (Belady, 1966). `--record` records them anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import anyio

from benchmarks.accesses import Access, Asked, as_tokens, read, record, write
from samovar.engines.base import Conversation
from samovar.engines.llama.context import Context
from samovar.engines.llama.prefixes.base import Row
from samovar.engines.llama.prefixes.disk_index import DiskIndex
from samovar.engines.llama.prefixes.node import Origin, PrefixNode
from samovar.engines.llama.prefixes.tree import TreePrefixes
from samovar.engines.llama.tokens import common_length

SHARES = (0.25, 0.5, 0.75)
"""Of the cells that all accesses together would fill."""


class Counted:
    """As `Context`: cells that are only counted, by the tree."""

    def __init__(self, cells: int) -> None:
        self.cells, self.max_running, self.keeps_whole_states = cells, 1, False

    def copy(self, source: int, target: int, start: int, end: int) -> None:
        pass

    def remove(self, sequence: int, start: int = 0, end: int = -1) -> bool:
        return True


class LeastRecentlyUsed(TreePrefixes):
    """Whole leaves, the one used longest ago first."""

    def make_room(self, cells: int, wanted: Iterable[Sequence[int]] = ()) -> None:
        while self.tree.used_cells > cells and (leaves := self.tree.leaves()):
            node = min(leaves, key=self.rank)
            self.tree.shorten(node, len(node.tokens))

    def rank(self, node: PrefixNode) -> tuple[float, ...]:
        return node.uses.last, -node.start

    def tidy(self, held: int, wanted: Iterable[Sequence[int]]) -> None:
        pass


class ConversationsLast(LeastRecentlyUsed):
    """The same, but where a conversation may go on, last."""

    def rank(self, node: PrefixNode) -> tuple[float, ...]:
        return bool(node.open_claims()), *super().rank(node)


RULES: dict[str, type[TreePrefixes]] = {
    "least recently used": LeastRecentlyUsed,
    "conversations last": ConversationsLast,
    "samovar": TreePrefixes,
}


def replay(accesses: Sequence[Access], cells: int, rule: type[TreePrefixes] = TreePrefixes) -> int:
    """How many prompt tokens are evaluated with so many cells."""
    memory = rule(cast(Context, Counted(cells)), DiskIndex(None, 1))
    conversations: dict[int, Conversation] = {}
    evaluated = 0
    for asked in as_tokens(accesses):
        access = asked.access
        for number in access.over:
            conversations[number].leave()
        conversation = conversations.setdefault(access.asker, Conversation()) if access.asker >= 0 else None
        row = Row(0, Origin(conversation))
        memory.begin(row, asked.prompt, cells, goes_on=conversation is not None)
        evaluated += access.prompt - len(row)
        memory.make_room(cells - access.promised + len(row))
        memory.tidy(access.promised - len(row), [])
        row.own += access.prompt - len(row)
        row.tokens = list(asked.prompt)
        memory.evaluated(row, asked.prompt)
        row.tokens, row.own = list(asked.tokens), row.own + access.answer
        memory.give_back(row, conversation)
        memory.check([])
    return evaluated


# The optimum ---------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Segment:
    """Tokens that every prompt has all of, or none."""

    depth: int
    """Segments above it."""
    size: int
    uses: list[int] = field(default_factory=list)
    """The accesses whose prompts have it, the next one at the end."""
    held: int = 0
    """How many of its tokens are in cells, from the first on."""


def optimum(accesses: Sequence[Access], cells: int) -> int:
    """The fewest prompt tokens that any rule evaluates with so many cells: what is needed last goes first.

    No rule can do better, if all of a prompt has to be in cells while it is answered, and the cells promised
    for its answer are free: cells are alike, and a prefix is never needed later than what goes on from it.
    """
    asked = list(as_tokens(accesses))
    paths = _paths(asked)
    segments = {segment: None for path in paths for segment in path}
    for number in reversed(range(len(asked))):
        for segment in _within(paths[number], asked[number].access.prompt):
            segment.uses.append(number)
    evaluated = 0
    for number, (one, path) in enumerate(zip(asked, paths, strict=True)):
        prompt = _within(path, one.access.prompt)
        there = 0
        for segment in prompt:
            there += segment.held
            if segment.held < segment.size:
                break
        evaluated += one.access.prompt - min(there, one.access.prompt - 1)
        for segment in prompt:
            segment.uses.pop()
            segment.held = segment.size
        _give_up(segments, set(prompt), cells - one.access.promised + one.access.prompt)
        for segment in path:  # the answer, if anybody ever goes on from it
            segment.held = segment.size if segment.uses or segment in prompt else segment.held
        assert sum(segment.held for segment in segments) <= cells, number
    return evaluated


def _give_up(segments: Iterable[Segment], needed: set[Segment], cells: int) -> None:
    over = sum(segment.held for segment in segments) - cells
    others = [segment for segment in segments if segment.held and segment not in needed]
    others.sort(key=lambda one: (one.uses[-1] if one.uses else 10**9, one.depth), reverse=True)
    for segment in others:
        if over <= 0:
            return
        gone = min(over, segment.held)
        segment.held -= gone
        over -= gone


def _within(path: Sequence[Segment], tokens: int) -> list[Segment]:
    """The segments that the first `tokens` of a path are made of."""
    found, end = [], 0
    for segment in path:
        if end >= tokens:
            break
        found.append(segment)
        end += segment.size
    return found


def _paths(asked: Sequence[Asked]) -> list[list[Segment]]:
    """Each access's tokens as segments, which are cut wherever two accesses part or a prompt ends."""
    cuts: list[set[int]] = [{one.access.prompt, len(one.tokens)} for one in asked]
    for left, one in enumerate(asked):
        for right in range(left):
            common = common_length(one.tokens, asked[right].tokens)
            cuts[left].add(common)
            cuts[right].add(common)
    known: dict[int, Segment] = {}  # by the last token, which stands for all before it
    for _ in range(2):  # a cut in one is a cut in all that have the token there
        ends = {one.tokens[cut - 1] for one, here in zip(asked, cuts, strict=True) for cut in here if cut}
        for one, here in zip(asked, cuts, strict=True):
            here.update(place + 1 for place, token in enumerate(one.tokens) if token in ends)
    paths = []
    for one, here in zip(asked, cuts, strict=True):
        path: list[Segment] = []
        start = 0
        for end in sorted(here - {0}):
            segment = known.setdefault(one.tokens[end - 1], Segment(len(path), end - start))
            assert segment.size == end - start
            path.append(segment)
            start = end
        paths.append(path)
    return paths


def distinct(accesses: Sequence[Access]) -> int:
    """Cells that all of it would fill."""
    return len({token for asked in as_tokens(accesses) for token in asked.tokens})


def least_cells(accesses: Sequence[Access]) -> int:
    """With fewer, one of them could not be answered."""
    return max(access.promised for access in accesses)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.eviction")
    parser.add_argument("--record", action="store_true", help="Record the accesses anew.")
    parser.add_argument("--accesses", type=Path, help="Recorded accesses; without it, those of the examples.")
    arguments = parser.parse_args()
    if arguments.record:
        write(anyio.run(record))
    accesses = read(arguments.accesses) if arguments.accesses else read()
    total, once = sum(access.prompt for access in accesses), replay(accesses, 10**9)
    print(f"{len(accesses)} prompts of {total} tokens; with room for all, {once} are evaluated")
    print(f"{'room':>12} {'optimum':>9}  " + "  ".join(f"{name:>20}" for name in RULES))
    for share in SHARES:
        cells = max(int(share * distinct(accesses)), least_cells(accesses))
        least = optimum(accesses, cells)
        misses = [replay(accesses, cells, rule) for rule in RULES.values()]
        shown = "  ".join(f"{one:>11} {one / least:7.2f} ×" for one in misses)
        print(f"{share:>5.0%} {cells:>6} {least:>9}  {shown}")


if __name__ == "__main__":
    main()
