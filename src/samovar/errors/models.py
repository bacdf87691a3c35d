"""Errors of models, and of executors that answer in their place.

Above: `__init__.py`, which has the whole tree. Below: `tree.py`.
"""

from __future__ import annotations

from samovar.errors.tree import SamovarError


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
    """`needed_bytes` is the requested size, `budget_bytes` what is allowed."""

    code = "budget"

    def __init__(self, message: str, *, needed_bytes: int, budget_bytes: int) -> None:
        self.needed_bytes, self.budget_bytes = needed_bytes, budget_bytes
        super().__init__(message)


class ContextError(ModelError):
    """`prompt_tokens` do not fit `context_tokens` (one is needed for an answer).

    `most_tokens`: what the arena may grow to; equal to `context_tokens` where it may not. `trained_tokens`:
    what the model was trained for, where that is known. `answer_tokens`: what the answer may take, with the
    reasoning before it; None if that is only what was asked for. `text`: which of the texts to embed, counted
    from 1; None for a prompt. `said`: what an endpoint says of it, where the numbers, which may be 0, are not
    known for certain.
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
        said: str | None = None,
    ) -> None:
        self.text = text
        self.prompt_tokens, self.context_tokens = prompt_tokens, context_tokens
        self.answer_tokens = answer_tokens
        self.most_tokens = context_tokens if most_tokens is None else most_tokens
        way = "Shorten the prompt, or give the model a larger context (--context)."
        if trained_tokens is not None and prompt_tokens >= trained_tokens:
            way = f"Shorten the prompt: the model was trained for no more than {trained_tokens} tokens."
        if said is not None:
            said = f"The prompt is too long for the model: {said}"
        elif text is None:
            said = f"The prompt has {prompt_tokens} tokens but the context holds {context_tokens}. {way}"
        else:
            said = (
                f"Text {text} has {prompt_tokens} tokens, its prefix and the model's own included, but the "
                f"model embeds at most {self.most_tokens} at once. Shorten it, or embed parts of it."
            )
        super().__init__(said)


class EngineError(ModelError):
    code = "engine"


class UnmetError(EngineError):
    """What was asked for cannot be had as it was asked: a form, a tool, a message that no template takes."""

    code = "unmet"


class PlatformError(EngineError):
    code = "platform"
    exit_status = 2


class EngineLostError(EngineError):
    """The process that has the models, or the way to it, ended while it was needed."""

    code = "engine-lost"
    retryable = True


class ExecutorError(ModelError):
    """An executor that is not a local model cannot be reached, or failed. `executor`: its name."""

    code = "executor"

    def __init__(self, message: str, *, executor: str) -> None:
        self.executor = executor
        super().__init__(message)


class UnreachableError(ExecutorError):
    """Nobody answers there, or the connection was cut."""

    code = "unreachable"
    retryable = True


class RateLimitError(ExecutorError):
    """Too much was asked in too short a time. `retry_after_s`: when to try again, if it says so."""

    code = "rate-limit"
    retryable = True

    def __init__(self, message: str, *, executor: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message, executor=executor)


class OverloadedError(ExecutorError):
    """It has too much to do, or failed inside."""

    code = "overloaded"
    retryable = True


class AuthError(ExecutorError):
    """The key is missing or wrong, or may not do this."""

    code = "auth"
    exit_status = 2


class DeclinedError(ExecutorError):
    """The model, or who provides it, declined to answer."""

    code = "declined"


class ProtocolError(ExecutorError):
    """What came back is not what the protocol says."""

    code = "protocol"


class SilentError(ExecutorError):
    """It said nothing for too long, or did not end when it was done."""

    code = "silent"
    retryable = True
