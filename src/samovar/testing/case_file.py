"""Reads a file of cases, and finds the one that belongs to a workflow.

Above: `case_text.py`, which reads back what it writes, and the command line. Below: `told_values.py` and
`expected_values.py` for what a case has, `cases.py` for the values. A state is named by its path in a
workflow and those it runs. Nothing is run here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from samovar.errors import FaultsError
from samovar.files import read_text
from samovar.folders import ENDINGS
from samovar.language.yaml_document import Steps, read_yaml
from samovar.testing.by_state import ReadOne, by_state
from samovar.testing.cases import (
    ANSWER_KEYS,
    SHELL_KEYS,
    SUFFIXES,
    TOOL_KEYS,
    Case,
    CaseFile,
    Failure,
    Printed,
)
from samovar.testing.checked_values import CheckedValues, Step
from samovar.testing.expectations import Told
from samovar.testing.expected_values import read_expected
from samovar.testing.told_tools import read_tool_result
from samovar.testing.told_values import REPLY_KEYS, read_answer, read_printed, read_reply, read_wait
from samovar.values import plain

T = TypeVar("T")
FILE_KEYS = ("workflow", "cases")
CASE_KEYS = (
    "name",
    "variables",
    "answers",
    "commands",
    "shell",
    "waits",
    "replies",
    "tools",
    "files",
    "limits",
    "expect",
)
LIMIT_KEYS = ("transitions", "duration")


def is_case_file(path: Path) -> bool:
    return path.name.endswith(SUFFIXES)


def case_file_of(workflow: Path) -> Path | None:
    """The file beside a workflow that has its cases; None if there is none."""
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if ending and workflow.name.endswith(ending):
            stem = workflow.name.removesuffix(ending)
            found = [workflow.with_name(stem + suffix) for suffix in SUFFIXES]
            return next((path for path in found if path.is_file()), None)
    return None


def read_case_file(path: Path) -> CaseFile:
    """The cases of a file. Raises `FaultsError` with all that is wrong, `UsageError` for what is not a
    file."""
    return parse_cases(read_text(path), path)


def parse_cases(text: str, path: Path) -> CaseFile:
    """The cases of a text, which is the content of the file `path`. Raises as `read_case_file`."""
    values = CheckedValues(read_yaml(text, path=path), path)
    file = _Reader(values).file(text)
    if values.faults:
        raise FaultsError(sorted(values.faults, key=lambda fault: (fault.place.line, fault.place.column)))
    return file


class _Reader:
    """Makes cases of the values of a file, whose faults it adds to."""

    def __init__(self, yaml: CheckedValues) -> None:
        self._yaml = yaml

    # The file and its cases.

    def file(self, text: str) -> CaseFile:
        values = self._yaml.map(self._yaml.matter.values, "The file", FILE_KEYS)
        items = values.get("cases")
        if not isinstance(items, list):
            if items is not None:
                self._yaml.fault("case", "`cases` must be a list, each case with a `name`.", "cases")
            items = []
        cases = [self._case(item, index) for index, item in enumerate(items)]
        names: set[str] = set()
        for index, case in enumerate(cases):
            if case.name in names:
                self._yaml.fault("case", f"There are two cases named {case.name!r}.", "cases", index, "name")
            names.add(case.name)
        return CaseFile(
            workflow=self._workflow(values.get("workflow")),
            cases=tuple(cases),
            indent=self._indent(text) if cases else 2,
        )

    def _indent(self, text: str) -> int:
        lines, number = text.split("\n"), self._yaml.place("cases", 0).line
        line = lines[number - 1] if number <= len(lines) else "  "
        return len(line) - len(line.lstrip(" "))

    def _workflow(self, named: Any) -> Path:
        if named is not None:
            path = self._yaml.path.parent / (self._yaml.text(named, "`workflow`", "workflow") or "")
            if not path.is_file():
                self._yaml.fault("unknown-workflow", f"There is no workflow {str(named)!r} here.", "workflow")
            return path
        suffix = next((one for one in SUFFIXES if self._yaml.path.name.endswith(one)), self._yaml.path.suffix)
        stem = self._yaml.path.name.removesuffix(suffix)
        paths = [self._yaml.path.with_name(stem + ending) for ending in ENDINGS if ending]
        found = next((path for path in paths if path.is_file()), None)
        if found is None:
            message = f"There is no workflow {paths[0].name!r} beside it. Name one with `workflow: FILE`."
            self._yaml.fault("unknown-workflow", message)
        return found or paths[0]

    def _case(self, value: Any, index: int) -> Case:
        at: tuple[Step, ...] = ("cases", index)
        values = self._yaml.map(value, "A case", CASE_KEYS, *at)
        name = values.get("name")
        if not isinstance(name, str) or not name.strip():
            self._yaml.fault("case", "A case needs a `name`, which is a text.", *at, "name")
            name = f"case {index + 1}"
        variables = self._yaml.map(values.get("variables"), "`variables`", None, *at, "variables")
        limits = self._yaml.map(values.get("limits"), "`limits`", LIMIT_KEYS, *at, "limits")
        limited = "transitions" in limits
        transitions = self._yaml.count(limits, "transitions", *at, "limits") if limited else None
        return Case(
            name=name,
            place=self._yaml.place(*at),
            variables={key: plain(item) for key, item in variables.items()},
            sources=dict(self._sources(variables, *at, "variables")),
            places={name: self._yaml.place(*at, "variables", name) for name in variables},
            answers=dict(self._told(values, "answers", read_answer, ANSWER_KEYS[:4], *at)),
            shell=self._commands(values, *at),
            waits=dict(self._told(values, "waits", read_wait, (), *at)),
            replies=dict(self._told(values, "replies", read_reply, REPLY_KEYS, *at)),
            tools=dict(self._told(values, "tools", read_tool_result, TOOL_KEYS, *at)),
            files=dict(self._files(values.get("files"), *at, "files")),
            transitions=transitions,
            duration_s=self._yaml.duration_s(limits, "duration", *at, "limits"),
            expected=read_expected(self._yaml, values.get("expect"), *at, "expect"),
        )

    def _files(self, value: Any, *at: Step) -> Iterator[tuple[str, str]]:
        for path, held in self._yaml.map(value, "`files`", None, *at).items():
            text = self._yaml.text(held, "What a file holds", *at, path)
            if text is not None:
                yield path, text

    def _told(
        self, values: Mapping[str, Any], key: str, read: ReadOne[T], keys: Sequence[str], *at: Step
    ) -> Iterator[tuple[str, Told[T]]]:
        return by_state(self._yaml, values.get(key), read, keys, *at, key)

    def _commands(self, values: Mapping[str, Any], *at: Step) -> dict[str, Told[Printed | Failure]]:
        """What commands leave, by path: `commands`, or `shell`, which is the older name of it."""
        told: dict[str, Told[Printed | Failure]] = {}
        for key in ("commands", "shell"):
            found: Iterator[tuple[str, Told[Printed | Failure]]]
            found = self._told(values, key, read_printed, SHELL_KEYS[:5], *at)
            for path, one in found:
                if path in told:
                    self._yaml.fault("case", f"{path!r} is below `commands` and below `shell`.", *at, key)
                told[path] = one
        return told

    def _sources(self, variables: Mapping[str, Any], *at: Step) -> Iterator[tuple[Steps, str]]:
        """How the numbers and truths are written that a text parameter, or a list of texts, may get."""
        for name, item in variables.items():
            for steps in ((name,), *((name, index) for index in range(_length(item)))):
                if (source := self._yaml.matter.source(*at, *steps)) is not None:
                    yield steps, source


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0
