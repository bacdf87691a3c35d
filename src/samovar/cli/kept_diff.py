"""`samovar runs diff`: where two kept runs part, and what follows from it.

Above: `of_runs.py`. Below: the wire of kept runs. Visits are matched by path, branch and visit of the state,
in the order in which the first run began them.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from samovar.cli.kept_files import read_run
from samovar.cli.output import write_json
from samovar.cli.terminal import put
from samovar.errors.counting import counted
from samovar.journal.base import VisitKey
from samovar.running.kept_wire import visit_key

Object = Mapping[str, Any]
MOST_LINES = 60
"""Of a difference that a person is shown; JSON has all."""
MOST_FOLLOWING = 40
"""Visits after the first that differ, by name."""
OF_INPUT = ("verb", "model", "executor", "options")


def show_difference(settings: Mapping[str, Any], first: str, second: str, *, as_json: bool) -> int:
    """Compares two runs, and returns the exit status: 0 if they are alike, 1 if they part."""
    found = difference(read_run(settings, first), read_run(settings, second))
    if as_json:
        write_json(found)
    else:
        put("\n".join(_lines(found)) + "\n")
    return 0 if found["parts"] is None and not found["begins"] else 1


def difference(first: Object, second: Object) -> dict[str, Any]:
    """How the runs differ: what they began with, where they part, and what differs after that.

    `parts`: the first visit with another input, that is in one of them only, or that gave something else with
    the same input; None: all are alike.
    """
    ours, theirs = ({visit_key(one): one for one in run["states"]} for run in (first, second))
    order = [*ours, *(key for key in theirs if key not in ours)]
    ways = {key: way for key in order if (way := _way(ours.get(key), theirs.get(key)))}
    at = next(iter(ways), None)
    inputs = [key for key, way in ways.items() if way == "input"]
    # What only one of them has may follow from an input that differs earlier in the other one's order.
    if at is not None and ways[at].startswith("only") and inputs:
        at = min((at, inputs[0]), key=lambda key: min(_when(run, key) for run in (ours, theirs)))
    parts = None
    if at is not None:
        one, other = ours.get(at), theirs.get(at)
        parts = {**_told(at, ways[at]), "diff": _diff(one, other, ways[at]) if one and other else []}
    following = [_told(key, way) for key, way in ways.items() if key != at]
    return {
        "runs": [first["run"], second["run"]],
        "status": [first["status"], second["status"]],
        "begins": _begins(first, second),
        "parts": parts,
        "follows": following,
        "same": len(order) - len(ways),
        "variables": [
            name for name in _changed(first["variables"], second["variables"]) if name != "duration_s"
        ],
    }


def _told(key: VisitKey, why: str) -> dict[str, Any]:
    return {"path": key.path, "branch": key.line or None, "visit": key.nth, "why": why}


def _when(run: Mapping[VisitKey, Object], key: VisitKey) -> float:
    return run[key]["number"] if key in run else float("inf")


def _way(one: Object | None, other: Object | None) -> str | None:
    """How a visit differs between the two runs; None: it does not."""
    if one is None:
        return "only in B"
    if other is None:
        return "only in A"
    if _input(one, other) != _input(other, one):
        return "input"
    if _result(one, other) != _result(other, one):
        return "result"
    return None


def _input(one: Object, other: Object) -> dict[str, Any]:
    """What a visit began with. `other`: what it is compared with."""
    prompts = [
        {name: prompt[name] for name in ("session", "fork", "messages")} for prompt in one.get("prompts", ())
    ]
    found = {name: one.get(name) for name in OF_INPUT} | {"prompts": prompts}
    if prompts:
        return found
    if _is_known(one, other):  # what a command or a file was, with its values in it
        return {**found, "performed": one["performed"]}
    return {**found, "what": one.get("what")}


def _result(one: Object, other: Object) -> dict[str, Any]:
    """What a visit led to; of a prompt also what its model had done."""
    found = {name: one.get(name) for name in ("status", "value", "sets", "error")}
    sets = {name: value for name, value in (one.get("sets") or {}).items() if name != "duration_s"}
    if prompts := one.get("prompts"):
        found["calls"] = [_calls(prompt) for prompt in prompts if _calls(prompt)]
        if _is_known(one, other):
            found["performed"] = one["performed"]
    return {**found, "sets": sets}


def _is_known(one: Object, other: Object) -> bool:
    """Whether both say what they performed: earlier versions did not keep it."""
    return "performed" in one and "performed" in other


def _calls(prompt: Object) -> list[Object]:
    """The tools that the model called, with their arguments; how it named the calls does not matter."""
    calls = (prompt["answer"] or {}).get("calls", ())
    return [{"name": one["name"], "arguments": one["arguments"]} for one in calls]


def _begins(first: Object, second: Object) -> list[str]:
    """What the runs began with, where that differs: names of variables, and files."""
    found = [f"variable {name}" for name in _changed(first["given"], second["given"])]
    found += [f"file {name}" for name in _changed(first["sources"], second["sources"])]
    return found + (["workflow"] if first["workflow"] != second["workflow"] else [])


def _changed(one: Object, other: Object) -> list[str]:
    """The names whose values differ."""
    none = object()
    return sorted(name for name in {*one, *other} if one.get(name, none) != other.get(name, none))


def _diff(one: Object, other: Object, why: str) -> list[str]:
    """The differing lines, as `diff -u` has them."""
    of = _input if why == "input" else _result
    ours, theirs = _text_of(of(one, other)), _text_of(of(other, one))
    return [line.rstrip("\n") for line in difflib.unified_diff(ours, theirs, "A", "B", lineterm="", n=2)]


def _text_of(value: Mapping[str, Any]) -> list[str]:
    """Lines of what is compared: texts as they are, everything else as JSON."""
    lines: list[str] = []
    for name, one in value.items():
        if name == "prompts":
            for prompt in one:
                for message in prompt["messages"]:
                    lines += [f"{message['role']}:", *message["content"].split("\n")]
        elif name == "performed":
            for done in one:
                lines += _performed_lines(done)
        elif isinstance(one, str):
            lines += [f"{name}:", *one.split("\n")]
        elif one is not None:
            lines += [f"{name}:", *json.dumps(one, indent=1, ensure_ascii=False, sort_keys=True).split("\n")]
    return lines


def _performed_lines(done: Object) -> Iterator[str]:
    yield f"{done['kind']}: {done['what']}"
    if "folder" in done:
        yield f"in {done['folder']}"
    yield from (f"with {name}={value}" for name, value in done.get("environment", {}).items())
    yield from done.get("text", "").split("\n") if "text" in done else ()


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    for name, run, status in zip("AB", found["runs"], found["status"], strict=True):
        yield f"{name}  {run}  {status}"
    for one in found["begins"]:
        yield f"They began with a different {one}."
    parts = found["parts"]
    if parts is None:
        yield f"They are alike: {counted(found['same'], 'visit')}."
        return
    yield ""
    why = {"input": "different input", "result": "the same input, and a different result"}
    yield f"They differ first at {visit_key(parts)}: {why.get(parts['why'], parts['why'])}"
    yield from (f"  {line}" for line in parts["diff"][:MOST_LINES])
    if len(parts["diff"]) > MOST_LINES:
        left = counted(len(parts["diff"]) - MOST_LINES, "more line", grouped=True)
        yield f"  … {left} (--json has all)"
    follows = found["follows"]
    yield ""
    alike = counted(found["same"], "visit is", "visits are")
    more = counted(len(follows), "more differs", "more differ")
    yield f"{alike} alike, {more}" + (":" if follows else ".")
    for one in follows[:MOST_FOLLOWING]:
        yield f"  {visit_key(one)}: {one['why']}"
    if len(follows) > MOST_FOLLOWING:
        yield f"  … {len(follows) - MOST_FOLLOWING:,} more (--json has all)"
    if found["variables"]:
        yield f"Variables that differ at the end: {', '.join(found['variables'])}"
