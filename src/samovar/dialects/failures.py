"""What went wrong, in the words that all dialects can be told in: a status, a kind, a message.

Above: `http.py` and the dialects, each of which has its own shape for it. Below: the errors. Nothing of a
traceback, and nothing of another client, comes into a message.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from samovar.errors import (
    AuthError,
    BudgetError,
    ClosedError,
    ContextError,
    CutOffError,
    DeclinedError,
    ModelFetchError,
    ModelNotFoundError,
    NotFoundError,
    OverloadedError,
    RateLimitError,
    SamovarError,
    SilentError,
    TimedOutError,
    UnmetError,
    UnreachableError,
    UsageError,
)

Kind = Literal["invalid", "not_found", "too_large", "rate_limit", "overloaded", "timeout", "server"]
MOST_CHARS = 2000
"""Of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiFailure:
    """Why a request has no answer."""

    message: str
    status: int = 400
    kind: Kind = "invalid"
    code: str | None = None
    """OpenAI's word for it, if there is one."""
    param: str | None = None
    """The field of the request that it is about."""
    retry_after_s: float | None = None
    may_pass: bool = False
    """The same request may have an answer later."""

    @property
    def headers(self) -> dict[str, str]:
        """What the official clients read to decide whether to ask again, and when."""
        headers = {"x-should-retry": "true" if self.may_pass else "false"}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(max(1, math.ceil(min(self.retry_after_s, 86_400.0))))
        return headers


class ApiRefusedError(Exception):
    """A request cannot be answered. Not an error of the tree: it is for a client, and never leaves here."""

    def __init__(self, failure: ApiFailure) -> None:
        self.failure = failure
        super().__init__(failure.message)


def refused(message: str, param: str | None = None, code: str | None = None) -> ApiRefusedError:
    """A request that is wrong, or asks for what cannot be had."""
    return ApiRefusedError(ApiFailure(message=message, param=param, code=code))


def failure_of(error: SamovarError) -> ApiFailure:
    """What a client is told of an error of the tree."""
    message = str(error)[:MOST_CHARS]
    match error:
        case ContextError():
            said = f"prompt is too long: {error.prompt_tokens} tokens > {error.context_tokens} maximum. "
            is_known = error.text is None and error.prompt_tokens > 0
            message = said + message if is_known else message
            return ApiFailure(message=message, code="context_length_exceeded", param="messages")
        case ModelNotFoundError() | NotFoundError(kind="model"):
            return ApiFailure(
                status=404, message=message, kind="not_found", code="model_not_found", param="model"
            )
        case RateLimitError():
            after_s = 1.0 if error.retry_after_s is None else error.retry_after_s
            return ApiFailure(
                status=429,
                message=message,
                kind="rate_limit",
                code="rate_limit_exceeded",
                retry_after_s=after_s,
                may_pass=True,
            )
        case OverloadedError() | ClosedError():
            return ApiFailure(
                status=503, message=message, kind="overloaded", retry_after_s=1.0, may_pass=True
            )
        case UnmetError() | UsageError() | DeclinedError() | NotFoundError():
            return ApiFailure(message=message)
        case BudgetError():
            return ApiFailure(status=503, message=message, kind="overloaded", code="insufficient_memory")
        case TimedOutError() | SilentError():
            return ApiFailure(status=504, message=message, kind="timeout", may_pass=True)
        case UnreachableError() | ModelFetchError():
            return ApiFailure(status=502, message=message, kind="server", may_pass=True)
        case AuthError():
            return ApiFailure(status=502, message=message, kind="server")
        case CutOffError():
            return ApiFailure(status=500, message=message, kind="server")
    return ApiFailure(status=500, message=message, kind="server", may_pass=error.retryable)


UNKNOWN = ApiFailure(
    status=500, message="Something went wrong inside Samovar. Its log says what.", kind="server"
)
"""An exception that nobody expected."""
