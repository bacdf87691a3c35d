"""What a workflow will do, as far as it is known before the run: nothing is asked, run or waited for.

Above: `outlook.py`, which counts tokens, and the command line. Below: `filling.py`, the library and the
actions. A value that only a run can know is shown as it is written (`${summary}`); all else is filled as in a
run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from samovar.actions.abort import Abort
from samovar.actions.base import Action, PromptDefaults
from samovar.actions.conditional import Conditional
from samovar.actions.log import Log
from samovar.actions.options import Using
from samovar.actions.prompt import ExecutePrompt, beside, system_template
from samovar.actions.scanner import Pair
from samovar.actions.workflow import RunWorkflow
from samovar.errors import Place, SamovarError
from samovar.generation import Options, Role
from samovar.language.parameters import bind
from samovar.language.prompt import Prompt
from samovar.language.workflow import State, Workflow
from samovar.library import Library
from samovar.running.filling import Later, Open, Part, fill, fill_prompt, shown
from samovar.running.frame import first_variables


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePreview:
    """One message of a prompt."""

    role: Role
    parts: tuple[Part, ...]

    def text(self, opened: Callable[[str], str] = str) -> str:
        """The text; `opened` gives what stands for an open piece, by default its source."""
        return "".join(part if isinstance(part, str) else opened(part.source) for part in self.parts)

    @property
    def is_open(self) -> bool:
        return any(isinstance(part, Open) for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPreview:
    """A prompt as it would be sent."""

    messages: tuple[MessagePreview, ...]
    model: str | None = None
    """A reference; None is the executor's default."""
    options: Options = field(default_factory=Options)
    """Those that are known; of the others the defaults."""
    session: str | None = None
    fork: str | None = None
    open_options: Mapping[str, str] = field(default_factory=dict)
    """Options that only the run knows, as they are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePreview:
    """A state that acts."""

    name: str
    verb: str
    place: Place
    """Of its action."""
    what: str
    """What it does, filled as far as it is known."""
    prompt: PromptPreview | None = None
    error: SamovarError | None = None
    """Why the action would fail whatever the run brings."""


# Workflows ---------------------------------------------------------------------------------------------


MOST_STATES = 10_000
"""Of all workflows that are entered together; a state that runs another is entered no more after so many."""


def preview(
    workflow: Workflow,
    variables: Mapping[str, object],
    library: Library,
    defaults: PromptDefaults,
    surroundings: Mapping[str, object] | None = None,
) -> tuple[StatePreview, ...]:
    """Every state that acts, in the order of the diagram; behind one that runs a workflow, those of that.

    `variables`: those bound before the run; `surroundings`: what prompts may read besides.
    """
    return tuple(_Walk(library, surroundings or {}).states(_Call(workflow, variables, {}, defaults)))


@dataclass(frozen=True, slots=True)
class _Call:
    """A workflow as it is run."""

    workflow: Workflow
    variables: Mapping[str, object]
    held: Later
    """What it is given that only the run knows."""
    defaults: PromptDefaults
    prefix: str = ""
    """Of the paths of its states."""
    chain: tuple[object, ...] = ()
    """The workflows above it."""


class _Walk:
    """One way through a workflow and those it runs. Mutable: how many states were seen."""

    def __init__(self, library: Library, surroundings: Mapping[str, object]) -> None:
        self._library, self._surroundings = library, surroundings
        self._states = 0

    def states(self, call: _Call) -> Iterator[StatePreview]:
        before = _Before(call.workflow)
        values = {**self._surroundings, **first_variables(call.variables)}
        for state in call.workflow.states.values():
            if not isinstance(state.action, Action):
                continue
            self._states += 1
            later = {**call.held, **before.later(state)} if call.held else before.later(state)
            inner = None
            try:
                action, there = _decided(state.action, values, later)
                one = _state(state, action, call, there, later, self._library)
                if isinstance(action, RunWorkflow):
                    inner = self._enter(state, action, call, there, later)
            except SamovarError as error:
                one = _preview_of(state, state.action, call, state.action.what, error=error)
            yield one
            if inner is not None and self._states < MOST_STATES:
                yield from self.states(inner)

    def _enter(
        self, state: State, action: RunWorkflow, call: _Call, values: Mapping[str, object], later: Later
    ) -> _Call | None:
        """The workflow that a state runs; None where only the run knows it, or where it would be a circle."""
        if action.name.names & later.keys():
            return None
        above = call.workflow.path
        child = self._library.workflow(action.name.text(values), beside=above.parent if above else None)
        chain = (*call.chain, call.workflow.path or call.workflow.name)
        if (child.path or child.name) in chain:
            return None
        given, held = _split(action.given, values, later)
        known = [parameter for parameter in child.parameters if parameter.name not in held]
        return _Call(
            workflow=child,
            variables=bind(known, given),
            held=held,
            defaults=call.defaults.below(model=child.model, seed=child.seed),
            prefix=f"{call.prefix}{state.name}/",
            chain=chain,
        )


class _Before:
    """Which variables something may have set before a state is entered."""

    def __init__(self, workflow: Workflow) -> None:
        self._names: list[str] = []
        self._later: dict[int, Later] = {}
        always = (
            "result",
            "success",
            "failure",
            "is_error",
            "error",
            *(["branches"] if workflow.forks else []),
        )
        numbers: dict[str, int] = {}
        own: dict[str, int] = {}
        for state in workflow.states.values():
            names = (*always, *state.action.sets) if isinstance(state.action, Action) else ()
            own[state.name] = sum(1 << numbers.setdefault(name, len(numbers)) for name in {*names})
        self._names = list(numbers)
        self._before = dict.fromkeys(workflow.states, 0)
        waiting = deque(workflow.states)
        while waiting:
            name = waiting.popleft()
            after = self._before[name] | own[name]
            for transition in workflow.states[name].transitions:
                target = transition.target
                if target is not None and self._before[target] | after != self._before[target]:
                    self._before[target] |= after
                    waiting.append(target)

    def later(self, state: State) -> Later:
        """What only the run knows where the state is entered."""
        bits = self._before[state.name]
        if bits not in self._later:
            names = (name for number, name in enumerate(self._names) if bits >> number & 1)
            self._later[bits] = {name: f"${{{name}}}" for name in names}
        return self._later[bits]


def _decided(
    action: Action, values: Mapping[str, object], later: Later
) -> tuple[Action, Mapping[str, object]]:
    """What an action with tags around its parts is, where that is known, and the values it is filled with."""
    if isinstance(action, Conditional) and not action.names & later.keys():
        return action.become(values) or (action, values)
    return action, values


def _state(
    state: State, action: Action, call: _Call, values: Mapping[str, object], later: Later, library: Library
) -> StatePreview:
    if isinstance(action, ExecutePrompt):
        defaults = call.defaults.at(call.prefix + state.name, 1)
        prompt = _prompt(action, call.workflow, values, later, library, defaults)
        return _preview_of(state, action, call, action.what, prompt=prompt)
    return _preview_of(state, action, call, _what(action, values, later))


def _preview_of(
    state: State,
    action: Action,
    call: _Call,
    what: str,
    *,
    prompt: PromptPreview | None = None,
    error: SamovarError | None = None,
) -> StatePreview:
    return StatePreview(
        name=call.prefix + state.name,
        verb=action.verb,
        place=action.place,
        what=what,
        prompt=prompt,
        error=error,
    )


def _what(action: Action, values: Mapping[str, object], later: Later) -> str:
    if isinstance(action, Log):
        return shown(fill(action.text.template, values, later, dollar=True))
    if isinstance(action, Abort) and action.reason is not None:
        return shown(fill(action.reason.template, values, later, dollar=True))
    if isinstance(action, RunWorkflow):
        return shown(fill(action.name.template, values, later, dollar=True))
    return action.what


def _prompt(
    action: ExecutePrompt,
    workflow: Workflow,
    values: Mapping[str, object],
    later: Later,
    library: Library,
    defaults: PromptDefaults,
) -> PromptPreview:
    known = tuple(pair for pair in action.using.pairs if not pair.value.names & later.keys())
    unknown = [pair for pair in action.using.pairs if pair.value.names & later.keys()]
    chosen = Using(pairs=known).choose(values, defaults)
    system: Sequence[Part]
    if open_system := next((pair.value for pair in unknown if pair.key == "system"), None):
        system = fill(open_system.template, values, later, dollar=True)
    elif chosen.system is not None:
        system = (chosen.system,)
    else:
        system = _default_system(workflow, library, values, later)
    messages = [_message("system", system)] if shown(system).strip() else []
    messages.append(_message("user", _user(action, workflow, values, later, library)))
    return PromptPreview(
        messages=tuple(messages),
        model=beside(workflow, chosen.model),
        options=chosen.options,
        session=chosen.session,
        fork=chosen.fork,
        open_options={pair.key: pair.value.template.text for pair in unknown},
    )


def _message(role: Role, parts: Sequence[Part]) -> MessagePreview:
    return MessagePreview(role=role, parts=tuple(parts))


def _user(
    action: ExecutePrompt,
    workflow: Workflow,
    values: Mapping[str, object],
    later: Later,
    library: Library,
) -> tuple[Part, ...]:
    given, held = _split(action.arguments, values, later)
    open_here = {name: source for name, source in later.items() if name not in given} | held
    if action.inline is not None:
        return fill(action.inline.template, {**values, **given}, open_here, dollar=True)
    assert action.name is not None
    if action.name.names & later.keys():
        return (Open(source=f"prompt {shown(fill(action.name.template, values, later, dollar=True))}"),)
    prompt = library.prompt(action.name.text(values), workflow=workflow)
    return fill_prompt(prompt, given, values, open_here, library)


def _split(
    pairs: Sequence[Pair], values: Mapping[str, object], later: Later
) -> tuple[dict[str, object], dict[str, str]]:
    """Arguments that are known, and those that only the run knows, with what is shown for them."""
    given: dict[str, object] = {}
    held: dict[str, str] = {}
    for pair in pairs:
        if pair.value.names & later.keys():
            held[pair.key] = shown(fill(pair.value.template, values, later, dollar=True))
        else:
            given[pair.key] = pair.value.of(values)
    return given, held


def _default_system(
    workflow: Workflow, library: Library, values: Mapping[str, object], later: Later
) -> tuple[Part, ...]:
    if (template := system_template(workflow)) is not None:
        return fill(template, values, later, dollar=False)
    prompt = library.system_prompt(workflow)
    return fill_prompt(prompt, {}, values, later, library) if prompt else ()


# One prompt --------------------------------------------------------------------------------------------


def preview_prompt(
    prompt: Prompt, workflow: Workflow | None, given: Mapping[str, object], library: Library
) -> tuple[MessagePreview, ...]:
    """The messages of a prompt with these values. `workflow`: the one it is a part of, or is asked in.

    Raises `TemplateError` for a value that is missing or cannot be.
    """
    names = {parameter.name for parameter in prompt.parameters}
    arguments = {name: value for name, value in given.items() if name in names}
    values = {name: value for name, value in given.items() if name not in names}
    if workflow is not None:
        defaults = {one.name: one.default for one in workflow.parameters if one.default is not None}
        values = {**first_variables({}), **defaults, **values}
        system = _default_system(workflow, library, {**values, **arguments}, {})
    else:
        own = library.system_prompt(None)
        system = (own.render({}, {**values, **arguments}),) if own else ()
    messages = [_message("system", system)] if shown(system).strip() else []
    return (*messages, _message("user", (prompt.render(arguments, values),)))
