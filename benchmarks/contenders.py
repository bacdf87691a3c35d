"""Who answers W12: us, the ideal, and the peers that are installed here.

Above: `rounds.py`, which runs each round in a process of its own. Below: `work.py`. Every contender answers
one short prompt before the clock starts, so that its model is loaded, and nothing of the work was seen. Then
it counts from the first prompt to the last answer. All of them are greedy, give at most 24 tokens, have one
thread per core this process may use, and room for the work in each context.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio

import samovar
from benchmarks import llama_cpp_python, node
from benchmarks.work import (
    CELLS,
    MAX_TOKENS,
    SYSTEM,
    TOPICS,
    Clock,
    Direct,
    DirectSetting,
    Measured,
    question,
)
from samovar.engines.base import ModelStatistics
from samovar.engines.llama.cores import usable_cores

SLOT_CELLS = 2048
"""Of each slot or sequence of a peer that divides its context; one conversation of W12 takes some 650."""
WARM_UP_SYSTEM, WARM_UP = "Hi.", "Hello."


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to have the twelve prompts answered."""

    name: str
    says: str
    """For the table."""
    answer: Callable[[Path], Measured]
    """One round with this model file, in this process."""
    missing: Callable[[], str | None] = lambda: None
    """Why it cannot be measured here; None when it can."""
    version: Callable[[], str] = lambda: f"samovar {samovar.__version__}"


# Samovar -------------------------------------------------------------------------------------------------

AskOne = Callable[[str], Awaitable[samovar.Turn]]
"""Answers one question."""


async def _answer_all(ask: AskOne, at_once: int) -> list[samovar.Turn]:
    """The turns of all questions, `at_once` of them at any time."""
    turns: dict[str, samovar.Turn] = {}
    limiter = anyio.CapacityLimiter(at_once)

    async def one(topic: str) -> None:
        async with limiter:
            turns[topic] = await ask(question(topic))

    async with anyio.create_task_group() as tasks:
        for topic in TOPICS:
            tasks.start_soon(one, topic)
    return [turns[topic] for topic in TOPICS]


def _measured(clock: Clock, turns: list[samovar.Turn]) -> Measured:
    return clock.measured(
        evaluated_tokens=sum(turn.tokens.evaluated for turn in turns),
        generated_tokens=sum(turn.tokens.generated for turn in turns),
        answers=[turn.text for turn in turns],
    )


def _with_steps(
    measured: Measured, before: ModelStatistics | None, after: ModelStatistics | None
) -> Measured:
    """With what the engine's calls took, as the model counts it; the warm-up decodes nothing."""
    if before is None or after is None or not after.decode_tokens_per_s:
        return measured
    tokens = measured.generated_tokens - len(measured.answers)  # the first of each is of its prompt's logits
    return replace(
        measured,
        evaluate_s=(after.evaluate_s or 0) - (before.evaluate_s or 0),
        decode_s=tokens / after.decode_tokens_per_s,
        decode_tokens=tokens,
    )


async def _warm_up(app: samovar.Samovar) -> None:
    async with app.session(system=WARM_UP_SYSTEM) as session:
        await session.ask(WARM_UP, max_tokens=1)


def sessions(at_once: int, *, threads: int | None = None) -> Callable[[Path], Measured]:
    """A fresh session for each prompt. `threads`: fixed; None as Samovar chooses."""

    async def round_of(path: Path) -> Measured:
        settings: samovar.OpenSettings = {"model": str(path)}
        if threads is not None:
            settings["threads"] = threads
        async with samovar.open(**settings) as app:

            async def ask(said: str) -> samovar.Turn:
                async with app.session(system=SYSTEM, max_tokens=MAX_TOKENS) as session:
                    return await session.ask(said)

            await _warm_up(app)
            before = app.statistics().pool.models[0].statistics
            clock = Clock()
            measured = _measured(clock, await _answer_all(ask, at_once))
            return _with_steps(measured, before, app.statistics().pool.models[0].statistics)

    return lambda path: anyio.run(round_of, path)


def forks(at_once: int) -> Callable[[Path], Measured]:
    """A fork of one session for each prompt; nobody has asked the session anything before."""

    async def round_of(path: Path) -> Measured:
        async with samovar.open(model=str(path)) as app, AsyncExitStack() as stack:
            await _warm_up(app)
            clock = Clock()
            origin = await stack.enter_async_context(app.session(system=SYSTEM, max_tokens=MAX_TOKENS))

            async def ask(said: str) -> samovar.Turn:
                async with origin.fork() as fork:
                    return await fork.ask(said)

            return _measured(clock, await _answer_all(ask, at_once))

    return lambda path: anyio.run(round_of, path)


def load_per_prompt(path: Path) -> Measured:
    """The model is loaded for each prompt and dropped after it; the loads count. Nothing is left on disk."""

    async def alone(said: str) -> samovar.Turn:
        with tempfile.TemporaryDirectory() as folder:
            async with (
                samovar.open(model=str(path), cache_folder=folder) as app,
                app.session(system=SYSTEM, max_tokens=MAX_TOKENS) as session,
            ):
                return await session.ask(said)

    async def round_of() -> Measured:
        clock = Clock()
        return _measured(clock, await _answer_all(alone, 1))

    return anyio.run(round_of)


# Peers ---------------------------------------------------------------------------------------------------


def _chat(said: str, *, system: str = SYSTEM, max_tokens: int = MAX_TOKENS) -> dict[str, Any]:
    """The question as OpenAI's API has it."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": said}]
    return {"messages": messages, "max_tokens": max_tokens, "temperature": 0}


def make_server(path: Path, slots: int) -> Any:
    """xllamacpp's server object, which is llama.cpp's server in this process.

    At its best for this work: the cache divided among the slots, as a unified one makes idle slots lose
    theirs; a slot is chosen for what it holds only where nearly all of it fits, so that conversations with
    one system prompt do not overwrite each other. Its threads spin while they wait, which is best alone.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel = max(CELLS, SLOT_CELLS * slots), slots
    params.n_gpu_layers = 0
    params.kv_unified, params.slot_prompt_similarity, params.cache_prompt = False, 0.9, True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = usable_cores()
    params.fit_params, params.verbosity = False, 0
    return xllamacpp.Server(params)


def server(slots: int) -> Callable[[Path], Measured]:
    """W12 on the server object, with as many callers as it has slots."""

    def answer(path: Path) -> Measured:
        server = make_server(path, slots)

        def ask(said: str) -> Any:
            said_back = server.handle_chat_completions({**_chat(said), "cache_prompt": True})
            assert "choices" in said_back, said_back
            return said_back

        server.handle_chat_completions(_chat(WARM_UP, system=WARM_UP_SYSTEM, max_tokens=1))
        with ThreadPoolExecutor(slots) as pool:
            clock = Clock()
            replies = list(pool.map(ask, map(question, TOPICS)))
            return clock.measured(
                evaluated_tokens=sum(reply["timings"]["prompt_n"] for reply in replies),
                generated_tokens=sum(reply["usage"]["completion_tokens"] for reply in replies),
                answers=[reply["choices"][0]["message"]["content"] for reply in replies],
            )

    return answer


def _missing_module(module: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        return None if importlib.util.find_spec(module) else f"{module} is not installed"

    return missing


def _version_of(distribution: str) -> Callable[[], str]:
    return lambda: f"{distribution} {importlib.metadata.version(distribution)}"


def _server(slots: int) -> Contender:
    return Contender(
        name=f"server-{slots}",
        says=f"xllamacpp's server object, {slots} slot{'s' if slots > 1 else ''}",
        answer=server(slots),
        missing=_missing_module("xllamacpp"),
        version=_version_of("xllamacpp"),
    )


def _node(sequences: int) -> Contender:
    return Contender(
        name=f"node-{sequences}",
        says=f"node-llama-cpp, {sequences} sequence{'s' if sequences > 1 else ''}",
        answer=lambda path: node.answer(path, sequences, SLOT_CELLS, (WARM_UP_SYSTEM, WARM_UP)),
        missing=node.missing,
        version=node.version,
    )


IDEALS = tuple(
    DirectSetting(flash_attention=flash, micro_batch_tokens=size)
    for flash in (False, True)
    for size in (512, 128)
)
"""Settings of direct calls: the ideal is the best of them, which `rounds.best_ideal` and `alternating.best`
find in each run."""


def _ideal(setting: DirectSetting) -> Contender:
    return Contender(
        name=setting.name,
        says=f"direct calls, each distinct token once, in turn: {setting}",
        answer=lambda path: Direct(path, setting).w12(warm_up=(WARM_UP_SYSTEM, WARM_UP)),
        version=_version_of("xllamacpp"),
    )


ALL = (
    *map(_ideal, IDEALS),
    Contender(name="samovar-1", says="Samovar, sessions in turn", answer=sessions(1)),
    Contender(name="samovar-4", says="Samovar, sessions, 4 at once", answer=sessions(4)),
    Contender(name="samovar-12", says="Samovar, sessions, 12 at once", answer=sessions(12)),
    Contender(name="forks-4", says="Samovar, forks of one session, 4 at once", answer=forks(4)),
    Contender(name="forks-12", says="Samovar, forks of one session, 12 at once", answer=forks(12)),
    _server(1),
    _server(4),
    Contender(
        name="llama-cpp-python",
        says="llama-cpp-python, one model kept, in turn",
        answer=lambda path: llama_cpp_python.answer(path, (WARM_UP_SYSTEM, WARM_UP)),
        missing=llama_cpp_python.missing,
        version=llama_cpp_python.version,
    ),
    _node(1),
    _node(4),
    Contender(name="load-each", says="Samovar, loading for each prompt", answer=load_per_prompt),
)
"""In the order of the table."""


def fixed(threads: int) -> Contender:
    """Samovar with a fixed number of threads; for what it costs to choose."""
    says = f"Samovar, sessions in turn, {threads} threads fixed"
    return Contender(name=f"fixed-{threads}", says=says, answer=sessions(1, threads=threads))


def contender(name: str) -> Contender:
    """The contender called so. Raises `KeyError`."""
    if name.startswith("fixed-"):
        return fixed(int(name.removeprefix("fixed-")))
    return {one.name: one for one in ALL}[name]


def present() -> list[Contender]:
    """Those that can be measured here."""
    return [one for one in ALL if one.missing() is None]
