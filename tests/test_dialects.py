"""The shapes of the dialects: what each takes, gives and refuses, over a script and a tiny model."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import anyio
import pytest

from samovar.dialects.base import ApiLimits
from samovar.engines.scripted_calls import call_text
from tests.model_api import Served, served

pytestmark = pytest.mark.anyio

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "one two three"}]}
RESPONSE = {"model": "tiny", "input": "one two three"}
MESSAGES = {**CHAT, "max_tokens": 50}
PATHS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": RESPONSE,
    "/v1/messages": MESSAGES,
}


async def body_of(api: Served, path: str, body: Any, status: int = 200, **more: Any) -> dict[str, Any]:
    reply = await api.post(path, body, **more)
    assert reply.status_code == status, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def events_of(api: Served, path: str, body: Any) -> list[dict[str, Any]]:
    reply = await api.post(path, {**body, "stream": True})
    assert reply.status_code == 200 and reply.headers["content-type"].startswith("text/event-stream")
    blocks = [block.split("\n") for block in reply.text.split("\n\n") if block]
    data = [line.removeprefix("data: ") for block in blocks for line in block if line.startswith("data: ")]
    return [json.loads(one) for one in data if one != "[DONE]"]


async def test_a_chat_completion_has_text_reason_and_usage() -> None:
    async with served("<think>well</think>Hello there.") as api:
        body = await body_of(api, "/v1/chat/completions", CHAT)
    [choice] = body["choices"]
    assert body["object"] == "chat.completion" and body["model"] == "tiny"
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == "Hello there."
    assert choice["message"]["reasoning_content"] == "well"
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert usage["completion_tokens_details"]["reasoning_tokens"] > 0


async def test_a_streamed_chat_completion_says_the_same() -> None:
    async with served("<think>well</think>Hello there.") as api:
        body = {**CHAT, "stream_options": {"include_usage": True}}
        chunks = await events_of(api, "/v1/chat/completions", body)
    deltas = [one["choices"][0]["delta"] for one in chunks if one["choices"]]
    assert deltas[0]["role"] == "assistant"
    assert "".join(one.get("content") or "" for one in deltas) == "Hello there."
    assert "".join(one.get("reasoning_content") or "" for one in deltas) == "well"
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] > 0
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"


async def test_a_response_has_reasoning_and_text_as_items() -> None:
    async with served("<think>well</think>Hello there.") as api:
        body = await body_of(api, "/v1/responses", RESPONSE)
    assert body["status"] == "completed" and body["error"] is None
    thought, said = body["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "well"}]
    assert said["content"][0]["text"] == "Hello there."


async def test_the_events_of_a_response_are_numbered_and_add_up_to_it() -> None:
    async with served("<think>well</think>Hello there.") as api:
        events = await events_of(api, "/v1/responses", RESPONSE)
    assert [one["sequence_number"] for one in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created" and events[-1]["type"] == "response.completed"
    text = "".join(one["delta"] for one in events if one["type"] == "response.output_text.delta")
    thought = "".join(one["delta"] for one in events if one["type"] == "response.reasoning.delta")
    assert (thought, text) == ("well", "Hello there.")
    output = events[-1]["response"]["output"]
    assert [one["item"] for one in events if one["type"] == "response.output_item.done"] == output
    assert [one["type"] for one in output] == ["reasoning", "message"]


async def test_a_message_has_thinking_and_text_as_blocks() -> None:
    async with served("<think>well</think>Hello there.") as api:
        body = await body_of(api, "/v1/messages", MESSAGES)
        events = await events_of(api, "/v1/messages", MESSAGES)
    assert [one["type"] for one in body["content"]] == ["thinking", "text"]
    assert body["stop_reason"] == "end_turn" and body["usage"]["output_tokens"] > 0
    assert [one["type"] for one in events][:2] == ["message_start", "content_block_start"]
    assert [one["type"] for one in events][-2:] == ["message_delta", "message_stop"]
    assert (
        events[0]["message"]["usage"]["input_tokens"]
        + events[0]["message"]["usage"]["cache_read_input_tokens"]
        == body["usage"]["input_tokens"] + body["usage"]["cache_read_input_tokens"]
    )
    deltas = [one["delta"] for one in events if one["type"] == "content_block_delta"]
    assert "".join(one.get("text", "") for one in deltas) == "Hello there."
    assert "".join(one.get("thinking", "") for one in deltas) == "well"


TOOLS: dict[str, Any] = {
    "/v1/chat/completions": {
        "type": "function",
        "function": {"name": "weather", "description": "Looks outside.", "parameters": WEATHER},
    },
    "/v1/responses": {"type": "function", "name": "weather", "parameters": WEATHER},
    "/v1/messages": {"name": "weather", "input_schema": WEATHER},
}


async def test_calls_of_tools_are_in_each_dialects_shape() -> None:
    async with served("I look. " + call_text("weather", city="Köln")) as api:
        found = {
            path: await body_of(api, path, {**body, "tools": [TOOLS[path]]}) for path, body in PATHS.items()
        }
        events = {
            path: await events_of(api, path, {**body, "tools": [TOOLS[path]]}) for path, body in PATHS.items()
        }
    [choice] = found["/v1/chat/completions"]["choices"]
    [call] = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"].strip() == "I look."
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == (
        "weather",
        {"city": "Köln"},
    )
    item = found["/v1/responses"]["output"][-1]
    assert item["type"] == "function_call" and json.loads(item["arguments"]) == {"city": "Köln"}
    block = found["/v1/messages"]["content"][-1]
    assert block["type"] == "tool_use" and block["input"] == {"city": "Köln"}
    assert found["/v1/messages"]["stop_reason"] == "tool_use"
    deltas = [one["choices"][0]["delta"] for one in events["/v1/chat/completions"] if one["choices"]]
    [[streamed]] = [one["tool_calls"] for one in deltas if "tool_calls" in one]
    assert streamed["function"]["name"] == "weather" and streamed["index"] == 0
    kinds = [one["type"] for one in events["/v1/responses"]]
    assert (
        "response.function_call_arguments.delta" in kinds and "response.function_call_arguments.done" in kinds
    )
    parts = [one["delta"] for one in events["/v1/messages"] if one["type"] == "content_block_delta"]
    assert json.loads(parts[-1]["partial_json"]) == {"city": "Köln"}


async def test_a_tools_result_goes_back_with_its_call() -> None:
    def script(messages: Any) -> str:
        last = messages[-1]
        return f"{last.role}: {last.content}" if last.role == "tool" or "result" in last.content else "?"

    result = "It rains."
    asked = {"role": "user", "content": "weather?"}
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "K"}'}}
    chat = {
        **CHAT,
        "messages": [
            asked,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": result},
        ],
    }
    use = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "K"}}
    messages = {
        **MESSAGES,
        "messages": [
            asked,
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": result}]},
        ],
    }
    items = [
        {"role": "user", "content": "weather?"},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": result},
    ]
    async with served(script) as api:
        texts = [
            (await body_of(api, "/v1/chat/completions", chat))["choices"][0]["message"]["content"],
            (await body_of(api, "/v1/messages", messages))["content"][0]["text"],
            (await body_of(api, "/v1/responses", {"model": "tiny", "input": items}))["output"][0]["content"][
                0
            ]["text"],
        ]
        lost = [{"role": "tool", "tool_call_id": "nobody", "content": "x"}]
        await body_of(api, "/v1/chat/completions", {**CHAT, "messages": lost}, 400)
    assert all(result in text for text in texts), texts


async def test_a_schema_is_enforced_in_each_dialect() -> None:
    schema = {"type": "object", "properties": {"urgent": {"type": "boolean"}}, "required": ["urgent"]}
    form = {"type": "json_schema", "name": "a", "schema": schema}
    async with served("never JSON") as api:
        chat = await body_of(
            api,
            "/v1/chat/completions",
            {
                **CHAT,
                "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
            },
        )
        any_object = await body_of(
            api, "/v1/chat/completions", {**CHAT, "response_format": {"type": "json_object"}}
        )
        response = await body_of(api, "/v1/responses", {**RESPONSE, "text": {"format": form}})
        for field in ({"output_format": form}, {"output_config": {"format": form, "effort": "low"}}):
            message = await body_of(api, "/v1/messages", {**MESSAGES, **field})
            assert isinstance(json.loads(message["content"][0]["text"])["urgent"], bool)
    assert isinstance(json.loads(chat["choices"][0]["message"]["content"])["urgent"], bool)
    assert json.loads(any_object["choices"][0]["message"]["content"]) == {}
    assert "urgent" in json.loads(response["output"][0]["content"][0]["text"])
    assert response["text"]["format"]["schema"] == schema


async def test_an_answer_that_is_cut_off_says_so() -> None:
    async with served("one two three four") as api:
        chat = await body_of(api, "/v1/chat/completions", {**CHAT, "max_completion_tokens": 2})
        response = await body_of(api, "/v1/responses", {**RESPONSE, "max_output_tokens": 2})
        message = await body_of(api, "/v1/messages", {**MESSAGES, "max_tokens": 2})
        stopped = await body_of(api, "/v1/chat/completions", {**CHAT, "stop": "three"})
    assert chat["choices"][0]["finish_reason"] == "length"
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert message["stop_reason"] == "max_tokens"
    assert stopped["choices"][0]["message"]["content"] == "one two"


async def test_embeddings_are_numbers_or_base64() -> None:
    async with served() as api:
        body = {"model": "tiny", "input": ["a b", "c"]}
        numbers = await body_of(api, "/v1/embeddings", body)
        packed = await body_of(api, "/v1/embeddings", {**body, "encoding_format": "base64"})
        for wrong in ([1, 2], [[1, 2]], [], "", ["a", ""]):
            await body_of(api, "/v1/embeddings", {"model": "tiny", "input": wrong}, 400)
        await body_of(api, "/v1/embeddings", {**body, "dimensions": 3}, 400)
    first = numbers["data"][0]["embedding"]
    raw = base64.b64decode(packed["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == pytest.approx(first)
    assert [one["index"] for one in numbers["data"]] == [0, 1] and numbers["usage"]["prompt_tokens"] == 3


async def test_models_are_listed_as_each_dialect_has_them() -> None:
    async with served() as api, api.http as http:
        openai = (await http.get("/v1/models")).json()
        anthropic = (await http.get("/v1/models", headers={"anthropic-version": "2023-06-01"})).json()
        one = (await http.get("/v1/models/tiny")).json()
        alias = (await http.get("/v1/models/gpt-4o-mini")).json()
        missing = await http.get("/v1/models/nobody")
    assert openai["data"] == [one] == [alias] and one["object"] == "model"
    assert anthropic["data"][0]["created_at"] == "2023-11-14T22:13:20Z" and not anthropic["has_more"]
    assert missing.status_code == 404 and missing.json()["error"]["code"] == "model_not_found"


async def test_a_model_that_there_is_not_is_not_found_and_claude_is_the_default() -> None:
    async with served() as api:
        chat = await body_of(api, "/v1/chat/completions", {**CHAT, "model": "gpt-9"}, 404)
        message = await body_of(api, "/v1/messages", {**MESSAGES, "model": "gpt-9"}, 404)
        claude = await body_of(api, "/v1/messages", {**MESSAGES, "model": "claude-haiku-9"})
        alias = await body_of(api, "/v1/chat/completions", {**CHAT, "model": "gpt-4o-mini"})
    assert chat["error"]["code"] == "model_not_found"
    assert message["error"]["type"] == "not_found_error"
    assert claude["model"] == "claude-haiku-9" and alias["model"] == "gpt-4o-mini"


@pytest.mark.parametrize("path", PATHS)
async def test_a_field_that_there_is_not_is_refused(path: str) -> None:
    async with served() as api:
        body = await body_of(api, path, {**PATHS[path], "frobnicate": 1}, 400)
        assert "frobnicate" in body["error"]["message"]
        if path == "/v1/messages":
            await body_of(api, path, {**MESSAGES, "frobnicate": 1}, headers={"anthropic-beta": "new"})


CANNOT: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/chat/completions", {"logprobs": True}, "logprobs"),
    ("/v1/chat/completions", {"n": 2}, "n"),
    ("/v1/chat/completions", {"logit_bias": {"1": 2.0}}, "logit_bias"),
    ("/v1/chat/completions", {"presence_penalty": 0.5}, "presence_penalty"),
    ("/v1/chat/completions", {"response_format": {"type": "json_schema"}}, "response_format"),
    ("/v1/chat/completions", {"tool_choice": "required"}, "tool_choice"),
    ("/v1/chat/completions", {"temperature": "hot"}, "temperature"),
    ("/v1/chat/completions", {"messages": []}, "messages"),
    ("/v1/chat/completions", {"messages": [{"role": "system", "content": "x"}]}, "messages"),
    (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "messages[0].content[0].type",
    ),
    ("/v1/responses", {"top_logprobs": 3}, "top_logprobs"),
    ("/v1/responses", {"include": ["message.output_text.logprobs"]}, "include"),
    ("/v1/responses", {"background": True}, "background"),
    ("/v1/responses", {"tools": [{"type": "web_search"}]}, "tools[0]"),
    ("/v1/responses", {"input": None}, "input"),
    ("/v1/messages", {"max_tokens": 0}, "max_tokens"),
    ("/v1/messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
    ("/v1/messages", {"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages.0.content"),
    (
        "/v1/messages",
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
        "",
    ),
    ("/v1/messages", {"mcp_servers": [{}]}, "mcp_servers"),
]


@pytest.mark.parametrize(("path", "change", "param"), CANNOT)
async def test_what_cannot_be_had_is_refused_by_name(path: str, change: dict[str, Any], param: str) -> None:
    async with served() as api:
        reply = await api.post(path, {**PATHS[path], **change})
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert reply.headers["x-should-retry"] == "false"
    if path == "/v1/messages":
        assert reply.json()["type"] == "error" and param in error["message"]
    else:
        assert (error["param"] or "").startswith(param)


async def test_a_prompt_that_is_too_long_is_a_bad_request_before_the_stream_begins(tiny_model: Path) -> None:
    async with served(model=tiny_model, context_tokens=256) as api:
        for path, body in PATHS.items():
            long = json.loads(json.dumps(body).replace("one two three", "one " * 500))
            for streams in (False, True):
                reply = await api.post(path, {**long, "stream": streams})
                assert reply.status_code == 400 and "prompt is too long" in reply.json()["error"]["message"]
                if path != "/v1/messages":
                    assert reply.json()["error"]["code"] == "context_length_exceeded"
        await api.until(lambda: api.leases == 0)


async def test_tokens_are_counted_exactly(tiny_model: Path) -> None:
    async with served(model=tiny_model) as api:
        counted = await body_of(api, "/v1/messages/count_tokens", {**CHAT, "system": "Be brief."})
        message = await body_of(api, "/v1/messages", {**MESSAGES, "system": "Be brief.", "max_tokens": 1})
        usage = message["usage"]
        assert counted["input_tokens"] == usage["input_tokens"] + usage["cache_read_input_tokens"]
        body = {**RESPONSE, "tools": [TOOLS["/v1/responses"]]}
        counted = await body_of(api, "/v1/responses/input_tokens", body)
        response = await body_of(api, "/v1/responses", {**body, "max_output_tokens": 1})
        assert counted["input_tokens"] == response["usage"]["input_tokens"]


async def test_a_system_message_that_comes_later_is_said_by_the_user() -> None:
    seen: list[list[tuple[str, str]]] = []

    def script(messages: Any) -> str:
        seen.append([(one.role, one.content) for one in messages])
        return "ok"

    said = [("system", "a"), ("developer", "b"), ("user", "c"), ("system", "d")]
    messages = [{"role": role, "content": text} for role, text in said]
    async with served(script) as api:
        await body_of(api, "/v1/chat/completions", {**CHAT, "messages": messages})
    assert seen == [[("system", "a\n\nb"), ("user", "c"), ("user", "d")]]


async def test_what_a_model_says_ends_no_line_of_a_stream() -> None:
    said = "a\r\n\r\ndata: {}\n\nevent: error\u2028\u0085b"
    async with served(said) as api:
        for path, body in PATHS.items():
            reply = await api.post(path, {**body, "stream": True})
            assert (
                "\r" not in reply.text
                and "\u2028" not in reply.text
                and "event: error" not in reply.text.split("\n")
            )
            deltas = [one for one in await events_of(api, path, body) if "delta" in json.dumps(one)]
            assert deltas


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with served(limits=ApiLimits(body_bytes=1000)) as api:
        for path, body in PATHS.items():
            long = json.loads(json.dumps(body).replace("one two three", "one " * 500))
            await body_of(api, path, long, 413)


async def test_a_stream_that_waits_says_that_it_is_there() -> None:
    gate = anyio.Event()
    async with served("one", pause=gate.wait, limits=ApiLimits(ping_s=0.01)) as api, api.http as http:
        pings: list[str] = []

        async def let_go() -> None:
            await api.until(lambda: api.leases > 0)
            await anyio.sleep(0.05)
            gate.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(let_go)
            reply = await http.post("/v1/messages", json={**MESSAGES, "stream": True})
            pings = [line for line in reply.text.split("\n") if line == "event: ping"]
        assert pings and "message_stop" in reply.text
