"""`Join first`, `Join 2, then ACTION`: the number of branches of a fork that must reach its join.

Above: `action_lines.py`, which reads the line of a state; `reading.py`, which knows the forks. Below: the
values of `workflow.py`. The action behind `then` is read like any other, and performed at the join.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from samovar.errors import Fault, FaultsError, Place
from samovar.language.composites import exit_of
from samovar.language.workflow import Fork, Needed

FORM = "Join first[, then ACTION] or Join 2[, then ACTION]"

_BEGIN = re.compile(r"\s*join\b(?!\s*:?=)", re.I)
_JOIN = re.compile(r"\s*join\s+(?P<count>first|\d{1,4})\s*(?:$|,\s*then\s+(?=\S))", re.I)


class JoinLine(NamedTuple):
    """A line that begins with `Join`."""

    needed: Needed
    offset: int
    """Where the action behind `then` begins; the length of the text if there is none."""


def read_join(text: str, place: Place, *, is_old: bool = False) -> JoinLine | None:
    """What a line says about its join; None if it does not begin with `Join`.

    Raises `FaultsError` for one that does and is not complete. In an old file that is prose (`is_old`).
    """
    match = _JOIN.match(text)
    count = 0 if match is None else 1 if match["count"].lower() == "first" else int(match["count"])
    if match is not None and count:
        begin = len(text) - len(text.lstrip())
        return JoinLine(Needed(count=count, place=place.within(text, begin)), match.end())
    if is_old or not _BEGIN.match(text):
        return None
    message = f"`Join` takes `first` or a number of at least 1. The form is: {FORM}"
    raise FaultsError([Fault(code="action-syntax", message=message, place=place)])


def with_needed(forks: Mapping[str, Fork], lines: Mapping[str, Needed]) -> dict[str, Fork]:
    """The forks, with how many of their branches are needed. `lines`: by the state that says so.

    A fork within a branch may end at the join of the fork around it: there it needs all its branches.
    """
    found = dict(forks)
    for name, needed in lines.items():
        for fork in _forks_of(name, forks):
            found[fork.name] = replace(fork, needed=needed)
    return found


def _forks_of(name: str, forks: Mapping[str, Fork]) -> Iterator[Fork]:
    """The forks that a `Join` of this state is about."""
    for fork in forks.values():
        if fork.join not in (name, exit_of(name)):
            continue
        around = (branch for other in forks.values() if other.join == fork.join for branch in other.branches)
        if not any(fork.name in branch.states for branch in around):
            yield fork


def faults_of_joins(forks: Mapping[str, Fork], lines: Mapping[str, Needed]) -> Iterator[Fault]:
    """A `Join` if no branches meet, and one that needs more branches than there are."""
    for name, needed in lines.items():
        fork = next(_forks_of(name, forks), None)
        if fork is None:
            message = (
                f"`Join` says how many branches must reach a join, but {name!r} is neither the join of a "
                "fork nor a composite with regions."
            )
            yield Fault(code="join-count", message=message, place=needed.place)
        elif needed.count > len(fork.branches):
            message = (
                f"`Join {needed.count}` needs more branches than the fork {fork.name!r} has: "
                f"{len(fork.branches)}."
            )
            yield Fault(code="join-count", message=message, place=needed.place)
