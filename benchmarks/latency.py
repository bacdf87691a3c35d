"""How long a session takes to open, how long a cancel takes, and what busy neighbours cost.

    python -m benchmarks.latency [--busy] [--out FOLDER]

Medians in one process on the default model. `--busy` also runs W12's first six prompts alone and beside one
busy process per core, in turn, three times.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import anyio

from benchmarks.results import save, spread
from benchmarks.rounds import busy_neighbours, machine
from benchmarks.work import MAX_TOKENS, SYSTEM, TOPICS, question
from samovar.engines.base import ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.generation import Message, Options, PromptEvaluating, TextGenerated
from samovar.models.reference import parse_reference
from samovar.models.store import Store
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions


def messages(text: str, *, system: str = SYSTEM) -> list[Message]:
    return [Message(role="system", content=system), Message(role="user", content=text)]


async def opening_ms(sessions: Sessions, spec: ModelSpec) -> tuple[float, int]:
    """Median to open a session and borrow the warm model; tokens evaluated for its first turn."""
    times, evaluated = [], 0
    for number in range(30):
        started = time.perf_counter()
        async with sessions.open(spec) as session, sessions.pool.lease(spec):
            times.append(time.perf_counter() - started)
        async with sessions.open(spec) as session:
            turn = await session.ask(messages(f"Question {number}?"), Options(max_tokens=1))
        evaluated = turn.tokens.evaluated
    return statistics.median(times) * 1000, evaluated


CANCELS = (
    ("while a prompt is evaluated", 0),
    ("in the second micro-batch of a long prompt", 512),
    ("while it answers", None),
)
"""When to cancel: in words, and after so many tokens of the prompt; None is after the first of the answer."""
CANCEL_AFTER_S = 0.1
"""So long after that moment: within a micro-batch, or within a step."""


async def cancel_ms(sessions: Sessions, spec: ModelSpec, after_tokens: int | None) -> list[float]:
    """Each time from asking to cancel to having everything back. `after_tokens`: as in `CANCELS`."""
    times = []
    in_prompt = after_tokens is not None
    for number in range(9):
        asked = 0.0
        text = f"{number} word" * 1500 if in_prompt else f"Tell a long story about {number}."
        begun = anyio.Event()

        def hear(event: object, begun: anyio.Event = begun) -> None:
            if after_tokens is None:
                is_time = isinstance(event, TextGenerated)
            else:
                is_time = isinstance(event, PromptEvaluating) and event.evaluated_tokens >= after_tokens
            if is_time:
                begun.set()

        async def ask(scope: anyio.CancelScope, text: str = text) -> None:
            with scope:
                async with sessions.open(spec) as session:
                    await session.ask(
                        messages(text, system="Be brief."), Options(max_tokens=2000), on_event=hear
                    )

        scope = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, scope)
            await begun.wait()
            await anyio.sleep(CANCEL_AFTER_S)
            asked = time.perf_counter()
            scope.cancel()
        times.append(1000 * (time.perf_counter() - asked))
        sessions.check()
    return times


async def six_prompts_s(sessions: Sessions, spec: ModelSpec, round_number: int) -> float:
    started = time.perf_counter()
    for topic in TOPICS[:6]:
        async with sessions.open(spec) as session:
            # Another first word for each round, so that the prefix is evaluated in each.
            asked = messages(question(topic), system=f"{round_number} {SYSTEM}")
            await session.ask(asked, Options(max_tokens=MAX_TOKENS))
    return time.perf_counter() - started


async def measure(busy: bool) -> list[tuple[str, str]]:
    """What was measured, and how much; each is printed as soon as it is known."""
    rows: list[tuple[str, str]] = []

    def tell(what: str, measured: str) -> None:
        rows.append((what, measured))
        print(f"{what}: {measured}", flush=True)

    engine = LlamaEngine()
    spec = ModelSpec(reference="smollm2", path=Store().find(parse_reference("smollm2")))
    async with Pool(engine, budget_bytes=4_000_000_000) as pool:
        sessions = Sessions(pool)
        async with sessions.open(spec) as session:
            await session.ask(messages("Hello."), Options(max_tokens=1))
        opening, evaluated = await opening_ms(sessions, spec)
        tell("opening a session on a warm model and borrowing it", f"{opening:.3f} ms")
        tell(
            "prompt tokens evaluated for its first token, behind some 600 that were seen before",
            str(evaluated),
        )
        for what, after_tokens in CANCELS:
            took = await cancel_ms(sessions, spec, after_tokens)
            tell(f"cancel {what}", f"{spread(took)} ms")
        if busy:
            slower = []
            for number in range(3):
                alone = await six_prompts_s(sessions, spec, 2 * number)
                with busy_neighbours():
                    beside = await six_prompts_s(sessions, spec, 2 * number + 1)
                slower.append(beside / alone)
            tell("six prompts beside one busy process per core", f"{spread(slower)} times as long as alone")
    engine.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--busy", action="store_true", help="measure beside busy processes too")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write latency.json there")
    arguments = parser.parse_args()
    rows = anyio.run(measure, arguments.busy)
    if arguments.out is not None:
        save(arguments.out, "latency", {**machine(), "rows": rows})


if __name__ == "__main__":
    main()
