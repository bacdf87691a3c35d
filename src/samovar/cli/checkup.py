"""What a check-up is made of: findings, and the checks that make them, all at once and bounded in time.

Above: `doctor.py`, which shows the findings, and the modules `checkup_*.py`, which make them. Below: threads
that nobody waits for longer than the bound: whatever a check meets, there is a finding of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from samovar.errors import SamovarError
from samovar.errors.durations import lasting

Verdict = Literal["ok", "doubtful", "wrong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One thing that was looked at."""

    about: str
    """In a word: what it is of."""
    verdict: Verdict = "ok"
    what: str
    fix: str | None = None
    """The command that fixes it, or what to write where; None: there is nothing to fix."""


Check = Callable[[], Iterable[Observation]]


@dataclass(slots=True)
class _Looking:
    """A check that goes on. Changed by its thread: what was found so far."""

    about: str
    check: Check
    found: list[Observation] = field(default_factory=list)
    is_done: bool = False

    def look(self) -> None:
        try:
            for finding in self.check():
                self.found.append(finding)
        except SamovarError as error:
            self.found.append(Observation(about=self.about, verdict="wrong", what=str(error)))
        except Exception as error:  # a check-up says what it meets, and goes on
            what = f"could not be looked at: {type(error).__name__}: {error}"
            self.found.append(Observation(about=self.about, verdict="doubtful", what=what))
        self.is_done = True


def look_at_all(checks: Mapping[str, Check], *, bound_s: float) -> list[Observation]:
    """What all of them find, in the order of the checks; of one that takes too long, what it has by then."""
    until = time.monotonic() + bound_s
    looking = [_Looking(about, check) for about, check in checks.items()]
    threads = []
    for one in looking:
        thread = threading.Thread(target=one.look, name=f"samovar doctor {one.about}", daemon=True)
        with suppress(RuntimeError):  # no thread can be started: it is looked at below
            thread.start()
            threads.append(thread)
            continue
        one.look()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [finding for one in looking for finding in _found_of(one, bound_s)]


def _found_of(one: _Looking, bound_s: float) -> list[Observation]:
    if one.is_done:
        return list(one.found)
    late = Observation(about=one.about, verdict="doubtful", what=f"no answer within {lasting(bound_s)}")
    return [*one.found, late]


def worst(findings: Iterable[Observation]) -> Verdict:
    """Of all of them."""
    found = {one.verdict for one in findings}
    return "wrong" if "wrong" in found else "doubtful" if "doubtful" in found else "ok"
