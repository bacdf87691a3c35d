"""A diagram as a graph: its states, and the condition of each transition between them.

Above: `reading.py`. Below: `composites.py`, and the values of `workflow.py`. It knows no action.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace

from samovar.errors import Fault, FaultsError, Place, Severity
from samovar.expressions.names import normal
from samovar.language.composites import Taken, exit_of, flatten
from samovar.language.diagram import Diagram, Edge
from samovar.language.labels import Meaning, key_of, plain, read_label, read_old_label
from samovar.language.names import OF_FAILURE
from samovar.language.parsed_action import ParsedAction, always_aborts
from samovar.language.spelling import old_spelling, spellings
from samovar.language.workflow import Body, Fork, Kind, State, Transition, When


@dataclass(frozen=True, slots=True, kw_only=True)
class OldLabels:
    """The diagram is an old file's, whose labels may be prose."""

    known: Container[str]
    """The variables that something in the workflow sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """States, with their transitions in the order they are tried."""

    states: dict[str, State]
    inherited: Mapping[str, tuple[tuple[str, Transition], ...]]
    """By state: the transitions for failures of the composites that it is in, each with its composite."""
    groups: frozenset[str]
    """Composites that only frame some states."""
    composites: Mapping[str, frozenset[str]]
    """By the name of each of the others: the states within it."""
    bodies: Mapping[str, Body]
    """By the name of a composite that repeats its inside for each item of a list."""
    faults: tuple[Fault, ...]


def read_graph(diagram: Diagram, actions: Mapping[str, ParsedAction], old: OldLabels | None = None) -> Graph:
    """The states of a diagram with their actions, which are given by state. `old`: of an old file."""
    labels = _Labels(old)
    repeated, wrong = _repeated(diagram, actions)
    aborting = frozenset(name for name, action in actions.items() if always_aborts(action))
    flat = flatten(diagram, labels.failures_taken, repeated=repeated, aborting=aborting)
    faults = [*wrong, *flat.faults]
    leaving = Counter(edge.source for edge in flat.edges)
    transitions: dict[str, list[Transition]] = {name: [] for name in flat.nodes}
    for edge in flat.edges:
        if edge.source is not None:
            if flat.nodes[edge.source].kind == "fork":
                one = _of_fork(edge, faults, labels)
            else:
                one = _transition(edge, faults, labels, is_only=leaving[edge.source] == 1)
            transitions[edge.source].append(one)
    read: dict[object, Transition] = {
        (one.source, one.place): one for those in transitions.values() for one in those
    }
    inherited = {}
    for name, ways in flat.inherited.items():
        own = ((way.composite, read[way.edge.source, way.edge.label_place]) for way in ways)
        inherited[name] = tuple(
            (composite, _inherited(one, name)) for composite, one in own if _may_fail(one)
        )
    states = {
        name: State(
            name=name,
            description="\n".join(text for text, _ in node.descriptions),
            action=actions.get(name),
            transitions=tuple(transitions[name]),
            place=node.place,
            kind=Kind(node.kind or "plain"),
        )
        for name, node in flat.nodes.items()
    }
    faults += _old_spellings(diagram, states)
    faults += _alike(diagram, "error" if old is None else "warning")
    return Graph(
        states=states,
        inherited=inherited,
        groups=flat.groups,
        composites=flat.composites,
        bodies={
            name: Body(first=first, exit=exit_of(name), states=flat.composites[name] - {name})
            for name, first in flat.firsts.items()
        },
        faults=tuple(faults),
    )


def _repeated(
    diagram: Diagram, actions: Mapping[str, ParsedAction]
) -> tuple[frozenset[str], tuple[Fault, ...]]:
    """The composites whose inside is performed for each item of a list, and what cannot be one."""
    found: set[str] = set()
    faults: list[Fault] = []
    for name, action in actions.items():
        node = diagram.nodes.get(name)
        if not action.repeats_inside or node is None:
            continue
        if not node.regions:
            message = (
                f"{name!r} is not a composite state, so there is nothing inside it to do for each item: draw "
                f"`state {name} {{ … }}`, or write the action itself here, as in "
                'Prompt "…" for each x in xs.'
            )
        elif node.regions > 1:
            message = (
                f"{name!r} has regions, which cannot be performed for each item directly: put them into a "
                "composite inside it."
            )
        else:
            found.add(name)
            continue
        faults.append(_fault("item-composite", message, action.place, "error"))
    return frozenset(found), tuple(faults)


def _old_spellings(diagram: Diagram, states: Mapping[str, State]) -> Iterator[Fault]:
    """Hints, of labels and within conditions. Conditions of composites are those of states within them."""
    for edge in diagram.edges:
        is_fork = edge.source is not None and diagram.nodes[edge.source].kind == "fork"
        when = None if is_fork else plain(edge.label)
        if when is not None and key_of(edge.label).startswith("on"):
            yield old_spelling(edge.label_place, edge.label, str(when))
    found: dict[Fault, None] = {}
    for state in states.values():
        for transition in state.transitions:
            if transition.condition is not None:
                found.update(dict.fromkeys(spellings(transition.condition)))
    yield from found


def _alike(diagram: Diagram, severity: Severity) -> Iterator[Fault]:
    """States that look like one, since their names differ only in Unicode form."""
    first: dict[str, str] = {}
    for name, node in diagram.nodes.items():
        if first.setdefault(normal(name), name) != name:
            message = (
                f"The diagram has two states that look like {name!r}: their names differ in Unicode form. "
                f"Replace "
                "one by a copy of the other."
            )
            yield _fault("unicode-form", message, node.place, severity)


def with_inherited(graph: Graph, forks: Mapping[str, Fork]) -> Graph:
    """With what states have from their composites. It is for states that act, and for joins.

    A branch of a fork is not left past its join: a state takes what belongs to a composite in its branch.
    """
    owners: dict[str, str] = {}
    branches = [(fork.name, branch) for fork in forks.values() for branch in fork.branches]
    for fork, branch in sorted(branches, key=lambda one: -len(one[1].states)):
        owners.update(dict.fromkeys(branch.states, f"{fork} {branch.first}"))
    states = dict(graph.states)
    for name, ways in graph.inherited.items():
        state = states[name]
        if state.action is not None or state.kind is Kind.JOIN:
            more = (one for composite, one in ways if owners.get(name) == owners.get(composite))
            states[name] = replace(state, transitions=(*state.transitions, *more))
    return replace(graph, states=states)


def _fault(code: str, message: str, place: Place, severity: Severity = "warning") -> Fault:
    return Fault(code=code, message=message, place=place, severity=severity)


def _of_fork(edge: Edge, faults: list[Fault], labels: _Labels) -> Transition:
    """The edge starts its branch always, by default, or if its condition is true; in old files always."""
    if not labels.are_old:
        one = _transition(edge, faults, labels, is_only=False)
        if one.when in (When.SUCCESS, When.FAILURE):
            message = (
                f"The label {edge.label[:40]!r} does not start a branch of a fork: remove it, or write a "
                "condition, or `default`."
            )
            faults.append(_fault("fork-label", message, edge.label_place, "error"))
        return one
    if edge.label.strip():
        message = f"In an old file a fork starts every branch, so the label {edge.label[:40]!r} is ignored."
        faults.append(_fault("fork-label", message, edge.label_place))
    return _as_read(edge, Meaning(when=When.ALWAYS, is_passed_over=True))


def _transition(edge: Edge, faults: list[Fault], labels: _Labels, *, is_only: bool) -> Transition:
    try:
        return _as_read(edge, labels.read(edge, is_only=is_only))
    except FaultsError as error:
        faults += error.faults
        return _as_read(edge, Meaning(when=When.CONDITION))


def _as_read(edge: Edge, meaning: Meaning) -> Transition:
    assert edge.source is not None
    return Transition(
        source=edge.source,
        target=edge.target,
        label="" if meaning.is_passed_over else edge.label,
        when=meaning.when,
        condition=meaning.condition,
        place=edge.label_place,
    )


def _inherited(transition: Transition, state: str) -> Transition:
    """For a state within the composite: `always` leaves that if a failure does, not before its end."""
    when = When.FAILURE if transition.when is When.ALWAYS else transition.when
    return replace(transition, source=state, when=when, is_inherited=True)


def _may_fail(transition: Transition) -> bool:
    """Whether it is for failures, as far as its condition is read."""
    condition = transition.condition
    return transition.when is not When.CONDITION or (
        condition is not None and bool(condition.names & OF_FAILURE)
    )


class _Labels:
    """How the labels of one diagram are read."""

    def __init__(self, old: OldLabels | None) -> None:
        self._old = old

    @property
    def are_old(self) -> bool:
        """They are an old file's."""
        return self._old is not None

    def read(self, edge: Edge, *, is_only: bool) -> Meaning:
        """Raises `FaultsError` for a label that means nothing."""
        if self._old is None:
            return read_label(edge.label, edge.label_place)
        return read_old_label(edge.label, edge.label_place, is_only=is_only, known=self._old.known)

    def failures_taken(self, label: str) -> Taken:
        """Whether a transition with this label is taken after a failure."""
        try:
            meaning = self.read(_unplaced(label), is_only=False)
        except FaultsError:
            meaning = Meaning(when=When.CONDITION)
        when = meaning.when
        if when is When.FAILURE or (when is When.ALWAYS and label.strip()):
            return Taken.SURELY
        if when is When.CONDITION and any(name in label for name in OF_FAILURE):
            return Taken.PERHAPS
        return Taken.NEVER


def _unplaced(label: str) -> Edge:
    nowhere = Place(path=None, line=1)
    return Edge(source=None, target=None, label=label, place=nowhere, label_place=nowhere)


def doubtful_shape(graph: Graph, initial: str, at_end: str | None = None) -> Iterator[Fault]:
    """States that no path leads to, or nothing leads out of; and whether the end can be reached. Warnings.

    `at_end`: the state that is performed at every ending.
    """
    states = graph.states
    reached, waiting = {initial}, [initial]
    while waiting:
        name = waiting.pop()
        targets = [one.target for one in states[name].transitions]
        targets += [graph.bodies[name].first] if name in graph.bodies else []
        for target in targets:
            if target is not None and target not in reached:
                reached.add(target)
                waiting.append(target)
    exits = {exit_of(name): name for name in graph.groups}
    ends_of_items = {body.exit for body in graph.bodies.values()}
    for name, state in states.items():
        if name not in reached:
            if name == at_end or name in exits or (name in graph.groups and state.action is None):
                continue
            yield _fault("unreachable", f"No path leads to the state {name!r}.", state.place)
        elif not (
            state.transitions or state.always_aborts or state.kind is Kind.FORK or name in ends_of_items
        ):
            shown = name.removesuffix(exit_of(""))
            message = (
                f"Nothing leads out of the state {shown!r}, so a run gets stuck there: add `{shown} --> [*]`."
            )
            yield _fault("no-exit", message, state.place)
    if not any(transition.target is None for name in reached for transition in states[name].transitions):
        message = "No path leads to the end: add `LastState --> [*]`."
        yield _fault("no-end", message, states[initial].place)
