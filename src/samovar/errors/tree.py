"""The root of all errors, and the errors of the workflow half.

Above: `__init__.py`, which has the whole tree. Below: `faults.py` and `nearest.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from samovar.errors.faults import Fault, Place
from samovar.errors.nearest import nearest


class SamovarError(Exception):
    """The root. `str(error)` is one message for a person: what, where, what to do."""

    code: str = "error"
    retryable: bool = False
    """Trying again can help: what failed may pass."""
    exit_status: int = 1

    def __init__(self, message: str, *, place: Place | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class UsageError(SamovarError):
    code = "usage"
    exit_status = 2


class UntrustedError(UsageError):
    code = "untrusted"


class FaultsError(SamovarError):
    """A file cannot be run unchanged. `faults` has every one of them.

    `readable` is the workflow without what could not be read, if there is one: more may be wrong with it.
    """

    code = "faults"
    exit_status = 2

    def __init__(self, faults: Sequence[Fault], *, readable: Any = None) -> None:
        self.faults = tuple(faults)
        self.readable = readable
        super().__init__("\n".join(str(fault) for fault in faults))


class NotFoundError(SamovarError):
    """`kind` is the glossary's word for what was looked for, `name` what was asked."""

    code = "not-found"
    exit_status = 2

    def __init__(
        self, kind: str, name: str, known: Iterable[str] = (), *, place: Place | None = None
    ) -> None:
        self.kind, self.name = kind, name
        super().__init__(f"There is no {kind} {name!r}.{nearest(name, known)}", place=place)


class ActionError(SamovarError):
    code = "action"


class TemplateError(ActionError):
    code = "template"


class ExpressionError(ActionError):
    code = "expression"


class ShellError(ActionError):
    """`exit_code` is that of a command that failed; None: it could not be started."""

    code = "shell"

    def __init__(self, message: str, *, exit_code: int | None = None, place: Place | None = None) -> None:
        self.exit_code, self.retryable = exit_code, exit_code is not None
        super().__init__(message, place=place)


class FileError(ActionError):
    code = "file"


class TimedOutError(ActionError):
    code = "timeout"
    retryable = True


class CutOffError(ActionError):
    """An answer is constrained to a form or to choices, and ended before it was that. `text`: as far as it
    came."""

    code = "cut-off"

    def __init__(self, message: str, *, text: str, place: Place | None = None) -> None:
        self.text = text
        super().__init__(message, place=place)


class UnverifiedError(ActionError):
    """The command that verifies an answer was not content with it. `answer`: the last one."""

    code = "unverified"
    retryable = True

    def __init__(self, message: str, *, answer: str, place: Place | None = None) -> None:
        self.answer = answer
        super().__init__(message, place=place)


class ChildError(ActionError):
    """A workflow, or an item of a list, did not complete. `why`: the `events.RunError` it ended with."""

    def __init__(self, why: Any) -> None:
        super().__init__(why.message, place=why.place)
        self.code, self.why, self.retryable = why.code, why, why.retryable


class ToolError(ActionError):
    """A tool failed, and that is not an answer to a model. `tool`: its name."""

    code = "tool"

    def __init__(self, message: str, *, tool: str, place: Place | None = None) -> None:
        self.tool = tool
        super().__init__(message, place=place)


class TooLargeError(ActionError):
    """`what` would take more than `most_bytes`."""

    code = "too-large"

    def __init__(self, what: str, most_bytes: int, *, place: Place | None = None) -> None:
        self.what, self.most_bytes = what, most_bytes
        most = f"{most_bytes / 1e6:g} MB, the largest size of a value (setting value_bytes)"
        super().__init__(f"{what} would take more than {most}.", place=place)


class ReturnsError(ActionError):
    code = "returns"


class JoinError(ActionError):
    code = "join"


class RefusedError(ActionError):
    """A person said no."""

    code = "refused"


class InterruptedActionError(ActionError):
    """A process ended while it was performed, and nobody knows whether it was done."""

    code = "interrupted"


class UnansweredError(ActionError):
    """There was nobody to ask."""

    code = "unanswered"


class LimitError(SamovarError):
    """`limit` is the name it has in the front matter."""

    code = "limit"

    def __init__(self, limit: str, message: str) -> None:
        self.limit = limit
        super().__init__(message)


class ClosedError(SamovarError):
    code = "closed"


class JournalError(SamovarError):
    """The journal cannot be read or written."""

    code = "journal"


class LeaseError(JournalError):
    """Another process drives the run. `until_s`: when its lease ends, in seconds since 1970."""

    code = "driven"
    exit_status = 2

    def __init__(self, message: str, *, until_s: float) -> None:
        self.until_s = until_s
        super().__init__(message)


class LeaseLostError(JournalError):
    """Another process has taken the run over, since this one did not renew its lease in time."""

    code = "lease-lost"


class RowTakenError(JournalError):
    """Another run has done this row of a file already, or may still."""

    code = "row-taken"


class CalledOffError(JournalError):
    """Somebody has cancelled the run from another process."""

    code = "called-off"
