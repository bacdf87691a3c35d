"""Turns composite states and their concurrent regions into plain states, edges, forks and joins.

Above: `graph.py`. Below: the values of `diagram.py`. Entering a composite leads to the start within it; its
inner `[*]` is a state of its own, named after it, from which its outgoing edges lead. Regions are the
branches of a fork. It knows no action and runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from samovar.errors import Fault, Place
from samovar.language.diagram import END, Diagram, Edge, Node, Scope


class Taken(Enum):
    """Whether an edge is taken after a failure, by its label."""

    NEVER = "never"
    PERHAPS = "perhaps"
    """Its condition decides."""
    SURELY = "surely"


class Way(NamedTuple):
    """A way out of a composite for the failures of the states within it."""

    composite: str
    edge: Edge
    """As it leads from the composite's exit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flat:
    """A diagram without scopes."""

    nodes: dict[str, Node]
    edges: tuple[Edge, ...]
    inherited: dict[str, tuple[Way, ...]]
    """By state: the failure edges of the composites that it is in."""
    firsts: dict[str, str]
    """By the name of a composite that repeats its inside: the state that begins it."""
    groups: frozenset[str]
    """Composites that no edge leads to: they only frame some states."""
    composites: dict[str, frozenset[str]]
    """By the name of each of the others: the states within it, at any depth, its own two ends included."""
    faults: tuple[Fault, ...]


def exit_of(composite: str) -> str:
    """The name of the state that a composite's inner `[*]` is."""
    return f"{composite} {END}"


def flatten(
    diagram: Diagram,
    failures_taken: Callable[[str], Taken],
    *,
    repeated: frozenset[str] = frozenset(),
    aborting: frozenset[str] = frozenset(),
) -> Flat:
    """The same diagram without scopes. `failures_taken` says what a label means.

    `repeated`: composites whose inside is performed for each item of a list: no edge leads into it or out.
    `aborting`: states that end the run, so that nothing needs to lead out of them.
    """
    if not any(node.regions for node in diagram.nodes.values()):
        return Flat(
            nodes=diagram.nodes,
            edges=diagram.edges,
            inherited={},
            firsts={},
            groups=frozenset(),
            composites={},
            faults=(),
        )
    return _Flattening(diagram, failures_taken, repeated, aborting).flat()


class _Flattening:
    """One flattening: finds what each scope has, then rewrites the edges."""

    def __init__(
        self,
        diagram: Diagram,
        failures_taken: Callable[[str], Taken],
        repeated: frozenset[str],
        aborting: frozenset[str],
    ) -> None:
        self.diagram, self.failures_taken = diagram, failures_taken
        self.repeated, self.aborting = repeated, aborting
        self.faults: list[Fault] = []
        self.firsts: dict[str, str] = {}
        self.members: dict[Scope, list[Node]] = {}
        for node in diagram.nodes.values():
            if node.scope is not None:
                self.members.setdefault(node.scope, []).append(node)
        self.scopes: dict[str, list[Scope]] = {}
        """By composite: its regions that have something in them."""
        inside = [*self.members, *(edge.scope for edge in diagram.edges if edge.scope is not None)]
        for scope in sorted(set(inside), key=lambda scope: scope.region):
            self.scopes.setdefault(scope.composite, []).append(scope)
        self.outgoing: dict[str, list[Edge]] = {}
        for edge in diagram.edges:
            if edge.source is not None:
                self.outgoing.setdefault(edge.source, []).append(edge)
        self.entered = {edge.target for edge in diagram.edges if edge.target in self.scopes} | repeated

    def flat(self) -> Flat:
        self._check_borders()
        edges = [*self._rewritten(), *self._implied_starts(), *self._implied_ends()]
        exits = dict.fromkeys(edge.source for edge in edges if edge.source not in self.diagram.nodes)
        exits |= dict.fromkeys(edge.target for edge in edges if edge.target not in self.diagram.nodes)
        exits |= dict.fromkeys(map(exit_of, self.repeated))
        nodes: dict[str, Node] = {}
        for name, node in self.diagram.nodes.items():
            is_fork = len(self.scopes.get(name, ())) > 1 and name in self.entered - self.repeated
            nodes[name] = replace(node, kind="fork") if is_fork else node
            if (way_out := exit_of(name)) in exits:
                nodes[way_out] = Node(id=way_out, place=node.place, kind="join" if is_fork else "")
        return Flat(
            nodes=nodes,
            edges=tuple(edges),
            inherited={name: ways for name in nodes if (ways := self._inherited(name))},
            firsts=self.firsts,
            groups=frozenset(name for name in self.scopes if name not in self.entered),
            composites=self._composites(nodes),
            faults=tuple(self.faults),
        )

    def _composites(self, nodes: dict[str, Node]) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {name: {name, exit_of(name)} for name in self.scopes}
        for name, node in self.diagram.nodes.items():
            names = {name, exit_of(name)} if name in self.scopes else {name}
            around = _composite_of(node)
            while around is not None:
                found[around] |= names
                around = _composite_of(self.diagram.nodes[around])
        return {
            name: frozenset(states & nodes.keys()) for name, states in found.items() if name in self.entered
        }

    def _warn(self, code: str, message: str, place: Place) -> None:
        self.faults.append(Fault(code=code, message=message, place=place, severity="warning"))

    def _check_borders(self) -> None:
        """No edge leads into what is repeated for each item, or out of it."""
        for edge in self.diagram.edges if self.repeated else ():
            ends = [None if name is None else self.diagram.nodes[name] for name in (edge.source, edge.target)]
            one, other = (
                frozenset(self._around(edge.scope if node is None else node.scope)) & self.repeated
                for node in ends
            )
            for composite in sorted(one ^ other):
                self._border(edge, composite)

    def _border(self, edge: Edge, composite: str) -> None:
        """Notes an edge over the border of what is repeated."""
        nodes = [self.diagram.nodes[name] for name in (edge.source, edge.target) if name is not None]
        inner = next((node for node in nodes if composite in self._around(node.scope)), None)
        named = f" ({inner.id!r} is named within it in line {inner.place.line})" if inner else ""
        message = (
            f"This edge crosses the border of {composite!r}, whose inside is performed for each item{named}. "
            f"An item begins at the inner `[*]` and ends there. A failure that nothing inside takes "
            f"becomes a failure of the composite: `{composite} --> …: failure`."
        )
        self.faults.append(Fault(code="item-border", message=message, place=edge.place))

    def _around(self, scope: Scope | None) -> Iterator[str]:
        """The composites that a scope is in, the innermost first."""
        while scope is not None:
            yield scope.composite
            scope = self.diagram.nodes[scope.composite].scope

    def _rewritten(self) -> Iterator[Edge]:
        """The diagram's own edges, in their order."""
        started: set[Scope] = set()
        for edge in self.diagram.edges:
            source, target, scope = edge.source, edge.target, edge.scope
            if source is None and scope is not None:
                if scope in started:
                    message = f"Only the first `[*] -->` is the start of {scope.composite!r}."
                    self._warn("two-starts", message, edge.place)
                    continue
                started.add(scope)
                source = scope.composite
                if source in self.repeated:
                    if edge.target is not None:
                        self.firsts[source] = edge.target
                    continue
            elif source in self.scopes and source not in self.repeated:
                source = exit_of(source)
            if target is None and scope is not None:
                target = exit_of(scope.composite)
            yield replace(edge, source=source, target=target, scope=None)

    def _implied_starts(self) -> Iterator[Edge]:
        """A region that is entered and has no `[*] -->` begins with its first state."""
        started = {edge.scope for edge in self.diagram.edges if edge.source is None}
        for composite, scopes in self.scopes.items():
            for scope in scopes if composite in self.entered else ():
                members = self.members.get(scope)
                if scope in started or not members:
                    continue
                first = members[0]
                self._warn(
                    "no-start",
                    f"The inside of {composite!r} has no start, so its first state is used: "
                    f"add `[*] --> {first.id}` there.",
                    first.place,
                )
                if composite in self.repeated:
                    self.firsts[composite] = first.id
                else:
                    yield _edge(composite, first.id, first.place)

    def _implied_ends(self) -> Iterator[Edge]:
        """A state within a composite that nothing leads out of ends the composite."""
        for composite, scopes in self.scopes.items():
            leads_on = composite in self.outgoing or self.diagram.nodes[composite].scope is not None
            leads_on = leads_on or composite in self.repeated
            if composite not in self.entered or not (leads_on or len(scopes) > 1):
                continue
            for node in (node for scope in scopes for node in self.members.get(scope, ())):
                if node.id in self.outgoing or node.kind == "fork":
                    continue
                if node.id not in self.aborting:
                    self._warn(
                        "no-exit",
                        f"Nothing leads out of {node.id!r}, so it ends its composite {composite!r}: "
                        f"add `{node.id} --> [*]` there.",
                        node.place,
                    )
                is_passed = node.id in self.scopes and node.id not in self.repeated
                source = exit_of(node.id) if is_passed else node.id
                yield _edge(source, exit_of(composite), node.place)

    def _inherited(self, name: str) -> tuple[Way, ...]:
        """The failure edges of the composites around a state, from the innermost on to one that is sure.

        Those of a composite with regions are taken behind its join, and so by no state within it.
        """
        node = self.diagram.nodes.get(name)
        if node is None:  # the exit of a composite: its join, if it has regions
            name = name.removesuffix(exit_of(""))
            composite = _composite_of(self.diagram.nodes[name])
            own = self.outgoing.get(name, [])
        else:
            begins = name in self.scopes and name not in self.repeated
            composite = name if begins else _composite_of(node)
            own = [] if begins else self.outgoing.get(name, [])
        ways: list[Way] = []
        taken = {self.failures_taken(edge.label) for edge in own}
        while (
            Taken.SURELY not in taken
            and composite is not None
            and composite not in self.repeated
            and len(self.scopes[composite]) == 1
        ):
            for edge in self.outgoing.get(composite, ()):
                if (one := self.failures_taken(edge.label)) is not Taken.NEVER:
                    taken.add(one)
                    ways.append(Way(composite, replace(edge, source=exit_of(composite), scope=None)))
            composite = _composite_of(self.diagram.nodes[composite])
        return tuple(ways)


def _composite_of(node: Node) -> str | None:
    return node.scope.composite if node.scope is not None else None


def _edge(source: str, target: str, place: Place) -> Edge:
    return Edge(source=source, target=target, label="", place=place, label_place=place)
