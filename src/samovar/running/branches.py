"""The branches of a fork while they run: the changes of each, and the owners of conversations.

Above: `frame.py`, which branches off and joins; `visit_context.py`, which asks whose a conversation is.
Below: the names that the language sets. Merging is pure; `Claims` is mutable, and changed by `claim` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from samovar.language.names import BUILT_IN


class BranchEnd(Enum):
    """How a branch ended."""

    CAME = "came"
    """It reached the join, and its last action succeeded."""
    FAILED = "failed"
    """Its last action failed."""
    CANCELLED = "cancelled"
    """It was stopped before it reached the join."""


def left_by(variables: Mapping[str, object], changed: frozenset[str], end: BranchEnd) -> dict[str, object]:
    """What `branches` has for one branch: the variables that it set, and how it ended."""
    left = {name: variables[name] for name in sorted(changed - BUILT_IN) if name in variables}
    return left | {"ok": end is BranchEnd.CAME, "cancelled": end is BranchEnd.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What branches changed, taken together."""

    changes: Mapping[str, object]
    """By name. Of a name that several branches changed, the value of the last one."""
    kept: Mapping[str, Mapping[str, object]]
    """By branch: its values of names that another branch changed to a different one."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """A sentence for each name that branches changed to different values."""
        names = dict.fromkeys(name for values in self.kept.values() for name in values)
        return tuple(self._doubt(name) for name in names)

    def _doubt(self, name: str) -> str:
        branches = [branch for branch, values in self.kept.items() if name in values]
        who = f"{', '.join(map(repr, branches[:-1]))} and {branches[-1]!r}"
        paths = ", ".join(f"branches.{branch}.{name}" for branch in branches)
        return (
            f"The branches {who} changed {name!r} to different values: the value of {branches[-1]!r} is "
            f"used. "
            f"All are kept: {paths}."
        )


def merge(before: Mapping[str, object], after: Mapping[str, Mapping[str, object]]) -> Merged:
    """Merges what each branch changed, in the order of `after`: the variables of each branch at its end."""
    changed: dict[str, dict[str, object]] = {}
    for branch, variables in after.items():
        for name, value in variables.items():
            if name not in BUILT_IN and not (name in before and _same(before[name], value)):
                changed.setdefault(name, {})[branch] = value
    changes: dict[str, object] = {}
    kept: dict[str, dict[str, object]] = {}
    for name, values in changed.items():
        *others, last = values.values()
        changes[name] = last
        if not all(_same(other, last) for other in others):
            for branch, value in values.items():
                kept.setdefault(branch, {})[name] = value
    return Merged(changes=changes, kept={branch: kept[branch] for branch in after if branch in kept})


def _same(one: object, other: object) -> bool:
    """Equal, and of one type: `True` is not 1."""
    if one is other:
        return True
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


@dataclass(slots=True)
class Claims:
    """Which branch of one fork uses which named conversation."""

    outer: tuple[Claims, str] | None = None
    """For a fork within a branch: the claims of the branches around it, and the one that this is in."""
    _uses: dict[str, dict[str, bool]] = field(default_factory=dict)
    """By conversation, then branch: whether that branch continues it, or only starts copies from it."""

    def claim(self, session: str, branch: str, *, continues: bool) -> str | None:
        """Notes a use. Gives the other branch that keeps this one from it, if there is one.

        A conversation that one branch continues belongs to no other; any number may start from copies of it.
        """
        uses = self._uses.setdefault(session, {})
        if self.outer is not None:
            around, its_branch = self.outer
            other_around = around.claim(session, its_branch, continues=continues)
            if other_around is not None:
                return other_around
        for other, other_continues in uses.items():
            if other != branch and (continues or other_continues):
                return other
        uses[branch] = continues or uses.get(branch, False)
        return None
