"""The cases of a workflow: what its prompts, commands and users say in a test, and what is to come of it.

Above: `testing.py`, which runs a case; the command line. Below: YAML within the bounds of front matter, and
`paths.py`. A case is a frozen value that knows its line. Nothing is run here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from samovar import errors
from samovar.errors import Fault, FaultsError, Place, SamovarError, nearest
from samovar.events import Ending
from samovar.generation import FinishReason
from samovar.language.yaml_document import FrontMatter, read_yaml
from samovar.library import ENDINGS, read_text
from samovar.values import plain, to_text

SUFFIXES = (".test.yaml", ".test.yml")
FILE_KEYS = ("workflow", "cases")
CASE_KEYS = ("name", "variables", "answers", "shell", "waits", "limits", "expect")
LIMIT_KEYS = ("transitions",)
EXPECT_KEYS = ("ending", "path", "variables", "prompts", "log")
ANSWER_KEYS = ("text", "error", "finish_reason", "tokens", "message")
SHELL_KEYS = ("stdout", "stderr", "exit_code", "error", "message")
TIMEOUT = "timeout"
STOPPED_EXIT_CODE = 143
"""Of a command that was ended by its timeout."""

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a prompt is answered with."""

    text: str
    finish_reason: FinishReason = FinishReason.STOP
    tokens: int | None = None
    """As many as it counts for; None: its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What a command leaves."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    timed_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no answer, or no command."""

    code: str
    """As in `errors.py`."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told(Generic[T_co]):
    """What a case says for the visits of one state."""

    values: tuple[T_co, ...]
    """At least one."""
    is_list: bool
    """One for each visit in turn; else the only one holds for every visit."""
    place: Place

    def at(self, visit: int) -> T_co | None:
        """For the `visit`-th visit, from 1; None where the list is shorter."""
        if not self.is_list:
            return self.values[0]
        return self.values[visit - 1] if visit <= len(self.values) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is to come of a case; what is None or empty is not judged."""

    ending: Ending = Ending.COMPLETED
    path: tuple[str, ...] | None = None
    """The visits, by path, those of sub-workflows included."""
    path_places: tuple[Place, ...] = ()
    """Where each of them stands."""
    variables: Mapping[str, object] = field(default_factory=dict)
    """Some of those at the end."""
    prompts: Mapping[str, Told[str]] = field(default_factory=dict)
    """By path: a text that is in what was sent."""
    log: tuple[str, ...] = ()
    """Texts that are in lines of the log, in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run on told answers, and what is to come of it. States are named by path."""

    name: str
    place: Place
    variables: Mapping[str, object] = field(default_factory=dict)
    answers: Mapping[str, Told[Answer | Failure]] = field(default_factory=dict)
    shell: Mapping[str, Told[Printed | Failure]] = field(default_factory=dict)
    waits: Mapping[str, Told[bool]] = field(default_factory=dict)
    """Whether there is a user who goes on; without a word there is."""
    transitions: int | None = None
    """At most so many; None leaves it to the workflow."""
    expected: Expected = field(default_factory=Expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """The cases of one file."""

    path: Path
    workflow: Path
    """Of the workflow they run."""
    cases: tuple[Case, ...]
    indent: int = 2
    """Blanks before the `-` of its cases."""


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
    reader = _Reader(read_yaml(text, path=path), path)
    file = reader.file(text)
    if reader.faults:
        raise FaultsError(sorted(reader.faults, key=lambda fault: (fault.place.line, fault.place.column)))
    return file


Step = str | int


class _Reader:
    """Takes the values of a file apart. Mutable: the faults found so far."""

    def __init__(self, matter: FrontMatter, path: Path) -> None:
        self._matter, self._path = matter, path
        self.faults: list[Fault] = []
        for steps in matter.twice:
            self._fault("duplicate-key", f"{str(steps[-1])!r} stands here for the second time.", *steps)

    def place(self, *steps: Step) -> Place:
        """Where a value stands, or the nearest around it that is known."""
        for length in range(len(steps), 0, -1):
            if found := self._matter.spots.get(steps[:length]):
                return Place(path=self._path, line=found[0] - 1, column=found[1])
        return Place(path=self._path, line=1)

    def _fault(self, code: str, message: str, *steps: Step) -> None:
        self.faults.append(Fault(code=code, message=message, place=self.place(*steps)))

    # The file and its cases.

    def file(self, text: str) -> CaseFile:
        values = self._map(self._matter.values, "The file", FILE_KEYS)
        items = values.get("cases")
        if not isinstance(items, list):
            if items is not None:
                self._fault("case", "`cases` must be a list, each case with a `name`.", "cases")
            items = []
        cases = [self._case(item, index) for index, item in enumerate(items)]
        names: set[str] = set()
        for index, case in enumerate(cases):
            if case.name in names:
                self._fault("case", f"There are two cases named {case.name!r}.", "cases", index, "name")
            names.add(case.name)
        return CaseFile(
            path=self._path,
            workflow=self._workflow(values.get("workflow")),
            cases=tuple(cases),
            indent=self._indent(text) if cases else 2,
        )

    def _indent(self, text: str) -> int:
        lines, number = text.split("\n"), self.place("cases", 0).line
        line = lines[number - 1] if number <= len(lines) else "  "
        return len(line) - len(line.lstrip(" "))

    def _workflow(self, named: Any) -> Path:
        if named is not None:
            path = self._path.parent / (self._text(named, "`workflow`", "workflow") or "")
            if not path.is_file():
                self._fault("unknown-workflow", f"There is no workflow {str(named)!r} here.", "workflow")
            return path
        suffix = next((one for one in SUFFIXES if self._path.name.endswith(one)), self._path.suffix)
        stem = self._path.name.removesuffix(suffix)
        paths = [self._path.with_name(stem + ending) for ending in ENDINGS if ending]
        found = next((path for path in paths if path.is_file()), None)
        if found is None:
            message = f"There is no workflow {paths[0].name!r} beside it. Name another: `workflow: FILE`."
            self._fault("unknown-workflow", message)
        return found or paths[0]

    def _case(self, value: Any, index: int) -> Case:
        at: tuple[Step, ...] = ("cases", index)
        values = self._map(value, "A case", CASE_KEYS, *at)
        name = values.get("name")
        if not isinstance(name, str) or not name.strip():
            self._fault("case", "A case needs a `name`, which is a text.", *at, "name")
            name = f"case {index + 1}"
        return Case(
            name=name,
            place=self.place(*at),
            variables={
                key: plain(item)
                for key, item in self._map(
                    values.get("variables"), "`variables`", None, *at, "variables"
                ).items()
            },
            answers=dict(self._states(values.get("answers"), self._answer, ANSWER_KEYS[:2], *at, "answers")),
            shell=dict(self._states(values.get("shell"), self._printed, SHELL_KEYS[:4], *at, "shell")),
            waits=dict(self._states(values.get("waits"), self._wait, (), *at, "waits")),
            transitions=self._transitions(values.get("limits"), *at, "limits"),
            expected=self._expected(values.get("expect"), *at, "expect"),
        )

    def _transitions(self, value: Any, *at: Step) -> int | None:
        values = self._map(value, "`limits`", LIMIT_KEYS, *at)
        return self._count(values, "transitions", *at) if "transitions" in values else None

    def _count(self, values: Mapping[str, Any], key: str, *at: Step) -> int:
        count = values[key]
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            self._fault("case", f"`{key}` must be a whole number of at least 0.", *at, key)
            return 0
        return count

    def _expected(self, value: Any, *at: Step) -> Expected:
        values = self._map(value, "`expect`", EXPECT_KEYS, *at)
        endings = [str(ending) for ending in Ending if ending is not Ending.CANCELLED]
        ending = values.get("ending", "completed")
        if ending not in endings:
            hint = nearest(str(ending)[:100], endings)
            self._fault("case", f"There is no ending {to_text(ending)!r:.80}.{hint}", *at, "ending")
            ending = "completed"
        path = values.get("path")
        found = self._map(values.get("variables"), "`variables`", None, *at, "variables")
        return Expected(
            ending=Ending(ending),
            path=None if path is None else tuple(self._texts(path, "`path`", *at, "path")),
            path_places=tuple(self.place(*at, "path", index) for index in range(_length(path))),
            variables={key: plain(item) for key, item in found.items()},
            prompts=dict(self._states(values.get("prompts"), self._sent, (), *at, "prompts")),
            log=tuple(self._texts(values.get("log", []), "`log`", *at, "log")),
        )

    # Values by state.

    def _states(
        self, value: Any, read: Any, keys: Sequence[str], *at: Step, prefix: str = ""
    ) -> Iterator[tuple[str, Told[Any]]]:
        """By path, what is told for a state; a map without any of `keys` is of the states below it."""
        for name, item in self._map(value, f"`{prefix or at[-1]}`", None, *at).items():
            path, here = prefix + name, (*at, name)
            if isinstance(item, dict) and not any(key in item for key in keys):
                yield from self._states(item, read, keys, *here, prefix=f"{path}/")
                continue
            items = item if isinstance(item, list) else [item]
            spots = [(*here, index) if isinstance(item, list) else here for index in range(len(items))]
            told = [read(one, spot) for one, spot in zip(items, spots, strict=True)]
            if not told:
                self._fault("case", f"There is nothing in the list for {path!r}.", *here)
            elif all(one is not None for one in told):
                yield path, Told(values=tuple(told), is_list=isinstance(item, list), place=self.place(*here))

    def _answer(self, value: Any, at: tuple[Step, ...]) -> Answer | Failure | None:
        if not isinstance(value, dict):
            text = self._text(value, "An answer", *at)
            return None if text is None else Answer(text=text)
        values = self._map(value, "An answer", ANSWER_KEYS, *at)
        text = self._text(values.get("text", ""), "`text`", *at, "text") or ""
        tokens = self._count(values, "tokens", *at) if "tokens" in values else None
        failure = self._failure(values, *at)
        if failure is not None:
            if failure.code == TIMEOUT:
                return Answer(text=text, finish_reason=FinishReason.TIMEOUT, tokens=tokens)
            return failure
        reasons = [str(one) for one in FinishReason if one is not FinishReason.CANCELLED]
        reason = values.get("finish_reason", "stop")
        if reason not in reasons:
            hint = nearest(str(reason)[:100], reasons)
            self._fault(
                "case", f"There is no finish_reason {to_text(reason)!r:.80}.{hint}", *at, "finish_reason"
            )
            return None
        return Answer(text=text, finish_reason=FinishReason(reason), tokens=tokens)

    def _printed(self, value: Any, at: tuple[Step, ...]) -> Printed | Failure | None:
        if not isinstance(value, dict):
            text = self._text(value, "What a command prints", *at)
            return None if text is None else Printed(stdout=text)
        values = self._map(value, "A command's result", SHELL_KEYS, *at)
        failure = self._failure(values, *at)
        timed_out = failure is not None and failure.code == TIMEOUT
        if failure is not None and not timed_out:
            return failure
        exit_code = values.get("exit_code", STOPPED_EXIT_CODE if timed_out else 0)
        if isinstance(exit_code, bool) or not isinstance(exit_code, int):
            self._fault("case", "`exit_code` must be a whole number.", *at, "exit_code")
            return None
        return Printed(
            stdout=self._text(values.get("stdout", ""), "`stdout`", *at, "stdout") or "",
            stderr=self._text(values.get("stderr", ""), "`stderr`", *at, "stderr") or "",
            exit_code=exit_code,
            timed_out=timed_out,
        )

    def _failure(self, values: Mapping[str, Any], *at: Step) -> Failure | None:
        code = values.get("error")
        if code is None:
            return None
        if code not in CODES:
            self._fault(
                "case",
                f"There is no error {to_text(code)!r:.80}.{nearest(str(code)[:100], CODES)}",
                *at,
                "error",
            )
        message = self._text(values.get("message", "The case says so."), "`message`", *at, "message")
        return Failure(code=str(code), message=message or "")

    def _wait(self, value: Any, at: tuple[Step, ...]) -> bool | None:
        if isinstance(value, bool):
            return value
        self._fault("case", "A wait is true (the user goes on) or false (there is no user).", *at)
        return None

    def _sent(self, value: Any, at: tuple[Step, ...]) -> str | None:
        return self._text(value, "What a prompt holds", *at)

    # Plain values.

    def _map(self, value: Any, what: str, keys: Sequence[str] | None, *at: Step) -> dict[str, Any]:
        """The map, with text keys; `keys` are all that it may have."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._fault("case", f"{what} must be `key: value` lines.", *at)
            return {}
        found = {to_text(key): item for key, item in value.items()}
        for key in found:
            if keys is not None and key not in keys:
                hint = nearest(key[:100], keys)
                self._fault("unknown-key", f"{what} has {key!r}, which means nothing.{hint}", *at, key)
        return found

    def _text(self, value: Any, what: str, *at: Step) -> str | None:
        if isinstance(value, str):
            return value
        hint = (
            ""
            if isinstance(value, list | dict)
            else f", and {to_text(value) or 'null'!r:.40} is none: write it in quotes"
        )
        self._fault("case", f"{what} must be a text{hint}.", *at)
        return None

    def _texts(self, value: Any, what: str, *at: Step) -> Iterator[str]:
        if not isinstance(value, list):
            self._fault("case", f"{what} must be a list of texts.", *at)
            return
        for index, item in enumerate(value):
            text = self._text(item, f"Each of {what}", *at, index)
            if text is not None:
                yield text


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0


CODES = frozenset(
    one.code for one in vars(errors).values() if isinstance(one, type) and issubclass(one, SamovarError)
)
"""Of errors that a case can tell."""
