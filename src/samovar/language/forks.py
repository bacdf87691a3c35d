"""Finds the branches of each fork in a diagram, and all mistakes in their shape.

Above: `reading.py`. Below: the values of `workflow.py`. A branch is every path from one transition of a fork
to the nearest join; a fork within a branch belongs to it, up to its own join. It runs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from samovar.errors import Fault, Place
from samovar.language.workflow import Body, Branch, Fork, Kind, State, Transition

States = Mapping[str, State]
DEEPEST = 50
"""Forks within branches of each other."""


@dataclass(slots=True)
class _Region:
    """One branch while it is looked for."""

    fork: str
    transition: Transition
    first: str
    states: set[str] = field(default_factory=set)
    ways_out: list[Transition] = field(default_factory=list)
    """Its transitions to a join."""
    inner: list[tuple[str, Transition]] = field(default_factory=list)
    """Joins of forks within it, each with the transition that leads to the fork."""
    goes_wrong: bool = False
    """One of its paths ends, or reaches a fork that is wrong, before a join."""


@dataclass(slots=True)
class _Faults:
    """The mistakes, once each."""

    found: dict[Fault, None] = field(default_factory=dict)
    errors: int = 0
    """How many of them are not mere warnings."""

    def add(self, code: str, message: str, place: Place, *, is_error: bool = True) -> None:
        fault = Fault(code=code, message=message, place=place, severity="error" if is_error else "warning")
        self.errors += is_error and fault not in self.found
        self.found[fault] = None


def read_forks(
    states: States,
    initial: str | None,
    composites: Mapping[str, frozenset[str]] | None = None,
    bodies: Mapping[str, Body] | None = None,
) -> tuple[dict[str, Fork], tuple[Fault, ...]]:
    """The forks by name, and what is wrong. A fork with an error in it is left out.

    `composites`: the states of each composite, by its name, which a fork has whose branches are its regions.
    `bodies`: what belongs to a branch with the composite that repeats it.
    """
    reader = _Reader(states, composites or {}, bodies or {})
    faults = reader.faults
    for state in states.values():
        if state.kind is Kind.FORK:
            reader.read(state)
    forks = {name: fork for name in states if (fork := reader.forks.get(name)) is not None}
    if not faults.errors:
        _check_doors(states, initial, reader.regions, faults)
    joins = {fork.join for fork in forks.values()}
    for state in states.values():
        if state.kind is Kind.JOIN and state.name not in joins and not faults.errors:
            message = f"No fork leads to the join {state.name!r}, so it joins nothing."
            faults.add("no-fork", message, state.place, is_error=False)
    return forks, tuple(faults.found)


class _Reader:
    """Reads forks, those within branches first."""

    def __init__(
        self, states: States, composites: Mapping[str, frozenset[str]], bodies: Mapping[str, Body]
    ) -> None:
        self.states, self.composites, self.bodies = states, composites, bodies
        self.faults = _Faults()
        self.forks: dict[str, Fork | None] = {}
        """None: it is wrong."""
        self.regions: list[_Region] = []
        self._open: list[str] = []
        """Forks whose branches are being followed, each within one of the one before."""

    def read(self, fork: State) -> Fork | None:
        """The fork, or None if something is wrong with it; either way once."""
        if fork.name not in self.forks:
            self._open.append(fork.name)
            before = self.faults.errors
            branches = list(self._branches(fork))
            self._go_on_behind_inner(branches)
            self.regions += branches
            join = _join(fork, branches, self.states, self.faults)
            is_right = join is not None and self.faults.errors == before
            self.forks[fork.name] = _fork(fork, join, branches) if join and is_right else None
            self._open.pop()
        return self.forks[fork.name]

    def _branches(self, fork: State) -> Iterator[_Region]:
        """Each branch with the states it can come through."""
        begun: set[str] = set()
        for transition in fork.transitions:
            if transition.target is None:
                message = f"A branch of the fork {fork.name!r} ends at `[*]`: it must lead to a join."
                self.faults.add("branch-end", message, transition.place)
            elif self.states[transition.target].kind is Kind.JOIN:
                message = f"This branch of the fork {fork.name!r} has no state, so it is ignored."
                self.faults.add("empty-branch", message, transition.place, is_error=False)
            elif transition.target in begun:
                message = f"Two branches of the fork {fork.name!r} begin with {transition.target!r}."
                self.faults.add("shared-state", message, transition.place)
            else:
                begun.add(transition.target)
                region = _Region(fork.name, transition, transition.target)
                self._follow(region, [transition])
                yield region

    def _follow(self, region: _Region, transitions: Iterable[Transition]) -> None:
        """Walks all paths from transitions of a branch up to the nearest joins, its own and inner ones."""
        waiting = list(transitions)
        within = self.composites.get(region.fork)
        while waiting:
            transition = waiting.pop()
            if within is not None and transition.target not in within:
                self._leaves(region, transition)
                continue
            if transition.target is None:
                message = (
                    f"The branch {region.first!r} of the fork {region.fork!r} ends at `[*]`: "
                    "it must lead to a join."
                )
                self.faults.add("branch-end", message, transition.place)
                region.goes_wrong = True
                continue
            target = self.states[transition.target]
            if target.kind is Kind.JOIN:
                region.ways_out.append(transition)
            elif target.kind is Kind.FORK:
                self._enter(region, transition, target)
            elif target.name not in region.states:
                region.states.add(target.name)
                if target.name in self.bodies:
                    region.states |= self.bodies[target.name].states
                waiting += target.transitions

    def _leaves(self, region: _Region, transition: Transition) -> None:
        """Notes an edge that leads out of a region of a composite."""
        source, target = transition.source, transition.target or "[*]"
        meant = transition.target or source
        message = (
            f"{source!r} is in a region of {region.fork!r} (it is named there in line "
            f"{self.states[source].place.line}) and leads out of it, to {target!r}. A region ends at its own "
            f"`[*]`; for a failure in it write `{region.fork} --> {meant}: failure` outside."
        )
        self.faults.add("region-exit", message, transition.place)
        region.goes_wrong = True

    def _enter(self, region: _Region, transition: Transition, fork: State) -> None:
        """Takes a fork within a branch, and all between it and its join, into the branch."""
        if fork.name in region.states:
            return
        if fork.name in self._open or len(self._open) > DEEPEST:
            message = (
                f"The branch {region.first!r} of the fork {region.fork!r} leads back to the fork "
                f"{fork.name!r} that it is in: a branch must lead to its join."
                if fork.name in self._open
                else f"Forks are nested more than {DEEPEST} deep."
            )
            self.faults.add("fork-loop", message, transition.place)
            region.goes_wrong = True
            return
        inner = self.read(fork)
        if inner is None:
            region.goes_wrong = True
            return
        region.states.add(fork.name)
        region.states.update(*(branch.states for branch in inner.branches))
        region.inner.append((inner.join, transition))

    def _joins_of(self, branch: _Region) -> set[str]:
        """The joins that a branch reaches, its own and inner ones, and the next behind each inner one."""
        found = {way.target for way in branch.ways_out if way.target is not None}
        found |= {join for join, _ in branch.inner}
        waiting = [way for join, _ in branch.inner for way in self.states[join].transitions]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop().target
            if name is None or name in seen:
                continue
            seen.add(name)
            if self.states[name].kind is Kind.JOIN:
                found.add(name)
            elif self.states[name].kind is Kind.PLAIN:
                waiting += self.states[name].transitions
        return found

    def _go_on_behind_inner(self, branches: list[_Region]) -> None:
        """Follows the branches behind the joins of the forks within them.

        A join that another branch leads to as well is the fork's own.
        """
        own = {way.target for branch in branches for way in branch.ways_out}
        counts = Counter(join for branch in branches for join in self._joins_of(branch))
        own |= {join for join, count in counts.items() if count > 1}
        for branch in branches:
            while branch.inner:
                join, transition = branch.inner.pop()
                if join in own:
                    branch.ways_out.append(replace(transition, target=join))
                elif join not in branch.states:
                    branch.states.add(join)
                    self._follow(branch, self.states[join].transitions)


def _join(fork: State, branches: list[_Region], states: States, faults: _Faults) -> str | None:
    """The one join where the branches meet. Faults are noted if there is not exactly one."""
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


def _check_doors(states: States, initial: str | None, regions: list[_Region], faults: _Faults) -> None:
    """A branch is entered through its fork only."""
    owners: dict[str, _Region] = {}
    """The innermost branch of each state."""
    for region in sorted(regions, key=lambda region: -len(region.states)):
        owners.update(dict.fromkeys(region.states, region))
    if initial in owners:
        assert initial is not None
        message = f"The run begins inside a branch, in {initial!r}: it must begin at the fork or before it."
        faults.add("branch-entry", message, states[initial].place)
    for state in states.values():
        for transition in state.transitions:
            owner = owners.get(transition.target or "")
            if owner is not None and state.name not in owner.states and state.name != owner.fork:
                message = (
                    f"{state.name!r} leads into a branch, to {transition.target!r}: "
                    "a branch is only entered through its fork."
                )
                faults.add("branch-entry", message, transition.place)
