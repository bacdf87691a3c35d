"""The default model, for real: what cannot be shown on a tiny one. Fetched once into the user's cache."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from samovar.engines.base import ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.generation import Message, Options, PromptEvaluating
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions

pytestmark = [pytest.mark.anyio, pytest.mark.real]

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 600


@asynccontextmanager
async def open_sessions(path: Path) -> AsyncIterator[tuple[Sessions, ModelSpec]]:
    engine = LlamaEngine()
    with anyio.fail_after(TIMEOUT_S):
        async with Pool(engine, budget_bytes=4_000_000_000) as pool:
            sessions = Sessions(pool)
            yield sessions, ModelSpec(reference="smollm2", path=path)
            sessions.check()
    engine.close()


def user(text: str) -> Message:
    return Message(role="user", content=text)


def test_the_example_loads_one_model_once_for_all_its_prompts(real_model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "samovar", "run", "examples/triage.md", "--json", "--model", str(real_model)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    report = json.loads(done.stdout)
    assert (done.returncode, report["status"]) == (0, "completed")
    assert [model["loads"] for model in report["models"]] == [1]
    prompts = [state for state in report["states"] if state["action"] == "prompt"]
    assert len(prompts) >= 6
    assert {"path" in state for state in prompts} == {True, False}, "prompts of both workflows"
    assert report["tokens"]["reused"] > 0
    assert report["variables"]["urgent"] in ("yes", "no")
    assert report["sessions"]["opened"] == report["sessions"]["closed"] == len(prompts)


def test_the_branches_of_an_example_go_on_from_one_reading(real_model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "samovar", "run", "examples/compare.md", "--json", "--model", str(real_model)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    report = json.loads(done.stdout)
    assert (done.returncode, report["status"]) == (0, "completed")
    states = {state["name"]: state for state in report["states"]}
    for branch in ("Praise", "Doubt", "Name"):
        assert states[branch]["tokens"]["reused"] > 100 > 40 > states[branch]["tokens"]["evaluated"]
    assert report["variables"]["verdict"] in ("yes", "no")


PROMPTS = """
import sys
from pathlib import Path
import anyio
from samovar.engines.base import ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.generation import Message, Options
from samovar.memory import resident_bytes
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions

async def main():
    engine, spec = LlamaEngine(), ModelSpec(reference="smollm2", path=Path(sys.argv[1]))
    async with Pool(engine, budget_bytes=4_000_000_000) as pool:
        sessions = Sessions(pool)
        for number in range(60):
            text = f"Say the number {number}. {'more ' * (number % 7)}"
            async with sessions.open(spec) as session:
                await session.ask([Message(role="user", content=text)], Options(max_tokens=1 + number % 2))
            sessions.check()
            if number == 4:
                print(resident_bytes())
        print(resident_bytes(), pool.statistics().models[0].loads)
    engine.close()

anyio.run(main)
"""


def test_sixty_prompts_need_no_more_memory_than_five(real_model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROMPTS, str(real_model)], capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr
    after_five, after_all, loads = map(int, done.stdout.split())
    assert after_all - after_five <= 1_500_000, "of some 300 MB"
    assert loads == 1


async def test_thirty_choices_are_all_among_them(real_model: Path) -> None:
    choices = ("yes", "no", "I cannot say")
    async with open_sessions(real_model) as (sessions, spec):
        said = set()
        for number in range(30):
            async with sessions.open(spec) as session:
                turn = await session.ask([user(f"Is {number} an even number?")], Options(choices=choices))
            said.add(turn.text)
        assert said <= set(choices)


async def test_a_session_on_a_prompt_seen_evaluates_only_what_is_new(real_model: Path) -> None:
    system = Message(role="system", content="You are careful. " + "Never invent a fact. " * 120)
    async with open_sessions(real_model) as (sessions, spec):
        async with sessions.open(spec) as first:
            await first.ask([system, user("Hello.")], Options(max_tokens=1))
        progress: list[PromptEvaluating] = []

        def hear(event: object) -> None:
            if isinstance(event, PromptEvaluating):
                progress.append(event)

        async with sessions.open(spec) as second:
            turn = await second.ask([system, user("Hello again.")], Options(max_tokens=1), on_event=hear)
        assert progress[0].total_tokens > 600
        assert turn.tokens.evaluated < 20
        assert turn.tokens.evaluated + turn.tokens.reused == progress[0].total_tokens


async def test_a_conversation_goes_on_with_only_new_tokens(real_model: Path) -> None:
    async with open_sessions(real_model) as (sessions, spec), sessions.open(spec) as session:
        await session.ask([user("Name a colour.")], Options(max_tokens=8))
        turn = await session.ask([user("Another one.")], Options(max_tokens=8))
        assert turn.tokens.evaluated < 25
        assert turn.tokens.reused > turn.tokens.evaluated
