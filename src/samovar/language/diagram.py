"""A state diagram, as values: states and edges, each with its place and its scope.

Above: `mermaid.py` and `statements.py` read one; `composites.py` and `graph.py` give it its meaning. It
imports only errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from samovar.errors import Fault, Place

END = "[*]"
Kind = Literal["", "fork", "join"]
"""What a state is, besides a state. `<<choice>>` and `<<end>>` change nothing."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The inside of a composite state, or one of its concurrent regions."""

    composite: str
    region: int
    """From 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A state of the diagram."""

    id: str
    place: Place
    """Place of its first mention."""
    kind: Kind = ""
    scope: Scope | None = None
    """The innermost that mentions it; None is the diagram itself."""
    depth: int = 0
    """Depth of the scope."""
    regions: int = 0
    """Regions of a composite: 1, or one for each that `--` parts. 0: the state is none."""
    descriptions: list[tuple[str, Place]] = field(default_factory=list)
    """Filled while the diagram is read. Each `X : text`, and the text of `state "text" as X`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`source --> target : label`. None is the `[*]` of its scope."""

    source: str | None
    target: str | None
    label: str
    """Empty if there is none."""
    place: Place
    label_place: Place
    scope: Scope | None = None


class Mention(NamedTuple):
    """Where a state is named in a diagram's text."""

    name: str
    place: Place
    chars: int
    """That the name takes there, the blanks within it as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagram:
    """What a state diagram says."""

    nodes: dict[str, Node]
    edges: tuple[Edge, ...]
    faults: tuple[Fault, ...]
    """Errors: with one, what else is known of the diagram may be incomplete."""
    hints: tuple[Fault, ...] = ()
    """What Mermaid refuses or reads otherwise, and what has no meaning here."""
    mentions: tuple[Mention, ...] = ()
    """Every one, in no order."""
    breaks: tuple[Place, ...] = ()
    """Each `;` between two statements."""
    place: Place
