"""`samovar test`: runs the cases of workflows, and shows differences and missing coverage.

Above: the commands of `__init__.py`. Below: `samovar.testing.trial` and what it is made of.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
from rich.console import Console
from rich.text import Text

from samovar.app import open_library
from samovar.checks.checking import check_tree
from samovar.cli.case_coverage import PASSED_OVER, covered_workflows
from samovar.cli.case_report import TestedFile, show_case, show_end, suite_of, tests_object
from samovar.cli.console import make_console
from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.errors import Fault, FaultsError, Place, SamovarError, UsageError
from samovar.files import is_file, is_folder, write_whole
from samovar.folders import current_folder, name_of
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.testing.case_checks import check_cases
from samovar.testing.case_file import case_file_of, is_case_file, read_case_file
from samovar.testing.cases import SUFFIXES, Case, CaseFile
from samovar.testing.junit import junit_xml
from samovar.testing.paths import Tree
from samovar.testing.trial import CaseResult, run_case


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


def run_tests(arguments: CasesArguments) -> int:
    """Runs the cases and returns the exit status: 0 all passed, 1 some did not, 2 files are at fault."""
    library = open_library(current_folder())
    files = [_read(path, library, arguments) for path in _case_files(arguments.paths, library)]
    if not any(file.cases or file.is_bad for file in files):
        raise UsageError("No case matches." if arguments.only else "There are no cases in these files.")
    console = make_console(sys.stderr if arguments.as_json else sys.stdout)
    for file in files:
        _run(file, library, arguments, console)
    # With a choice of cases, what has none is not news.
    folders = [] if arguments.only else [one for one in arguments.paths or (Path(),) if is_folder(one)]
    coverage = covered_workflows(files, folders, library, lenient=arguments.lenient)
    if arguments.junit is not None:
        write_whole(arguments.junit, junit_xml([suite_of(file) for file in files]))
    least = arguments.coverage_min
    low = [one for one in coverage if least is not None and one.coverage.percent < least]
    if arguments.as_json:
        write_json(tests_object(files, coverage))
    else:
        show_end(console, files, coverage, least)
    if any(file.is_bad for file in files):
        return 2
    return 1 if low or not all(result.passed for file in files for result in file.results) else 0


# Finding and reading.


def _case_files(paths: Sequence[Path], library: Library) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths or [Path()]:
        if is_folder(path):
            below = list(_below(path))
            if not below:
                raise UsageError(f"There is no file of cases (*.test.yaml) below {path.resolve()}.")
            found.update(dict.fromkeys(below))
        elif is_case_file(path):
            found[path] = None
        else:
            workflow = path if is_file(path) else library.workflow(str(path)).path or path
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


def _read(path: Path, library: Library, arguments: CasesArguments) -> TestedFile:
    read: CaseFile | None = None
    workflow: Workflow | None = None
    faults: tuple[Fault, ...]
    try:
        read = read_case_file(path)
        workflow = library.workflow(str(read.workflow), lenient=arguments.lenient)
        given = frozenset(name for case in read.cases for name in case.variables)
        wrong = [one for one in check_tree(workflow, library, given=given) if one.severity == "error"]
        faults = (*wrong, *check_cases(read, Tree(workflow, library)))
    except FaultsError as error:
        faults = error.faults
    except SamovarError as error:
        place = error.place or Place(path=path, line=1)
        faults = (Fault(code=error.code, message=error.message, place=place),)
    cases = read.cases if read is not None else ()
    only = (arguments.only or "").casefold()
    return TestedFile(
        path=path,
        workflow=workflow,
        cases=tuple(case for case in cases if only in f"{path}: {case.name}".casefold()),
        faults=faults,
    )


def _run(file: TestedFile, library: Library, arguments: CasesArguments, console: Console) -> None:
    if file.cases or file.is_bad:
        console.print(Text(str(file.path), style="bold"))
    for fault in file.faults:
        console.print(Text(f"  {shown(str(fault))}", style="red" if fault.severity == "error" else "yellow"))
    if file.is_bad or file.workflow is None:
        return
    tree = Tree(file.workflow, library)

    async def run(case: Case) -> CaseResult:
        return await run_case(case, tree, library, lenient=arguments.lenient)

    for case in file.cases:
        result = anyio.run(run, case)
        file.results.append(result)
        show_case(console, result)
