"""`samovar tune`: measures a model with each setting on this machine, shows what came of it, keeps the best.

Above: the commands of `__init__.py`. Below: `engines/llama/measuring.py` and `convert.py`, `models/tuned.py`.
What is measured is on weights of its own, in a worker thread; an interrupt keeps nothing.
"""

from __future__ import annotations

import datetime
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from rich.console import Console
from rich.text import Text

from samovar.app import budget_bytes, kept_tunings, open_stores, read_reference, spec_for
from samovar.background import beside
from samovar.cli.console import make_console
from samovar.cli.output import write_json
from samovar.cli.speeds import formats_table, speed_object, speeds_table, tuning_object
from samovar.cli.terminal import say
from samovar.config import Settings, load_settings
from samovar.engines.base import ModelSpec
from samovar.engines.llama import convert
from samovar.engines.llama.cores import usable_cores
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.measuring import MeasuringEndedError, Plan, Speed, Workbench, best, choices
from samovar.errors import BudgetError, UsageError
from samovar.memory import in_words
from samovar.models.header import read_header
from samovar.models.split import real_path
from samovar.models.tuned import measured_on
from samovar.models.tuning import Tuning

T = TypeVar("T")
TEXT = Path(convert.__file__).with_name("measured.txt")
"""What is evaluated, and foreseen."""
QUICK = Plan(lengths=(256, 768), decoded=12, rounds=2)
BUSY_PART = 0.4
"""Of the cores, from which load on the machine does other things."""
LEAST_SHARE = 0.75
"""Of the cores' time: whoever got less has measured other programs too. Alone it is nine tenths."""
FOLDER = "converted"
"""Of copies, beside the models that are fetched."""
_FORMAT = re.compile(r"[._-](?:i?q\d\w*|f16|f32|bf16)$", re.IGNORECASE)
"""The end of a file's name that says its format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneArguments:
    """What `samovar tune` was called with."""

    model: str
    settings: Mapping[str, Any]
    """By name, None for those that were not given."""
    convert: str | None = None
    """The format of a copy."""
    forget: bool = False
    quick: bool = False
    keep: bool = False
    """Also what was measured while the machine was busy."""
    as_json: bool = False


def tune_model(arguments: TuneArguments) -> int:
    """Measures, shows and keeps; returns the exit status."""
    settings = load_settings(arguments.settings)
    reference = read_reference(settings, arguments.model)
    spec = spec_for(settings, reference, open_stores(settings).find(reference))
    plan = _fitting(QUICK if arguments.quick else Plan(), spec, settings)
    console = make_console()
    kept = kept_tunings(settings)
    if arguments.forget:
        was_there = kept is not None and kept.forget(spec.path, spec.kv_type)
        console.print("Forgotten: the table is used again." if was_there else "Nothing was kept.")
        return 0
    if arguments.convert is not None:
        return _convert(arguments, settings, spec, plan)
    if kept is None:
        raise UsageError("There is no folder to keep results in: set HOME, or SAMOVAR_CACHE_FOLDER.")
    found = _beside_signals(console, lambda bench: _tune(bench, spec, plan), spec)
    if found is None:
        return _cancelled()
    speeds, decode_ms, rates, tuning, share = found
    day = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    tuning = replace(tuning, source=measured_on(day))
    measured = {
        "speeds": [speed_object(speed) for speed in speeds],
        "threads": [
            {"threads": count, "decode_ms": decode_ms[count], "evaluate_tokens_per_s": rates[count]}
            for count in decode_ms
        ],
    }
    path = None
    if share >= LEAST_SHARE or arguments.keep:
        path = kept.keep(real_path(spec.path), spec.kv_type, tuning, measured, day)
    if arguments.as_json:
        choice = {**tuning_object(tuning), "threads": tuning.threads}
        choice["evaluating_threads"] = tuning.evaluating_threads
        figures = {"kept": None if path is None else str(path), "share": share, "choice": choice}
        write_json({"model": arguments.model, **figures, **measured})
        return 0 if path else 1
    out = make_console(sys.stdout)
    out.print(speeds_table(speeds, best(speeds)))
    for count, ms in decode_ms.items():
        out.print(f"{count:>3} threads: {ms:.1f} ms a token, evaluates {rates[count]:.0f} tokens/s")
    if path is None:
        out.print(
            f"Nothing is kept: other programs took {1 - share:.0%} of the time. --keep keeps it anyway."
        )
        return 1
    out.print(Text(f"Kept for this machine: {tuning}."))
    if settings.tune == "off":
        out.print("The setting tune is off, so loads do not use it.")
    return 0


def _fitting(plan: Plan, spec: ModelSpec, settings: Settings) -> Plan:
    """The plan, with shorter lengths where the model's context or the budget is small."""
    trained = read_header(spec.path).context_tokens
    lengths = tuple(length for length in plan.lengths if length < trained) or (max(2, trained // 2),)
    fitting = Plan(lengths=lengths, decoded=min(plan.decoded, max(1, trained // 8)), rounds=plan.rounds)
    engine, budget = LlamaEngine(), budget_bytes(settings)
    cost = engine.predict(ModelSpec(reference=spec.reference, path=spec.path, kv_type=spec.kv_type))
    needed = (
        cost.weights_bytes + (cost.total_bytes - cost.weights_bytes) * fitting.cells // cost.context_tokens
    )
    if needed > budget:
        raise BudgetError(
            f"Measuring {spec.reference} takes about {in_words(needed)}; the budget is {in_words(budget)}.",
            needed_bytes=needed,
            budget_bytes=budget,
        )
    return fitting


def _tune(
    bench: Workbench, spec: ModelSpec, plan: Plan
) -> tuple[list[Speed], dict[int, float], dict[int, float], Tuning, float]:
    text = TEXT.read_text(encoding="utf-8")
    began, cpu = time.perf_counter(), time.process_time()
    speeds = bench.speeds(choices(bench.standard, spec.kv_type), text, plan)
    wanted_s = (time.perf_counter() - began) * usable_cores()
    share = min(1.0, (time.process_time() - cpu) / wanted_s)
    chosen = best(speeds).tuning
    decode_ms, rates = bench.threads(chosen, text, plan)
    return speeds, decode_ms, rates, bench.tuned(chosen, decode_ms, rates), share


# Another format ----------------------------------------------------------------------------------------


def _convert(arguments: TuneArguments, settings: Settings, spec: ModelSpec, plan: Plan) -> int:
    name = (arguments.convert or "").lower()
    if name not in convert.FORMATS:
        raise UsageError(f"There is no format {arguments.convert!r}: {', '.join(convert.FORMATS)}.")
    store = open_stores(settings).own
    copy = store.folder / FOLDER / f"{_FORMAT.sub('', spec.path.stem)}.{name.upper()}.gguf"
    copy.parent.mkdir(parents=True, exist_ok=True)
    console = make_console()
    if not _made(console, spec.path, copy, name):
        return _cancelled()
    rows: list[dict[str, Any]] = []
    foreseen: list[float] = []
    text = TEXT.read_text(encoding="utf-8")
    for path in (spec.path, copy):

        def measure(bench: Workbench) -> tuple[Speed, float]:
            return bench.speeds([bench.standard], text, plan)[0], bench.perplexity(bench.standard, text)

        found = _beside_signals(console, measure, spec, path)
        if found is None:
            return _cancelled()
        speed, perplexity = found
        row = {"path": str(path), "bytes": path.stat().st_size, "perplexity": perplexity}
        rows.append(row | speed_object(speed))
        foreseen.append(perplexity)
    reference = next((one.reference for one in store.listed() if one.path == copy), str(copy))
    difference = foreseen[1] / foreseen[0] - 1
    if arguments.as_json:
        write_json(
            {"model": reference, "perplexity_difference": difference, "before": rows[0], "after": rows[1]}
        )
        return 0
    out = make_console(sys.stdout)
    out.print(formats_table(rows))
    out.print(f"Perplexity differs by {difference:+.2%}: below zero the copy foresees the text better.")
    out.print(Text(f"The copy is used with --model {reference}"))
    return 0


def _made(console: Console, source: Path, copy: Path, name: str) -> bool:
    """Writes the copy. False where a person stopped that."""
    is_stopped = False

    def stop() -> None:
        nonlocal is_stopped
        is_stopped = True

    def told(fraction: float) -> None:
        if is_stopped:
            raise MeasuringEndedError

    def work() -> bool:
        try:
            convert.convert(source, copy, name, on_progress=told)
        except MeasuringEndedError:
            return False
        return True

    return anyio.run(_until_done, console, f"writing {copy.name}", work, stop)


# While it goes on --------------------------------------------------------------------------------------


def _beside_signals(
    console: Console, measure: Callable[[Workbench], T], spec: ModelSpec, path: Path | None = None
) -> T | None:
    """What `measure` gives for the opened model; None where a person stopped it."""
    benches: list[Workbench] = []
    is_stopped = False

    def stop() -> None:
        nonlocal is_stopped
        is_stopped = True
        for bench in benches:
            bench.stop()

    def work() -> T | None:
        bench = Workbench(
            path or spec.path, spec.kv_type, gpu_layers=spec.gpu_layers, on_part=_teller(console)
        )
        benches.append(bench)
        try:
            return None if is_stopped else measure(bench)
        except MeasuringEndedError:
            return None
        finally:
            benches.clear()
            bench.close()

    return anyio.run(_until_done, console, f"measuring {(path or spec.path).name}", work, stop)


def _teller(console: Console) -> Callable[[str], None]:
    def told(part: str) -> None:
        console.print(Text(f"  {part}", style="dim"))

    return told


async def _until_done(console: Console, what: str, work: Callable[[], T], stop: Callable[[], None]) -> T:
    """`work` in a thread; the first signal stops it, and it is waited for."""
    console.print(Text(what))
    busy = os.getloadavg()[0]
    if busy > BUSY_PART * usable_cores():
        console.print(Text(f"The machine is busy (load {busy:.1f}): figures may be wrong.", style="yellow"))

    async def hear() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for _ in signals:
                stop()

    async with beside(hear_signals=hear):
        return await anyio.to_thread.run_sync(work)


def _cancelled() -> int:
    say("samovar: cancelled; nothing was kept")
    return 130
