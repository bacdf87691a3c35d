"""Adds a case to a file of cases, below the existing ones, which do not change.

Above: `recording.py`. Below: `case_file.py`, which reads it back: what is not read as it was meant is not
written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path

from samovar.errors import FaultsError, UsageError
from samovar.files import locked, read_text, write_whole
from samovar.language.yaml_text import yaml_text
from samovar.testing.case_file import parse_cases
from samovar.testing.cases import SUFFIXES, Case, CaseFile


def with_case(path: Path, workflow: Path, values: Mapping[str, object]) -> tuple[str, Case]:
    """The text that the file `path` has when a case is added to it, and the case as read from there.

    `values` are those of the case, without a name that another has. Raises `UsageError` for a file that no
    case can be added to, or that has another workflow's, `FaultsError` for one with faults.
    """
    if not path.name.endswith(SUFFIXES):
        raise UsageError(f"A file of cases ends in {SUFFIXES[0]}, not {path.name!r}.")
    if not path.exists():
        text = _heading(path, workflow)
        return _added(path, (), {"name": "run 1", **values}, (f"{text}cases:\n{{}}",))
    text = read_text(path)
    file = parse_cases(text, path)
    if file.workflow.resolve() != workflow.resolve():
        raise UsageError(f"{path} has the cases of {file.workflow}, not of {workflow}.")
    named = {"name": _free_name(file), **values}
    whole = text if text.endswith("\n") or not text else text + "\n"
    return _added(path, file.cases, named, (f"{whole}{{}}", f"{whole}cases:\n{{}}"), indent=file.indent)


def _heading(path: Path, workflow: Path) -> str:
    """What a new file begins with: its workflow, if that is not the one beside it."""
    with suppress(FaultsError):
        if parse_cases("cases: []\n", path).workflow.resolve() == workflow.resolve():
            return ""
    relative = os.path.relpath(workflow.resolve(), path.parent.resolve())
    return yaml_text({"workflow": Path(relative).as_posix()})


def _free_name(file: CaseFile) -> str:
    names = {case.name for case in file.cases}
    return next(name for number in range(1, len(names) + 2) if (name := f"run {number}") not in names)


def _added(
    path: Path,
    cases: tuple[Case, ...],
    values: Mapping[str, object],
    forms: tuple[str, ...],
    *,
    indent: int = 2,
) -> tuple[str, Case]:
    """The first of the forms, with the case in it, that has all the cases as they were, and one more."""
    blanks = " " * indent
    item = "".join(
        f"{blanks}{line}" if line.strip("\n") else line
        for line in yaml_text([values]).splitlines(keepends=True)
    )
    # An empty line before it would be part of a text that keeps those at its end.
    for form, gap in product(forms, ("\n", "") if cases else ("",)):
        whole = form.removesuffix("{}") + gap + item
        with suppress(FaultsError):
            *before, last = parse_cases(whole, path).cases or (None,)
            if tuple(before) == cases and last is not None and last.name == values["name"]:
                return whole, last
    raise UsageError(
        f"A case cannot be added to {path}: its cases must be lines of `- name: …` below `cases:`, at the "
        f"end."
    )


def add_case(path: Path, workflow: Path, values: Mapping[str, object]) -> Case:
    """Adds a case to a file, or makes the file. Two processes that do so wait for each other.

    Raises as `with_case`, and `UsageError` if it cannot be written; then the file is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}.") from error
    with _alone(path.resolve().parent):
        text, case = with_case(path, workflow, values)
        write_whole(path, text)
    return case


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the folder, if the system can, so that no other process adds a case meanwhile."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with locked(handle):
            yield
    finally:
        os.close(handle)
