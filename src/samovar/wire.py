"""Events and finished runs as JSON has them, for `--events` and `--json`.

Above: the command line and other doors, which add what they know of models. Below: the records. Names and
meanings here are stable: others read them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from samovar.errors import Fault, Place, SamovarError
from samovar.events import Event, PromptFigures, RunEnded, RunError
from samovar.generation import TokenCounts
from samovar.running.run import Run, Visit
from samovar.values import plain, records_of, to_text

Object = dict[str, Any]

HIDDEN = "***"
LEAST_HIDDEN_CHARS = 4
"""A shorter secret is hidden under its own name only."""


def event_to_wire(event: Event) -> Object:
    """`{"event": "state_entered", …}` with the event's fields."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    if isinstance(event, RunEnded):
        error = error_to_wire(event.error) if event.error else None
        return {"event": name, "status": str(event.ending), "error": error, "time_s": event.time_s}
    return {"event": name, **_fields(event)}


def run_to_wire(run: Run, *, with_values: bool = True) -> Object:
    """A run as one object: `run`, `workflow`, `status`, `duration_s`, `states`, `variables`, `records` …

    Secrets are `***`, also within other values and in errors. `with_values`: False leaves out `variables`,
    `records` and what models thought, which can be large.
    """
    hidden = frozenset(_texts_of_secrets(run))
    wire: Object = {
        "run": run.id,
        "workflow": run.workflow,
        "status": str(run.ending) if run.ending else "running",
        "duration_s": run.duration_s,
        "transitions": run.transitions,
        "states": [_visit(visit, hidden, with_values=with_values) for visit in run.visits],
    }
    if with_values:
        wire["variables"] = {
            name: HIDDEN if name in run.secrets else masked(plain(value), hidden)
            for name, value in run.variables.items()
        }
        wire["records"] = {
            name: HIDDEN if name in run.secrets else masked(plain(record.parts), hidden)
            for name, record in records_of(run.variables)
        }
    wire["tokens"] = tokens_to_wire(run.tokens)
    if run.error:
        wire["error"] = _error(run.error, hidden)
    return wire


def _texts_of_secrets(run: Run) -> Iterator[str]:
    """Those long enough that they do not stand in other texts by chance."""
    for name in run.secrets:
        value = run.variables.get(name)
        text = to_text(value)
        if len(text) >= LEAST_HIDDEN_CHARS and not isinstance(value, bool):
            yield text


def masked(value: object, hidden: Collection[str]) -> object:
    """A value without the texts that are to be hidden."""
    if not hidden:
        return value
    if isinstance(value, Mapping):
        return {name: masked(item, hidden) for name, item in value.items()}
    if isinstance(value, list):
        return [masked(item, hidden) for item in value]
    if isinstance(value, str):
        for text in sorted(hidden, key=len, reverse=True):
            value = value.replace(text, HIDDEN)
        return value
    return HIDDEN if to_text(value) in hidden else value


def _error(error: RunError, hidden: Collection[str]) -> Object:
    return {**error_to_wire(error), "message": masked(error.message, hidden)}


def tokens_to_wire(tokens: TokenCounts) -> Object:
    return {
        "evaluated": tokens.evaluated,
        "reused": tokens.reused,
        "generated": tokens.generated,
        "reasoning": tokens.reasoning,
    }


def error_to_wire(error: RunError | SamovarError) -> Object:
    """`{"code", "message", "place"}`, and `state` where it is known."""
    place = place_to_wire(error.place) if error.place else None
    wire = {"code": error.code, "message": error.message, "place": place}
    if isinstance(error, RunError) and error.state is not None:
        wire["state"] = error.state
    return wire


def fault_to_wire(fault: Fault) -> Object:
    """`{"code", "severity", "message", "place"}`, and `fix` where it has one: `{"place", "old", "new"}`."""
    wire = {
        "code": fault.code,
        "severity": fault.severity,
        "message": fault.message,
        "place": place_to_wire(fault.place),
    }
    if fault.fix is not None:
        place = place_to_wire(fault.fix.place)
        wire["fix"] = {"place": place, "old": fault.fix.old, "new": fault.fix.new}
    return wire


def place_to_wire(place: Place) -> Object:
    path = None if place.path is None else str(place.path)
    return {"path": path, "line": place.line, "column": place.column}


def _visit(visit: Visit, hidden: Collection[str], *, with_values: bool) -> Object:
    wire: Object = {
        "name": visit.name,
        "action": visit.verb,
        "status": str(visit.status),
        "started_s": visit.started_s,
        "duration_s": visit.duration_s,
    }
    if visit.path != visit.name:
        wire["path"] = visit.path
    if visit.branch is not None:
        wire["branch"] = visit.branch
    if visit.error:
        wire["error"] = _error(visit.error, hidden)
    if visit.figures:
        wire |= _figures(visit.figures)
        if with_values:
            wire["reasoning"] = masked(visit.figures.reasoning, hidden)
    return wire


def _figures(figures: PromptFigures) -> Object:
    return {
        "model": figures.model,
        "finish_reason": str(figures.finish_reason),
        "first_token_s": figures.first_token_s,
        "tokens": tokens_to_wire(figures.tokens),
        "options": _plain(figures.options),
        "session": figures.session,
        "fork": figures.fork,
        "dropped_messages": figures.dropped_messages,
        "cut": figures.cut,
    }


def _fields(value: Any) -> Object:
    return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


def _plain(value: object) -> object:
    if isinstance(value, RunError):
        return error_to_wire(value)
    if isinstance(value, Place):
        return place_to_wire(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    return str(value) if isinstance(value, Path) else plain(value)
