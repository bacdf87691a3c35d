"""The states and transitions of a workflow that its cases reached, and the places of the others.

Above: the command line. Below: workflows, and the stage, which knows where a run came. Those of a
sub-workflow are seen wherever it is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from samovar.errors import Place
from samovar.language.workflow import Transition, Workflow
from samovar.testing.paths import Tree

K = TypeVar("K")
TransitionKey = tuple[str, str | None, str]
"""Its source, its target (None: the end) and its label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of one workflow's own states and transitions in one run."""

    states: frozenset[str] = frozenset()
    transitions: frozenset[TransitionKey] = frozenset()


def seen_of(
    entered: Iterable[str], taken: Iterable[tuple[str, str | None, str]], tree: Tree
) -> dict[object, Seen]:
    """By the identity of each workflow of the tree, what a run has seen of it.

    `entered`: the paths of states; `taken`: of transitions, the paths of their states, and their labels. What
    is below a state of which only the run knew what it runs is not counted.
    """
    states: dict[object, set[str]] = {}
    transitions: dict[object, set[TransitionKey]] = {}
    for path in entered:
        if owner := tree.owner(path):
            states.setdefault(owner[0].identity, set()).add(owner[1])
    for source, target, label in taken:
        if owner := tree.owner(source):
            workflow, name = owner
            above = len(source) - len(name)
            key = (name, None if target is None else target[above:], label)
            transitions.setdefault(workflow.identity, set()).add(key)
    return {
        identity: Seen(states=frozenset(found), transitions=frozenset(transitions.get(identity, ())))
        for identity, found in states.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A state or a transition that no case reaches."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of them were seen."""

    total: int
    missed: tuple[Missed, ...]

    @property
    def covered(self) -> int:
        return self.total - len(self.missed)

    @property
    def percent(self) -> float:
        """0 to 100; of nothing, all."""
        return 100 * self.covered / self.total if self.total else 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The coverage of one workflow."""

    states: Share
    transitions: Share

    @property
    def percent(self) -> float:
        """The lesser of the two."""
        return min(self.states.percent, self.transitions.percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """One workflow, and what the cases of this call have seen of it."""

    workflow: Workflow
    coverage: Coverage
    has_cases: bool
    """It has cases of its own, or a workflow that runs it has some."""


def key_of(transition: Transition) -> TransitionKey:
    return transition.source, transition.target, transition.label


def cover(workflow: Workflow, seen: Iterable[Seen]) -> Coverage:
    """What all those runs together have seen of the workflow."""
    runs = list(seen)
    states: frozenset[str] = frozenset().union(*(one.states for one in runs))
    taken: frozenset[TransitionKey] = frozenset().union(*(one.transitions for one in runs))
    transitions: dict[TransitionKey, Missed] = {}
    for state in workflow.states.values():
        for one in () if state.always_aborts else state.transitions:
            # Of two that are alike only the first is ever taken.
            transitions.setdefault(key_of(one), Missed(name=_name(one), place=one.place))
    ends = {body.exit for body in workflow.bodies.values()}  # no run is ever in one
    return Coverage(
        states=_share(
            {
                name: Missed(name=name, place=one.place)
                for name, one in workflow.states.items()
                if name not in ends
            },
            states,
        ),
        transitions=_share(transitions, taken),
    )


def _share(known: Mapping[K, Missed], seen: frozenset[K]) -> Share:
    missed = [one for key, one in known.items() if key not in seen]
    return Share(total=len(known), missed=tuple(sorted(missed, key=lambda one: one.place.line)))


def _name(transition: Transition) -> str:
    label = f": {transition.label}" if transition.label else ""
    return f"{transition.source} --> {transition.target or '[*]'}{label}"
