"""What goes wrong behind the model API, in each dialect's words, with what clients read to ask again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from samovar.dialects.asking import Service
from samovar.dialects.base import ApiLimits, ModelApi, ModelEntry
from samovar.dialects.routes import routes
from samovar.errors import (
    AuthError,
    BudgetError,
    ClosedError,
    EngineError,
    ModelNotFoundError,
    OverloadedError,
    RateLimitError,
    SilentError,
    UnmetError,
    UnreachableError,
)
from samovar.executors.base import OnPromptEvent, PromptReply, PromptRequest
from samovar.generation import FinishReason, TextGenerated, ToolCall
from tests.model_api import LIMITS
from tests.test_dialects import CHAT, MESSAGES, RESPONSE

pytestmark = pytest.mark.anyio


class Failing:
    """An executor that cannot answer, perhaps after a first word."""

    name = "failing"

    def __init__(self, error: Exception, *, says: str = "") -> None:
        self.error, self.says = error, says
        self.requests: list[PromptRequest] = []

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[Failing]:
        yield self

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        self.requests.append(request)
        if self.says:
            on_event(TextGenerated(piece=self.says))
        raise self.error


@asynccontextmanager
async def failing(executor: Any) -> AsyncIterator[httpx2.AsyncClient]:
    entries = [ModelEntry(id="tiny", continues=False, executor=executor)]
    service = Service(ModelApi(executor=executor, models=lambda: entries))
    transport = httpx2.ASGITransport(app=Starlette(routes=list(routes(service))))
    async with service.running(), httpx2.AsyncClient(transport=transport, base_url="http://s") as http:
        yield http
        assert service.statistics().answering == service.statistics().held == 0


CASES: list[tuple[Exception, int, int, str]] = [
    (RateLimitError("no", executor="x", retry_after_s=7.2), 429, 429, "rate_limit_error"),
    (OverloadedError("no", executor="x"), 503, 529, "overloaded_error"),
    (ClosedError("no"), 503, 529, "overloaded_error"),
    (BudgetError("no", needed_bytes=2, budget_bytes=1), 503, 529, "overloaded_error"),
    (ModelNotFoundError("no"), 404, 404, "not_found_error"),
    (UnmetError("no"), 400, 400, "invalid_request_error"),
    (EngineError("no"), 500, 500, "api_error"),
    (AuthError("no", executor="x"), 502, 502, "api_error"),
    (UnreachableError("no", executor="x"), 502, 502, "api_error"),
    (SilentError("no", executor="x"), 504, 504, "timeout_error"),
    (ZeroDivisionError("secret"), 500, 500, "api_error"),
    (PermissionError("secret"), 500, 500, "api_error"),
]


@pytest.mark.parametrize(("error", "openai", "anthropic", "kind"), CASES)
async def test_an_error_has_its_status_and_says_whether_to_ask_again(
    error: Exception, openai: int, anthropic: int, kind: str
) -> None:
    async with failing(Failing(error)) as http:
        for streams in (False, True):
            chat = await http.post("/v1/chat/completions", json={**CHAT, "stream": streams})
            response = await http.post("/v1/responses", json={**RESPONSE, "stream": streams})
            message = await http.post("/v1/messages", json={**MESSAGES, "stream": streams})
            assert chat.status_code == response.status_code == openai, chat.text
            assert message.status_code == anthropic and message.json()["error"]["type"] == kind
            may_pass = bool(getattr(error, "retryable", False)) or isinstance(error, ClosedError)
            assert {one.headers["x-should-retry"] for one in (chat, response, message)} == {
                "true" if may_pass else "false"
            }
            assert "secret" not in chat.text + response.text + message.text
            if isinstance(error, RateLimitError):
                assert chat.headers["retry-after"] == message.headers["retry-after"] == "8"


async def test_a_stream_that_has_begun_ends_with_the_error() -> None:
    async with failing(Failing(OverloadedError("too much", executor="x"), says="one")) as http:
        chat = await http.post("/v1/chat/completions", json={**CHAT, "stream": True})
        response = await http.post("/v1/responses", json={**RESPONSE, "stream": True})
        message = await http.post("/v1/messages", json={**MESSAGES, "stream": True})
    assert {one.status_code for one in (chat, response, message)} == {200}
    assert '"error":{"message":"too much"' in chat.text
    assert "event: response.failed" in response.text and "event: error" in message.text


async def test_an_executor_without_conversations_gets_all_that_was_said() -> None:
    executor = Failing(EngineError("no"))
    said = [{"role": role, "content": "x"} for role in ("user", "assistant", "user")]
    async with failing(executor) as http:
        await http.post("/v1/chat/completions", json={**CHAT, "messages": said})
    [request] = executor.requests
    assert len(request.messages) == 3 and request.session is None and not request.history


class AlwaysThinking(Failing):
    """One that answers nothing to what it cannot turn off."""

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        self.requests.append(request)
        if request.options.think is False:
            raise UnmetError("it cannot")
        return PromptReply(text="ok", finish_reason=FinishReason.STOP, model="m")


async def test_a_model_whose_reasoning_cannot_be_turned_off_answers_all_the_same() -> None:
    executor = AlwaysThinking(UnmetError("no"))
    async with failing(executor) as http:
        message = await http.post("/v1/messages", json={**MESSAGES, "thinking": {"type": "disabled"}})
        chat = await http.post("/v1/chat/completions", json={**CHAT, "reasoning_effort": "none"})
    assert message.json()["content"] == [{"type": "text", "text": "ok"}] and chat.status_code == 200
    assert [one.options.think for one in executor.requests] == [False, None] * 2


class Remembering(Failing):
    """One that has conversations, and says how many requests there were."""

    def __init__(self) -> None:
        super().__init__(AssertionError())
        self.forgotten: list[str] = []

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        self.requests.append(request)
        return PromptReply(text=str(len(self.requests)), finish_reason=FinishReason.STOP, model="m")

    async def forget(self, session: str) -> None:
        self.forgotten.append(session)


@asynccontextmanager
async def remembering(executor: Remembering, limits: ApiLimits = LIMITS) -> AsyncIterator[httpx2.AsyncClient]:
    entries = [ModelEntry(id="tiny", executor=executor)]
    service = Service(ModelApi(executor=executor, models=lambda: entries, limits=limits))
    transport = httpx2.ASGITransport(app=Starlette(routes=list(routes(service))))
    async with service.running(), httpx2.AsyncClient(transport=transport, base_url="http://s") as http:
        yield http


async def test_what_goes_on_is_asked_as_a_copy_with_only_what_is_new() -> None:
    executor = Remembering()
    said = [{"role": "user", "content": "a"}]
    async with remembering(executor) as http:
        for text in ("b", "c"):
            body = {**CHAT, "messages": said}
            answer = (await http.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]
            said += [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": text}]
        await http.post("/v1/chat/completions", json={**CHAT, "messages": said[:3]})
        await http.post("/v1/chat/completions", json={**CHAT, "messages": said[2:]})
    first, second, branch, other = executor.requests
    assert first.fork is None and first.session and first.may_come_again
    for one in (second, branch):
        assert one.fork == first.session and one.session not in (None, first.session)
        assert [message.content for message in one.history] == ["a", "1"]
        assert [message.content for message in one.messages] == ["b"]
    assert other.fork is None and not other.history, "what begins differently goes on from nothing"


async def test_what_is_remembered_has_a_size_by_all_its_messages_and_the_arguments_of_calls() -> None:
    executor = Remembering()
    call = {"id": "c", "function": {"name": "f", "arguments": "x" * 6000}}
    one: list[dict[str, Any]] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "user", "content": "b"},
    ]
    async with remembering(executor, ApiLimits(characters=10_000)) as http:
        for said in ("1", "2"):
            await http.post("/v1/chat/completions", json={**CHAT, "messages": one})
            one += [{"role": "assistant", "content": said}, {"role": "user", "content": "c"}]
        await http.post(
            "/v1/chat/completions", json={**CHAT, "messages": [{"role": "user", "content": "y" * 6000}]}
        )
        await http.post("/v1/chat/completions", json={**CHAT, "messages": one})
    assert [one.fork is not None for one in executor.requests] == [False, True, False, False]


class CallingTwice(Remembering):
    """One that calls two tools each time."""

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        self.requests.append(request)
        calls = tuple(ToolCall(id=id, name="f", arguments="{}") for id in ("one", "two"))
        return PromptReply(text="", finish_reason=FinishReason.CALLS, model="m", calls=calls)


async def test_whoever_goes_on_from_one_call_of_several_goes_on_from_that_call_alone() -> None:
    executor = CallingTwice()
    tools = [{"type": "function", "name": "f"}]
    body = {**RESPONSE, "tools": tools, "parallel_tool_calls": False}
    async with remembering(executor) as http:
        first = (await http.post("/v1/responses", json=body)).json()
        result = {"type": "function_call_output", "call_id": "one", "output": "x"}
        again = {**body, "input": [result], "previous_response_id": first["id"]}
        second = await http.post("/v1/responses", json=again)
        assert second.status_code == 200
    assert [one["call_id"] for one in first["output"]] == ["one"]
    assert [one.id for one in executor.requests[1].history[-1].calls] == ["one"]
    assert first["id"] in executor.forgotten, "what the executor itself has of it had both"
