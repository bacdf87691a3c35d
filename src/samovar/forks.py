"""Finds the branches of each fork in a diagram, and everything wrong with their shape.

Above: `reading.py`. Below: the values of `workflow.py`. A branch is every path from one transition of a fork
to the nearest join. It knows no action and runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from samovar.errors import Fault, Place
from samovar.workflow import Branch, Fork, Kind, State, Transition

States = Mapping[str, State]


@dataclass(slots=True)
class _Region:
    """One branch while it is looked for."""

    transition: Transition
    first: str
    states: set[str] = field(default_factory=set)
    ways_out: list[Transition] = field(default_factory=list)
    """Its transitions to a join."""
    goes_wrong: bool = False
    """One of its paths ends, or forks, before a join."""


@dataclass(slots=True)
class _Faults:
    """What is wrong, once each."""

    found: dict[Fault, None] = field(default_factory=dict)

    def add(self, code: str, message: str, place: Place, *, is_error: bool = True) -> None:
        fault = Fault(code=code, message=message, place=place, severity="error" if is_error else "warning")
        self.found[fault] = None

    @property
    def errors(self) -> int:
        """How many of them are no mere warnings."""
        return sum(fault.severity == "error" for fault in self.found)


def read_forks(states: States, initial: str | None) -> tuple[dict[str, Fork], tuple[Fault, ...]]:
    """The forks by name, and what is wrong. A fork with an error in it is left out."""
    faults = _Faults()
    forks: dict[str, Fork] = {}
    regions: set[str] = set()
    for state in states.values():
        if state.kind is Kind.FORK:
            before = faults.errors
            branches = list(_branches(state, states, faults))
            regions.update(*(branch.states for branch in branches))
            join = _join(state, branches, states, faults)
            if join is not None and faults.errors == before:
                forks[state.name] = _fork(state, join, branches)
    _check_doors(states, initial, regions, faults)
    joins = {fork.join for fork in forks.values()}
    for state in states.values():
        if state.kind is Kind.JOIN and state.name not in joins and not faults.errors:
            message = f"No fork leads to the join {state.name!r}, so it joins nothing."
            faults.add("no-fork", message, state.place, is_error=False)
    return forks, tuple(faults.found)


def _branches(fork: State, states: States, faults: _Faults) -> Iterator[_Region]:
    """Each branch with the states it can come through."""
    begun: set[str] = set()
    for transition in fork.transitions:
        if transition.target is None:
            message = f"A branch of the fork {fork.name!r} ends at `[*]`: it has to lead to a join."
            faults.add("branch-end", message, transition.place)
        elif states[transition.target].kind is Kind.JOIN:
            message = f"This branch of the fork {fork.name!r} has no state, so it is ignored."
            faults.add("empty-branch", message, transition.place, is_error=False)
        elif transition.target in begun:
            message = f"Two branches of the fork {fork.name!r} begin with {transition.target!r}."
            faults.add("shared-state", message, transition.place)
        else:
            begun.add(transition.target)
            region = _Region(transition, transition.target)
            _follow(region, fork, states, faults)
            yield region


def _follow(region: _Region, fork: State, states: States, faults: _Faults) -> None:
    """Walks all paths of a branch up to the nearest joins."""
    waiting = [region.transition]
    while waiting:
        transition = waiting.pop()
        if transition.target is None:
            message = (
                f"The branch {region.first!r} of the fork {fork.name!r} ends at `[*]`: "
                "it has to lead to a join."
            )
            faults.add("branch-end", message, transition.place)
            region.goes_wrong = True
            continue
        target = states[transition.target]
        if target.kind is Kind.JOIN:
            region.ways_out.append(transition)
        elif target.kind is Kind.FORK:
            message = (
                f"The branch {region.first!r} of the fork {fork.name!r} leads to a fork, {target.name!r}: "
                "forks within branches are not supported yet."
            )
            faults.add("unsupported", message, transition.place)
            region.goes_wrong = True
        elif target.name not in region.states:
            region.states.add(target.name)
            waiting += target.transitions


def _join(fork: State, branches: list[_Region], states: States, faults: _Faults) -> str | None:
    """The one join where the branches meet. Faults are noted where there is not exactly one."""
    if not branches and all(transition.target for transition in fork.transitions):
        message = f"No branch begins at the fork {fork.name!r}: add `{fork.name} --> FirstState`."
        faults.add("empty-fork", message, fork.place)
    elif len(branches) == 1:
        message = f"Only one branch begins at the fork {fork.name!r}."
        faults.add("one-branch", message, fork.place, is_error=False)
    _check_shared(fork, branches, states, faults)
    joins: dict[str, str] = {}
    for branch in branches:
        if not branch.ways_out and not branch.goes_wrong:
            message = f"No path of the branch {branch.first!r} leads from the fork {fork.name!r} to a join."
            faults.add("no-join", message, branch.transition.place)
        for way in branch.ways_out:
            assert way.target is not None
            if joins and way.target not in joins:
                other, its = next(iter(joins.items()))
                message = (
                    f"The branches of the fork {fork.name!r} meet in two joins: {its!r} leads to {other!r}, "
                    f"{branch.first!r} to {way.target!r}."
                )
                faults.add("two-joins", message, way.place)
            joins.setdefault(way.target, branch.first)
    return next(iter(joins), None)


def _fork(state: State, join: str, branches: list[_Region]) -> Fork:
    return Fork(
        name=state.name,
        join=join,
        branches=tuple(
            Branch(first=one.first, states=frozenset(one.states), transition=one.transition)
            for one in branches
        ),
    )


def _check_shared(fork: State, branches: list[_Region], states: States, faults: _Faults) -> None:
    """No state belongs to two branches. Of the states that do, those are named where they meet."""
    owners: dict[str, str] = {}
    for branch in branches:
        shared = {name for name in branch.states if name in owners}
        for name in branch.states - shared:
            owners[name] = branch.first
        inside = [
            branch.transition,
            *(way for name in branch.states - shared for way in states[name].transitions),
        ]
        for transition in inside:
            if transition.target in shared:
                message = (
                    f"The branches {owners[transition.target]!r} and {branch.first!r} of the fork "
                    f"{fork.name!r} share the state {transition.target!r}: each state belongs to one branch."
                )
                faults.add("shared-state", message, transition.place)


def _check_doors(states: States, initial: str | None, regions: set[str], faults: _Faults) -> None:
    """A branch is entered through its fork only."""
    if initial in regions:
        assert initial is not None
        message = f"The run begins within a branch, in {initial!r}: it has to begin at the fork or before."
        faults.add("branch-entry", message, states[initial].place)
    for state in states.values():
        if state.kind is Kind.FORK or state.name in regions:
            continue
        for transition in state.transitions:
            if transition.target in regions:
                message = (
                    f"{state.name!r} leads into a branch, to {transition.target!r}: "
                    "a branch is entered through its fork only."
                )
                faults.add("branch-entry", message, transition.place)
