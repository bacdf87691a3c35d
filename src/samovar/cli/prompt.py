"""`samovar prompt`: shows a prompt's messages as they would be sent, and whether they fit; asks nothing.

Above: the commands of `__init__.py`. Below: `preflight/`, which fills and counts.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from samovar.actions.defaults import winner
from samovar.app import open_library, surroundings
from samovar.cli.console import make_console
from samovar.cli.output import show_message, write_json
from samovar.cli.trusting import settings_for
from samovar.cli.variables import read_assignments
from samovar.config import Settings
from samovar.errors import Fault, FaultsError, TemplateError, UsageError, nearest
from samovar.errors.counting import counted
from samovar.files import exists, read_text
from samovar.folders import current_folder, name_of
from samovar.language.names import FIRST, SURROUNDINGS
from samovar.language.parameters import bind
from samovar.language.prompt import Prompt, parse_prompt
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.outlook import Counts, ModelOutlook, Outlook, count
from samovar.preflight.prompts import MessagePreview, PromptPreview, preview_prompt
from samovar.preflight.variable_files import read_variables_file


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptArguments:
    """What `samovar prompt` was called with."""

    name: str
    """A name in the library, a file, or `FILE#name`."""
    workflow: str | None
    variables: tuple[str, ...]
    """Each `--var`."""
    variable_files: tuple[Path, ...]
    """Each `--vars`."""
    model: str | None
    settings: Mapping[str, Any]
    as_json: bool


def show_prompt(arguments: PromptArguments) -> int:
    """Shows a prompt's messages as they would be sent, and their tokens."""
    settings = settings_for(dict(arguments.settings))
    library = open_library(current_folder())
    prompt, workflow = _find(arguments, library)
    given: dict[str, object] = {}
    for path in arguments.variable_files:
        given.update(read_variables_file(path, prompt.parameters))
    given |= read_assignments(arguments.variables)
    given = _typed(given, prompt, workflow)
    _check_given(prompt, workflow, given)
    try:
        messages = preview_prompt(prompt, workflow, surroundings(settings, current_folder()) | given, library)
    except TemplateError as error:
        place = error.place or prompt.place
        raise FaultsError([Fault(code=error.code, message=error.message, place=place)]) from error
    inherited = workflow.model.reference if workflow and workflow.model else None
    model = winner(arguments.model, None, inherited)
    with Outlook(settings) as outlook:
        look = outlook.model(model)
        counts = count(PromptPreview(messages=messages, model=model), outlook)
    told = _prompt_object(prompt, messages, look, counts, settings)
    if arguments.as_json:
        write_json(told)
        return 0
    console = make_console(sys.stdout)
    for message in messages:
        show_message(console, message, indent="")
    make_console().print(Text(_figures_line(told)))
    return 0


def _find(arguments: PromptArguments, library: Library) -> tuple[Prompt, Workflow | None]:
    file, mark, section = arguments.name.partition("#")
    if mark and arguments.workflow is not None:
        raise UsageError(
            f"{arguments.name} already names a workflow: leave out --workflow, or the part before #."
        )
    if mark or arguments.workflow is not None:
        workflow = library.workflow(file if mark else str(arguments.workflow))
        return library.prompt(section if mark else arguments.name, workflow=workflow), workflow
    path = Path(arguments.name)
    if not path.suffix or not exists(path):
        return library.prompt(arguments.name), None
    text = read_text(path)
    if "stateDiagram" in text:
        own = library.workflow(arguments.name).prompts
        hint = f"name one of its prompts: {path}#{next(iter(own))}" if own else "it has no prompts of its own"
        raise UsageError(f"{path} is a workflow; {hint}.")
    return parse_prompt(text, name=name_of(path), path=path, partials=library.partial), None


def _typed(given: Mapping[str, object], prompt: Prompt, workflow: Workflow | None) -> dict[str, object]:
    """The values; those for parameters of the workflow with their types, as a run binds them."""
    own = {parameter.name for parameter in prompt.parameters}
    types = {one.name: one for one in (workflow.parameters if workflow else ()) if one.name not in own}
    return bind([types[name] for name in given if name in types], given)


def _check_given(prompt: Prompt, workflow: Workflow | None, given: Mapping[str, object]) -> None:
    """Raises `FaultsError` for all that is missing, `UsageError` for what nothing takes."""
    own = {parameter.name for parameter in prompt.parameters}
    around = {parameter.name for parameter in workflow.parameters} if workflow else set()
    takes_others = prompt.template.rendering is not None or workflow is not None
    for name in given:
        if name not in own | around | prompt.template.names and not takes_others:
            known = own | prompt.template.names
            raise UsageError(f"The prompt {prompt.name!r} has no parameter {name!r}.{nearest(name, known)}")
    around_defaults = {one.name: one.default for one in (workflow.parameters if workflow else ())}
    defaults = {name: value for name, value in around_defaults.items() if value is not None}
    known_values = {**defaults, **{one.name: one.default for one in prompt.parameters}, **given}
    missing = [
        Fault(
            code="missing-parameter",
            message=f"The prompt {prompt.name!r} needs {one.name!r}: pass it with --var {one.name}=…",
            place=one.place,
        )
        for one in prompt.parameters
        if one.default is None
        and one.name not in given
        and one.name not in defaults
        and one.is_needed(known_values)
    ]
    if prompt.template.rendering is None:
        there = {*given, *defaults, *own, *SURROUNDINGS}
        there |= {*FIRST} if workflow else set()
        missing += [
            Fault(
                code="missing-variable",
                message=f"Nothing sets {name!r} here: pass it with --var {name}=…",
                place=prompt.template.where(name),
            )
            for name in sorted(prompt.template.names - there)
        ]
    if missing:
        raise FaultsError(missing)


def _prompt_object(
    prompt: Prompt,
    messages: Sequence[MessagePreview],
    look: ModelOutlook,
    counts: Counts,
    settings: Settings,
) -> dict[str, Any]:
    context = look.cost.context_tokens if look.cost else None
    most = settings.context_tokens or look.trained_tokens
    tokens = counts.known_tokens
    return {
        "prompt": prompt.name,
        "path": None if prompt.path is None else str(prompt.path),
        "messages": [{"role": one.role, "content": one.text()} for one in messages],
        "model": look.reference,
        "tokens": tokens,
        "context_tokens": context,
        "most_context_tokens": most,
        "fits": None if tokens is None or most is None else tokens < most,
        "why": look.why,
    }


def _figures_line(told: Mapping[str, Any]) -> str:
    tokens, context, most = told["tokens"], told["context_tokens"], told["most_context_tokens"]
    if tokens is None:
        return f"tokens: not known; {told['why']}"
    line = f"{counted(tokens, 'token')} for {told['model']}"
    if not told["fits"]:
        return f"{line}: too long, its context holds {counted(most, 'token')}"
    if context is None:
        return f"{line}; {told['why']}"
    if tokens >= context:
        return f"{line}: fits if its context of {counted(context, 'token')} is made larger (at most {most})"
    return f"{line}: fits its context of {counted(context, 'token')}"
