"""Malformed requests, many of each dialect: each is answered in the dialect's shape, and nothing is held."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samovar.engines.scripted_calls import call_text
from tests.model_api import Served, served
from tests.test_dialects import CHAT, MESSAGES, RESPONSE, TOOLS, WEATHER

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

REQUESTS = int(os.environ.get("SAMOVAR_TEST_MALFORMED", "500"))
"""Of each path."""
STATUSES = (200, 400, 404, 413)

_FORM = {"type": "json_schema", "name": "a", "schema": WEATHER}
_CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
VALID: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        **CHAT,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hello."}]},
            {"role": "assistant", "content": None, "tool_calls": [_CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        ],
        "tools": [TOOLS["/v1/chat/completions"]],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": WEATHER}},
        "stream_options": {"include_usage": True},
        "stop": ["x"],
        "seed": 1,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 20,
        "logit_bias": {},
        "n": 1,
    },
    "/v1/responses": {
        **RESPONSE,
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "well"}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        ],
        "instructions": "Be brief.",
        "tools": [TOOLS["/v1/responses"]],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "weather"}],
        },
        "text": {"format": _FORM, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "metadata": {"a": "b"},
        "truncation": "auto",
        "store": True,
        "previous_response_id": None,
    },
    "/v1/messages": {
        **MESSAGES,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": "Hello."},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "well", "signature": ""},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "K"}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "rain"}]},
        ],
        "tools": [TOOLS["/v1/messages"]],
        "tool_choice": {"type": "tool", "name": "weather"},
        "thinking": {"type": "adaptive"},
        "output_config": {"format": _FORM},
        "stop_sequences": ["x"],
    },
    "/v1/messages/count_tokens": {**CHAT, "tools": [TOOLS["/v1/messages"]]},
    "/v1/embeddings": {"model": "tiny", "input": ["a", "b"], "encoding_format": "base64"},
}
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**70,
    1e308,
    "",
    "\x00",
    "a\r\nb: c",
    "x" * 5000,
    [],
    {},
    [[]],
    {"": {}},
    {"type": "x"},
    "auto",
    {"$ref": "#"},
    {"type": "object", "properties": {"a": {"not": {}}}},
)


def mutated(body: Any, chance: random.Random) -> Any:
    """The body, with something in it that is different: taken away, put in, doubled, or odd."""
    if isinstance(body, dict) and body and chance.random() < 0.75:
        name = chance.choice(list(body))
        return {**body, name: mutated(body[name], chance)}
    if isinstance(body, list) and body and chance.random() < 0.75:
        index = chance.randrange(len(body))
        return [*body[:index], mutated(body[index], chance), *body[index + 1 :]]
    match chance.randrange(4):
        case 0 if isinstance(body, dict) and body:
            gone = chance.choice(list(body))
            return {name: value for name, value in body.items() if name != gone}
        case 1 if isinstance(body, list):
            return body + body
        case 2 if isinstance(body, dict):
            return {**body, chance.choice(["x", "type", "role", "stream", "name"]): chance.choice(ODD)}
    return chance.choice(ODD)


def raw(body: Any, chance: random.Random) -> bytes:
    """A body as bytes, some of which are broken."""
    text = json.dumps(body).encode()
    match chance.randrange(12):
        case 0:
            return text[: chance.randrange(len(text) + 1)]
        case 1:
            index = chance.randrange(len(text) + 1)
            return text[:index] + chance.randbytes(3) + text[index:]
        case 2:
            return text.replace(b'"tiny"', b'"\\ud800"').replace(b"0", b"NaN", 1)
        case 3:
            return b"[" * 100_000
    return text


def bodies(path: str, seed: int, count: int) -> Iterator[bytes]:
    chance = random.Random(f"{path} {seed}")
    for _ in range(count):
        body: Any = VALID[path]
        for _ in range(chance.randint(1, 3)):
            body = mutated(body, chance)
        if isinstance(body, dict) and path != "/v1/embeddings" and chance.random() < 0.3:
            body = {**body, "stream": True}
        yield raw(body, chance)


async def check(api: Served, http: Any, path: str, body: bytes) -> int:
    reply = await http.post(path, content=body, headers={"content-type": "application/json"})
    status = int(reply.status_code)
    assert status in STATUSES, (status, body[:2000], reply.text)
    assert "Traceback" not in reply.text
    if status != 200:
        error = reply.json()["error"]
        assert error["type"] in ("invalid_request_error", "not_found_error", "request_too_large"), reply.text
        assert error["message"] and len(error["message"]) < 4000
    return status


@pytest.mark.parametrize("path", VALID)
async def test_malformed_requests_are_refused_and_nothing_is_held(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: set[int] = set()
    async with served("I look. " + call_text("weather", city="K")) as api, api.http as http:
        whole = await http.post(path, json=VALID[path])
        assert whole.status_code == 200, whole.text
        for body in bodies(path, 1, REQUESTS):
            seen.add(await check(api, http, path, body))
        assert api.service.statistics().answering == 0 and api.leases == 0
        assert api.open_sessions <= api.service.api.limits.sessions
    assert {200, 400} <= seen
    assert not [one for one in caplog.records if one.name == "samovar.dialects"], "nothing unexpected"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("path", VALID)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_any_value_in_any_field_has_an_answer(path: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(VALID[path])))
    body = {**VALID[path], name: data.draw(_JSON)}
    async with served("ok") as api, api.http as http:
        await check(api, http, path, json.dumps(body).encode("utf-8", "replace"))
