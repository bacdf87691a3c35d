"""Events and finished runs as JSON, for `--events` and `--json`.

Above: the command line and other doors, which add what they know of models. Below: the records. Names and
meanings here are stable: others read them.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from samovar.errors import Fault, Place, SamovarError
from samovar.events import NOTHING, AttemptFailed, Event, PromptFigures, RunEnded, RunError, StateLeft
from samovar.generation import Options, TokenCounts, ToolFinished
from samovar.running.run import Run, Visit
from samovar.values import plain, records_of
from samovar.values.secrecy import HIDDEN

Object = dict[str, Any]


def event_to_wire(event: Event) -> Object:
    """`{"event": "state_entered", …}` with the event's fields."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    if isinstance(event, RunEnded):
        error = error_to_wire(event.error) if event.error else None
        wire = {name: getattr(event, name) for name in ("run", "number", "time")}
        return {"event": name, **wire, "status": str(event.ending), "error": error, "time_s": event.time_s}
    wire = _fields(event)
    if isinstance(event, StateLeft) and event.value is NOTHING:
        del wire["value"]
    return {"event": name, **wire}


def run_to_wire(run: Run, *, with_values: bool = True) -> Object:
    """A run as one object: `run`, `workflow`, `status`, `duration_s`, `states`, `result`, `variables` …

    Secrets are `***`, also within other values. `with_values`: False leaves out `result`, `variables`,
    `records` and what models thought, which can be large.
    """
    wire: Object = {
        "run": run.id,
        "workflow": run.workflow,
        "status": str(run.ending) if run.ending else "running",
        "duration_s": run.duration_s,
        "transitions": run.transitions,
        "states": [_visit(visit, with_values=with_values) for visit in run.visits],
    }
    if with_values:
        wire["result"] = run.hidden.copy(run.result)
        wire["variables"] = {
            name: HIDDEN if name in run.secrets else run.hidden.copy_value(plain(value))
            for name, value in run.variables.items()
        }
        wire["records"] = {
            name: HIDDEN if name in run.secrets else run.hidden.copy_value(plain(record.parts))
            for name, record in records_of(run.variables)
        }
    wire["tokens"] = tokens_to_wire(run.tokens)
    if run.error:
        wire["error"] = error_to_wire(run.error)
    return wire


def tokens_to_wire(tokens: TokenCounts) -> Object:
    return {
        "evaluated": tokens.evaluated,
        "reused": tokens.reused,
        "generated": tokens.generated,
        "reasoning": tokens.reasoning,
    } | {name: count for name in ("resumed", "untold") if (count := getattr(tokens, name))}


def error_to_wire(error: RunError | SamovarError) -> Object:
    """`{"code", "message", "place"}`, and `state` if it is known.

    `chain`, if it happened in a sub-workflow: who ran that, the outermost first.
    """
    place = place_to_wire(error.place) if error.place else None
    wire: Object = {"code": error.code, "message": error.message, "place": place}
    if isinstance(error, RunError) and error.state is not None:
        wire["state"] = error.state
    if isinstance(error, RunError) and error.chain:
        wire["chain"] = [
            {"workflow": one.workflow, "state": one.state, "place": place_to_wire(one.place)}
            for one in error.chain
        ]
    return wire


def fault_to_wire(fault: Fault) -> Object:
    """`{"code", "severity", "message", "place"}`, and `fix` if it has one: `{"place", "old", "new"}`."""
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


def _visit(visit: Visit, *, with_values: bool) -> Object:
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
        wire["error"] = error_to_wire(visit.error)
    if visit.attempts:
        wire["attempts"] = [_attempt(one) for one in visit.attempts]
    if visit.tools:
        wire["tools"] = [tool_to_wire(one) for one in visit.tools]
    if visit.figures:
        wire |= _figures(visit.figures)
        if with_values:
            wire["chosen"] = _plain(visit.figures.chosen)
            wire["reasoning"] = visit.figures.reasoning
    return wire


def _attempt(attempt: AttemptFailed) -> Object:
    tokens = tokens_to_wire(attempt.figures.tokens) if attempt.figures else None
    wire = {"error": error_to_wire(attempt.error), "wait_s": attempt.wait_s, "tokens": tokens}
    return wire | {"time_s": attempt.time_s}


def tool_to_wire(call: ToolFinished) -> Object:
    """A call that came to its end, without what it gave."""
    names = ("name", "status", "chars", "is_cut", "duration_s")
    return {name: getattr(call, name) for name in names}


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
        "executor": figures.executor or None,
        "cost": figures.cost,
    }


def given_options_to_wire(options: Options) -> Object:
    """Those of them that are not as they are by themselves."""
    usual = Options()
    found = {one.name: getattr(options, one.name) for one in dataclasses.fields(options)}
    return {name: _plain(one) for name, one in found.items() if one != getattr(usual, name)}


def _fields(value: Any) -> Object:
    return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


def _plain(value: object) -> object:
    if isinstance(value, RunError):
        return error_to_wire(value)
    if isinstance(value, Place):
        return place_to_wire(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else plain(value)
