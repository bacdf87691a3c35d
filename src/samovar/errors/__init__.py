"""Everything that can go wrong, as one tree.

    SamovarError
    ├── UsageError              an argument or a variable is not what the command takes
    │   └── UntrustedError      a project would do something, and nobody has said to trust it
    ├── FaultsError             a file has faults; nothing was run
    ├── NotFoundError           a name that nothing has (workflow, prompt, variable …)
    ├── ActionError             an action of a run failed; a failure edge may take it
    │   ├── TemplateError       a template could not be filled
    │   ├── ExpressionError     an expression could not be evaluated
    │   ├── ShellError          a command could not be started, or failed
    │   ├── FileError           a file could not be read, written or found
    │   ├── TimedOutError       it took longer than it may
    │   ├── CutOffError         an answer ended before it was what it is held to
    │   ├── UnverifiedError     an answer did not pass the command that verifies it
    │   ├── ChildError          what it ran did not complete: a workflow, or an item of a list
    │   ├── TooLargeError       a value would be larger than values may be
    │   ├── ReturnsError        what a workflow returns has another type than it says
    │   ├── JoinError           a join needs more branches than were started
    │   ├── RefusedError        a person said no
    │   └── UnansweredError     there was nobody to ask
    ├── LimitError              a run went past one of its limits
    ├── ModelError              a model cannot be had, loaded or used
    │   ├── ModelNotFoundError  no such file, package or reference
    │   ├── ModelFileError      the file is no model that can be loaded
    │   ├── ModelFetchError     it could not be fetched (network, room on disk)
    │   ├── BudgetError         it does not fit the memory budget
    │   ├── ContextError        a prompt is longer than the context
    │   └── EngineError         the engine refused or failed
    │       └── PlatformError   this machine cannot run the engine
    └── ClosedError             used after it was closed

Every class has a stable `code`, says whether trying again can help (`retryable`) and which status the
command line exits with. Cancellation is not an error and has no class here. Below: `faults.py`, for what is
wrong in a file; `nearest.py`, for what messages offer; nothing else of the project.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from samovar.errors.faults import Fault as Fault
from samovar.errors.faults import Fix as Fix
from samovar.errors.faults import Place as Place
from samovar.errors.faults import Severity as Severity
from samovar.errors.nearest import nearest as nearest
from samovar.errors.nearest import same_look as same_look


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
    """A file cannot be run as it stands. `faults` has every one of them.

    `readable` is the workflow without what could not be read, where there is one: more may be wrong with it.
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
    """An answer is held to a form or to choices, and ended before it was that. `text`: as far as it came."""

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


class UnansweredError(ActionError):
    """There was nobody to ask."""

    code = "unanswered"


class LimitError(SamovarError):
    """`limit` is the name it has in the front matter."""

    code = "limit"

    def __init__(self, limit: str, message: str) -> None:
        self.limit = limit
        super().__init__(message)


class ModelError(SamovarError):
    code = "model"


class ModelNotFoundError(ModelError):
    code = "model-not-found"
    exit_status = 2


class ModelFileError(ModelError):
    code = "model-file"
    exit_status = 2


class ModelFetchError(ModelError):
    code = "model-fetch"
    retryable = True


class BudgetError(ModelError):
    """`needed_bytes` is what was asked for, `budget_bytes` what is allowed."""

    code = "budget"

    def __init__(self, message: str, *, needed_bytes: int, budget_bytes: int) -> None:
        self.needed_bytes, self.budget_bytes = needed_bytes, budget_bytes
        super().__init__(message)


class ContextError(ModelError):
    """`prompt_tokens` do not fit `context_tokens` (one is needed for an answer).

    `most_tokens`: what the arena may grow to; equal to `context_tokens` where it may not. `trained_tokens`:
    what the model was trained for, where that is known. `answer_tokens`: what the answer may take, with the
    reasoning before it; None if that is only what was asked for. `text`: which of the texts to embed, counted
    from 1; None for a prompt.
    """

    code = "context"

    def __init__(
        self,
        *,
        prompt_tokens: int,
        context_tokens: int,
        most_tokens: int | None = None,
        trained_tokens: int | None = None,
        text: int | None = None,
        answer_tokens: int | None = None,
    ) -> None:
        self.text = text
        self.prompt_tokens, self.context_tokens = prompt_tokens, context_tokens
        self.answer_tokens = answer_tokens
        self.most_tokens = context_tokens if most_tokens is None else most_tokens
        way = "Shorten the prompt, or give the model a larger context (--context)."
        if trained_tokens is not None and prompt_tokens >= trained_tokens:
            way = f"Shorten the prompt: the model was trained for no more than {trained_tokens} tokens."
        if text is None:
            said = f"The prompt has {prompt_tokens} tokens but the context holds {context_tokens}. {way}"
        else:
            said = (
                f"Text {text} has {prompt_tokens} tokens, its prefix and the model's own included, but the "
                f"model embeds at most {self.most_tokens} at once. Shorten it, or embed parts of it."
            )
        super().__init__(said)


class EngineError(ModelError):
    code = "engine"


class PlatformError(EngineError):
    code = "platform"
    exit_status = 2


class ClosedError(SamovarError):
    code = "closed"
