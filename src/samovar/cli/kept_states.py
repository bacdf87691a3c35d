"""What became of each state of a kept run's own diagram, for those who draw it.

Above: `kept_drawing.py`, `kept_showing.py`. Below: the workflow as the run began with it. The states of a
sub-workflow are not in the diagram; those within a `For each` are, each once for all its items.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from samovar.language.composites import exit_of
from samovar.language.workflow import Workflow

Object = Mapping[str, Any]
MARKS = {
    "success": "✓",
    "failure": "✗",
    "running": "…",
    "waiting": "?",
    "interrupted": "…",
    "cancelled": "■",
}
"""By the status of a visit."""
UNFINISHED = ("running", "waiting", "interrupted")
"""The status of a visit that has begun and may still end."""
_ORDER = (*UNFINISHED, "failure", "success", "cancelled")
"""Of several visits, the state has the first of these."""
_ITEM = re.compile(r"(?P<body>[^/]+?)(?:#\d+)?\[\d+\]/")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachedState:
    """What became of a state that a run was in."""

    status: str
    """As that of a visit."""
    visits: int = 0
    """0: it has no action, and was passed through."""
    time_s: float | None = None
    """In the visits that have ended, together; None: none has."""

    @property
    def is_finished(self) -> bool:
        """Nothing of it may still end."""
        return self.status not in UNFINISHED


def own_state(path: str, workflow: Workflow) -> str | None:
    """The state of the diagram that a path leads to; None: it is a sub-workflow's, or one item of a list."""
    while found := _ITEM.match(path):
        if found["body"] not in workflow.bodies:
            return None
        path = path[found.end() :]
    return path if path in workflow.states else None


def reached(run: Object, workflow: Workflow) -> dict[str, ReachedState]:
    """The states that a run was in, by name."""
    visits: dict[str, list[Object]] = {}
    for one in run["states"]:
        name = own_state(one["path"], workflow)
        if name is not None:
            visits.setdefault(name, []).append(one)
    found = {name: _of(ones) for name, ones in visits.items()}
    found |= {name: ReachedState(status="success") for name in _passed(run, workflow) - found.keys()}
    for name in workflow.composites.keys() & found.keys() - visits.keys():
        found[name] = ReachedState(status=_of_composite(name, workflow, found))
    return found


def _of_composite(name: str, workflow: Workflow, found: Mapping[str, ReachedState]) -> str:
    """What became of a composite that was entered: what became of the states within it."""
    inner = (workflow.composites[name] & found.keys()) - {name, exit_of(name)}
    status = min((found[one].status for one in inner), key=_ORDER.index, default="success")
    return "success" if exit_of(name) in found and status not in UNFINISHED else status


def _of(visits: list[Object]) -> ReachedState:
    status = min((one["status"] for one in visits), key=_ORDER.index)
    times = [one["duration_s"] for one in visits if "duration_s" in one]
    return ReachedState(status=status, visits=len(visits), time_s=sum(times) if times else None)


def _passed(run: Object, workflow: Workflow) -> set[str]:
    """The states that a transition leaves, and those without an action that one leads to."""
    found = {own_state(step["from"], workflow) for step in run["steps"]}
    for step in run["steps"]:
        name = None if step["to"] is None else own_state(step["to"], workflow)
        if name is not None and workflow.states[name].action is None:
            found.add(name)
    return {name for name in found if name is not None}
