"""Reads a file of cases, and finds the one that belongs to a workflow.

Above: `case_text.py`, which reads back what it writes, and the command line. Below: `cases.py` for the
values, `checked_values.py`. A state is named by its path in a workflow and those it runs. Nothing is run
here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from samovar import errors
from samovar.errors import FaultsError, SamovarError, nearest
from samovar.events import Ending
from samovar.files import read_text
from samovar.folders import ENDINGS
from samovar.generation import FinishReason
from samovar.language.yaml_document import Steps, read_yaml
from samovar.testing.cases import (
    ANSWER_KEYS,
    SHELL_KEYS,
    STOPPED_EXIT_CODE,
    SUFFIXES,
    TIMEOUT,
    Answer,
    Case,
    CaseFile,
    Expected,
    Failure,
    Printed,
    Told,
    Waited,
)
from samovar.testing.checked_values import CheckedValues, Step
from samovar.values import plain, to_text

FILE_KEYS = ("workflow", "cases")
CASE_KEYS = ("name", "variables", "answers", "commands", "shell", "waits", "limits", "expect")
LIMIT_KEYS = ("transitions",)
EXPECT_KEYS = ("ending", "path", "variables", "prompts", "log")
CODES = frozenset(
    one.code for one in vars(errors).values() if isinstance(one, type) and issubclass(one, SamovarError)
)
"""Of errors that a case can tell."""


def is_case_file(path: Path) -> bool:
    return path.name.endswith(SUFFIXES)


def case_file_of(workflow: Path) -> Path | None:
    """The file beside a workflow that has its cases; None where there is none."""
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if ending and workflow.name.endswith(ending):
            stem = workflow.name.removesuffix(ending)
            found = [workflow.with_name(stem + suffix) for suffix in SUFFIXES]
            return next((path for path in found if path.is_file()), None)
    return None


def read_case_file(path: Path) -> CaseFile:
    """The cases of a file. Raises `FaultsError` with all that is wrong, `UsageError` for what is no file."""
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
            message = f"There is no workflow {paths[0].name!r} beside it. Name another: `workflow: FILE`."
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
        return Case(
            name=name,
            place=self._yaml.place(*at),
            variables={key: plain(item) for key, item in variables.items()},
            sources=dict(self._sources(variables, *at, "variables")),
            answers=dict(self._states(values.get("answers"), self._answer, ANSWER_KEYS[:2], *at, "answers")),
            shell=self._commands(values, *at),
            waits=dict(self._states(values.get("waits"), self._wait, (), *at, "waits")),
            transitions=self._transitions(values.get("limits"), *at, "limits"),
            expected=self._expected(values.get("expect"), *at, "expect"),
        )

    def _commands(self, values: Mapping[str, Any], *at: Step) -> dict[str, Told[Printed | Failure]]:
        """What commands leave, by path: `commands`, or `shell`, which is the older name of it."""
        told: dict[str, Told[Printed | Failure]] = {}
        for key in ("commands", "shell"):
            for path, one in self._states(values.get(key), self._printed, SHELL_KEYS[:4], *at, key):
                if path in told:
                    self._yaml.fault("case", f"{path!r} stands below `commands` and `shell`.", *at, key)
                told[path] = one
        return told

    def _sources(self, variables: Mapping[str, Any], *at: Step) -> Iterator[tuple[Steps, str]]:
        """How the numbers and truths are written that a text parameter, or a list of texts, may get."""
        for name, item in variables.items():
            for steps in ((name,), *((name, index) for index in range(_length(item)))):
                if (source := self._yaml.matter.source(*at, *steps)) is not None:
                    yield steps, source

    def _transitions(self, value: Any, *at: Step) -> int | None:
        values = self._yaml.map(value, "`limits`", LIMIT_KEYS, *at)
        return self._yaml.count(values, "transitions", *at) if "transitions" in values else None

    def _expected(self, value: Any, *at: Step) -> Expected:
        values = self._yaml.map(value, "`expect`", EXPECT_KEYS, *at)
        endings = [str(ending) for ending in Ending if ending is not Ending.CANCELLED]
        ending = values.get("ending", "completed")
        if ending not in endings:
            hint = nearest(str(ending)[:100], endings)
            self._yaml.fault("case", f"There is no ending {to_text(ending)!r:.80}.{hint}", *at, "ending")
            ending = "completed"
        path = values.get("path")
        found = self._yaml.map(values.get("variables"), "`variables`", None, *at, "variables")
        return Expected(
            ending=Ending(ending),
            path=None if path is None else tuple(self._yaml.texts(path, "`path`", *at, "path")),
            path_places=tuple(self._yaml.place(*at, "path", index) for index in range(_length(path))),
            variables={key: plain(item) for key, item in found.items()},
            prompts=dict(self._states(values.get("prompts"), self._sent, (), *at, "prompts")),
            log=tuple(self._yaml.texts(values.get("log", []), "`log`", *at, "log")),
        )

    # Values by state.

    def _states(
        self, value: Any, read: Any, keys: Sequence[str], *at: Step, prefix: str = ""
    ) -> Iterator[tuple[str, Told[Any]]]:
        """By path, what is told for a state; a map without any of `keys` is of the states below it."""
        for name, item in self._yaml.map(value, f"`{prefix or at[-1]}`", None, *at).items():
            path, here = prefix + name, (*at, name)
            if isinstance(item, dict) and not any(key in item for key in keys):
                yield from self._states(item, read, keys, *here, prefix=f"{path}/")
                continue
            items = item if isinstance(item, list) else [item]
            spots = [(*here, index) if isinstance(item, list) else here for index in range(len(items))]
            told = [read(one, spot) for one, spot in zip(items, spots, strict=True)]
            if not told:
                self._yaml.fault("case", f"There is nothing in the list for {path!r}.", *here)
            elif all(one is not None for one in told):
                yield (
                    path,
                    Told(values=tuple(told), is_list=isinstance(item, list), place=self._yaml.place(*here)),
                )

    def _answer(self, value: Any, at: tuple[Step, ...]) -> Answer | Failure | None:
        if not isinstance(value, dict):
            text = self._yaml.text(value, "An answer", *at)
            return None if text is None else Answer(text=text)
        values = self._yaml.map(value, "An answer", ANSWER_KEYS, *at)
        text = self._yaml.text(values.get("text", ""), "`text`", *at, "text") or ""
        tokens = self._yaml.count(values, "tokens", *at) if "tokens" in values else None
        failure = self._failure(values, *at)
        if failure is not None:
            if failure.code == TIMEOUT:
                return Answer(text=text, finish_reason=FinishReason.TIMEOUT, tokens=tokens)
            return failure
        reasons = [str(one) for one in FinishReason if one is not FinishReason.CANCELLED]
        reason = values.get("finish_reason", "stop")
        if reason not in reasons:
            hint = nearest(str(reason)[:100], reasons)
            self._yaml.fault(
                "case", f"There is no finish_reason {to_text(reason)!r:.80}.{hint}", *at, "finish_reason"
            )
            return None
        return Answer(text=text, finish_reason=FinishReason(reason), tokens=tokens)

    def _printed(self, value: Any, at: tuple[Step, ...]) -> Printed | Failure | None:
        if not isinstance(value, dict):
            text = self._yaml.text(value, "What a command prints", *at)
            return None if text is None else Printed(stdout=text)
        values = self._yaml.map(value, "A command's result", SHELL_KEYS, *at)
        failure = self._failure(values, *at)
        timed_out = failure is not None and failure.code == TIMEOUT
        if failure is not None and not timed_out:
            return failure
        exit_code = values.get("exit_code", STOPPED_EXIT_CODE if timed_out else 0)
        if isinstance(exit_code, bool) or not isinstance(exit_code, int):
            self._yaml.fault("case", "`exit_code` must be a whole number.", *at, "exit_code")
            return None
        return Printed(
            stdout=self._yaml.text(values.get("stdout", ""), "`stdout`", *at, "stdout") or "",
            stderr=self._yaml.text(values.get("stderr", ""), "`stderr`", *at, "stderr") or "",
            exit_code=exit_code,
            timed_out=timed_out,
        )

    def _failure(self, values: Mapping[str, Any], *at: Step) -> Failure | None:
        code = values.get("error")
        if code is None:
            return None
        if code not in CODES:
            self._yaml.fault(
                "case",
                f"There is no error {to_text(code)!r:.80}.{nearest(str(code)[:100], CODES)}",
                *at,
                "error",
            )
        message = self._yaml.text(values.get("message", "The case says so."), "`message`", *at, "message")
        return Failure(code=str(code), message=message or "")

    def _wait(self, value: Any, at: tuple[Step, ...]) -> Waited | None:
        if value is True:
            return "yes"
        if value is False:
            return "nobody"
        if value in ("yes", "no"):
            return "yes" if value == "yes" else "no"
        said = "A wait is true (the user goes on), no (the user refuses), or false (there is nobody)."
        self._yaml.fault("case", said, *at)
        return None

    def _sent(self, value: Any, at: tuple[Step, ...]) -> str | None:
        return self._yaml.text(value, "What a prompt holds", *at)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0
