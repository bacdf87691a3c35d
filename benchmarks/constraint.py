"""What it costs to hold answers to a schema: `python -m benchmarks.constraint [--rounds 5] [--cold]`.

On the default model it prints three things: the part of the decode time that goes into the constraint; the
first token of a warm model with a schema beside without; and the first token of a cold model beside the
larger of its load with the evaluation, and of its vocabulary with the tables that hold answers to forms.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import psutil

from benchmarks.results import spread
from benchmarks.rounds import default_model
from samovar.engines.base import ModelSpec
from samovar.engines.llama.binding import open_binding
from samovar.engines.llama.counting import open_template
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.grammars import Grammars
from samovar.engines.llama.guidance import Guidance
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.sampling import Sampler
from samovar.engines.llama.token_table import KeptTables, TokenTable
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
async def loaded(engine: LlamaEngine, *, holds_forms: bool = False) -> AsyncIterator[LlamaModel]:
    wanted = replace(spec(), holds_forms=holds_forms)
    model = await engine.load(wanted, engine.predict(wanted), lambda fraction: None)
    assert isinstance(model, LlamaModel)
    try:
        yield model
    finally:
        await model.close()


async def first_token_s(model: LlamaModel, options: Options, text: str) -> float:
    """Seconds to the first text of an answer. What it takes to end the answer there does not count."""
    started = time.perf_counter()
    taken_s = 0.0
    async with model.generate([Message(role="user", content=text)], options) as events:
        async for event in events:
            if isinstance(event, TextGenerated):
                taken_s = time.perf_counter() - started
                break
    return taken_s


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
    """Prints the first token with a schema after a load, beside what cannot be faster.

    The kinds take turns: without a schema; without one while tables are made by one direct call beside, which
    is what two cores leave; with a schema when no table of tokens was kept, and when one was.
    """
    times: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    tables: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        engine = LlamaEngine(tables=KeptTables(Path(folder)))
        await cold_s(engine, "kept", mails)  # which keeps the table
        for number in range(rounds):
            for kind in _KINDS if number % 2 == 0 else reversed(_KINDS):
                if kind == "first":
                    shutil.rmtree(folder)
                times[kind].append(await cold_s(engine, kind, mails))
            tables.append(await anyio.to_thread.run_sync(vocabulary_s))
        engine.close()
    tables_s = statistics.median(tables)
    least = [max(plain_s, tables_s) for plain_s in times["plain"]]
    ms = {kind: statistics.median(taken) * 1e3 for kind, taken in times.items()}
    print(
        f"first token, cold, {mails} sentences: load and evaluation {ms['plain']:.0f} ms, vocabulary and "
        f"tables {tables_s * 1e3:.0f} ms; in parts of the larger (goal {MOST_COLD}):"
    )
    for kind, what in _KINDS.items():
        of = spread([one / other for one, other in zip(times[kind], least, strict=True)])
        print(f"  {what}: {ms[kind]:.0f} ms, {of}")


_KINDS = {
    "plain": "without a schema",
    "floor": "without one, while a direct call makes the tables beside",
    "first": "with a schema, of a model used from where it is, which never had one",
    "kept": "with a schema, of a model that was fetched, or had one before",
}


async def cold_s(engine: LlamaEngine, kind: str, mails: int) -> float:
    """Seconds from nothing to the first token, of one of `_KINDS`."""
    is_held = kind in ("first", "kept")
    binding, direct = open_binding(), None
    started = time.perf_counter()
    with ThreadPoolExecutor(1) as beside:
        if kind == "floor":
            direct = beside.submit(Grammars, binding, table(), can_spell=False)
        async with loaded(engine, holds_forms=is_held) as model:
            load_s = time.perf_counter() - started
            first_s = await first_token_s(model, HELD if is_held else PLAIN, _MAIL * mails)
        if direct is not None:
            direct.result()
    return load_s + first_s


@cache
def table() -> TokenTable:
    """The tokens of the default model."""
    with open_template(default_model()) as template:
        return TokenTable.of(template.vocabulary, template.end(), ())


def vocabulary_s() -> float:
    """Seconds to read the vocabulary alone, and to make the tables of it."""
    binding = open_binding()
    started = time.perf_counter()
    with open_template(default_model()) as template:
        guidance = Guidance(binding, template.vocabulary, template.end)
        guidance.begin(HELD.form).result()
        taken_s = time.perf_counter() - started
        guidance.close()
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
    parser.add_argument("--cold", action="store_true", help="only the first token of a cold model")
    given = parser.parse_args()
    rounds = given.rounds
    if not given.cold:
        anyio.run(memory)
        anyio.run(decoding, rounds)
        anyio.run(warm, rounds)
    for mails in (1, 12):
        anyio.run(cold, rounds, mails)


if __name__ == "__main__":
    main()
