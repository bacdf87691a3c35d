"""The expectations of a case: plain values that know their lines, and judge nothing.

Above: `cases.py`, whose cases have them; `expected_values.py` reads them, `comparing.py` compares. Below: the
endings of runs. What is None, or has no key, is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from samovar.errors import Place
from samovar.events import Ending

T_co = TypeVar("T_co", covariant=True)
LEVELS = ("debug", "info", "warning", "error")
"""The levels of lines in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told(Generic[T_co]):
    """What a case says for the visits of one state."""

    values: tuple[T_co, ...]
    """At least one."""
    is_list: bool
    """One for each visit in turn; else the only one holds for every visit."""
    place: Place

    def at(self, visit: int) -> T_co | None:
        """For the `visit`-th visit, from 1; None if the list is shorter."""
        if not self.is_list:
            return self.values[0]
        return self.values[visit - 1] if visit <= len(self.values) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The expectations for one prompt or one command."""

    parts: Mapping[str, object]
    """By key, as `contains`, `working_dir`, `options`: the plain value that is there, lists as tuples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedError:
    """Why a run is to end other than completed."""

    code: str | None = None
    """As in `errors.py`; also `stuck` and `aborted`."""
    state: str | None = None
    """The path of the state in which it happens."""
    message: str | None = None
    """A text that is in the message."""
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedLine:
    """A text that is in a line of the log."""

    text: str
    level: str | None = None
    """One of `LEVELS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is to come of a case."""

    ending: Ending = Ending.COMPLETED
    error: WantedError | None = None
    path: tuple[str, ...] | None = None
    """The visits, by path, those of sub-workflows included."""
    path_places: tuple[Place, ...] = ()
    """The place of each of them."""
    variables: Mapping[str, object] = field(default_factory=dict)
    """Some of those at the end."""
    prompts: Mapping[str, Told[Wanted]] = field(default_factory=dict)
    """By path, of the state's prompts."""
    commands: Mapping[str, Told[Wanted]] = field(default_factory=dict)
    """By path, of the state's commands."""
    files: Mapping[str, tuple[str, ...] | str | None] = field(default_factory=dict)
    """By path, of files at the end: what each holds, or texts that are in it; None: it is not there."""
    log: tuple[WantedLine, ...] | None = None
    """Lines of the log, in this order, among which others may be; without any, the log is empty."""
    warnings: tuple[str, ...] | None = None
    """Texts that are in warnings of the run, as for `log`."""
