"""The results of cases, shown to a person, a program or a CI server.

Above: `testing.py`, which runs them. Below: `samovar.testing`, and rich for a terminal.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from samovar.cli.showing import bounded, shown
from samovar.errors import Fault
from samovar.language.workflow import Workflow
from samovar.running.wire import fault_to_wire, place_to_wire
from samovar.testing.cases import Case
from samovar.testing.coverage import Covered, Share
from samovar.testing.difference import Difference
from samovar.testing.junit import JunitCase, JunitSuite
from samovar.testing.trial import CaseResult

LONGEST_SHOWN_CHARS = 2000
CONTEXT_LINES = 3
"""Equal lines that are shown around a difference."""


@dataclass(slots=True, kw_only=True)
class TestedFile:
    """One file of cases, and what came of it so far."""

    path: Path
    workflow: Workflow | None = None
    cases: tuple[Case, ...] = ()
    """Those that are to be run."""
    faults: tuple[Fault, ...] = ()
    """With one that is an error, nothing is run."""
    results: list[CaseResult] = field(default_factory=list)

    @property
    def is_bad(self) -> bool:
        return any(fault.severity == "error" for fault in self.faults)


# Showing.


def show_case(console: Console, result: CaseResult) -> None:
    mark, style = ("✓", "green") if result.passed else ("✗", "red")
    line = Text("  ")
    line.append(mark, style=style)
    line.append(f" {_one_line(result.case.name)}")
    line.append(f"  {result.duration_s * 1000:.0f} ms", style="dim")
    console.print(line)
    if not result.passed:
        console.print(Text(f"    {result.case.place}", style="dim"))
    for difference in result.differences:
        for text in _lines(difference):
            style = {"-": "red", "+": "green"}.get(text[:1], "")
            console.print(Text(f"    {shown(text)}", style=style))


def _one_line(text: str) -> str:
    return shown(" ".join(text.split()))


def _lines(difference: Difference) -> Iterator[str]:
    """A difference for a person: `-` is what was expected, `+` what came."""
    where = f" ({difference.place})" if difference.place else ""
    yield from (difference.message + where).splitlines()
    expected, got = difference.expected, difference.got
    if expected is None and got is None:
        return
    if difference.what in ("prompt", "command", "log", "warning", "error"):
        yield from _marked("-", expected)
        yield from _marked("+", got)
    else:
        yield from _diff(_as_lines(expected), _as_lines(got))


def _marked(mark: str, value: object) -> Iterator[str]:
    yield from (f"{mark} {line}" for line in _as_lines(value))


def _as_lines(value: object) -> list[str]:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [bounded(item) for item in value] or ["(nothing)"]
    if isinstance(value, str) and "\n" in value:
        return [_escaped(line) for line in value[:LONGEST_SHOWN_CHARS].split("\n")]
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, indent=2)[:LONGEST_SHOWN_CHARS].splitlines()
    if isinstance(value, str):
        value = value[:LONGEST_SHOWN_CHARS]
    return [json.dumps(value, ensure_ascii=False)[:LONGEST_SHOWN_CHARS]]


def _escaped(line: str) -> str:
    """The line, with blanks at its end and control characters made visible."""
    shown = json.dumps(line, ensure_ascii=False)
    return line if shown[1:-1] == line == line.rstrip() else shown


def _diff(expected: Sequence[str], got: Sequence[str]) -> Iterator[str]:
    matcher = difflib.SequenceMatcher(None, expected, got, autojunk=False)
    for group in matcher.get_grouped_opcodes(CONTEXT_LINES):
        if group[0][1]:
            yield f"  … {group[0][1]} alike"
        for kind, begin, end, got_begin, got_end in group:
            if kind == "equal":
                yield from (f"  {line}" for line in expected[begin:end])
            else:
                yield from (f"- {line}" for line in expected[begin:end])
                yield from (f"+ {line}" for line in got[got_begin:got_end])


def show_end(
    console: Console, files: Sequence[TestedFile], coverage: Sequence[Covered], least: float | None
) -> None:
    for one in coverage:
        workflow, covered = one.workflow, one.coverage
        console.print()
        line = Text(shown(workflow.name), style="bold")
        line.append(f": {_share('states', covered.states)}, {_share('transitions', covered.transitions)}")
        console.print(line)
        if not one.has_cases:
            console.print(Text(f"  {shown(str(workflow.path))}: no case runs it", style="yellow"))
        for what, share in (("state", covered.states), ("transition", covered.transitions)):
            for missed in share.missed if one.has_cases else ():
                text = f"  {missed.place}: no case reaches the {what} {missed.name}"
                console.print(Text(shown(text)))
        if least is not None and covered.percent < least:
            text = f"  Its coverage of {covered.percent:.1f} % is below {least:g} %."
            console.print(Text(text, style="red"))
    results = [result for file in files for result in file.results]
    failed, bad = sum(not result.passed for result in results), sum(file.is_bad for file in files)
    end = f"{len(results) - failed} passed, {failed} failed"
    end += f", {bad} {'file' if bad == 1 else 'files'} at fault" if bad else ""
    console.print()
    console.print(Text(end, style="bold red" if failed or bad else "bold green"))


def _share(what: str, share: Share) -> str:
    return f"{share.covered} of {share.total} {what}"


# As objects.


def suite_of(file: TestedFile) -> JunitSuite:
    return JunitSuite(
        name=str(file.path),
        workflow=file.workflow.name if file.workflow else "?",
        cases=tuple(
            JunitCase(
                name=result.case.name,
                place=result.case.place,
                duration_s=result.duration_s,
                failures=tuple(
                    (one.message.splitlines()[0], "\n".join(_lines(one))) for one in result.differences
                ),
            )
            for result in file.results
        ),
        faults=tuple(str(fault) for fault in file.faults if fault.severity == "error"),
    )


def tests_object(files: Sequence[TestedFile], coverage: Sequence[Covered]) -> dict[str, Any]:
    """The object of `--json`."""
    results = [result for file in files for result in file.results]
    return {
        "passed": sum(result.passed for result in results),
        "failed": sum(not result.passed for result in results),
        "files": [
            {
                "path": str(file.path),
                "workflow": str(file.workflow.path) if file.workflow else None,
                "faults": [fault_to_wire(fault) for fault in file.faults],
                "cases": [_case_object(result) for result in file.results],
            }
            for file in files
        ],
        "coverage": [
            {
                "workflow": str(one.workflow.path),
                "percent": round(one.coverage.percent, 1),
                "states": _share_object(one.coverage.states),
                "transitions": _share_object(one.coverage.transitions),
            }
            for one in coverage
        ],
    }


def _case_object(result: CaseResult) -> dict[str, Any]:
    return {
        "name": result.case.name,
        "passed": result.passed,
        "duration_s": result.duration_s,
        "place": place_to_wire(result.case.place),
        "differences": [
            {
                "what": one.what,
                "name": one.name,
                "message": one.message,
                "expected": one.expected,
                "got": one.got,
                "place": place_to_wire(one.place) if one.place else None,
            }
            for one in result.differences
        ],
    }


def _share_object(share: Share) -> dict[str, Any]:
    missed = [{"name": one.name, "place": place_to_wire(one.place)} for one in share.missed]
    return {"covered": share.covered, "total": share.total, "missed": missed}
