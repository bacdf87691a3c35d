"""Loads a model for `samovar tune`: checks the memory it needs, and lets a signal end it.

Above: `tuning.py`, `converting.py`. Below: `engines/llama/measuring.py`. What is measured is on weights of
its own, in a worker thread. The first signal ends loading, measuring or writing, which is waited for.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
from rich.console import Console
from rich.text import Text

from samovar.app import budget_bytes
from samovar.background import beside
from samovar.cli.terminal import say
from samovar.config import Settings
from samovar.engines.base import ModelSpec
from samovar.engines.llama import measuring
from samovar.engines.llama.cores import engine_cores
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.measuring import MeasuringEndedError, Workbench
from samovar.engines.llama.speeds import Plan
from samovar.errors import BudgetError
from samovar.memory import in_words
from samovar.models.cost import Cost
from samovar.models.header import read_header

T = TypeVar("T")
TEXT = Path(measuring.__file__).with_name("measured.txt")
"""What is evaluated, and foreseen."""
BUSY_PART = 0.4
"""Share of the measuring cores from which on the load shows that the machine is busy."""


def fitting(plan: Plan, spec: ModelSpec, settings: Settings, *, more_bytes: int = 0) -> Plan:
    """The plan, with shorter lengths if the model's context is small.

    `more_bytes`: by which another file that is measured too is larger. Raises `BudgetError` if there is no
    memory for it.
    """
    trained = read_header(spec.path).context_tokens
    lengths = tuple(length for length in plan.lengths if length < trained) or (max(2, trained // 2),)
    plan = Plan(lengths=lengths, decoded=min(plan.decoded, max(1, trained // 8)), rounds=plan.rounds)
    cost, budget = cost_of(spec, plan, settings), budget_bytes(settings)
    beside_weights = cost.total_bytes - cost.weights_bytes
    needed = cost.weights_bytes + more_bytes + beside_weights * plan.cells // cost.context_tokens
    if needed > budget:
        raise BudgetError(
            f"Measuring {spec.reference} takes about {in_words(needed)}; the budget is {in_words(budget)}.",
            needed_bytes=needed,
            budget_bytes=budget,
        )
    return plan


def cost_of(spec: ModelSpec, plan: Plan, settings: Settings) -> Cost:
    """How a run would load it: on which devices, and whether it is repacked."""
    if (spec.context_tokens or 0) < plan.cells:
        spec = replace(spec, context_tokens=None)
    return LlamaEngine().predict(spec, free_bytes=budget_bytes(settings))


def measured(console: Console, measure: Callable[[Workbench], T], spec: ModelSpec, cost: Cost) -> T | None:
    """What `measure` gives for the loaded model; None if a person stopped it."""
    benches: list[Workbench] = []
    is_stopped = False

    def stop() -> None:
        nonlocal is_stopped
        is_stopped = True
        for bench in benches:
            bench.stop()

    def on_progress(fraction: float) -> None:
        if is_stopped:
            raise MeasuringEndedError

    def on_part(part: str) -> None:
        console.print(Text(f"  {part}", style="dim"))

    def work() -> T | None:
        try:
            bench = Workbench(spec, cost, on_progress=on_progress, on_part=on_part)
        except MeasuringEndedError:
            return None
        benches.append(bench)
        try:
            return None if is_stopped else measure(bench)
        except MeasuringEndedError:
            return None
        finally:
            benches.clear()
            bench.close()

    return anyio.run(until_done, console, f"measuring {spec.path.name}", work, stop)


async def until_done(console: Console, what: str, work: Callable[[], T], stop: Callable[[], None]) -> T:
    """`work` in a thread; the first signal stops it, and it is waited for."""
    console.print(Text(what))
    busy = os.getloadavg()[0]
    if busy > BUSY_PART * engine_cores():
        console.print(Text(f"The machine is busy (load {busy:.1f}): figures may be wrong.", style="yellow"))

    async def hear() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for _ in signals:
                stop()

    async with beside(hear_signals=hear):
        return await anyio.to_thread.run_sync(work)


def cancelled(kept: str = "nothing was kept") -> int:
    """Says so; returns the exit status."""
    say(f"samovar: cancelled; {kept}")
    return 130
