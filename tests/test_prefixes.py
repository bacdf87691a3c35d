"""What an arena has evaluated before: tree, whole states, copies on disk; on cells that are only books."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from samovar.engines.base import Conversation
from samovar.engines.llama.context import Context
from samovar.engines.llama.prefixes import disk_index
from samovar.engines.llama.prefixes import tree as tree_module
from samovar.engines.llama.prefixes.base import Prefixes, Row
from samovar.engines.llama.prefixes.disk_index import DiskIndex
from samovar.engines.llama.prefixes.node import Origin
from samovar.engines.llama.prefixes.states import StatePrefixes
from samovar.engines.llama.prefixes.tree import TreePrefixes
from samovar.models import worth as worth_module
from samovar.models.snapshot_file import Snapshot
from samovar.models.snapshot_folder import SEEN_BYTES

CELLS = 110
RUNNING = 3
NODES = 8
"""Where each row holds a leaf: so many branches, where they part, and one that is to come."""


@dataclass(eq=False)
class Cell:
    """What the engine has at one position: it stands for everything up to there."""

    history: tuple[int, ...]
    sequences: set[int] = field(default_factory=set)


class Books:
    """As `Context`, with cells that remember what they were evaluated from."""

    def __init__(self, cells: int = CELLS, *, whole: bool = False) -> None:
        self.cells, self.max_running, self.keeps_whole_states = cells, RUNNING, whole
        self._held: list[Cell] = []

    @property
    def taken(self) -> int:
        return len(self._held)

    def of(self, sequence: int) -> list[Cell]:
        return sorted(
            (cell for cell in self._held if sequence in cell.sequences), key=lambda cell: len(cell.history)
        )

    def evaluate(self, sequence: int, tokens: Sequence[int]) -> None:
        before = self.of(sequence)
        history = before[-1].history if before else ()
        assert [len(cell.history) for cell in before] == list(range(1, len(before) + 1)), "a hole"
        for token in tokens:
            history = (*history, token)
            self._held.append(Cell(history, {sequence}))
        assert len(self._held) <= self.cells, "the engine found no cells"

    def copy(self, source: int, target: int, start: int, end: int) -> None:
        assert source != target
        for cell in self.of(source):
            if start < len(cell.history) <= (end if end >= 0 else self.cells):
                cell.sequences.add(target)

    def remove(self, sequence: int, start: int = 0, end: int = -1) -> bool:
        if self.keeps_whole_states and start > 0 and len(self.of(sequence)) > start:
            return False
        for cell in self.of(sequence):
            if start < len(cell.history) <= (end if end >= 0 else self.cells):
                cell.sequences.discard(sequence)
        self._held = [cell for cell in self._held if cell.sequences]
        return True

    def clear(self) -> None:
        self._held.clear()

    def state(self, sequence: int, start: int = 0, end: int = -1) -> bytearray:
        held = [cell.history for cell in self.of(sequence)]
        return bytearray(
            pickle.dumps([one for one in held if start < len(one) and (end < 0 or len(one) <= end)])
        )

    def state_bytes(self, sequence: int, start: int = 0, end: int = -1) -> int:
        return len(self.state(sequence, start, end))

    def restore(self, sequence: int, blob: bytes) -> bool:
        histories = pickle.loads(blob)
        if self.taken + len(histories) > self.cells:
            return False
        self._held += [Cell(history, {sequence}) for history in histories]
        return True


class Shelf:
    """As the store of snapshots, in memory."""

    def __init__(self) -> None:
        self.copies: dict[Snapshot, bytes] = {}
        self.seen: list[bytes] = []
        self.public: list[list[int]] | None = None
        """What may be written: beginnings of these; None: anything."""
        self.is_damaged = self.is_full = False

    def entries(self) -> Sequence[Snapshot]:
        return list(self.copies)

    def load(self, entry: Snapshot) -> bytes | None:
        return None if self.is_damaged else self.copies[entry]

    def offer(
        self, tokens: Sequence[int], start: int, blob: bytearray, saves_s: float = 0.0
    ) -> Snapshot | None:
        if self.is_full:
            return None
        histories = pickle.loads(blob)
        assert [len(one) for one in histories] == list(range(start + 1, len(tokens) + 1))
        if self.public is not None:
            times = sum(prompt[: len(tokens)] == list(tokens) for prompt in self.public)
            assert times, "nobody has asked for it, or it is secret"
        snapshot = Snapshot(array("i", tokens), start, Path())
        self.copies[snapshot] = bytes(blob)
        return snapshot

    def is_open(self, size_bytes: int) -> bool:
        return not self.is_full

    def write_s(self, size_bytes: int) -> float:
        return 0.0

    def sightings(self) -> Sequence[bytes]:
        return self.seen

    def keep_sightings(self, digests: bytes) -> None:
        self.seen = [digests[at : at + SEEN_BYTES] for at in range(0, len(digests), SEEN_BYTES)]


@dataclass(eq=False)
class Asked:
    """A request that was admitted."""

    row: Row
    prompt: list[int]
    cells: int
    conversation: Conversation | None

    @property
    def promised(self) -> int:
        return self.cells - len(self.row)


WORDS = [[10 * word + place for place in range(size)] for word, size in enumerate((17, 3, 20, 1, 16, 6))]
"""Prompts are made of these, so that they share long beginnings and part in the middle of nowhere."""
rarely = st.sampled_from((False, False, False, False, True))
prompts = st.lists(st.sampled_from(range(len(WORDS))), min_size=1, max_size=5)


class PrefixMachine(RuleBasedStateMachine):
    """Requests come, are evaluated in chunks, end or are cancelled at any moment."""

    whole = False
    rows = RUNNING

    def __init__(self) -> None:
        super().__init__()
        self.books = Books(whole=self.whole)
        self.shelf = Shelf()
        self.shelf.public = []
        self.running: list[Asked] = []
        self.conversations: list[Conversation] = []
        self.free = list(range(self.rows))
        self.memory = self.make()
        self.known: dict[tuple[int, ...], tuple[tuple[int, int], int]] = {}

    def remembered(self, tokens: list[int]) -> int:
        """What was known of these when they were last asked for, if nothing has changed since."""
        version = self.memory.version
        remembered = self.known.get(tuple(tokens))
        if remembered is None or remembered[0] != version:
            self.known[tuple(tokens)] = remembered = version, self.memory.known(tokens)
        return remembered[1]

    @rule(words=prompts)
    def wait(self, words: list[int]) -> None:
        self.remembered([token for word in words for token in WORDS[word]])

    def make(self) -> Prefixes:
        return TreePrefixes(cast(Context, self.books), DiskIndex(self.shelf, 1))

    def pick(self, index: int) -> Asked:
        return self.running[index % len(self.running)]

    @property
    def held(self) -> int:
        return sum(asked.row.own + asked.promised for asked in self.running)

    @rule(
        words=prompts,
        cut=st.integers(0, 8),
        answer=st.integers(1, 30),
        goes_on=st.booleans(),
        is_secret=st.booleans(),
    )
    def ask(self, words: list[int], cut: int, answer: int, goes_on: bool, is_secret: bool = False) -> None:
        tokens = [token for word in words for token in WORDS[word]]
        tokens = tokens[: max(1, len(tokens) - cut)]
        cells = len(tokens) + answer
        rows = [asked.row for asked in self.running]
        promised = sum(asked.promised for asked in self.running)
        if not self.free or cells > CELLS or not self.memory.is_room(tokens, cells, rows, promised):
            return
        known = self.memory.known(tokens)
        assert self.remembered(tokens) == known
        conversation = Conversation() if goes_on else None
        row = Row(self.free.pop(), Origin(conversation, is_secret=is_secret))
        if not is_secret and self.shelf.public is not None:
            self.shelf.public.append(tokens)
        self.memory.begin(row, tokens, CELLS - self.held, goes_on=goes_on)
        assert len(row) < len(tokens) and row.tokens == tokens[: len(row)]
        if self.is_roomy:
            assert len(row) >= known
        self.running.append(Asked(row, tokens, cells, conversation))
        self.tidy()

    @property
    def is_roomy(self) -> bool:
        """Every copy could be brought back beside what there is."""
        largest = max((len(copy.tokens) for copy in self.shelf.copies), default=0)
        return self.held + self.memory.used_cells + largest <= CELLS and not self.shelf.is_damaged

    def tidy(self) -> None:
        self.memory.make_room(CELLS - self.held)
        self.memory.tidy(self.held, [])

    @precondition(lambda self: self.running)
    @rule(index=st.integers(0, 9), size=st.integers(1, 40))
    def go_on(self, index: int, size: int) -> None:
        asked = self.pick(index)
        start = len(asked.row)
        if start < len(asked.prompt):
            end = min(self.memory.stop(asked.row, asked.prompt), start + size)
            new = asked.prompt[start:end]
            assert new
        elif asked.promised:
            new = [900 + size % 3]
        else:
            return
        self.books.evaluate(asked.row.sequence, new)
        asked.row.tokens.extend(new)
        asked.row.own += len(new)
        if start < len(asked.prompt):
            self.memory.evaluated(asked.row, asked.prompt)

    @precondition(lambda self: self.running)
    @rule(index=st.integers(0, 9), cancelled=st.booleans())
    def end(self, index: int, cancelled: bool) -> None:
        asked = self.pick(index)
        self.running.remove(asked)
        sequence = asked.row.sequence
        if not asked.row.origin.is_secret and self.shelf.public is not None:
            self.shelf.public.append(list(asked.row.tokens))  # two conversations may say the same
        self.memory.give_back(asked.row, None if cancelled else asked.conversation)
        assert not self.books.of(sequence)
        self.free.append(sequence)
        if asked.conversation:
            self.conversations.append(asked.conversation)

    @rule(words=prompts, cut=st.integers(0, 8), goes_on=st.booleans(), is_secret=st.booleans())
    def take_a_turn(self, words: list[int], cut: int, goes_on: bool, is_secret: bool) -> None:
        """From the beginning to the end."""
        others = len(self.running)
        self.ask(words, cut, 2, goes_on, is_secret)
        if len(self.running) > others:
            while self.running[-1].promised:
                self.go_on(others, 40)
            self.end(others, False)

    @precondition(lambda self: self.conversations)
    @rule(index=st.integers(0, 9))
    def leave(self, index: int) -> None:
        self.conversations.pop(index % len(self.conversations)).leave()

    @precondition(lambda self: not self.running)
    @rule()
    def save(self) -> None:
        while self.memory.save():
            pass

    @rule(damaged=rarely, full=rarely)
    def harm(self, damaged: bool, full: bool) -> None:
        self.shelf.is_damaged, self.shelf.is_full = damaged, full

    @precondition(lambda self: not self.running)
    @rule(is_process=st.booleans(), limit_bytes=st.sampled_from([0, 100, 400, 1 << 40]))
    def start_anew(self, is_process: bool, limit_bytes: int) -> None:
        """Another process, with the same disk; or another arena."""
        carried = [] if is_process else self.memory.carry(limit_bytes)
        assert sum(len(one.blob) for one in carried) <= limit_bytes
        self.memory.clear()
        assert not self.books.taken and not self.memory.carry(1 << 40)
        self.memory = self.make()
        self.known.clear()
        self.memory.accept(carried)

    @invariant()
    def books_balance(self) -> None:
        self.memory.check([asked.row for asked in self.running])
        own = sum(asked.row.own for asked in self.running)
        assert self.books.taken == self.memory.used_cells + own
        for asked in self.running:
            held = [cell.history for cell in self.books.of(asked.row.sequence)]
            assert held == [tuple(asked.row.tokens[: end + 1]) for end in range(len(asked.row))]
            assert len(self.books.of(asked.row.sequence)) == len(asked.row)

    def teardown(self) -> None:
        while self.running:
            self.end(0, True)
        self.memory.clear()
        assert self.books.taken == 0


class TreeMachine(PrefixMachine):
    @invariant()
    def nodes_hold_their_cells(self) -> None:
        for node in cast(TreePrefixes, self.memory).tree:
            prefix = tuple(node.prefix())
            held = [cell.history for cell in self.books.of(node.sequence)]
            assert held == [prefix[:end] for end in range(node.start + 1, node.end + 1)]


class StateMachine(PrefixMachine):
    whole = True

    def make(self) -> Prefixes:
        return StatePrefixes(cast(Context, self.books), DiskIndex(self.shelf, 1), limit_bytes=4_000)


class BorderMachine(PrefixMachine):
    whole = True
    rows = 1

    def make(self) -> Prefixes:
        return StatePrefixes(cast(Context, self.books), DiskIndex(None, 1), limit_bytes=4_000, border=16)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So that there is something to tidy in few cells, and to join in few nodes."""
    monkeypatch.setattr(tree_module, "STEP_CELLS", 16)
    monkeypatch.setattr(worth_module, "HOLDING_STEPS", 80)
    monkeypatch.setattr(tree_module, "MAX_SEQUENCES", RUNNING + 1 + NODES)
    yield


LONG = settings(max_examples=200, stateful_step_count=40)
TestTree = pytest.mark.slow(TreeMachine.TestCase)
TestTree.settings = LONG
TestStates = pytest.mark.slow(StateMachine.TestCase)
TestStates.settings = LONG
TestBorders = pytest.mark.slow(BorderMachine.TestCase)
TestBorders.settings = LONG


class Turns:
    """Requests one after the other, each evaluated and given back."""

    def __init__(self, memory: Prefixes, books: Books) -> None:
        self.memory, self.books = memory, books

    def take(self, prompt: list[int], answer: Sequence[int] = (), goes_on: Conversation | None = None) -> int:
        """How many tokens of `prompt` were known."""
        row = Row(0, Origin(goes_on))
        self.memory.begin(row, prompt, self.books.cells - len(prompt), goes_on=goes_on is not None)
        known = len(row)
        while len(row) < len(prompt):
            self._evaluate(row, prompt[len(row) : self.memory.stop(row, prompt)])
            self.memory.evaluated(row, prompt)
        self._evaluate(row, answer)
        self.memory.give_back(row, goes_on)
        self.memory.check([])
        return known

    def _evaluate(self, row: Row, tokens: Sequence[int]) -> None:
        self.books.evaluate(row.sequence, tokens)
        row.tokens.extend(tokens)
        row.own += len(tokens)


def test_a_conversation_may_have_more_turns_than_there_are_sequences() -> None:
    books = Books(1000)
    memory = TreePrefixes(cast(Context, books), DiskIndex(None, 1))
    turns, conversation, said = Turns(memory, books), Conversation(), [1]
    for turn in range(10 * NODES):
        assert turns.take(said, [2, 3], conversation) == max(0, len(said) - 2)
        assert all(node.open_claims() for node in memory.tree if not node.children), "its end is kept for it"
        said += [2, 3, 4 + turn % 2, 5]
    assert books.taken == memory.used_cells == len(said) - 2


def kept_after(turns: Turns, said: list[int]) -> int:
    """How much of it is kept once the prefixes are tidied."""
    turns.memory.tidy(0, [])
    return turns.memory.known([*said, 0])


def test_an_answer_goes_with_its_conversation_and_the_prompt_stays() -> None:
    books, conversation = Books(1000), Conversation()
    turns = Turns(TreePrefixes(cast(Context, books), DiskIndex(None, 1)), books)
    prompt, answer, more = list(range(40)), list(range(100, 140)), list(range(200, 240))
    turns.take(prompt, answer, conversation)
    assert kept_after(turns, prompt + answer) == 80, "it may go on"
    turns.take(prompt + answer + more, answer, conversation)
    assert kept_after(turns, prompt + answer + more + answer) == 160
    conversation.leave()
    assert kept_after(turns, prompt + answer + more) == 39, "nobody else was answered so"
    assert books.taken == turns.memory.used_cells == 39


def test_an_answer_stays_that_may_be_said_again_once_its_conversation_is_over() -> None:
    books, conversation = Books(1000), Conversation()
    conversation.may_come_again = True
    turns = Turns(TreePrefixes(cast(Context, books), DiskIndex(None, 1)), books)
    prompt, answer = list(range(40)), list(range(100, 140))
    turns.take(prompt, answer, conversation)
    conversation.leave()
    assert kept_after(turns, prompt + answer) == 80


def test_an_answer_stays_that_another_conversation_goes_on_from() -> None:
    books = Books(1000)
    turns = Turns(TreePrefixes(cast(Context, books), DiskIndex(None, 1)), books)
    prompt, answer = list(range(40)), list(range(100, 140))
    conversations = [Conversation(), Conversation()]
    for conversation in conversations:
        turns.take(prompt, answer, conversation)
    turns.take(prompt + answer + [1], [2], conversations[1])
    for conversation in conversations:
        conversation.leave()
    assert kept_after(turns, prompt + answer) == 80


def test_a_copy_is_not_forgotten_while_room_is_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_index, "MAX_COPIES", 2)
    books, shelf = Books(100), Shelf()
    memory = TreePrefixes(cast(Context, books), DiskIndex(shelf, 1))
    turns = Turns(memory, books)
    prompts = [list(range(start, start + 31)) for start in range(0, 500, 100)]
    for prompt in prompts[:2]:
        for _ in range(2):
            turns.take(prompt)
        memory.clear()
    for prompt in prompts[2:]:
        turns.take(prompt)
        turns.take(prompt)
    assert len(shelf.copies) == 2, "the index is full, and so are the cells"
    assert turns.take([*prompts[0], 7]) == 30
    assert len(shelf.copies) > 2


def test_a_longer_copy_of_a_whole_state_does_not_hide_one_that_can_be_used() -> None:
    books, shelf = Books(100, whole=True), Shelf()
    system = list(range(40))
    for tokens in (system, [*system, *range(50, 56)]):
        states = [tuple(tokens[: end + 1]) for end in range(len(tokens))]
        shelf.offer(tokens, 0, bytearray(pickle.dumps(states)))
    memory = StatePrefixes(cast(Context, books), DiskIndex(shelf, 1), limit_bytes=10_000)
    prompt = [*system, 50, 51, 60, 61]  # goes a little further with the longer one
    assert memory.known(prompt) == len(system)
    assert Turns(memory, books).take(prompt) == len(system)


def test_an_idle_conversation_does_not_push_out_states_that_are_used() -> None:
    books = Books(CELLS, whole=True)
    sizes = {n: len(pickle.dumps([tuple(range(end)) for end in range(1, n + 1)])) for n in (40, 90)}
    limit_bytes = sizes[90] + int(1.5 * sizes[40])
    memory = StatePrefixes(cast(Context, books), DiskIndex(None, 1), limit_bytes=limit_bytes)
    turns, idle = Turns(memory, books), Conversation()
    prefixes = [list(range(start, start + 40)) for start in (1000, 2000)]
    turns.take(list(range(89)), [7], idle)
    assert memory.carry(1 << 40), "there is room for it, and for one of the prefixes"
    known = [turns.take([*prefixes[number % 2], 10_000 + number]) for number in range(12)]
    assert known[6:] == [40] * 6
    for start in (3000, 4000, 5000):
        turns.take(list(range(start, start + 40)), [7], Conversation())
    assert [turns.take([*prefix, 1]) for prefix in prefixes] == [40, 40]
