"""`samovar test`: runs the cases of workflows, and shows what differs and what no case comes to.

Above: the commands of `__init__.py`. Below: `samovar.testing.trial` and what it is made of.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console
from rich.text import Text

from samovar.app import open_library
from samovar.checks.checking import check_tree
from samovar.cli.live import make_console, visible
from samovar.errors import Fault, FaultsError, Place, SamovarError, UsageError
from samovar.files import write_whole
from samovar.language.workflow import Workflow
from samovar.library import Library, name_of
from samovar.testing.case_file import case_file_of, is_case_file, read_case_file
from samovar.testing.cases import SUFFIXES, Case, CaseFile
from samovar.testing.comparing import Difference
from samovar.testing.coverage import Coverage, Share, cover
from samovar.testing.junit import JunitCase, JunitSuite, junit_xml
from samovar.testing.paths import Tree
from samovar.testing.trial import CaseResult, check_cases, run_case
from samovar.wire import fault_to_wire, place_to_wire

PASSED_OVER = frozenset(["node_modules", "__pycache__", ".git", ".venv", ".tox"])
"""Folders in which no cases are looked for."""
LONGEST_SHOWN_CHARS = 2000
CONTEXT_LINES = 3
"""Equal lines that are shown around a difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CasesArguments:
    """What `samovar test` was called with."""

    paths: tuple[Path, ...]
    only: str | None
    """A text that is in the file's and the case's name."""
    coverage_min: float | None
    """Percent."""
    junit: Path | None
    lenient: bool
    as_json: bool


@dataclass(slots=True, kw_only=True)
class _File:
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


def run_tests(arguments: CasesArguments) -> int:
    """Runs the cases and returns the exit status: 0 all passed, 1 some did not, 2 files are at fault."""
    library = open_library(Path.cwd())
    files = [_read(path, library, arguments) for path in _case_files(arguments.paths, library)]
    if not any(file.cases or file.is_bad for file in files):
        raise UsageError("No case matches." if arguments.only else "There are no cases in these files.")
    console = make_console(sys.stderr if arguments.as_json else sys.stdout)
    for file in files:
        _run(file, library, arguments, console)
    coverage = _coverage(files)
    if arguments.junit is not None:
        write_whole(arguments.junit, junit_xml([_suite(file) for file in files]))
    low = [
        workflow
        for workflow, covered in coverage
        if arguments.coverage_min is not None and covered.percent < arguments.coverage_min
    ]
    if arguments.as_json:
        sys.stdout.write(json.dumps(_object(files, coverage), ensure_ascii=False, indent=2) + "\n")
    else:
        _show_end(console, files, coverage, low, arguments.coverage_min)
    if any(file.is_bad for file in files):
        return 2
    return 1 if low or not all(result.passed for file in files for result in file.results) else 0


# Finding and reading.


def _case_files(paths: Sequence[Path], library: Library) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths or [Path()]:
        if path.is_dir():
            below = list(_below(path))
            if not below:
                raise UsageError(f"There is no file of cases (*.test.yaml) below {path.resolve()}.")
            found.update(dict.fromkeys(below))
        elif is_case_file(path):
            found[path] = None
        else:
            workflow = path if path.is_file() else library.workflow(str(path)).path or path
            cases = case_file_of(workflow)
            if cases is None:
                stem = name_of(workflow)
                raise UsageError(
                    f"{workflow} has no cases: there is no {stem}{SUFFIXES[0]} beside it. To make one of a "
                    f"run: samovar run {path} --record {workflow.with_name(stem + SUFFIXES[0])}"
                )
            found[cases] = None
    return list(found)


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in PASSED_OVER)
        yield from (Path(root) / name for name in sorted(names) if name.endswith(SUFFIXES))


def _read(path: Path, library: Library, arguments: CasesArguments) -> _File:
    read: CaseFile | None = None
    workflow: Workflow | None = None
    faults: tuple[Fault, ...]
    try:
        read = read_case_file(path)
        workflow = library.workflow(str(read.workflow), lenient=arguments.lenient)
        wrong = [fault for fault in check_tree(workflow, library) if fault.severity == "error"]
        faults = (*wrong, *check_cases(read, Tree(workflow, library)))
    except FaultsError as error:
        faults = error.faults
    except SamovarError as error:
        place = error.place or Place(path=path, line=1)
        faults = (Fault(code=error.code, message=error.message, place=place),)
    cases = read.cases if read is not None else ()
    only = (arguments.only or "").casefold()
    return _File(
        path=path,
        workflow=workflow,
        cases=tuple(case for case in cases if only in f"{path}: {case.name}".casefold()),
        faults=faults,
    )


def _run(file: _File, library: Library, arguments: CasesArguments, console: Console) -> None:
    if file.cases or file.is_bad:
        console.print(Text(str(file.path), style="bold"))
    for fault in file.faults:
        console.print(Text(f"  {fault}", style="red" if fault.severity == "error" else "yellow"))
    if file.is_bad or file.workflow is None:
        return
    tree = Tree(file.workflow, library)

    async def run(case: Case) -> CaseResult:
        return await run_case(case, tree, library, lenient=arguments.lenient)

    for case in file.cases:
        result = anyio.run(run, case)
        file.results.append(result)
        _show(console, result)


def _coverage(files: Sequence[_File]) -> list[tuple[Workflow, Coverage]]:
    """Of each workflow that was run, over all the files of its cases."""
    by_path: dict[Path | None, tuple[Workflow, list[CaseResult]]] = {}
    for file in files:
        if file.workflow is not None and not file.is_bad and file.results:
            path = file.workflow.path.resolve() if file.workflow.path else None
            by_path.setdefault(path, (file.workflow, []))[1].extend(file.results)
    return [
        (workflow, cover(workflow, (result.seen for result in results)))
        for workflow, results in by_path.values()
    ]


# Showing.


def _show(console: Console, result: CaseResult) -> None:
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
            console.print(Text(f"    {visible(text)}", style=style))
    for warning in result.warnings:
        console.print(Text(f"    {warning}", style="yellow"))


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))


def _lines(difference: Difference) -> Iterator[str]:
    """A difference for a person: `-` is what was expected, `+` what came."""
    yield from difference.message.splitlines()
    expected, got = difference.expected, difference.got
    if expected is None and got is None:
        return
    if difference.what in ("prompt", "log"):
        yield from _marked("-", expected)
        yield from _marked("+", got)
    else:
        yield from _diff(_as_lines(expected), _as_lines(got))


def _marked(mark: str, value: object) -> Iterator[str]:
    yield from (f"{mark} {line}" for line in _as_lines(value))


def _as_lines(value: object) -> list[str]:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [str(item) for item in value] or ["(nothing)"]
    if isinstance(value, str) and "\n" in value:
        return [_escaped(line) for line in value[:LONGEST_SHOWN_CHARS].split("\n")]
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, indent=2)[:LONGEST_SHOWN_CHARS].splitlines()
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


def _show_end(
    console: Console,
    files: Sequence[_File],
    coverage: Sequence[tuple[Workflow, Coverage]],
    low: Sequence[Workflow],
    least: float | None,
) -> None:
    for workflow, covered in coverage:
        console.print()
        line = Text(workflow.name, style="bold")
        line.append(f": {_share('states', covered.states)}, {_share('transitions', covered.transitions)}")
        console.print(line)
        for what, share in (("state", covered.states), ("transition", covered.transitions)):
            for missed in share.missed:
                console.print(Text(f"  {missed.place}: no case comes to the {what} {missed.name}"))
        if workflow in low:
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


def _suite(file: _File) -> JunitSuite:
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


def _object(files: Sequence[_File], coverage: Sequence[tuple[Workflow, Coverage]]) -> dict[str, Any]:
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
                "workflow": str(workflow.path),
                "percent": round(covered.percent, 1),
                "states": _share_object(covered.states),
                "transitions": _share_object(covered.transitions),
            }
            for workflow, covered in coverage
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
            }
            for one in result.differences
        ],
        "warnings": [fault_to_wire(warning) for warning in result.warnings],
    }


def _share_object(share: Share) -> dict[str, Any]:
    missed = [{"name": one.name, "place": place_to_wire(one.place)} for one in share.missed]
    return {"covered": share.covered, "total": share.total, "missed": missed}
