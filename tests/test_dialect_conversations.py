"""Clients that keep no conversation here: what they have sent before is evaluated once, on a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from samovar.dialects.base import ApiLimits
from tests.model_api import Served, served

pytestmark = pytest.mark.anyio

GREEDY = {"model": "tiny", "temperature": 0}
SCHEMA = {"type": "string", "pattern": "^[zq]{40}$"}
"""Of the answers: a text that becomes the same tokens again, which a random one need not."""
FORM = {"type": "json_schema", "name": "a", "schema": SCHEMA}
LONG = "tell me about samovars and tea and tables and chairs " * 6


async def response(api: Served, said: str, status: int = 200, **more: Any) -> dict[str, Any]:
    reply = await api.post("/v1/responses", {**GREEDY, "input": said, "text": {"format": FORM}, **more})
    assert reply.status_code == status, reply.text
    found: dict[str, Any] = reply.json()
    return found


def evaluated(body: dict[str, Any]) -> int:
    usage = body["usage"]
    return int(usage["input_tokens"] - usage["input_tokens_details"]["cached_tokens"])


async def chat(api: Served, messages: list[dict[str, str]]) -> tuple[str, int, int]:
    """The answer, the tokens that were evaluated, and those that were there."""
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
    body = {**GREEDY, "messages": messages, "response_format": form}
    reply = await api.post("/v1/chat/completions", body)
    assert reply.status_code == 200, reply.text
    usage, found = reply.json()["usage"], reply.json()["choices"][0]["message"]["content"]
    reused = usage["prompt_tokens_details"]["cached_tokens"]
    return found, usage["prompt_tokens"] - reused, reused


async def test_branching_twice_from_a_response_evaluates_only_the_tails(tiny_model: Path) -> None:
    async with served(model=tiny_model) as api:
        first = await response(api, LONG)
        one = await response(api, "and then?", previous_response_id=first["id"])
        other = await response(api, "but why?", previous_response_id=first["id"])
        further = await response(api, "so?", previous_response_id=one["id"])
        assert evaluated(first) > 100
        for branch, before in ((one, first), (other, first), (further, one)):
            total = before["usage"]["input_tokens"] + before["usage"]["output_tokens"]
            assert branch["usage"]["input_tokens"] > total, "all that was said before is in it"
            assert evaluated(branch) <= branch["usage"]["input_tokens"] - total + 2 < 50
        assert one["previous_response_id"] == first["id"]


async def test_a_response_that_nobody_gave_or_kept_cannot_be_gone_on_from(tiny_model: Path) -> None:
    async with served(model=tiny_model, limits=ApiLimits(conversations=2)) as api:
        unkept = await response(api, "a", store=False)
        first = await response(api, "b")
        for id in ("resp_nobody", unkept["id"]):
            body = await response(api, "c", 404, previous_response_id=id)
            assert body["error"]["code"] == "previous_response_not_found"
        await response(api, "c")
        await response(api, "d")
        await response(api, "e", 404, previous_response_id=first["id"])


async def test_instructions_are_of_one_response_and_not_of_those_after_it() -> None:
    seen: list[list[tuple[str, str]]] = []

    def script(messages: Any) -> str:
        seen.append([(one.role, one.content) for one in messages])
        return "ok"

    async with served(script) as api:
        first = await response(api, "a", instructions="Be brief.", text=None)
        await response(api, "b", previous_response_id=first["id"], text=None)
        await response(api, "c", previous_response_id=first["id"], instructions="Be long.", text=None)
    said = [("user", "a"), ("assistant", "ok")]
    assert seen[1] == [*said, ("user", "b")]
    assert seen[2] == [("system", "Be long."), *said, ("user", "c")]


async def test_the_whole_history_sent_again_is_evaluated_from_its_new_end_on(tiny_model: Path) -> None:
    async with served(model=tiny_model) as api:
        messages = [{"role": "user", "content": LONG}]
        answer, all_of_it, _ = await chat(api, messages)
        messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": "and?"}]
        _, tail, reused = await chat(api, messages)
        assert all_of_it > 100 > 40 > tail
        assert reused >= all_of_it + 40, "the answer is not evaluated again either"


async def test_a_claim_that_ends_by_time_keeps_what_a_stateless_client_sends_again(tiny_model: Path) -> None:
    async with served(model=tiny_model, limits=ApiLimits(claim_s=0.0)) as api:
        messages = [{"role": "user", "content": LONG}]
        answer, all_of_it, _ = await chat(api, messages)
        await api.until(lambda: api.open_sessions == 0)
        assert api.service.statistics().held == 0, "nothing is held open"
        messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": "and?"}]
        _, tail, reused = await chat(api, messages)
        assert tail < 40 and reused >= all_of_it + 40
        first = await response(api, LONG)
        await api.until(lambda: api.open_sessions == 0)
        second = await response(api, "and?", previous_response_id=first["id"])
        assert evaluated(second) < 40


async def test_two_clients_do_not_see_each_others_responses() -> None:
    async with served("ok") as api:
        first = await response(api, "a")
        scope = {"client": "other"}
        assert api.service.known(scope, first["id"]) is not None
    assert api.service.known(scope, first["id"]) is None, "and nothing stays when it is over"


async def test_only_so_many_conversations_are_held_open() -> None:
    async with served("ok", limits=ApiLimits(sessions=3)) as api:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(response, api, f"number {number}")
        await api.until(lambda: api.service.statistics().held <= 3)
        await api.until(lambda: api.open_sessions <= 3)


async def test_an_answer_that_fails_leaves_no_conversation(tiny_model: Path) -> None:
    async with served(model=tiny_model, context_tokens=256) as api:
        await response(api, LONG * 10, 400)
        await api.until(lambda: api.open_sessions == 0)
        assert api.service.statistics().held == 0
