"""What a workflow will do, as far as it is known before the run: nothing is asked, run or waited for.

Above: `outlook.py`, which counts tokens, and the command line. Below: the library and the actions. A value
that only a run can know is an `Open`, shown as it is written (`${summary}`); all else is filled as in a run.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from samovar.actions.abort import Abort
from samovar.actions.base import Action, PromptDefaults
from samovar.actions.conditional import Conditional
from samovar.actions.log import Log
from samovar.actions.options import Using
from samovar.actions.prompt import Prompt as PromptAction
from samovar.actions.prompt import beside, system_template
from samovar.actions.workflow import RunWorkflow
from samovar.errors import Place, SamovarError, TemplateError
from samovar.generation import Options, Role
from samovar.language.pieces import Partials, Token, tokenize
from samovar.language.prompt import Prompt
from samovar.language.template import Template
from samovar.language.workflow import State, Workflow
from samovar.library import Library
from samovar.running.level import first_variables


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A piece of a text that only the run knows."""

    source: str
    """What is shown for it: `${summary}`."""


Part = str | Open
Later = Mapping[str, str]
"""Variables that only the run knows, with what is shown for each."""


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


def preview(
    workflow: Workflow, variables: Mapping[str, object], library: Library, defaults: PromptDefaults
) -> tuple[StatePreview, ...]:
    """Every state that acts, in the order of the diagram. `variables`: those bound before the run."""
    values = first_variables(variables)
    before = _Before(workflow)
    found = []
    for state in workflow.states.values():
        if isinstance(state.action, Action):
            later = before.later(state)
            found.append(_state(state, state.action, workflow, values, later, library, defaults))
    return tuple(found)


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


def _state(
    state: State,
    action: Action,
    workflow: Workflow,
    values: Mapping[str, object],
    later: Later,
    library: Library,
    defaults: PromptDefaults,
) -> StatePreview:
    prompt, error, what = None, None, action.what
    defaults = defaults.at(state.name, 1)
    try:
        if isinstance(action, Conditional) and not action.names & later.keys():
            became = action.become(values)
            if became is not None:
                action, values = became
                what = action.what
        if isinstance(action, PromptAction):
            prompt = _prompt(action, workflow, values, later, library, defaults)
        else:
            what = _what(action, values, later)
    except SamovarError as raised:
        error = raised
    return StatePreview(
        name=state.name, verb=action.verb, place=action.place, what=what, prompt=prompt, error=error
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
    action: PromptAction,
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
    action: PromptAction,
    workflow: Workflow,
    values: Mapping[str, object],
    later: Later,
    library: Library,
) -> tuple[Part, ...]:
    given: dict[str, object] = {}
    held: dict[str, str] = {}
    for pair in action.arguments:
        if pair.value.names & later.keys():
            held[pair.key] = shown(fill(pair.value.template, values, later, dollar=True))
        else:
            given[pair.key] = pair.value.of(values)
    open_here = {name: source for name, source in later.items() if name not in given} | held
    if action.inline is not None:
        return fill(action.inline.template, {**values, **given}, open_here, dollar=True)
    assert action.name is not None
    if action.name.names & later.keys():
        return (Open(source=f"prompt {shown(fill(action.name.template, values, later, dollar=True))}"),)
    prompt = library.prompt(action.name.text(values), workflow=workflow)
    return fill_prompt(prompt, given, values, open_here, library)


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


# Filling -----------------------------------------------------------------------------------------------


def shown(parts: Sequence[Part]) -> str:
    """The text, open pieces as their sources."""
    return "".join(part if isinstance(part, str) else part.source for part in parts)


def fill_prompt(
    prompt: Prompt,
    arguments: Mapping[str, object],
    values: Mapping[str, object],
    later: Later,
    library: Library,
) -> tuple[Part, ...]:
    """As `Prompt.render`, with what is `later` left open."""
    if not later:
        return (prompt.render(arguments, values),)
    known = {name: value for name, value in values.items() if name not in later}
    return fill(
        prompt.template,
        prompt.values(arguments, known, besides=later),
        later,
        dollar=False,
        partials=library.partial,
    )


def fill(
    template: Template,
    values: Mapping[str, object],
    later: Later,
    *,
    dollar: bool,
    partials: Partials | None = None,
) -> tuple[Part, ...]:
    """The text of a template, with what is `later` left open.

    `dollar`: it reads `${path}` too. Where tags need what is open, all from the first tag on is left open.
    Raises `TemplateError` for what is neither there nor open.
    """
    if not template.names & later.keys():
        return _filled_with(template, values, later)
    tokens = tokenize(template.text, dollar=dollar, shell=False, place=template.place)
    parts = _marked(template, tokens, values, later, dollar=dollar, partials=partials)
    if parts is None:
        first = next(token.offset for token in tokens if token.kind == "tag")
        text = template.text[:first]
        head = tokenize(text, dollar=dollar, shell=False, place=template.place)
        parts = _marked(template, head, values, later, dollar=dollar, partials=partials, end=first) or ()
        parts = (*parts, Open(source=template.text[first:]))
    return tuple(parts)


def _filled_with(template: Template, values: Mapping[str, object], later: Later) -> tuple[Part, ...]:
    try:
        return (template.fill(values),)
    except TemplateError:
        if not later or template.rendering is None:
            raise
        # What a partial reads is not among the names of the template.
        return (Open(source=template.text),)


def _marked(
    template: Template,
    tokens: Sequence[Token],
    values: Mapping[str, object],
    later: Later,
    *,
    dollar: bool,
    partials: Partials | None,
    end: int | None = None,
) -> Sequence[Part] | None:
    """Fills it with marks in the places of what is open; None where a tag needs what is open."""
    mark = f"\ue000{secrets.token_hex(8)}"
    text, opened = "", list[Open]()
    ends = [*(token.offset for token in tokens[1:]), len(template.text) if end is None else end]
    for token, stop in zip(tokens, ends, strict=True):
        source = template.text[token.offset : stop]
        if token.kind in ("path", "output"):
            names = _names_of(source, template.place, dollar=dollar)
            if names & later.keys() & template.names:  # not the variable of a loop
                source = f"{mark}{len(opened)}\ue001"
                opened.append(Open(source=_source(token, later)))
        text += source
    marked = Template.parse(text, template.place, dollar=dollar, partials=partials)
    if marked.names & later.keys():
        return None
    try:
        filled = marked.fill(values)
    except TemplateError:
        _refuse_missing(template, values, later)
        return None
    return list(_split(filled, mark, opened))


def _refuse_missing(template: Template, values: Mapping[str, object], later: Later) -> None:
    """Raises what the template itself says, with its own places, where more than what is open is missing."""
    template.fill({**values, **later})


def _names_of(source: str, place: Place, *, dollar: bool) -> frozenset[str]:
    return Template.parse(source, place, dollar=dollar).names


def _source(token: Token, later: Later) -> str:
    path = token.path
    if path is None:
        return token.text
    if len(path.steps) == 1:
        return later[str(path.steps[0])]
    return "${" + token.text.strip("${} ") + "}"


def _split(filled: str, mark: str, opened: Sequence[Open]) -> Iterator[Part]:
    first, *rest = filled.split(mark)
    if first:
        yield first
    for part in rest:
        number, _, text = part.partition("\ue001")
        yield opened[int(number)]
        if text:
            yield text
