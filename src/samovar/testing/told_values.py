"""Reads from a file of cases what a run gets: answers, outcomes of commands, and replies.

Above: `case_file.py`. Below: `checked_values.py` for the YAML, `cases.py` for the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from samovar import errors
from samovar.errors import SamovarError, nearest
from samovar.generation import FinishReason
from samovar.testing.cases import (
    ANSWER_KEYS,
    SHELL_KEYS,
    STOPPED_EXIT_CODE,
    TIMEOUT,
    Answer,
    Failure,
    Printed,
    Replied,
    Waited,
)
from samovar.testing.checked_values import CheckedValues, Step
from samovar.testing.clock import FOREVER_S
from samovar.testing.told_confidence import read_alternatives, read_confidence
from samovar.testing.told_tools import read_calls
from samovar.values import to_text

_ERRORS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, SamovarError)]
CODES = frozenset(one.code for one in _ERRORS)
"""Codes of errors that a case can have."""
RETRYABLE = frozenset(one.code for one in _ERRORS if one.retryable)
"""Codes of errors after which an action with `retries=` is performed again."""
FOREVER = "forever"
REPLY_KEYS = ("text", "takes")


def read_answer(yaml: CheckedValues, value: Any, at: tuple[Step, ...]) -> Answer | Failure | None:
    if not isinstance(value, dict):
        text = yaml.text(value, "An answer", *at)
        return None if text is None else Answer(text=text)
    values = yaml.map(value, "An answer", ANSWER_KEYS, *at)
    text = yaml.text(values.get("text", ""), "`text`", *at, "text") or ""
    tokens = yaml.count(values, "tokens", *at) if "tokens" in values else None
    takes_s = _takes_s(yaml, values, *at)
    failure = _failure(yaml, values, takes_s, *at)
    if failure is not None:
        if failure.code == TIMEOUT:
            return Answer(text=text, finish_reason=FinishReason.TIMEOUT, tokens=tokens, takes_s=takes_s)
        return failure
    reasons = [str(one) for one in FinishReason if one is not FinishReason.CANCELLED]
    calls = read_calls(yaml, values.get("calls"), (*at, "calls"))
    reason = values.get("finish_reason", "calls" if calls else "stop")
    if reason not in reasons:
        hint = nearest(str(reason)[:100], reasons)
        yaml.fault("case", f"There is no finish_reason {to_text(reason)!r:.80}.{hint}", *at, "finish_reason")
        return None
    return Answer(
        text=text,
        finish_reason=FinishReason(reason),
        tokens=tokens,
        takes_s=takes_s,
        confidence=read_confidence(yaml, values, at),
        alternatives=read_alternatives(yaml, values, at),
        calls=calls,
    )


def read_printed(yaml: CheckedValues, value: Any, at: tuple[Step, ...]) -> Printed | Failure | None:
    if not isinstance(value, dict):
        text = yaml.text(value, "What a command prints", *at)
        return None if text is None else Printed(stdout=text)
    values = yaml.map(value, "A command's result", SHELL_KEYS, *at)
    takes_s = _takes_s(yaml, values, *at)
    failure = _failure(yaml, values, takes_s, *at)
    timed_out = failure is not None and failure.code == TIMEOUT
    if failure is not None and not timed_out:
        return failure
    exit_code = values.get("exit_code", STOPPED_EXIT_CODE if timed_out else 0)
    if isinstance(exit_code, bool) or not isinstance(exit_code, int):
        yaml.fault("case", "`exit_code` must be a whole number.", *at, "exit_code")
        return None
    return Printed(
        stdout=yaml.text(values.get("stdout", ""), "`stdout`", *at, "stdout") or "",
        stderr=yaml.text(values.get("stderr", ""), "`stderr`", *at, "stderr") or "",
        exit_code=exit_code,
        timed_out=timed_out,
        takes_s=takes_s,
    )


def read_reply(yaml: CheckedValues, value: Any, at: tuple[Step, ...]) -> Replied | None:
    if value is None or isinstance(value, bool):
        if value is False:
            return Replied(text=None)
        yaml.fault(
            "case", "A reply must be a text, as in yes, no or Ada, or false (no user is present).", *at
        )
        return None
    if not isinstance(value, dict):
        text = yaml.text(value, "A reply", *at)
        return None if text is None else Replied(text=text)
    values = yaml.map(value, "A reply", REPLY_KEYS, *at)
    text = yaml.text(values.get("text", ""), "`text`", *at, "text") or ""
    return Replied(text=text, takes_s=_takes_s(yaml, values, *at))


def _takes_s(yaml: CheckedValues, values: Mapping[str, Any], *at: Step) -> float | None:
    if values.get("takes") == FOREVER:
        return FOREVER_S
    return yaml.duration_s(values, "takes", *at, otherwise=f", or {FOREVER}")


def _failure(
    yaml: CheckedValues, values: Mapping[str, Any], takes_s: float | None, *at: Step
) -> Failure | None:
    code = values.get("error")
    if code is None:
        return None
    if code not in CODES:
        hint = nearest(str(code)[:100], CODES)
        yaml.fault("case", f"There is no error {to_text(code)!r:.80}.{hint}", *at, "error")
    message = yaml.text(values.get("message", "The case says so."), "`message`", *at, "message")
    return Failure(code=str(code), message=message or "", takes_s=takes_s)


def read_wait(yaml: CheckedValues, value: Any, at: tuple[Step, ...]) -> Waited | None:
    if value is True:
        return "yes"
    if value is False:
        return "nobody"
    if value in ("yes", "no"):
        return "yes" if value == "yes" else "no"
    said = "A wait must be true (the user confirms), no (the user refuses), or false (no user is present)."
    yaml.fault("case", said, *at)
    return None
