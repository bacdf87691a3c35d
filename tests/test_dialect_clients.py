"""The official clients, `openai` and `anthropic`, against the model API behind a real server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import anyio
import openai
import pytest
from pydantic import BaseModel

from samovar.engines.scripted_calls import call_text
from tests.model_api import Served, behind_a_server

pytestmark = pytest.mark.anyio

USER: Any = [{"role": "user", "content": "Say hello."}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL = "I look. " + call_text("weather", city="Köln")


@asynccontextmanager
async def openai_client(*given: Any, **more: Any) -> AsyncIterator[tuple[openai.AsyncOpenAI, Served]]:
    with anyio.fail_after(60):
        async with (
            behind_a_server(*given, **more) as api,
            openai.AsyncOpenAI(base_url=f"{api.url}/v1", api_key="x", max_retries=0) as client,
        ):
            yield client, api


@asynccontextmanager
async def anthropic_client(
    *given: Any, **more: Any
) -> AsyncIterator[tuple[anthropic.AsyncAnthropic, Served]]:
    with anyio.fail_after(60):
        async with (
            behind_a_server(*given, **more) as api,
            anthropic.AsyncAnthropic(base_url=api.url, api_key="x", max_retries=0) as client,
        ):
            yield client, api


class City(BaseModel):
    city: str


async def test_openai_chat_whole_streamed_with_tools_and_schema() -> None:
    async with openai_client(CALL) as (client, _):
        whole = await client.chat.completions.create(model="tiny", messages=USER)
        assert whole.choices[0].message.content and whole.usage and whole.usage.total_tokens > 0
        stream = await client.chat.completions.create(
            model="tiny", messages=USER, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert chunks[-1].usage is not None
        tool: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
        called = await client.chat.completions.create(model="tiny", messages=USER, tools=[tool])
        [call] = called.choices[0].message.tool_calls or []
        assert call.type == "function" and json.loads(call.function.arguments) == {"city": "Köln"}
        async with client.chat.completions.stream(model="tiny", messages=USER, tools=[tool]) as events:
            final = await events.get_final_completion()
        assert (final.choices[0].message.tool_calls or [])[0].function.name == "weather"
        parsed = await client.chat.completions.parse(model="tiny", messages=USER, response_format=City)
        assert isinstance(parsed.choices[0].message.parsed, City)


async def test_openai_responses_whole_streamed_continued_with_tools_and_schema() -> None:
    async with openai_client(CALL) as (client, _):
        whole = await client.responses.create(model="tiny", input="Say hello.")
        assert whole.output_text and whole.usage and whole.status == "completed"
        more = await client.responses.create(model="tiny", input="And?", previous_response_id=whole.id)
        assert more.previous_response_id == whole.id
        tool: Any = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}
        called = await client.responses.create(model="tiny", input="x", tools=[tool])
        [call] = [item for item in called.output if item.type == "function_call"]
        assert json.loads(call.arguments) == {"city": "Köln"}
        output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
        await client.responses.create(model="tiny", input=output, previous_response_id=called.id)
        async with client.responses.stream(model="tiny", input="x", tools=[tool]) as events:
            final = await events.get_final_response()
        assert [item.type for item in final.output] == ["message", "function_call"]
        parsed = await client.responses.parse(model="tiny", input="x", text_format=City)
        assert isinstance(parsed.output_parsed, City)


async def test_openai_reasoning_does_not_disturb_its_streams() -> None:
    async with openai_client("<think>well</think>Hello.") as (client, _):
        async with client.responses.stream(model="tiny", input="x") as events:
            final = await events.get_final_response()
        assert final.output_text == "Hello."
        chat = await client.chat.completions.create(model="tiny", messages=USER)
        assert getattr(chat.choices[0].message, "reasoning_content", None) == "well"


async def test_openai_embeddings_and_models() -> None:
    async with openai_client() as (client, _):
        packed = await client.embeddings.create(model="tiny", input=["a b"])
        floats = await client.embeddings.create(model="tiny", input=["a b"], encoding_format="float")
        assert packed.data[0].embedding == pytest.approx(floats.data[0].embedding)
        assert [one.id async for one in client.models.list()] == ["tiny"]
        assert (await client.models.retrieve("tiny")).id == "tiny"


async def test_anthropic_messages_whole_streamed_with_tools_and_counted() -> None:
    async with anthropic_client("<think>well</think>" + CALL) as (client, _):
        whole = await client.messages.create(model="tiny", messages=USER, max_tokens=50)
        assert [block.type for block in whole.content] == ["thinking", "text"]
        async with client.messages.stream(model="tiny", messages=USER, max_tokens=50) as events:
            final = await events.get_final_message()
        assert [block.type for block in final.content] == ["thinking", "text"]
        assert final.usage.output_tokens == whole.usage.output_tokens
        tool: Any = {"name": "weather", "input_schema": SCHEMA}
        async with client.messages.stream(model="tiny", messages=USER, max_tokens=50, tools=[tool]) as events:
            called = await events.get_final_message()
        use = called.content[-1]
        assert use.type == "tool_use" and use.input == {"city": "Köln"}
        assert called.stop_reason == "tool_use"
        counted = await client.messages.count_tokens(model="tiny", messages=USER)
        total = whole.usage.input_tokens + (whole.usage.cache_read_input_tokens or 0)
        assert counted.input_tokens == total
        assert [one.id async for one in client.models.list()] == ["tiny"]


async def test_errors_are_the_clients_own_classes(tiny_model: Path) -> None:
    long: Any = [{"role": "user", "content": "one " * 3000}]
    async with openai_client(model=tiny_model, context_tokens=256) as (client, _):
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            await client.chat.completions.create(model="nobody", messages=USER)
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="tiny", messages=long, stream=True)
        assert caught.value.code == "context_length_exceeded"
        with pytest.raises(openai.BadRequestError, match="logprobs"):
            await client.chat.completions.create(model="tiny", messages=USER, logprobs=True)
        bad: Any = {"type": "object", "properties": {"a": {"not": {"type": "string"}}}, "required": ["a"]}
        form: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": bad}}
        with pytest.raises(openai.BadRequestError, match="not"):
            await client.chat.completions.create(model="tiny", messages=USER, response_format=form)
    async with anthropic_client(model=tiny_model, context_tokens=256) as (other, _):
        with pytest.raises(anthropic.NotFoundError):
            await other.messages.create(model="nobody", messages=USER, max_tokens=5)
        with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > 256"):
            await other.messages.create(model="tiny", messages=long, max_tokens=5)


async def test_a_client_that_closes_its_stream_stops_the_generation(tiny_model: Path) -> None:
    async with openai_client(model=tiny_model) as (client, api):
        stream = await client.chat.completions.create(
            model="tiny", messages=USER, stream=True, max_tokens=3000, temperature=1, seed=3
        )
        async for _ in stream:
            break
        await stream.close()
        await api.until(lambda: api.leases == 0)
        await api.until(lambda: api.service.statistics().answering == 0)
        await api.until(lambda: api.open_sessions == 0)
        [use] = api.sessions.pool.statistics().models
        assert use.statistics is not None and use.statistics.tokens.generated < 1500


async def test_a_client_that_gives_up_waiting_stops_the_generation(tiny_model: Path) -> None:
    async with anthropic_client(model=tiny_model) as (client, api):
        with anyio.move_on_after(0.5):
            await client.messages.create(model="tiny", messages=USER, max_tokens=3900, extra_body={"seed": 3})
        await api.until(lambda: api.service.statistics().answering == 0)
        await api.until(lambda: api.leases == 0)
