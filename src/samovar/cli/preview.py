"""`samovar prompt` and `samovar run --dry-run`: what would be sent, and what it would take; nothing is run.

Above: the commands of `__init__.py`, and `run.py`. Below: `samovar.running.preview`, `samovar.outlook`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from samovar.app import open_library
from samovar.cli.live import make_console, masked
from samovar.cli.variables import as_parameters, read_assignments, read_variables_file
from samovar.config import Settings, load_settings, surroundings
from samovar.errors import Fault, FaultsError, Place, TemplateError, UsageError, nearest
from samovar.language.parameters import bind
from samovar.language.pieces import tokenize
from samovar.language.prompt import Prompt, parse_prompt
from samovar.language.template import Template
from samovar.language.workflow import Workflow
from samovar.library import Library, name_of, read_text
from samovar.memory import in_words
from samovar.outlook import Counts, ModelOutlook, Outlook, count, shared_tokens
from samovar.running.filling import Open
from samovar.running.frame import first_variables
from samovar.running.preview import (
    MessagePreview,
    PromptPreview,
    StatePreview,
    preview,
    preview_prompt,
)
from samovar.running.runner import RunnerSettings, first_defaults
from samovar.wire import error_to_wire, place_to_wire

# One prompt --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptArguments:
    """What `samovar prompt` was called with."""

    name: str
    """Of the library, a file, or `FILE#name`."""
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
    settings = load_settings(dict(arguments.settings))
    library = open_library(Path.cwd())
    prompt, workflow = _find(arguments, library)
    given: dict[str, object] = {}
    for path in arguments.variable_files:
        given.update(as_parameters(read_variables_file(path), prompt.parameters))
    given |= read_assignments(arguments.variables)
    given = _typed(given, prompt, workflow)
    _check_given(prompt, workflow, given)
    try:
        messages = preview_prompt(prompt, workflow, surroundings(settings, Path.cwd()) | given, library)
    except TemplateError as error:
        place = error.place or prompt.place
        raise FaultsError([Fault(code=error.code, message=error.message, place=place)]) from error
    model = arguments.model or (workflow.model if workflow else None)
    with Outlook(settings) as outlook:
        look = outlook.model(model)
        counts = count(PromptPreview(messages=messages, model=model), outlook)
    told = _prompt_object(prompt, messages, look, counts, settings)
    if arguments.as_json:
        _print_json(told)
        return 0
    console = make_console(sys.stdout)
    for message in messages:
        _show_message(console, message, indent="")
    make_console().print(Text(_figures_line(told)))
    return 0


def _find(arguments: PromptArguments, library: Library) -> tuple[Prompt, Workflow | None]:
    file, mark, section = arguments.name.partition("#")
    if mark and arguments.workflow is not None:
        raise UsageError(
            f"{arguments.name} names a workflow already: leave out --workflow, or the part before #."
        )
    if mark or arguments.workflow is not None:
        workflow = library.workflow(file if mark else str(arguments.workflow))
        return library.prompt(section if mark else arguments.name, workflow=workflow), workflow
    path = Path(arguments.name)
    if not path.suffix or not path.exists():
        return library.prompt(arguments.name), None
    text = read_text(path)
    if "stateDiagram" in text:
        own = library.workflow(arguments.name).prompts
        hint = f"name one of its own: {path}#{next(iter(own))}" if own else "it has no prompts of its own"
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
            message=f"The prompt {prompt.name!r} needs {one.name!r}: give it with --var {one.name}=…",
            place=one.place,
        )
        for one in prompt.parameters
        if one.default is None
        and one.name not in given
        and one.name not in defaults
        and one.is_needed(known_values)
    ]
    if prompt.template.rendering is None:
        there = {*given, *defaults, *own, "cwd", "working_directory", "env"}
        there |= {*first_variables({})} if workflow else set()
        missing += [
            Fault(
                code="missing-variable",
                message=f"Nothing gives {name!r} here: give it with --var {name}=…",
                place=_place_of(name, prompt.template),
            )
            for name in sorted(prompt.template.names - there)
        ]
    if missing:
        raise FaultsError(missing)


def _place_of(name: str, template: Template) -> Place:
    """Where a template reads a variable first."""
    tokens = tokenize(template.text, dollar=False, shell=False, place=template.place)
    offsets = (token.offset for token in tokens if token.path and token.path.steps[0] == name)
    return template.place.within(template.text, next(offsets, 0))


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
    line = f"{tokens} tokens for {told['model']}"
    if not told["fits"]:
        return f"{line}: too long, its context holds {most} tokens"
    if context is None:
        return f"{line}; {told['why']}"
    if tokens >= context:
        return f"{line}: fits once its context of {context} tokens is made larger (at most {most})"
    return f"{line}: fits its context of {context} tokens"


# A whole run -------------------------------------------------------------------------------------------


def dry_run(
    workflow: Workflow,
    variables: Mapping[str, object],
    library: Library,
    settings: Settings,
    runner_settings: RunnerSettings,
    *,
    hidden: Sequence[str],
    as_json: bool,
) -> int:
    """Shows what a run would do, state by state. Returns 2 where an action cannot but fail.

    `hidden`: texts that are shown to nobody.
    """
    defaults = first_defaults(workflow, runner_settings)
    states = preview(workflow, variables, library, defaults, runner_settings.surroundings)
    prompts = [state.prompt for state in states if state.prompt is not None]
    with Outlook(settings) as outlook:
        counts = {id(prompt): count(prompt, outlook) for prompt in prompts}
        looks = {(look := outlook.model(one.model)).reference: look for one in prompts}
        told: dict[str, Any] = {
            "workflow": workflow.name,
            "path": None if workflow.path is None else str(workflow.path),
            "dry_run": True,
            "states": [_state_object(state, counts, outlook, hidden) for state in states],
            "shared_tokens": shared_tokens(list(counts.values())) if len(looks) == 1 else None,
            "models": [_model_object(look) for look in looks.values()],
            "budget_bytes": outlook.budget_bytes,
        }
    if as_json:
        _print_json(told)
    else:
        _show_run(told)
    return 2 if any(state.error for state in states) else 0


def _state_object(
    state: StatePreview, counts: Mapping[int, Counts], outlook: Outlook, hidden: Sequence[str]
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": state.name,
        "action": state.verb,
        "what": masked(state.what, hidden),
        "place": place_to_wire(state.place),
    }
    if state.error is not None:
        told["error"] = error_to_wire(state.error)
    if state.prompt is None:
        return told
    prompt, counted = state.prompt, counts[id(state.prompt)]
    options = asdict(prompt.options)
    return told | {
        "messages": [_message_object(one, hidden) for one in prompt.messages],
        "is_whole": not any(one.is_open for one in prompt.messages),
        "known_tokens": counted.known_tokens,
        "fixed_tokens": counted.fixed_tokens,
        "model": outlook.model(prompt.model).reference,
        "options": options.pop("sampling") | options,
        "open_options": dict(prompt.open_options),
        "session": prompt.session,
        "fork": prompt.fork,
    }


def _message_object(message: MessagePreview, hidden: Sequence[str]) -> dict[str, Any]:
    return {
        "role": message.role,
        "content": masked(message.text(), hidden),
        "parts": [
            {"open": part.source} if isinstance(part, Open) else {"text": masked(part, hidden)}
            for part in message.parts
        ],
    }


def _model_object(look: ModelOutlook) -> dict[str, Any]:
    cost = look.cost
    return {
        "ref": look.reference,
        "path": None if look.path is None else str(look.path),
        "trained_context_tokens": look.trained_tokens,
        "context_tokens": cost.context_tokens if cost else None,
        "weights_bytes": cost.weights_bytes if cost else None,
        "kv_bytes": cost.kv_bytes if cost else None,
        "compute_bytes": cost.compute_bytes if cost else None,
        "output_bytes": cost.output_bytes if cost else None,
        "snapshot_bytes": cost.snapshot_bytes if cost else None,
        "total_bytes": cost.total_bytes if cost else None,
        "estimated": cost.estimated if cost else None,
        "fits": look.fits,
        "why": look.why,
    }


# For a person ------------------------------------------------------------------------------------------

_SHOWN_OPTIONS = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed")
_QUIET = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0, "seed": 0}
"""Values at which an option does nothing; only what does something is shown."""


def _show_run(told: Mapping[str, Any]) -> None:
    console = make_console(sys.stdout)
    title = Text(told["workflow"], style="bold")
    title.append(": a dry run; nothing is generated, run or waited for", style="dim")
    console.print(title)
    for state in told["states"]:
        console.print()
        line = Text(state["name"], style="bold")
        line.append(f"  {state['action']}", style="dim")
        if "messages" not in state:
            line.append(f"  {state['what']}")
        console.print(line)
        if "messages" in state:
            console.print(Text("  " + _settings_line(state), style="dim"))
            for message in state["messages"]:
                parts = [
                    Open(source=part["open"]) if "open" in part else part["text"] for part in message["parts"]
                ]
                _show_message(console, MessagePreview(role=message["role"], parts=tuple(parts)), indent="  ")
        if "error" in state:
            error = state["error"]
            place = error["place"] or state["place"]
            where = f"{place['path']}:{place['line']}:{place['column']}: "
            console.print(Text(f"  {where}{error['message']}", style="red"))
    console.print()
    if told["shared_tokens"]:
        console.print(f"The prompts begin with the same {told['shared_tokens']} tokens, evaluated once.")
    for model in told["models"]:
        console.print(Text(_model_line(model, told["budget_bytes"])))


def _settings_line(state: Mapping[str, Any]) -> str:
    known, fixed = state["known_tokens"], state["fixed_tokens"]
    if known is None:
        tokens = "tokens not known"
    elif state["is_whole"]:
        tokens = f"{known} tokens"
    else:
        tokens = f"{known} tokens and what only the run knows ({fixed} before it)"
    options = state["options"]
    parts = [state["model"], tokens]
    if options["choices"]:
        parts.append("choices " + "|".join(options["choices"]))
    else:
        parts += [
            f"{name} {options[name]}"
            for name in _SHOWN_OPTIONS
            if name not in state["open_options"] and options[name] != _QUIET.get(name)
        ]
        if not options["temperature"] and "temperature" not in state["open_options"]:
            parts.append("temperature 0")
    if options["timeout_s"] is not None:
        parts.append(f"timeout {options['timeout_s']:g} s")
    parts += [f"stop {text!r}" for text in options["stop"]]
    parts += [f"{name} {state[name]}" for name in ("session", "fork") if state[name]]
    parts += ["deterministic"] if options["deterministic"] else []
    parts += [f"{name} {source}" for name, source in state["open_options"].items()]
    return " · ".join(parts)


def _model_line(model: Mapping[str, Any], budget: int) -> str:
    if model["total_bytes"] is None:
        return f"{model['ref']}: memory not known; {model['why']}"
    total = ("at most " if model["estimated"] else "") + in_words(model["total_bytes"])
    context = f"{model['context_tokens']} tokens of context"
    parts = [f"weights {in_words(model['weights_bytes'])}", f"KV {in_words(model['kv_bytes'])}", context]
    fits = "fits" if model["fits"] else "does not fit"
    return (
        f"{model['ref']}: {total} in memory ({', '.join(parts)}), "
        f"which {fits} the budget of {in_words(budget)}"
    )


def _show_message(console: Console, message: MessagePreview, *, indent: str) -> None:
    """The role, then the text as it is; what only the run knows stands out."""
    console.print(Text(f"{indent}{message.role}:", style="dim"))
    text = Text()
    for part in message.parts:
        if isinstance(part, Open):
            text.append(part.source, style="bold yellow")
        else:
            text.append(part)
    for line in text.split("\n", allow_blank=True):
        console.print(Text(indent) + line, soft_wrap=True)


def _print_json(value: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
