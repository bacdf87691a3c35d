"""Where a frame is among all that runs in a run, in whatever order: for the keys of its visits in a journal.

Above: frames, of which each has one; `visiting.py`. Below: the journal's contract. A branch, an item and a
sub-workflow have strands of their own, which come together where they do. A strand also knows what was done
before on it, so that a later run can tell what depends on what. Mutable: what was done on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from samovar.journal.base import VisitKey
from samovar.journal.inputs import digest_of

_BELOW = re.compile(r"[/\[]")


@dataclass(slots=True, kw_only=True)
class Strand:
    """The thread of visits that a frame is in."""

    prefix: str = ""
    """Of the paths in the keys of its visits: as that of the frame, with the visits of what is around it."""
    own: str | None = None
    """The whole path of its only visits, those of one item; None: they have the names of states."""
    line: str = ""
    """The branches that it is in, the outermost first, with `/` between them."""
    is_past: bool = False
    """In a run that branched from another: it is at or behind the visit from which all is done again."""
    is_lost: bool = False
    """An earlier process has cancelled its branch: nothing more is performed."""
    is_at_cancel: bool = False
    """What is performed is for `finally`, after a cancellation: a run that continues does it again."""
    touched: str = ""
    """Names all that was done outside of the run before, on this strand; empty: nothing."""
    done: str = ""
    """The same, with all that was asked of models and of people."""

    def branch(self, first: str) -> Strand:
        """That of a branch of a fork, by its first state."""
        return replace(self, line=f"{self.line}/{first}".lstrip("/"))

    def item(self, key: VisitKey, number: int, *, is_diagram: bool) -> Strand:
        """That of an item of a list, which a visit goes through. `is_diagram`: it has visits below it."""
        path = f"{inside(key)}[{number}]"
        return replace(self, prefix=f"{path}/") if is_diagram else replace(self, own=path)

    def below(self, key: VisitKey) -> Strand:
        """That of the sub-workflow that a visit runs."""
        return replace(self, prefix=f"{inside(key)}/", own=None, line=key.line)

    def path_of(self, state: str) -> str:
        """Of a visit of the state, in its key."""
        return self.prefix + state if self.own is None else self.own

    def note(self, stamp: str, *, touches: bool) -> None:
        """Something was done on it. `stamp`: names what, and no other. `touches`: outside of the run."""
        self.done = digest_of((self.done, stamp))
        if touches:
            self.touched = digest_of((self.touched, stamp))

    def follow(self, strands: Iterable[Strand]) -> None:
        """Others that began with this one have come to it again, in this order."""
        before = (self.touched, self.done)
        others = tuple(strands)
        self.is_past = self.is_past or any(one.is_past for one in others)
        touched = [one.touched for one in others if one.touched != before[0]]
        done = [one.done for one in others if one.done != before[1]]
        if touched:
            self.touched = touched[0] if len(touched) == len(others) == 1 else digest_of((before[0], touched))
        if done:
            self.done = done[0] if len(done) == len(others) == 1 else digest_of((before[1], done))


def inside(key: VisitKey) -> str:
    """What the paths in the keys of what a visit is made of begin with: `Build`, or `Build#2`."""
    return key.path if key.nth == 1 else f"{key.path}#{key.nth}"


def all_around(key: VisitKey) -> Iterator[str]:
    """What `inside` gives of each visit that this one is within, in whatever branch."""
    return (key.path[: end.start()] for end in _BELOW.finditer(key.path))


def is_within(key: VisitKey, around: VisitKey) -> bool:
    """Whether a visit is one of those that another is made of."""
    begin = inside(around)
    return key.path.startswith((f"{begin}/", f"{begin}[")) and (
        key.line == around.line or key.line.startswith(f"{around.line}/" if around.line else "")
    )
