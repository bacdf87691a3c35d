"""A workflow: a parsed file, as frozen values that know their lines.

Above: `library.py` finds and checks it, the runner runs it. Below: `parsed_action.py`, `parameters.py`,
`prompt.py`, `template.py`, `expression.py`; how an action is read is passed in. Nothing here runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

from samovar.errors import Fault, Place
from samovar.expressions.expression import Expression
from samovar.language.model_names import ModelName, Named
from samovar.language.names import ALWAYS_THERE, BRANCHES, OF_COMMAND, OF_COMMAND_FAILURE, OF_FAILURE
from samovar.language.parameters import Parameter
from samovar.language.parsed_action import ParsedAction, always_aborts
from samovar.language.prompt import Prompt
from samovar.language.returning import ReturnedValues
from samovar.language.schemas import Schema
from samovar.language.template import Template


class When(StrEnum):
    """When a transition is taken."""

    ALWAYS = "always"
    DEFAULT = "default"
    """When no other is."""
    SUCCESS = "success"
    FAILURE = "failure"
    CONDITION = "condition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An edge of the diagram."""

    source: str
    target: str | None
    """None is the end."""
    label: str
    when: When
    condition: Expression | None
    """Only for `When.CONDITION`."""
    place: Place
    is_inherited: bool = False
    """It comes from a composite around its state, and is for failures only."""

    @property
    def is_written_always(self) -> bool:
        """It has the label `always`, and so is meant to be taken whatever happened."""
        return self.when is When.ALWAYS and bool(self.label.strip())

    def takes_failure(self, state: State) -> bool:
        """Whether it is meant for a failure of the state that it leaves: by its label or its condition."""
        if self.when is When.CONDITION:
            return self.condition is not None and bool(self.condition.names & state.of_failure)
        return self.when is When.FAILURE


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

    @property
    def actions(self) -> tuple[ParsedAction, ...]:
        """All that it can do, whichever way the tags around its action go."""
        return self.action.variants if self.action is not None else ()

    @property
    def always_aborts(self) -> bool:
        """Whatever happens, the run ends here, so that no transition out of it is ever taken."""
        return self.action is not None and always_aborts(self.action)

    @property
    def of_failure(self) -> frozenset[str]:
        """The variables of which a condition must read one to count after the state's failure."""
        runs_command = self.action is not None and self.action.runs_command
        return OF_COMMAND_FAILURE if runs_command else OF_FAILURE


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
class Needed:
    """How many branches have to reach a join, as `Join first` and `Join 2` say."""

    count: int
    """At least 1."""
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """A fork and the join where all its branches meet."""

    name: str
    join: str
    branches: tuple[Branch, ...]
    """At least one, in the order of the file."""
    needed: Needed | None = None
    """As many have to reach the join, which cancels the others; None: all that were started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The inner diagram of a composite, which is performed for each item of a list."""

    first: str
    """The state it begins with."""
    exit: str
    """The state that its inner `[*]` is."""
    states: frozenset[str]
    """All within it, at any depth, its exit included and the composite itself not."""


MOST_TRANSITIONS = 1000
"""Default limit of a run's transitions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may use at most. None means no limit."""

    transitions: int | None = None
    """None: `MOST_TRANSITIONS`, or in a sub-workflow as many as the run may take."""
    duration_s: float | None = None
    tokens: int | None = None
    """Generated tokens."""
    depth: int = 16
    """Sub-workflows within each other."""
    prompt_timeout_s: float | None = None
    """Seconds without a token, for prompts that set no limit."""
    items: int | None = None
    """Of one list that something is done for each of; None: as the setting `most_items` says."""
    tool_rounds: int | None = None
    """How often one prompt may ask for tools; None: as `actions/tools.py` says."""
    tool_calls: int | None = None
    """Calls of tools."""
    cost: float | None = None
    """Of all prompts, in the currency of the executors' prices."""


def items_of(state: State, action: ParsedAction, around: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The variables of items that an action can read, which may be what its state performs for each.

    `around`: as `Workflow.items_around` says.
    """
    own = (one.item_names for one in state.actions if one.each is action)
    return around.get(state.name, frozenset()).union(*own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A parsed file."""

    name: str
    path: Path | None
    title: str | None = None
    description: str | None = None
    parameters: tuple[Parameter, ...] = ()
    model: ModelName | None = None
    """The default of its prompts; None leaves it to anyone who runs it."""
    executor: Named | None = None
    """The executor that answers its prompts; None leaves it to whoever runs it."""
    tools: Named | None = None
    """Those of its prompts that name none themselves."""
    system: Template | None = None
    """The default system prompt."""
    seed: int | None = None
    on_error: Literal["fail", "continue"] = "fail"
    limits: Limits = field(default_factory=Limits)
    choice_states_act: bool = True
    returns: ReturnedValues | None = None
    """What a run of it gives; None: `result`, or its last answer, and as a sub-workflow all its variables."""
    exposed: Place | None = None
    """Where it says that other programs may use it as a tool; None: they may not."""
    initial: str
    at_end: str | None = None
    """The state whose action is performed at every ending; no transition leads to it."""
    states: Mapping[str, State]
    forks: Mapping[str, Fork] = field(default_factory=dict)
    """By the name of the fork's state."""
    composites: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By the name of a composite that can be entered: its states, those at its beginning and end included."""
    bodies: Mapping[str, Body] = field(default_factory=dict)
    """By the name of a composite whose inner diagram is performed for each item of a list."""
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    """Its own."""
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    """Its own, by name."""
    diagram: str
    """The Mermaid text."""
    warnings: tuple[Fault, ...] = ()
    is_old: bool = False
    """It is read as a file of the older system, by its place or since its front matter says so."""
    is_lenient: bool = False
    """It was read with text that is not an action as a warning; the workflows it runs are read so too."""
    old_names: frozenset[str] = frozenset()
    """Which of the older system's variables its file reads."""
    unread: frozenset[str] = frozenset()
    """What may be names of variables, in actions that could not be read."""
    digest: str = field(default="", repr=False, compare=False)
    """Digest of its file's text, as read; empty for one of no file."""
    source: str = field(default="", repr=False, compare=False)
    """The text itself."""

    def whole(self, state: str) -> frozenset[str]:
        """All states of the composite that begins with this one; else the state alone."""
        return self.composites.get(state) or frozenset((state,))

    @property
    def identity(self) -> object:
        """What is the same for every reading of one file."""
        return self.path.resolve() if self.path else self.name

    @property
    def folder(self) -> Path | None:
        """The folder of its file, in which the files that it names are looked for first."""
        return self.path.parent if self.path else None

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Its secret parameters, in the order of the file."""
        return tuple(parameter.name for parameter in self.parameters if parameter.secret)

    @property
    def sets(self) -> frozenset[str]:
        """The variables that its actions set."""
        return frozenset[str]().union(*(action.sets for _, action in self.actions()))

    @property
    def known_names(self) -> frozenset[str]:
        """The variables that something in it may set, or that are always there."""
        names = ALWAYS_THERE | {parameter.name for parameter in self.parameters} | self.unread
        names |= frozenset(OF_COMMAND) if any(one.runs_command for _, one in self.actions()) else frozenset()
        names |= {BRANCHES} if self.forks else frozenset()
        return names | self.sets

    def items_around(self) -> Mapping[str, frozenset[str]]:
        """By state, the variables of items that can be read there since it is within a `For each`."""
        found: dict[str, frozenset[str]] = {}
        for name, body in self.bodies.items():
            action = self.states[name].action
            names = action.item_names if action is not None else frozenset[str]()
            for state in body.states:
                found[state] = found.get(state, frozenset()) | names
        return found

    def actions(self) -> Iterator[tuple[State, ParsedAction]]:
        """Everything that its states can do, in the order of the file."""
        return ((state, action) for state in self.states.values() for action in state.actions)

    def conditions(self) -> Iterator[tuple[State, Expression]]:
        """Those of its transitions, in the order of the file."""
        for state in self.states.values():
            yield from ((state, one.condition) for one in state.transitions if one.condition is not None)
