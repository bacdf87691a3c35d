"""`samovar run --dry-run`: shows what a run would do and need, state by state; nothing is run.

Above: `run.py`. Below: `preflight/`, which fills and counts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.text import Text

from samovar.actions.base import brief
from samovar.cli.console import make_console
from samovar.cli.output import show_message, write_json
from samovar.cli.showing import shown
from samovar.config import Settings
from samovar.errors import EngineError
from samovar.errors.counting import counted
from samovar.executors.table import LOCAL, chosen_executors, member
from samovar.generation import FORMS
from samovar.library import Library
from samovar.memory import in_words
from samovar.preflight.filling import Open
from samovar.preflight.outlook import Counts, ModelOutlook, Outlook, count, shared_tokens
from samovar.preflight.preview import StatePreview, preview
from samovar.preflight.prompts import MessagePreview, PromptPreview
from samovar.running.prepared import Prepared
from samovar.running.runner import RunnerSettings, first_defaults
from samovar.running.wire import error_to_wire, place_to_wire
from samovar.values import to_text
from samovar.values.secrecy import Secrets


def dry_run(
    prepared: Prepared,
    library: Library,
    settings: Settings,
    run: RunnerSettings,
    *,
    hidden: Secrets,
    as_json: bool,
) -> int:
    """Shows what a run would do, state by state. Returns 2 if an action cannot but fail.

    `hidden`: what nobody is shown; it learns the secrets of the workflows that are run. Errors that are
    raised have none either.
    """
    with hidden.kept_out_of_errors():
        told, status = _told(prepared, library, settings, run, hidden)
    if as_json:
        write_json(told)
    else:
        _show_run(told)
    return status


def _told(
    prepared: Prepared, library: Library, settings: Settings, run: RunnerSettings, hidden: Secrets
) -> tuple[dict[str, Any], int]:
    """All that is shown, without secrets, and the exit status."""
    workflow = prepared.workflow
    defaults = first_defaults(workflow, run)
    states = preview(workflow, prepared.variables, library, defaults, run, hidden)
    prompts = [state.prompt for state in states if state.prompt is not None]
    with Outlook(settings) as outlook:
        here = [one for one in prompts if _is_here(one, settings)]
        counts, refused = _counted(here, outlook)
        states = tuple(replace(state, error=state.error or refused.get(id(state.prompt))) for state in states)
        looks = {(look := outlook.model(one.model)).reference: look for one in here}
        told: dict[str, Any] = {
            "workflow": workflow.name,
            "path": None if workflow.path is None else str(workflow.path),
            "dry_run": True,
            "states": [hidden.copy_values(_state_object(state, counts, settings)) for state in states],
            "shared_tokens": shared_tokens(list(counts.values())) if len(looks) == 1 else None,
            "models": [_model_object(look, hidden) for look in looks.values()],
            "budget_bytes": outlook.budget_bytes,
        }
    return told, 2 if any(state.error for state in states) else 0


def _counted(
    prompts: Sequence[PromptPreview], outlook: Outlook
) -> tuple[dict[int, Counts], dict[int, EngineError]]:
    """The tokens of each prompt, and why its model's chat template would refuse it, by the prompt's id."""
    counts: dict[int, Counts] = {}
    refused: dict[int, EngineError] = {}
    for prompt in prompts:
        try:
            counts[id(prompt)] = count(prompt, outlook)
        except EngineError as error:
            counts[id(prompt)], refused[id(prompt)] = Counts(), error
    return counts, refused


def _state_object(state: StatePreview, counts: Mapping[int, Counts], settings: Settings) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": state.name,
        "action": state.verb,
        "what": state.what,
        "is_repeatable": state.is_repeatable,
        "retries": state.retries,
        "place": place_to_wire(state.place),
    }
    if state.each:
        told["each"] = state.each
    if state.error is not None:
        told["error"] = error_to_wire(state.error)
    if state.prompt is None:
        return told
    prompt, counted = state.prompt, counts.get(id(state.prompt))
    options = asdict(prompt.options)
    return told | {
        "messages": [_message_object(one) for one in prompt.messages],
        "is_whole": not any(one.is_open for one in prompt.messages),
        "known_tokens": counted.known_tokens if counted else None,
        "fixed_tokens": counted.fixed_tokens if counted else None,
        "executor": _executor(prompt, settings),
        "model": (prompt.model or settings.model) if counted else prompt.model,
        "options": options.pop("sampling") | options,
        "open_options": dict(prompt.open_options),
        "session": prompt.session,
        "fork": prompt.fork,
        "verify": asdict(prompt.verify) if prompt.verify else None,
    }


def _executor(prompt: PromptPreview, settings: Settings) -> str:
    """The name of the executor that would answer."""
    return settings.executor if prompt.executor is None else prompt.executor


def _is_here(prompt: PromptPreview, settings: Settings) -> bool:
    """One of those who may answer has the model loaded here."""
    chosen = chosen_executors(_executor(prompt, settings), settings)
    return any(member(one.name, settings).needs_local_model for one in chosen)


def _message_object(message: MessagePreview) -> dict[str, Any]:
    return {
        "role": message.role,
        "content": message.text(),
        "parts": [
            {"open": part.source} if isinstance(part, Open) else {"text": part} for part in message.parts
        ],
    }


def _model_object(look: ModelOutlook, hidden: Secrets) -> dict[str, Any]:
    cost = look.cost
    return {
        "ref": hidden.mask(look.reference),
        "path": None if look.path is None else hidden.mask(str(look.path)),
        "trained_context_tokens": look.trained_tokens,
        "context_tokens": cost.context_tokens if cost else None,
        "weights_bytes": cost.weights_bytes if cost else None,
        "private_weights_bytes": cost.private_weights_bytes if cost else None,
        "kv_bytes": cost.kv_bytes if cost else None,
        "compute_bytes": cost.compute_bytes if cost else None,
        "scores_bytes": cost.scores_bytes if cost else None,
        "output_bytes": cost.output_bytes if cost else None,
        "snapshot_bytes": cost.snapshot_bytes if cost else None,
        "forms_bytes": cost.forms_bytes if cost else None,
        "total_bytes": cost.total_bytes if cost else None,
        "estimated": cost.estimated if cost else None,
        "fits": look.fits,
        "why": hidden.copy(look.why),
    }


# For a person ------------------------------------------------------------------------------------------

_SHOWN_OPTIONS = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed")
_QUIET = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0, "seed": 0}
"""Values at which an option does nothing; only what does something is shown."""


def _show_run(told: Mapping[str, Any]) -> None:
    console = make_console(sys.stdout)
    title = Text(told["workflow"], style="bold")
    title.append(": a dry run; nothing is generated, executed or waited for", style="dim")
    console.print(title)
    for state in told["states"]:
        console.print()
        line = Text(state["name"], style="bold")
        line.append(f"  {state['action']}", style="dim")
        if "messages" not in state and state["action"] != "for each":
            line.append(f"  {state['what']}")
        for key in ("each", "retries"):
            if state.get(key):
                line.append(f"  {shown(state[key])}", style="dim")
        console.print(line)
        if "messages" in state:
            console.print(Text("  " + _settings_line(state), style="dim"))
            for message in state["messages"]:
                parts = [
                    Open(source=part["open"]) if "open" in part else part["text"] for part in message["parts"]
                ]
                show_message(console, MessagePreview(role=message["role"], parts=tuple(parts)), indent="  ")
        if "error" in state:
            error = state["error"]
            place = error["place"] or state["place"]
            where = f"{place['path']}:{place['line']}:{place['column']}: "
            console.print(Text(f"  {where}{shown(error['message'])}", style="red"))
    console.print()
    if told["shared_tokens"]:
        console.print(
            f"The prompts share {counted(told['shared_tokens'], 'token')} at their beginning, evaluated once."
        )
    for model in told["models"]:
        console.print(Text(_model_line(model, told["budget_bytes"])))


def _settings_line(state: Mapping[str, Any]) -> str:
    known, fixed = state["known_tokens"], state["fixed_tokens"]
    if known is None:
        tokens = "tokens not known"
    elif state["is_whole"]:
        tokens = f"{counted(known, 'token')}"
    else:
        tokens = f"{counted(known, 'token')} and values known only in the run ({fixed} before them)"
    options = state["options"]
    parts = [state["model"], tokens] if state["executor"] == LOCAL else [f"executor {state['executor']}"]
    if options["choices"]:
        parts.append("choices " + "|".join(options["choices"]))
    else:
        parts += [f"{name} {brief(options[name])}" for name in FORMS if options[name] is not None]
        parts += [
            f"{name} {options[name]}"
            for name in _SHOWN_OPTIONS
            if name not in state["open_options"] and options[name] != _QUIET.get(name)
        ]
        if not options["temperature"] and "temperature" not in state["open_options"]:
            parts.append("temperature 0")
    if options["think"] is not None:
        parts.append("think " + ("on" if options["think"] else "off"))
    if options["template"]:
        given = options["template"]
        parts.append(
            "template " + (given if isinstance(given, str) else json.dumps(given, ensure_ascii=False))
        )
    if options["timeout_s"] is not None:
        parts.append(f"timeout {to_text(options['timeout_s'])} s")
    parts += [f"stop {text!r}" for text in options["stop"]]
    parts += [f"{name} {state[name]}" for name in ("session", "fork") if state[name]]
    parts += ["deterministic"] if options["deterministic"] else []
    parts += [f"{name} {source}" for name, source in state["open_options"].items()]
    if verify := state["verify"]:
        most = "" if verify["repairs"] is None else f", at most {counted(verify['repairs'], 'repair')}"
        parts.append(f"verified by {shown(brief(verify['command']))}{most}")
    return " · ".join(parts)


def _model_line(model: Mapping[str, Any], budget: int) -> str:
    if model["total_bytes"] is None:
        return f"{model['ref']}: memory not known; {model['why']}"
    total = ("at most " if model["estimated"] else "") + in_words(model["total_bytes"])
    context = f"{counted(model['context_tokens'], 'token')} of context"
    private = model["private_weights_bytes"]
    weights = f"weights {in_words(model['weights_bytes'])}"
    weights += f", {in_words(private)} of them private" if private else ""
    parts = [weights, f"KV {in_words(model['kv_bytes'])}", context]
    fits = "fits" if model["fits"] else "does not fit"
    return (
        f"{model['ref']}: {total} in memory ({', '.join(parts)}), "
        f"which {fits} the budget of {in_words(budget)}"
    )
