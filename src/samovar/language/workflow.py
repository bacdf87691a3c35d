"""A workflow: a parsed file, as frozen values that know their lines.

Above: `library.py` finds and checks it, the runner runs it. Below: `mermaid.py`, `markdown.py`,
`parameters.py`, `prompt.py`, `expression.py`; how an action is read is passed in. Nothing here runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from samovar.errors import Fault, Place
from samovar.language.expression import Expression
from samovar.language.parameters import Parameter
from samovar.language.prompt import Prompt


class ParsedAction(Protocol):
    """What the workflow knows of an action; the contract is in `actions/base.py`."""

    verb: ClassVar[str]
    place: Place

    @property
    def names(self) -> frozenset[str]:
        """The variables it reads."""
        ...

    @property
    def sets(self) -> frozenset[str]:
        """The variables it sets, besides `result` and its like."""
        ...


ParseAction = Callable[[str, Place], ParsedAction]
"""Reads an action's text; raises `FaultsError` (`unknown-action` where its first word is no verb)."""


OLD_CONTEXT = frozenset(("working_directory", "cwd", "model"))
"""Variables that each workflow of the older system had from the start."""
OLD_NAMES = OLD_CONTEXT | frozenset(("last_action_result", "claude_response", "duration_ms", "error_context"))
"""Those, and what its actions left behind. They are there where a file reads them."""


class When(StrEnum):
    """When a transition is taken."""

    ALWAYS = "always"
    DEFAULT = "default"
    """When no other is."""
    SUCCESS = "success"
    FAILURE = "failure"
    CONDITION = "condition"


FAILURE_NAMES = frozenset(("success", "failure", "is_error", "error", "last_action_result"))
"""A condition that reads one of them counts after a failure too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An edge of the diagram."""

    source: str
    target: str | None
    """None is the end."""
    label: str
    when: When
    condition: Expression | None
    """Of `When.CONDITION` only."""
    place: Place
    is_inherited: bool = False
    """Of a composite around its state: it is for failures only."""


class Kind(StrEnum):
    """What a state is in the diagram."""

    PLAIN = "plain"
    FORK = "fork"
    """Starts a branch along each of its transitions."""
    JOIN = "join"
    """Where the branches of a fork meet; without one it is a plain state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A state and what it does."""

    name: str
    description: str
    action: ParsedAction | None
    """None passes through."""
    transitions: tuple[Transition, ...]
    """In the order they are tried: that of the file."""
    place: Place
    kind: Kind = Kind.PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """What one transition of a fork starts."""

    first: str
    """The state it begins with, by which it is known."""
    states: frozenset[str]
    """All it can come through before the join."""
    transition: Transition
    """From the fork to its first state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """A fork and the join where all its branches meet."""

    name: str
    join: str
    branches: tuple[Branch, ...]
    """At least one, in the order of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may use at most. None is no limit."""

    transitions: int = 1000
    duration_s: float | None = None
    tokens: int | None = None
    """Generated tokens."""
    depth: int = 16
    """Sub-workflows within each other."""
    prompt_timeout_s: float | None = None
    """Of prompts that set none: no token for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A parsed file."""

    name: str
    path: Path | None
    title: str | None = None
    description: str | None = None
    parameters: tuple[Parameter, ...] = ()
    model: str | None = None
    """The default of its prompts; None leaves it to the executor."""
    model_place: Place | None = None
    system: str | None = None
    """A template: the default system prompt."""
    seed: int | None = None
    on_error: Literal["fail", "continue"] = "fail"
    limits: Limits = field(default_factory=Limits)
    choice_states_act: bool = True
    initial: str
    states: Mapping[str, State]
    forks: Mapping[str, Fork] = field(default_factory=dict)
    """By the name of the fork's state."""
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    """Its own."""
    diagram: str
    """The Mermaid text."""
    warnings: tuple[Fault, ...] = ()
    old_names: frozenset[str] = frozenset()
    """Those of `OLD_NAMES` that stand in its file."""
    unread: frozenset[str] = frozenset()
    """What may be names of variables, in actions that could not be read."""
