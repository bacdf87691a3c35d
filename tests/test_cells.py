"""The books of KV cells, as a state machine against a plain model of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from samovar.engines.llama.cells import Ledger, Parked, Row, common_length

TOKENS = st.lists(st.integers(0, 3), max_size=12)


class LedgerMachine(RuleBasedStateMachine):
    """Rows append, fork and drop; a plain list of (cell, tokens) per row says what must be held."""

    rows = Bundle("rows")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(10_000)
        self.alive: list[Row] = []

    @rule(target=rows)
    def a_row_begins(self) -> Row:
        row = Row(len(self.alive))
        self.alive.append(row)
        return row

    @rule(row=rows, tokens=TOKENS)
    def a_row_evaluates(self, row: Row, tokens: list[int]) -> None:
        before = self.ledger.used
        self.ledger.append(row, tokens)
        assert self.ledger.used == before + len(tokens)

    @rule(target=rows, source=rows, share=st.integers(0, 20))
    def a_row_is_forked(self, source: Row, share: int) -> Row:
        before = self.ledger.used
        row = Row(len(self.alive))
        self.alive.append(row)
        self.ledger.fork(source, row, min(share, len(source)))
        assert self.ledger.used == before
        assert row.tokens == source.tokens[: len(row)]
        return row

    @rule(row=rows, keep=st.integers(0, 20))
    def a_row_is_trimmed(self, row: Row, keep: int) -> None:
        kept = row.tokens[:keep]
        self.ledger.drop(row, keep)
        assert row.tokens == kept

    @rule(row=consumes(rows))
    def a_row_ends(self, row: Row) -> None:
        self.ledger.drop(row)
        self.alive = [other for other in self.alive if other is not row]

    @invariant()
    def the_books_balance(self) -> None:
        self.ledger.check(self.alive)
        assert self.ledger.used == len({cell for row in self.alive for cell in row.cells})


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(TOKENS, TOKENS)
def test_common_length_is_what_a_plain_loop_counts(left: list[int], right: list[int]) -> None:
    expected = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        expected += 1
    assert common_length(left, right) == expected


def parked(*rows: list[int]) -> tuple[Parked, Ledger]:
    ledger, shelf = Ledger(1000), Parked()
    for number, tokens in enumerate(rows):
        row = Row(number)
        ledger.append(row, tokens)
        shelf.add(row)
    return shelf, ledger


def test_the_longest_prefix_is_found_and_becomes_the_most_recently_used() -> None:
    shelf, _ = parked([1, 2, 3, 4], [1, 2, 9], [7])
    row, length = shelf.longest([1, 2, 3, 8])
    assert row is not None and (row.id, length) == (0, 3)
    assert [row.id for row in shelf] == [1, 2, 0]


def test_the_oldest_goes_first_but_never_the_one_to_keep() -> None:
    shelf, _ = parked([1], [2], [3])
    keep = next(iter(shelf))
    gone = shelf.oldest(keep)
    assert gone is not None and gone.id == 1


def test_rows_that_a_new_one_contains_are_taken_out() -> None:
    shelf, ledger = parked([1, 2], [1, 3])
    new = Row(9)
    ledger.append(new, [1, 2, 3])
    assert [row.id for row in shelf.take_covered(new)] == [0]
    assert [row.id for row in shelf] == [1]
