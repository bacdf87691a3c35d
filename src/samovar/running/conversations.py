"""What the named conversations of a run that continues have said before, as its journal has it.

Above: `visiting.py`, which notes what a visit said that is not performed again; the contexts of visits, which
have it told to the executor with the first prompt that continues one. Below: the journal's contract.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from samovar.generation import Message, TokenCounts
from samovar.journal.base import Exchange, KeptVisit, VisitKey

_BELOW = re.compile(r"[/\[]")


class Conversations:
    """Conversations of one run. Mutable: what is to be reported, by name."""

    def __init__(self, kept: Iterable[KeptVisit] = ()) -> None:
        """`kept`: the visits that the journal has."""
        self._within = _tokens_within(kept)
        self._said: dict[str, tuple[Message, ...]] = {}

    def note(self, exchange: Exchange) -> None:
        """This was said in an earlier process."""
        if exchange.session is None or exchange.answer is None:
            return
        begin = self._said.get(exchange.session if exchange.fork is None else exchange.fork, ())
        both = (*begin, *exchange.messages, exchange.answer)
        system = [one for one in both if one.role == "system"]  # a new one replaces the old
        rest = (one for one in both if one.role != "system")
        self._said[exchange.session] = (*system[-1:], *rest)

    def take(self, session: str | None) -> tuple[Message, ...]:
        """What is to be reported before the next prompt of that conversation: once."""
        return () if session is None else self._said.pop(session, ())

    def of(self, session: str | None) -> tuple[Message, ...]:
        """The same, for one that only starts from a copy of it."""
        return () if session is None else self._said.get(session, ())

    def tokens_within(self, key: VisitKey) -> TokenCounts:
        """The tokens of the visits within one that is not performed again: of its items, or below it."""
        return self._within.get(key, TokenCounts())


def _tokens_within(kept: Iterable[KeptVisit]) -> dict[VisitKey, TokenCounts]:
    """By visit, the tokens of the visits below it, or of its items.

    A state that is visited often has visits of the same paths within each: they are between the numbers of
    its own.
    """
    found: dict[VisitKey, TokenCounts] = {}
    newest: dict[tuple[str, str], VisitKey] = {}
    for one in sorted(kept, key=lambda one: one.intent.number):
        key, outcome = one.intent.key, one.outcome
        newest[key.path, key.line] = key
        if outcome is None or not (outcome.figures or outcome.spent != TokenCounts()):
            continue
        spent = outcome.spent + (outcome.figures.tokens if outcome.figures else TokenCounts())
        for end in _BELOW.finditer(key.path):
            for line in _lines(key.line):
                above = newest.get((key.path[: end.start()], line))
                if above is not None:
                    found[above] = found.get(above, TokenCounts()) + spent
                    break
    return found


def _lines(line: str) -> Iterator[str]:
    """The branches around a visit, the innermost first; at last none."""
    while line:
        yield line
        line = line.rpartition("/")[0]
    yield ""
