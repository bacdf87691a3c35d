"""The cases of a workflow: what its prompts, commands and users say in a test, and what is to come of it.

Above: `case_file.py` reads them, `case_text.py` writes one, `trial.py` runs one; the command line. Below:
only what runs and models give. A case is a frozen value that knows its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

from samovar.errors import Place
from samovar.events import Ending
from samovar.generation import FinishReason
from samovar.language.yaml_document import Steps

SUFFIXES = (".test.yaml", ".test.yml")
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
    """As in `errors/`."""
    message: str


Waited = Literal["yes", "no", "nobody"]
"""What a user says who is asked whether to go on; or there is nobody."""


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
    sources: Mapping[Steps, str] = field(default_factory=dict)
    """How the numbers and truths among `variables` are written, which a text parameter gets."""
    answers: Mapping[str, Told[Answer | Failure]] = field(default_factory=dict)
    shell: Mapping[str, Told[Printed | Failure]] = field(default_factory=dict)
    waits: Mapping[str, Told[Waited]] = field(default_factory=dict)
    """What the user says; without a word, yes."""
    transitions: int | None = None
    """At most so many; None leaves it to the workflow."""
    expected: Expected = field(default_factory=Expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """The cases of one file."""

    workflow: Path
    """Of the workflow they run."""
    cases: tuple[Case, ...]
    indent: int = 2
    """Blanks before the `-` of its cases."""
