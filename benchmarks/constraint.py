"""What it costs to hold answers to a schema: `python -m benchmarks.constraint [--rounds 5]`.

On the default model it prints three things: the part of the decode time that goes into the constraint; the
first token of a warm model with a schema beside without; and the first token of a cold model beside the
larger of its load with the evaluation, and of its vocabulary with the tables that hold answers to forms.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import psutil

from benchmarks.rounds import default_model
from samovar.engines.base import ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.guidance import Guidance
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.sampling import Sampler
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.generation import Message, Options, TextGenerated
from samovar.language.schemas import read_schema, schema_text

MOST_OF_DECODING = 0.10
MOST_WARM = 1.05
MOST_COLD = 1.05
TOKENS = 120
SCHEMA = schema_text(
    read_schema(
        "{urgent: boolean, team: billing|support|sales, score: integer, "
        "why: {type: string, minLength: 100, maxLength: 400}, "
        "next: {type: string, minLength: 100, maxLength: 400}}"
    )
)
PLAIN, HELD = Options(max_tokens=TOKENS), Options(max_tokens=TOKENS, schema=SCHEMA)
_MAIL = "My invoice of last month is wrong, and nobody answers the telephone. "


def spec() -> ModelSpec:
    return ModelSpec(reference="smollm2", path=default_model(), context_tokens=2048)


@asynccontextmanager
async def loaded(engine: LlamaEngine) -> AsyncIterator[LlamaModel]:
    model = await engine.load(spec(), engine.predict(spec()), lambda fraction: None)
    assert isinstance(model, LlamaModel)
    try:
        yield model
    finally:
        await model.close()


async def first_token_s(model: LlamaModel, options: Options, text: str) -> float:
    """Seconds to the first text of an answer, and no more of it."""
    started = time.perf_counter()
    async with model.generate([Message(role="user", content=text)], options) as events:
        async for event in events:
            if isinstance(event, TextGenerated):
                break
    return time.perf_counter() - started


async def whole(model: LlamaModel, options: Options, text: str) -> None:
    async with model.generate([Message(role="user", content=text)], options) as events:
        async for _ in events:
            pass


class Watch:
    """How long picking takes, step by step."""

    def __init__(self) -> None:
        self.picks: list[float] = []
        pick = Sampler.pick

        def timed(sampler: Sampler, context: Any, row: int) -> list[int]:
            started = time.perf_counter()
            try:
                return pick(sampler, context, row)
            finally:
                self.picks.append(time.perf_counter() - started)

        setattr(Sampler, "pick", timed)  # noqa: B010

    def taken(self) -> list[float]:
        """Since the last call, without the first of an answer, which waits for the sampler to be made."""
        picks, self.picks = self.picks[1:], []
        return picks


async def decoding(rounds: int) -> None:
    """Prints the part of a decode step that the constraint takes."""
    engine, watch = LlamaEngine(), Watch()
    plain: list[float] = []
    held: list[float] = []
    steps: list[float] = []
    async with loaded(engine) as model:
        await whole(model, HELD, _MAIL)
        for number in range(rounds):
            for options, picks in ((PLAIN, plain), (HELD, held)):
                watch.taken()
                before = model.statistics().tokens.generated
                usage = model._arenas.usage
                tokens, seconds = usage.decode_tokens, usage.decode_s
                await whole(model, options, f"{number}. {_MAIL}")
                picks += watch.taken()
                assert model.statistics().tokens.generated > before
                if options is PLAIN:
                    steps.append((usage.decode_s - seconds) / max(1, usage.decode_tokens - tokens))
    engine.close()
    step_s = statistics.median(steps) + statistics.fmean(plain)
    extra_s = statistics.fmean(held) - statistics.fmean(plain)
    plain_ms, held_ms = statistics.fmean(plain) * 1e3, statistics.fmean(held) * 1e3
    print(
        f"decoding: a step takes {step_s * 1e3:.2f} ms, picking {plain_ms:.2f} ms, with a schema "
        f"{held_ms:.2f} ms: {extra_s / step_s:.1%} more (goal {MOST_OF_DECODING:.0%})"
    )


async def warm(rounds: int) -> None:
    """Prints the first token with a schema, in parts of that without; the model is warm."""
    engine = LlamaEngine()
    times: dict[bool, list[float]] = {False: [], True: []}
    async with loaded(engine) as model:
        for options in (PLAIN, HELD):
            await first_token_s(model, options, "warm up")
        for number in range(2 * rounds):
            for options in (PLAIN, HELD) if number % 2 else (HELD, PLAIN):
                text = f"{number}-{options.held_by or 'none'}: {_MAIL * 8}"
                times[bool(options.held_by)].append(await first_token_s(model, options, text))
    engine.close()
    plain_s, held_s = (statistics.median(times[is_held]) for is_held in (False, True))
    print(
        f"first token, warm: {plain_s * 1e3:.0f} ms, with a schema {held_s * 1e3:.0f} ms: "
        f"{held_s / plain_s:.3f} times (goal {MOST_WARM})"
    )


async def cold(rounds: int, mails: int) -> None:
    """Prints the first token with a schema after a load, beside what cannot be faster."""
    engine = LlamaEngine()
    plain: list[float] = []
    held: list[float] = []
    tables: list[float] = []
    for _ in range(rounds):
        for options, times in ((PLAIN, plain), (HELD, held)):
            started = time.perf_counter()
            async with loaded(engine) as model:
                await first_token_s(model, options, _MAIL * mails)
                times.append(time.perf_counter() - started)
        tables.append(await anyio.to_thread.run_sync(vocabulary_s, engine))
    engine.close()
    least_s = max(statistics.median(plain), statistics.median(tables))
    plain_ms, tables_ms = statistics.median(plain) * 1e3, statistics.median(tables) * 1e3
    held_s = statistics.median(held)
    print(
        f"first token, cold, {mails} sentences: load and evaluation {plain_ms:.0f} ms, vocabulary and tables "
        f"{tables_ms:.0f} ms, with a schema {held_s * 1e3:.0f} ms: {held_s / least_s:.3f} times the larger "
        f"(goal {MOST_COLD})"
    )


def vocabulary_s(engine: LlamaEngine) -> float:
    """Seconds to read the vocabulary alone, and to make the tables of it."""
    binding = engine._binding
    assert binding is not None
    started = time.perf_counter()
    params = binding.lib.llama_model_default_params()
    params.vocab_only = True
    weights = binding.lib.llama_model_load_from_file(str(default_model()).encode(), params)
    vocabulary = Vocabulary(binding, weights)
    guidance = Guidance(binding, vocabulary, lambda: vocabulary.eos)
    guidance.begin(HELD.form).result()
    taken_s = time.perf_counter() - started
    guidance.close()
    binding.lib.llama_model_free(weights)
    return taken_s


async def memory() -> None:
    """Prints what the tables take beside what is promised for them."""
    engine, process = LlamaEngine(), psutil.Process()
    async with loaded(engine) as model:
        await whole(model, PLAIN, _MAIL)
        before = process.memory_info().rss
        await whole(model, HELD, _MAIL)
        await whole(model, Options(choices=("yes", "no")), _MAIL)
        grown, promised = process.memory_info().rss - before, engine.predict(spec()).forms_bytes
    engine.close()
    print(f"memory: the tables took {grown / 1e6:.0f} MB, and {promised / 1e6:.0f} MB are promised for them")


def main() -> None:
    parser = argparse.ArgumentParser(description="What it costs to hold answers to a schema.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    anyio.run(memory)
    anyio.run(decoding, rounds)
    anyio.run(warm, rounds)
    for mails in (1, 12):
        anyio.run(cold, rounds, mails)


if __name__ == "__main__":
    main()
