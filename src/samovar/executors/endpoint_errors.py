"""What goes wrong at an endpoint, as errors of the tree: by status, by code, by what its text says.

Above: `endpoint_asking.py`. Below: the errors. It knows both official clients by what they have in common:
the names of their exceptions. Nothing of a request, which has the key, comes into a message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from samovar.config.declared import table_of
from samovar.errors import (
    AuthError,
    ContextError,
    DeclinedError,
    ExecutorError,
    ModelError,
    OverloadedError,
    ProtocolError,
    RateLimitError,
    UnreachableError,
)
from samovar.executors.endpoint import Endpoint

MOST_SAID_CHARS = 500
"""Of what an endpoint says of an error, so much is shown."""

_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|context (?:size|window|length)"
    r"|(?:prompt|input|request) is too (?:long|large)|too many (?:input )?tokens|exceeds? the context",
    re.IGNORECASE,
)
_NUMBERS = (
    re.compile(r"(?P<prompt>\d+) tokens > (?P<most>\d+)"),
    re.compile(r"maximum context length (?:is|of) (?P<most>\d+)\D[^\d]*?(?P<prompt>\d+)", re.DOTALL),
    re.compile(r"\((?P<prompt>\d+)(?: tokens)?\) exceeds[^\d]*(?P<most>\d+)"),
)
_OF_TYPES: Mapping[str, int] = {
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    "unavailable_error": 503,
}
"""What an error within a stream would have been as a status."""
_BUSY = frozenset((408, 409, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529))


def failure_of(error: Exception, endpoint: Endpoint) -> ModelError:
    """The error of the tree for an exception of an official client, or of what it is made of."""
    names = {one.__name__ for one in type(error).__mro__}
    if "APIStatusError" in names or "APIResponseValidationError" in names:
        return _by_status(error, endpoint)
    if "APIConnectionError" in names or "TransportError" in names:
        return UnreachableError(
            f"{_who(endpoint)} cannot be reached, or cut the connection: {_cause(error, endpoint)}. Is it "
            "running, and is its url right?",
            executor=endpoint.executor,
        )
    if "APIError" in names:  # within a stream
        return _by_status(error, endpoint)
    return not_understood(endpoint, f"{type(error).__name__}: {error}")


def not_understood(endpoint: Endpoint, why: str) -> ProtocolError:
    """What is said of an answer that is none."""
    said = endpoint.masked(_shortened(why))
    message = f"{_who(endpoint)} answered what cannot be understood: {said}"
    return ProtocolError(message if message.endswith(".") else message + ".", executor=endpoint.executor)


def was_cut(endpoint: Endpoint) -> UnreachableError:
    """What is said of a stream that ended before its answer did."""
    return UnreachableError(
        f"{_who(endpoint)} cut the connection before its answer had come to an end.",
        executor=endpoint.executor,
    )


def declined(endpoint: Endpoint, why: str = "") -> DeclinedError:
    """What is said where the model does not want to answer, or may not."""
    said = f": {endpoint.masked(_shortened(why))}" if why.strip() else ""
    return DeclinedError(f"{_who(endpoint)} declined to answer{said}.", executor=endpoint.executor)


def refused_parameter(error: Exception, names: frozenset[str]) -> str | None:
    """The name of the parameter that the endpoint cannot take, if it is one of these."""
    if getattr(error, "status_code", None) not in (400, 422):
        return None
    body = _body(error)
    if (param := str(body.get("param") or "")) in names:
        return param
    message = str(body.get("message") or "")
    quoted = re.findall(r"[`'\"](\w+)[`'\"]", message)
    return next((name for name in quoted if name in names), None)


def _who(endpoint: Endpoint) -> str:
    return f"The executor {endpoint.executor!r} ({endpoint.host})"


def _by_status(error: Exception, endpoint: Endpoint) -> ModelError:
    body = _body(error)
    kind, code = str(body.get("type") or ""), str(body.get("code") or "")
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or status < 300:
        status = _OF_TYPES.get(kind) or _OF_TYPES.get(code) or _number(code) or 0
    said = endpoint.masked(_shortened(str(body.get("message") or getattr(error, "message", "") or error)))
    text = f"{_who(endpoint)} answered {status or 'with an error'}: {said}"
    name = endpoint.executor
    if status in (400, 413, 422, 500, 0) and _TOO_LONG.search(f"{kind} {code} {said}"):
        return _context_error(body, said)
    if status == 413:
        return _context_error(body, said)
    if status in (401, 403):
        way = f'Look at its key: key = "env:NAME" or "file:PATH" in {table_of("executors", name)}.'
        return AuthError(f"{text} {way}", executor=name)
    if status == 402 or "insufficient_quota" in (code, kind):
        return AuthError(text, executor=name)
    if status == 429:
        return RateLimitError(text, executor=name, retry_after_s=retry_after_s(error))
    if status in _BUSY:
        return OverloadedError(text, executor=name)
    if "content_filter" in code or "content_policy" in code:
        return declined(endpoint, said)
    if 300 <= status < 400:
        return ExecutorError(f"{_who(endpoint)} is elsewhere ({status}): correct its url.", executor=name)
    if status == 404:
        return ExecutorError(f"{text} Look at its url and the name of the model.", executor=name)
    return ExecutorError(text, executor=name)


def _context_error(body: Mapping[str, Any], said: str) -> ContextError:
    prompt, most = body.get("n_prompt_tokens"), body.get("n_ctx")
    if not isinstance(prompt, int) or not isinstance(most, int):
        found = next((match for one in _NUMBERS if (match := one.search(said.replace(",", "")))), None)
        prompt, most = (int(found["prompt"]), int(found["most"])) if found else (0, 0)
    return ContextError(prompt_tokens=prompt, context_tokens=most, said=said)


def retry_after_s(error: Exception) -> float | None:
    """In how many seconds the endpoint wants to be asked again, if it says so."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = str(headers.get(name) or "").strip()
        try:
            seconds = float(text) / scale
        except ValueError:
            continue
        return seconds if 0 <= seconds < float("inf") else None
    try:
        when = parsedate_to_datetime(str(headers.get("retry-after") or ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _body(error: Exception) -> Mapping[str, Any]:
    """What an endpoint says of an error, without what it may be wrapped in."""
    body: Any = getattr(error, "body", None)
    inner = body.get("error") if isinstance(body, Mapping) else None
    if isinstance(inner, str):
        return {"message": inner}
    found = inner if isinstance(inner, Mapping) else body
    return found if isinstance(found, Mapping) else {}


def _cause(error: Exception, endpoint: Endpoint) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return endpoint.masked(_shortened(str(cause) or type(cause).__name__)).rstrip(".")


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() and len(text) == 3 else None


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MOST_SAID_CHARS else text[: MOST_SAID_CHARS - 1] + "…"
