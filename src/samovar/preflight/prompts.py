"""The messages of prompts as they would be sent, as far as they are known before a run.

Above: `preview.py`, which goes through a whole workflow, and the command line. Below: `filling.py`, the
options of prompts, and the library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from samovar.actions.defaults import PromptDefaults
from samovar.actions.given import Pair, Value, as_taken
from samovar.actions.options import Using
from samovar.actions.prompt import ExecutePrompt
from samovar.actions.verifying import Verify
from samovar.generation import Options, Role
from samovar.language.names import first_variables
from samovar.language.prompt import Prompt
from samovar.language.schema_words import with_schema
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.filling import Later, Open, Part, fill, fill_prompt, shown


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
class VerifyPreview:
    """How an answer would be verified."""

    command: str
    """Filled as far as it is known; `${result}` is the answer."""
    repairs: int | None
    """None: only the run knows."""
    timeout_s: float | None
    """None: only the run knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPreview:
    """A prompt as it would be sent."""

    messages: tuple[MessagePreview, ...]
    model: str | None = None
    """A reference; None is the executor's default."""
    executor: str | None = None
    """A name; None is that of the settings."""
    options: Options = field(default_factory=Options)
    """Those that are known; of the others the defaults."""
    session: str | None = None
    fork: str | None = None
    open_options: Mapping[str, str] = field(default_factory=dict)
    """Options that only the run knows, as written."""
    verify: VerifyPreview | None = None
    """None: the answer is taken as it is."""


def preview_action(
    action: ExecutePrompt,
    workflow: Workflow,
    values: Mapping[str, object],
    later: Later,
    library: Library,
    defaults: PromptDefaults,
) -> PromptPreview:
    """A prompt that an action asks. `later`: what only the run knows."""
    known = tuple(pair for pair in action.using.pairs if not pair.value.names & later.keys())
    unknown = [pair for pair in action.using.pairs if pair.value.names & later.keys()]
    chosen = Using(pairs=known).choose_in(workflow, values, defaults)
    system: Sequence[Part]
    if open_system := next((pair.value for pair in unknown if pair.key == "system"), None):
        system = fill(open_system.template, values, later)
    elif chosen.system is not None or chosen.options.raw:  # which has no place for the default one
        system = (chosen.system or "",)
    else:
        system = _default_system(workflow, library, values, later)
    messages = [_message("system", system)] if shown(system).strip() else []
    user = _user(action, workflow, values, later, library)
    if shown_by_schema := with_schema("", chosen.options):
        user = (*user, shown_by_schema)
    messages.append(_message("user", user))
    return PromptPreview(
        messages=tuple(messages),
        model=chosen.model,
        executor=chosen.executor,
        options=chosen.options,
        session=chosen.session,
        fork=chosen.fork,
        open_options={pair.key: pair.value.template.text for pair in unknown},
        verify=_verify(action.verify, values, later) if action.verify else None,
    )


def _verify(verify: Verify, values: Mapping[str, object], later: Later) -> VerifyPreview:
    """Raises `ActionError` for a number of repairs, or a time, that cannot be."""

    def is_known(value: Value | None) -> bool:
        return value is None or not value.names & later.keys()

    return VerifyPreview(
        command=shown(fill(verify.text, values, {**later, "result": "${result}"})),
        repairs=verify.most_repairs(values) if is_known(verify.repairs) else None,
        timeout_s=verify.limit_s(values) if is_known(verify.limit) else None,
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
    given, held = split_arguments(action.arguments, values, later)
    open_here = {name: source for name, source in later.items() if name not in given} | held
    if action.inline is not None:
        return fill(action.inline.template, {**values, **given}, open_here)
    assert action.name is not None
    if action.name.names & later.keys():
        return (Open(source=f"prompt {shown(fill(action.name.template, values, later))}"),)
    prompt = library.prompt(action.name.text(values), workflow=workflow)
    taken = as_taken(action.arguments, given, prompt.parameters)
    return fill_prompt(prompt, taken, values, open_here, library)


def split_arguments(
    pairs: Sequence[Pair], values: Mapping[str, object], later: Later
) -> tuple[dict[str, object], dict[str, str]]:
    """Arguments that are known, and those that only the run knows, with what is shown for them."""
    given: dict[str, object] = {}
    held: dict[str, str] = {}
    for pair in pairs:
        if pair.value.names & later.keys():
            held[pair.key] = shown(fill(pair.value.template, values, later))
        else:
            given[pair.key] = pair.value.of(values)
    return given, held


def _default_system(
    workflow: Workflow, library: Library, values: Mapping[str, object], later: Later
) -> tuple[Part, ...]:
    if workflow.system is not None:
        return fill(workflow.system, values, later)
    prompt = library.system_prompt(workflow)
    return fill_prompt(prompt, {}, values, later, library) if prompt else ()


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
