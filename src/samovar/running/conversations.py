"""What the named conversations of a run that continues have said before, as its journal has it.

Above: `visiting.py`, which notes what a visit said that is not performed again; the contexts of visits, which
have it told to the executor with the first prompt that continues one. Below: the journal's contract.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from samovar.executors.base import PromptReply
from samovar.generation import Message, MessagePart, TokenCounts
from samovar.journal.base import Exchange, KeptVisit, VisitKey
from samovar.journal.inputs import digest_of
from samovar.running.strand import all_around, inside


class Conversations:
    """Conversations of one run. Mutable: what is to be reported, by name."""

    def __init__(self, kept: Iterable[KeptVisit] = ()) -> None:
        """`kept`: the visits that the journal has."""
        visits = tuple(kept)
        self._within = _spent_within(visits)
        self._below = _below(visits)
        self._said: dict[str, tuple[Message, ...]] = {}
        self._chains: dict[str, str] = {}
        """By conversation, the name of all that was said in it."""

    def note_below(self, key: VisitKey) -> None:
        """A visit is not performed again, and so those that it is made of are not either."""
        for exchange, stamp in self._below.get(inside(key), ()):
            self.note(exchange, stamp)

    def chain(self, session: str | None, fork: str | None) -> str:
        """Names all that was said before a prompt of that conversation; empty: nothing."""
        begin = session if fork is None else fork
        return "" if begin is None else self._chains.get(begin, "")

    def has_said(self, session: str | None, fork: str | None, stamp: str) -> None:
        """Something more was said in a conversation. `stamp`: of the visit that said it."""
        if session is not None:
            self._chains[session] = digest_of((self.chain(session, fork), stamp))

    def note(self, exchange: Exchange, stamp: str) -> None:
        """This was said in an earlier process, or an earlier run."""
        if exchange.session is None or exchange.answer is None:
            return
        self.has_said(exchange.session, exchange.fork, stamp)
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

    def spent_within(self, key: VisitKey) -> TokenCounts:
        """What was spent by the visits within one that is not performed again: of its items, or below it."""
        return self._within.get(inside(key), TokenCounts())


def _spent_within(kept: Iterable[KeptVisit]) -> dict[str, TokenCounts]:
    """By path, what the visits below it, or of its items, have spent."""
    found: dict[str, TokenCounts] = {}
    for one in kept:
        outcome = one.outcome
        if outcome is None or not (outcome.figures or outcome.spent != TokenCounts()):
            continue
        spent = outcome.spent + (outcome.figures.tokens if outcome.figures else TokenCounts())
        for above in all_around(one.intent.key):
            found[above] = found.get(above, TokenCounts()) + spent
    return found


def _below(kept: Iterable[KeptVisit]) -> Mapping[str, list[tuple[Exchange, str]]]:
    """By path, what the visits below it, or of its items, said in named conversations."""
    found: dict[str, list[tuple[Exchange, str]]] = {}
    for one in kept:
        if one.outcome is None:
            continue
        stamp = one.outcome.stamp
        said = [(each, stamp) for each in one.outcome.exchanges if each.session is not None]
        for above in all_around(one.intent.key) if said else ():
            found.setdefault(above, []).extend(said)
    return found


def answered(asked: Exchange, reply: PromptReply) -> Exchange:
    """What was asked, with the answer, for the journal."""
    parts = reply.parts or (MessagePart(text=reply.text),)
    return replace(
        asked,
        answer=replace(Message.of_parts("assistant", parts), calls=reply.calls),
        model=reply.model,
        executor=reply.executor,
        tokens=reply.tokens,
        duration_s=reply.duration_s,
        first_token_s=reply.first_token_s,
    )
