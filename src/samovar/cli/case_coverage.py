"""The workflows that the cases of a call have to cover, and the parts of each that they reached.

Above: `testing.py`. Below: `samovar.testing.coverage`, and the library. A workflow counts that has cases,
that is in a folder which was named, or that one of these runs; of those that come with Samovar only what has
cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from samovar.cli.case_report import TestedFile
from samovar.cli.checking import workflows_below
from samovar.errors import SamovarError
from samovar.folders import BUILTIN_FOLDER
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.testing.coverage import Covered, Seen, cover
from samovar.testing.paths import Tree

PASSED_OVER = frozenset(["node_modules", "__pycache__", ".git", ".venv", ".tox"])
"""Folders in which neither cases nor workflows are looked for."""


def covered_workflows(
    files: Sequence[TestedFile], folders: Iterable[Path], library: Library, *, lenient: bool
) -> list[Covered]:
    """Coverage of each workflow that counts, over all the files of cases. `folders`: all their workflows
    count."""
    workflows: dict[object, Workflow] = {}
    seen: dict[object, list[Seen]] = {}
    for file in files:
        if file.workflow is not None and not file.is_bad and file.results:
            workflows.setdefault(file.workflow.identity, file.workflow)
            for result in file.results:
                for identity, one in result.seen.items():
                    seen.setdefault(identity, []).append(one)
    for folder in folders:
        for workflow in _in_folder(folder, library, lenient=lenient):
            workflows.setdefault(workflow.identity, workflow)
    for workflow in list(workflows.values()):
        for child in Tree(workflow, library).workflows():
            if child.path is None or not child.path.resolve().is_relative_to(BUILTIN_FOLDER):
                workflows.setdefault(child.identity, child)
    return [
        Covered(
            workflow=workflow,
            coverage=cover(workflow, seen.get(identity, ())),
            has_cases=identity in seen,
        )
        for identity, workflow in workflows.items()
    ]


def _in_folder(folder: Path, library: Library, *, lenient: bool) -> Iterator[Workflow]:
    """Those that can be read: `samovar check` reports the others."""
    for path in workflows_below(folder):
        if PASSED_OVER.isdisjoint(path.relative_to(folder).parts):
            try:
                yield library.workflow(str(path), lenient=lenient)
            except SamovarError:
                continue
