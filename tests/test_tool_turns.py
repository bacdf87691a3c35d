"""Calls of tools through the waist and in conversations: what comes back, is kept, and is said next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from samovar.engines.base import ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.scripted import ScriptedEngine
from samovar.engines.scripted_calls import call_text
from samovar.errors import EngineError
from samovar.executors.base import PromptRequest
from samovar.executors.local import LocalExecutor
from samovar.executors.table import OnFetchProgress
from samovar.generation import (
    FinishReason,
    Message,
    Options,
    PromptEvent,
    Sampling,
    TextGenerated,
    ToolDefinition,
)
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions

pytestmark = pytest.mark.anyio

READ = ToolDefinition(
    name="read",
    description="Reads a file.",
    parameters=json.dumps(
        {
            "type": "object",
            "properties": {
                "path": {"type": "string", "maxLength": 8},
                "lines": {"type": "integer", "minimum": 3},
            },
            "required": ["path", "lines"],
        }
    ),
)
NOW = ToolDefinition(name="now", description="The time.", parameters='{"type": "object", "properties": {}}')
OFFERED = Options(tools=(READ, NOW))


def user(text: str) -> Message:
    return Message(role="user", content=text)


def reads_then_says(messages: Sequence[Message]) -> str:
    """A script that calls a tool, and says what came of it."""
    last = messages[-1]
    if last.role == "tool":
        assert last.call is not None
        return f"{last.call.name} gave {last.content}"
    return f"<think>What is in it?</think>I look.\n{call_text('read', path='a b', lines=3)}"


async def test_a_call_is_no_text_and_its_result_is_answered_in_the_same_conversation() -> None:
    async with Pool(ScriptedEngine(reads_then_says), budget_bytes=1) as pool:
        sessions = Sessions(pool)
        async with sessions.open(ModelSpec(reference="m", path=Path("m"))) as session:
            kinds = []
            turn = await session.ask(
                [user("Go.")],
                OFFERED,
                on_event=lambda event: kinds.append(event.kind) if isinstance(event, TextGenerated) else None,
            )
            assert (turn.text, turn.reasoning, turn.reason) == (
                "I look.",
                "What is in it?",
                FinishReason.CALLS,
            )
            (call,) = turn.calls
            assert (call.name, json.loads(call.arguments)) == ("read", {"path": "a b", "lines": 3})
            assert set(kinds) == {"reasoning", "text", "call"}
            assert session.messages[-1].calls == turn.calls
            assert session.messages[-1].content == "I look."
            following = await session.ask([Message(role="tool", content="tea", call=call)], OFFERED)
            assert (following.text, following.reason, following.calls) == (
                "read gave tea",
                FinishReason.STOP,
                (),
            )
            again = await session.ask([user("Go.")], OFFERED)
            assert again.calls[0].id != call.id
        pool.check()


@pytest.mark.parametrize(
    ("choice", "reason", "name"),
    [
        ("auto", FinishReason.STOP, None),
        ("none", FinishReason.STOP, None),
        ("required", FinishReason.CALLS, "read"),
        ("now", FinishReason.CALLS, "now"),
    ],
)
async def test_a_script_without_a_call_does_what_the_choice_says(
    choice: str, reason: FinishReason, name: str | None
) -> None:
    engine = ScriptedEngine(lambda messages: "Well.")
    spec = ModelSpec(reference="m", path=Path("m"))
    async with Pool(engine, budget_bytes=1) as pool, Sessions(pool).open(spec) as session:
        turn = await session.ask([user("Go.")], Options(tools=(READ, NOW), tool_choice=choice))
        assert turn.reason is reason
        assert [call.name for call in turn.calls] == ([name] if name else [])
        assert turn.text == ("" if name else "Well.")
        if name == "read":
            assert json.loads(turn.calls[0].arguments) == {"path": "", "lines": 3}


async def test_a_script_calls_nothing_where_that_is_forbidden_and_is_cut_within_a_call() -> None:
    engine = ScriptedEngine(lambda messages: "Well.\n" + call_text("read", path="a", lines=3))
    spec = ModelSpec(reference="m", path=Path("m"))
    async with Pool(engine, budget_bytes=1) as pool, Sessions(pool).open(spec) as session:
        turn = await session.ask([user("Go.")], Options(tools=(READ,), tool_choice="none"))
        assert not turn.calls and turn.reason is FinishReason.STOP
        cut = await session.ask([user("Go.")], Options(tools=(READ,), max_tokens=3))
        assert (cut.reason, cut.cut, cut.calls, cut.text) == (FinishReason.LENGTH, "call", (), "Well.")
        assert session.messages[-1].calls == ()
        with pytest.raises(EngineError, match="'other' is not offered"):
            await session.ask([user("Go.")], Options(tools=(READ,), tool_choice="other"))


async def test_the_waist_has_the_calls_and_what_their_definitions_take(tiny_model: Path) -> None:
    async def locate(model: str, on_progress: OnFetchProgress) -> ModelSpec:
        return ModelSpec(reference=model, path=tiny_model, context_tokens=2048)

    def ignore(event: PromptEvent) -> None:
        """Nobody listens."""

    async with Pool(LlamaEngine(), budget_bytes=2**28) as pool:
        executor = LocalExecutor(Sessions(pool), locate, default_model="m")
        assert executor.abilities.tools
        async with executor.open("run") as connection:
            for seed in range(10):
                options = Options(
                    tools=(READ, NOW),
                    tool_choice="read",
                    max_tokens=400,
                    sampling=Sampling(temperature=1.5, seed=seed),
                )
                asked = PromptRequest(messages=(user("Go."),), options=options, session=f"talk {seed}")
                reply = await connection.ask(asked, ignore)
                assert reply.context_tokens == 2048
                assert (
                    reply.tools_tokens and reply.tools_tokens < reply.tokens.evaluated + reply.tokens.reused
                )
                if reply.finish_reason is FinishReason.CALLS:
                    break
            assert {call.name for call in reply.calls} == {"read"} and reply.text == ""
            results = tuple(Message(role="tool", content="tea", call=call) for call in reply.calls)
            plain = PromptRequest(messages=results, options=Options(max_tokens=2), session=f"talk {seed}")
            following = await connection.ask(plain, ignore)
            assert following.tokens.generated <= 2 and following.tools_tokens == 0
