"""What the program Claude Code says while it answers: text, reasoning, tokens, and how it ended.

Above: `claude_turn.py`, which reads the lines. Below: the waist's values. Pure: lines in, events and an end
out. The lines are those of `--output-format stream-json`, which the program's SDK speaks; what is not known
is passed over, since newer versions say more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

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
from samovar.generation import FinishReason, PartKind, TextGenerated, TokenCounts

Unwrap = Callable[[object], str | None]
"""The answer's text, of the value that the program hands over; None if it is not there."""
_NUMBER = re.compile(r"(\d[\d,]*)")
_NO_CONNECTION = re.compile(r"API Error: (?:Unable to connect to API|Connection error)")
"""How older versions, such as 2.1.197, say it: in their text alone."""


class Hearing:
    """One answer, as it is heard. Mutable: all that was heard so far."""

    def __init__(self, name: str, *, unwrap: Unwrap | None, has_tools: bool) -> None:
        """`name`: of the executor. `unwrap`: the answer is JSON that the program hands over at its end.

        `has_tools`: text may be something said before a tool is used, which is known when its message ends.
        """
        self._name, self._unwrap, self._waits = name, unwrap, has_tools or unwrap is not None
        self._pending: list[str] = []
        self._is_streamed = self._has_text = False
        self._usage: dict[str, Any] = {}
        self.model = ""
        self.ended: FinishReason | None = None
        """Why the model ended, when the program itself would go on."""
        self.declined = False
        self.result: Mapping[str, Any] | None = None
        """The last line, which says that it is done."""

    def hear(self, line: Mapping[str, Any]) -> Iterator[TextGenerated]:
        """What a line adds to the answer."""
        kind = line.get("type")
        if line.get("parent_tool_use_id"):
            return  # said by one that it has asked itself
        if kind == "stream_event":
            self._is_streamed = True
            yield from self._event(_map(line.get("event")))
        elif kind == "assistant" and not self._is_streamed and not line.get("error"):
            yield from self._message(_map(line.get("message")))
        elif kind == "result":
            self.result = line
            yield from self._at_end(line)

    def _event(self, event: Mapping[str, Any]) -> Iterator[TextGenerated]:
        kind = event.get("type")
        if kind == "message_start":
            message = _map(event.get("message"))
            self.model = str(message.get("model") or self.model)
            self._usage |= _map(message.get("usage"))
        elif kind == "content_block_delta":
            delta = _map(event.get("delta"))
            if delta.get("type") == "text_delta":
                yield from self._said(str(delta.get("text") or ""))
            elif delta.get("type") == "thinking_delta":
                yield from self._tell(str(delta.get("thinking") or ""), "reasoning")
        elif kind == "message_delta":
            self._usage |= _map(event.get("usage"))
            yield from self._has_stopped(_map(event.get("delta")).get("stop_reason"))

    def _message(self, message: Mapping[str, Any]) -> Iterator[TextGenerated]:
        """A whole one, of a program that does not stream."""
        self.model = str(message.get("model") or self.model)
        uses_tool = False
        for block in message.get("content") or ():
            block = _map(block)
            uses_tool = uses_tool or block.get("type") == "tool_use"
            if block.get("type") == "text":
                yield from self._said(str(block.get("text") or ""))
            elif block.get("type") == "thinking":
                yield from self._tell(str(block.get("thinking") or ""), "reasoning")
        yield from self._has_stopped("tool_use" if uses_tool else message.get("stop_reason"))

    def _said(self, piece: str) -> Iterator[TextGenerated]:
        if self._waits:
            self._pending.append(piece)
        else:
            yield from self._tell(piece, "text")

    def _has_stopped(self, reason: object) -> Iterator[TextGenerated]:
        """Where a message ends it is known what its text was."""
        text, self._pending = "".join(self._pending), []
        is_before = self._unwrap is not None or reason == "tool_use"
        yield from self._tell(text, "reasoning" if is_before else "text")
        if reason == "max_tokens":
            self.ended = FinishReason.LENGTH
        self.declined = self.declined or reason == "refusal"

    def _at_end(self, line: Mapping[str, Any]) -> Iterator[TextGenerated]:
        if line.get("is_error") or line.get("subtype") != "success":
            return
        if self._unwrap is not None:
            yield from self._tell(self._formed(line, self._unwrap), "text")
        elif not self._has_text:
            yield from self._tell(str(line.get("result") or ""), "text")

    def _formed(self, line: Mapping[str, Any], unwrap: Unwrap) -> str:
        if "structured_output" in line:
            answer = unwrap(line["structured_output"])
            if answer is not None:
                return answer
        raise ProtocolError(
            _named(self._name, "gave no answer of the form that it was asked for"), executor=self._name
        )

    def _tell(self, piece: str, kind: PartKind) -> Iterator[TextGenerated]:
        if piece:
            self._has_text = self._has_text or kind == "text"
            yield TextGenerated(piece=piece, kind=kind)

    @property
    def tokens(self) -> TokenCounts:
        """What it took: by its last line, else by what was heard."""
        usage = _map(self.result.get("usage")) if self.result else self._usage
        usage = usage if any(usage.values()) else self._usage
        return tokens_of(usage) if usage else TokenCounts(untold=1)


def tokens_of(usage: Mapping[str, Any]) -> TokenCounts:
    """The counts of the Messages API in our words."""
    thought = _map(usage.get("output_tokens_details")).get("thinking_tokens")
    return TokenCounts(
        evaluated=_count(usage.get("input_tokens")) + _count(usage.get("cache_creation_input_tokens")),
        reused=_count(usage.get("cache_read_input_tokens")),
        generated=_count(usage.get("output_tokens")),
        reasoning=_count(thought),
    )


def cost_of(result: Mapping[str, Any], *, is_first: bool) -> float | None:
    """What the turn cost, in dollars, as the program reckons it; None if it does not know.

    `is_first`: of a conversation, so that the total is that of the turn.
    """
    used = result.get("model_usage_since_last_result")
    if not isinstance(used, dict):
        used = result.get("modelUsage") if is_first else None
    if not isinstance(used, dict) or not used:
        return None
    costs = [_map(one) for one in used.values()]
    # Older versions do not say what a cost is based on, and make one up for a model that they do not know.
    if any(one.get("costBasis") in (None, "unknown") or not _is_number(one.get("costUSD")) for one in costs):
        return None
    return float(sum(one["costUSD"] for one in costs))


def error_of(result: Mapping[str, Any], name: str, shown: Callable[[str], str]) -> ModelError | None:
    """Why there is no answer; None if there is one.

    `name`: of the executor. `shown`: what a message may show of what the program says.
    """
    subtype, status = result.get("subtype"), result.get("api_error_status")
    if not result.get("is_error") and subtype == "success":
        return DeclinedError(_named(name, "declined to answer"), executor=name) if _declined(result) else None
    kind, text = str(result.get("api_error_type") or ""), shown(_said_of(result)).rstrip(".")
    if result.get("terminal_reason") == "prompt_too_long" or "prompt is too long" in text.lower():
        return _too_long(text)
    if _declined(result):
        return DeclinedError(_named(name, f"declined to answer: {text}"), executor=name)
    if status in (401, 403) or kind == "authentication_error" or "/login" in text:
        return AuthError(
            _named(name, f"may not answer: {text}. Log in with `claude`, or set ANTHROPIC_API_KEY"),
            executor=name,
        )
    if status == 429 or kind == "rate_limit_error":
        return RateLimitError(_named(name, f"was asked too much: {text}"), executor=name)
    if kind == "overloaded_error" or (isinstance(status, int) and status >= 500):
        return OverloadedError(_named(name, f"has too much to do: {text}"), executor=name)
    if str(result.get("api_error") or "").startswith("connection") or _NO_CONNECTION.match(text):
        return UnreachableError(_named(name, f"reaches nobody: {text}"), executor=name)
    if subtype == "error_max_structured_output_retries":
        return ProtocolError(_named(name, "gave no answer of the form that it was asked for"), executor=name)
    return ExecutorError(_named(name, f"failed: {text}"), executor=name)


def _said_of(result: Mapping[str, Any]) -> str:
    """What the program says of its failure."""
    errors = result.get("errors")
    said = result.get("result") or (" ".join(map(str, errors)) if isinstance(errors, list) else "")
    return str(said or result.get("subtype"))


def _declined(result: Mapping[str, Any]) -> bool:
    return result.get("stop_reason") == "refusal"


def _too_long(text: str) -> ModelError:
    """It says how long in words that change: where they are not two numbers that fit, none is made up."""
    numbers = [int(number.replace(",", "")) for number in _NUMBER.findall(text)]
    large = [number for number in numbers if number >= 1000]
    if len(large) < 2 or large[0] <= large[1]:
        return ContextError(prompt_tokens=0, context_tokens=0, said=text)
    return ContextError(prompt_tokens=large[0], context_tokens=large[1])


def _named(name: str, rest: str) -> str:
    return f"The program of {name!r} {rest}."


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
