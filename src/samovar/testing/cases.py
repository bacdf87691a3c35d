"""The cases of a workflow: the answers, outcomes and replies in a test, and the expectations.

Above: `case_file.py` reads them, `case_text.py` writes one, `trial.py` runs one; the command line. Below: the
expectations of a case, and what runs and models give. A case is a frozen value that knows its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from samovar.actions.tools import ToolResult
from samovar.errors import Place
from samovar.generation import FinishReason, ToolCall
from samovar.language.yaml_document import Steps
from samovar.testing.expectations import Expected, Told

SUFFIXES = (".test.yaml", ".test.yml")
ANSWER_KEYS = (
    "text",
    "error",
    "takes",
    "calls",
    "finish_reason",
    "tokens",
    "message",
    "confidence",
    "alternatives",
)
CALL_KEYS = ("name", "arguments")
TOOL_KEYS = ("text", "failed", "refused")
SHELL_KEYS = ("stdout", "stderr", "exit_code", "error", "takes", "message")
TIMEOUT = "timeout"
STOPPED_EXIT_CODE = 143
"""Exit code of a command that was stopped by its timeout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a prompt is answered with."""

    text: str
    finish_reason: FinishReason = FinishReason.STOP
    tokens: int | None = None
    """As many as it counts for; None: its words."""
    takes_s: float | None = None
    """Seconds until it comes; infinite: it never does. None: no time, or what its time limit says."""
    confidence: Mapping[str, float] = field(default_factory=dict)
    """Confidence of its choices, by their paths as written; the empty one is of the whole answer."""
    alternatives: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Of its choices, by the same paths: the probability of each value."""
    calls: tuple[ToolCall, ...] = ()
    """The tools that its model wants to be used, before it goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What a command leaves."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    timed_out: bool = False
    takes_s: float | None = None
    """Seconds until it ends; infinite: it never does. None: no time, or what its time limit says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no answer, or no command."""

    code: str
    """As in `errors/`."""
    message: str
    takes_s: float | None = None
    """Seconds until that is known; None: no time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied:
    """What a person answers to `Ask` or `Approve`."""

    text: str | None
    """None: there is nobody."""
    takes_s: float | None = None
    """Seconds until the answer comes; infinite: it never does. None: no time."""


Waited = Literal["yes", "no", "nobody"]
"""What a user says who is asked whether to continue; or there is nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run on given answers, and the expectations. States are named by path."""

    name: str
    place: Place
    variables: Mapping[str, object] = field(default_factory=dict, repr=False)
    sources: Mapping[Steps, str] = field(default_factory=dict, repr=False)
    """How the numbers and truths among `variables` are written, which a text parameter gets."""
    places: Mapping[str, Place] = field(default_factory=dict)
    """The place of each variable."""
    answers: Mapping[str, Told[Answer | Failure]] = field(default_factory=dict)
    shell: Mapping[str, Told[Printed | Failure]] = field(default_factory=dict)
    waits: Mapping[str, Told[Waited]] = field(default_factory=dict)
    """What the user says; by default, yes."""
    replies: Mapping[str, Told[Replied]] = field(default_factory=dict)
    """What a person answers; without a word the case stops there."""
    tools: Mapping[str, Told[ToolResult]] = field(default_factory=dict)
    """What tools of servers, and pages, give back; the other tools do what they do on what the case tells."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What there is, by path from the folder in which the run is started. No other file is there."""
    transitions: int | None = None
    """At most this many; None leaves it to the workflow."""
    duration_s: float | None = None
    """At most this long, in the case's own time; None leaves it to the workflow."""
    expected: Expected = field(default_factory=Expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """The cases of one file."""

    workflow: Path
    """Path of the workflow they run."""
    cases: tuple[Case, ...]
    indent: int = 2
    """Blanks before the `-` of its cases."""
