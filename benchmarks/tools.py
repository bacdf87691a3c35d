"""What thirty tools cost: `python -m benchmarks.tools [--rounds 5] [--tools 30]`.

On the default model it prints what the definitions are in tokens and parts of the context; the first token of
prompts with and without them, in a process that evaluates them, in the same one later, and in a new one that
has them from disk; what bringing them back takes; and what attention over their cells costs each token.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import anyio

from benchmarks.rounds import default_model
from samovar.engines.base import Finished, ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.offer import MOST_OF_CONTEXT
from samovar.generation import Message, Options, TextGenerated, ToolDefinition
from samovar.models.snapshots import Snapshots

CONTEXT_TOKENS = 8192
ANSWER_TOKENS = 64
THINGS = ("file", "folder", "issue", "branch", "message", "contact")
VERBS = ("read", "list", "search", "create", "delete")


def definitions(count: int) -> tuple[ToolDefinition, ...]:
    """Tools such as servers have, in an order that stays the same."""
    made = []
    for number in range(count):
        verb, thing = VERBS[number % len(VERBS)], THINGS[number // len(VERBS) % len(THINGS)]
        parameters = {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": f"The name of the {thing}."},
                "limit": {"type": "integer", "minimum": 1, "maximum": 100, "description": "At most so many."},
                "order": {"enum": ["newest", "oldest", "name"]},
            },
            "required": ["name"],
        }
        name = f"{thing}s.{verb}" + (f"_{number // 30}" if number >= 30 else "")
        description = f"Use this to {verb} a {thing}, by its name or a part of its name."
        made.append(ToolDefinition(name=name, description=description, parameters=json.dumps(parameters)))
    return tuple(made)


def question(number: int | str) -> list[Message]:
    return [Message(role="user", content=f"{number}: which of our contacts asked for the invoice of May?")]


async def first_token_s(
    model: LlamaModel, options: Options, messages: list[Message]
) -> tuple[float, Finished | None]:
    """Seconds to the first piece of an answer, and how it ended if it has only that."""
    started, first_s, end = time.perf_counter(), 0.0, None
    async with model.generate(messages, options) as events:
        async for event in events:
            if isinstance(event, TextGenerated) and not first_s:
                first_s = time.perf_counter() - started
            end = event if isinstance(event, Finished) else end
    return first_s or time.perf_counter() - started, end


async def decode_s(model: LlamaModel, options: Options) -> float:
    """Seconds of a decode step."""
    usage = model._arenas.usage
    tokens, seconds = usage.decode_tokens, usage.decode_s
    await first_token_s(model, options, question("decoding"))
    return (usage.decode_s - seconds) / max(1, usage.decode_tokens - tokens)


class Process:
    """A model loaded as a new process would have it, over the copies that are on disk."""

    def __init__(self, folder: Path) -> None:
        self._snapshots = Snapshots(folder, 2**31)
        self._engine = LlamaEngine(self._snapshots)
        self._spec = ModelSpec(reference="default", path=default_model(), context_tokens=CONTEXT_TOKENS)

    async def __aenter__(self) -> LlamaModel:
        cost = self._engine.predict(self._spec)
        self._model = await self._engine.load(self._spec, cost, lambda fraction: None)
        assert isinstance(self._model, LlamaModel)
        return self._model

    async def __aexit__(self, *_: object) -> None:
        await self._model.close()
        self._engine.close()
        self._snapshots.close()


async def measured(rounds: int, count: int, folder: Path) -> None:
    tools = definitions(count)
    with_tools = Options(tools=tools, tool_choice="none", max_tokens=1)
    without = Options(max_tokens=1)
    async with Process(folder) as model:
        await first_token_s(model, without, question("warm up"))
        cold_s, end = await first_token_s(model, with_tools, question("first"))
        assert end is not None
        part = end.tools_tokens / CONTEXT_TOKENS
        print(f"definitions: {count} tools are {end.tools_tokens} tokens, {part:.0%} of {CONTEXT_TOKENS}")
        if part > MOST_OF_CONTEXT:
            print(f"  more than {MOST_OF_CONTEXT:.0%} of the context: a run notes it")
        print(f"first use ever: {end.tokens.evaluated} tokens evaluated, first token {cold_s * 1e3:.0f} ms")
        times: dict[bool, list[float]] = {False: [], True: []}
        evaluated = 0
        for number in range(2 * rounds):
            for has_tools in (number % 2 == 0, number % 2 == 1):
                options = with_tools if has_tools else without
                taken_s, end = await first_token_s(model, options, question(number))
                times[has_tools].append(taken_s)
                evaluated += end.tokens.evaluated if end and has_tools else 0
        plain_ms, tools_ms = (statistics.median(times[one]) * 1e3 for one in (False, True))
        print(
            f"same process: first token {plain_ms:.0f} ms without tools, {tools_ms:.0f} ms with, "
            f"{evaluated / (2 * rounds):.0f} tokens evaluated for a prompt"
        )
        steps = {
            has_tools: await decode_s(
                model, Options(max_tokens=ANSWER_TOKENS, tools=tools if has_tools else (), tool_choice="none")
            )
            for has_tools in (False, True)
        }
        more_ms = (steps[True] - steps[False]) * 1e3
        print(f"attention over their cells: {more_ms:+.2f} ms for each token of {steps[False] * 1e3:.2f} ms")
    restored: list[float] = []
    computed: list[int] = []
    took: list[float] = []
    for number in range(rounds):
        async with Process(folder) as model:
            await first_token_s(model, without, question("warm up"))
            before = model.statistics().restored_s
            taken_s, end = await first_token_s(model, with_tools, question(f"new {number}"))
            assert end is not None
            restored.append(model.statistics().restored_s - before)
            took.append(taken_s)
            computed.append(end.tokens.evaluated)
    new_ms, restore_ms = statistics.median(took) * 1e3, statistics.median(restored) * 1e3
    print(
        f"new process: first token {new_ms:.0f} ms, of which {restore_ms:.0f} ms bring the definitions back; "
        f"{max(computed)} tokens evaluated at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="What thirty tools cost.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tools", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(measured, options.rounds, options.tools, Path(folder) / "kv")


if __name__ == "__main__":
    main()
