"""A kept run as JSON: all that its journal has of it, with the names of secrets in place of them.

Above: the commands that show, compare and export runs, which all read this one object. Below: the journal's
contract. Names and meanings here are stable; docs/runs.md has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from samovar.events import NOTHING
from samovar.generation import Message, TokenCounts
from samovar.journal.base import (
    Exchange,
    Journal,
    KeptEnd,
    KeptStep,
    KeptVisit,
    Performed,
    RunHead,
    RunStatus,
    RunSummary,
    VisitKey,
    VisitOutcome,
)
from samovar.running.references import named
from samovar.running.wire import Object, error_to_wire, given_options_to_wire, tokens_to_wire
from samovar.values import plain

FORMAT = "samovar-run"
VERSION = 1
"""Of the format: a reader may take every version up to the one it knows."""


def kept_run_to_wire(journal: Journal, found: RunSummary) -> Object:
    """All that the journal has of a run."""
    head, end = journal.head(found.id), journal.ending(found.id)
    visits = list(journal.visits(found.id))
    return {
        "format": FORMAT,
        "version": VERSION,
        **summary_to_wire(found),
        "given": plain(head.variables),
        "secrets": list(head.secrets),
        "variables": _variables(head, visits, end),
        "sources": dict(head.sources),
        "states": [visit_to_wire(one, found.status) for one in visits],
        "steps": [_step(one) for one in journal.steps(found.id)],
    }


def summary_to_wire(one: RunSummary) -> Object:
    """A line of a list of runs."""
    return {
        "run": one.id,
        "workflow": one.workflow,
        "path": None if one.path is None else str(one.path),
        "folder": one.folder,
        "status": str(one.status),
        "started_at": one.started_at,
        "touched_at": one.touched_at,
        "ended_at": one.ended_at,
        "visits": one.visits,
        "tokens": tokens_to_wire(one.tokens),
        "message": one.message,
    }


def _variables(head: RunHead, visits: Iterable[KeptVisit], end: KeptEnd | None) -> Object:
    """Those at the end; of a run that is not over, those that its own states have set so far."""
    if end is not None:
        return _told(end.variables, end)
    found = _told(head.variables)
    for one in visits:
        if one.outcome is not None and not set("/[") & set(one.intent.key.path):
            found |= _told(one.outcome.sets, one.outcome)
    return found


def _told(variables: Mapping[str, object], kept: VisitOutcome | KeptEnd | None = None) -> Object:
    wire: Any = plain(variables)
    told: Object = named(wire) if kept is not None and kept.is_concealed else wire
    return told


def _step(one: KeptStep) -> Object:
    source = one.source
    return {
        "from": source.path,
        "branch": source.line or None,
        "visit": source.nth,
        "to": one.target,
        "label": one.label,
        "at": one.at,
    }


def visit_to_wire(one: KeptVisit, run: RunStatus = RunStatus.INTERRUPTED) -> Object:
    """One visit. `run`: how the run is, which says what a visit without an outcome is."""
    outcome, intent = one.outcome, one.intent
    wire: Object = {
        "number": intent.number,
        "path": intent.key.path,
        "branch": intent.key.line or None,
        "visit": intent.key.nth,
        "verb": intent.verb,
        "entered_at": intent.entered_at,
        "status": _begun(run) if outcome is None else _status(outcome),
    }
    if outcome is None:
        return wire
    told = _outcome(outcome)
    return wire | (named(told) if outcome.is_concealed else told)


def _begun(run: RunStatus) -> str:
    """How a visit is that has begun, and of which nothing else is known."""
    if run in (RunStatus.RUNNING, RunStatus.WAITING):
        return str(run)
    return "cancelled" if run.is_over and run is not RunStatus.UNKEPT else "interrupted"


def visit_key(one: Mapping[str, Any]) -> VisitKey:
    """Which visit of its run it is, of the object that a visit is here."""
    return VisitKey(path=one["path"], line=one["branch"] or "", nth=one["visit"])


def _outcome(outcome: VisitOutcome) -> Object:
    figures = outcome.figures
    tokens = (figures.tokens if figures else TokenCounts()) + outcome.spent
    wire: Object = {
        "left_at": outcome.left_at,
        "duration_s": outcome.duration_s,
        "what": outcome.what,
        "sets": plain(outcome.sets),
        "memory_bytes": outcome.memory_bytes,
        "loads": [{"model": one.model, "duration_s": one.duration_s} for one in outcome.loads],
    }
    if outcome.performed:
        wire["performed"] = [_performed(one) for one in outcome.performed]
    if outcome.origin is not None:
        wire["taken_from"] = outcome.origin
    if outcome.value is not NOTHING:
        wire["value"] = plain(outcome.value)
    if outcome.error is not None:
        wire["error"] = error_to_wire(outcome.error)
    if figures is not None or outcome.exchanges:
        wire["tokens"] = tokens_to_wire(tokens)
        wire["prompts"] = [_exchange(one) for one in outcome.exchanges]
    if figures is not None:
        wire |= {
            "model": figures.model,
            "executor": figures.executor or None,
            "finish_reason": str(figures.finish_reason),
            "first_token_s": figures.first_token_s,
            "options": given_options_to_wire(figures.options),
            "cost": figures.cost,
        }
    return wire


def _performed(one: Performed) -> Object:
    wire: Object = {"kind": one.kind, "what": one.what}
    if one.folder:
        wire["folder"] = one.folder
    if one.environment:
        wire["environment"] = dict(one.environment)
    if one.text is not None:
        wire["text"] = one.text
    return wire


def _exchange(one: Exchange) -> Object:
    return {
        "session": _name(one.session),
        "fork": _name(one.fork),
        "messages": [_message(message) for message in one.messages],
        "answer": None if one.answer is None else _message(one.answer),
        "model": one.model or None,
        "executor": one.executor or None,
        "tokens": tokens_to_wire(one.tokens),
        "duration_s": one.duration_s,
        "first_token_s": one.first_token_s,
    }


def _name(session: str | None) -> str | None:
    """A session of a visit's own has a name that nobody can write."""
    return None if session is None or session.startswith("\0") else session


def _message(one: Message) -> Object:
    wire: Object = {"role": one.role, "content": one.content}
    if one.reasoning:
        wire["reasoning"] = one.reasoning
    if one.calls:
        wire["calls"] = [_call(call) for call in one.calls]
    if one.call is not None:
        wire["call"] = _call(one.call)
    return wire


def _call(call: Any) -> Object:
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


def memory_curve(states: Sequence[Mapping[str, Any]]) -> list[tuple[float, int]]:
    """When visits ended, and how much memory the process took then."""
    found = (
        (state["left_at"], state["memory_bytes"]) for state in states if state.get("memory_bytes") is not None
    )
    return sorted(found)


def _status(outcome: VisitOutcome) -> str:
    if outcome.is_given_up:
        return "cancelled"
    return "failure" if outcome.error else "success"
