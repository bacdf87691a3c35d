"""`samovar tune`: measures a model with each setting on this machine, shows the results, keeps the best.

Above: the commands of `__init__.py`. Below: `measuring.py`, `converting.py`, `models/tuned.py`.
An interrupt keeps nothing.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rich.text import Text

from samovar.app import kept_tunings, open_stores, read_reference, spec_for
from samovar.cli.console import make_console
from samovar.cli.converting import convert_model
from samovar.cli.measuring import TEXT, cancelled, cost_of, fitting, measured
from samovar.cli.output import write_json
from samovar.cli.speeds import speed_object, speeds_table, tuning_object
from samovar.cli.trusting import settings_for
from samovar.config import Settings
from samovar.engines.base import ModelSpec
from samovar.engines.llama.measuring import Workbench
from samovar.engines.llama.speeds import Plan, Speed, best, choices
from samovar.errors import UsageError
from samovar.models.capabilities import Capability
from samovar.models.header import read_header, require
from samovar.models.split import real_path
from samovar.models.tuned import Tuned, measured_on
from samovar.models.tuning import Tuning

QUICK = Plan(lengths=(256, 768), decoded=12, rounds=2)
LEAST_SHARE = 0.75
"""Share of the cores' time: with less, other programs were measured too. Alone it is nine tenths."""


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
    _check_together(arguments)
    settings = settings_for(arguments.settings)
    reference = read_reference(settings, arguments.model)
    spec = spec_for(settings, reference, open_stores(settings).find(reference))
    kept = kept_tunings(settings)
    if arguments.forget:
        return _forget(arguments, spec, kept)
    require(read_header(spec.path), Capability.ANSWER, name=spec.reference)
    plan = QUICK if arguments.quick else Plan()
    if arguments.convert is not None:
        return convert_model(arguments.convert, reference, spec, settings, plan, as_json=arguments.as_json)
    if kept is None:
        raise UsageError("There is no folder to store the results in: set HOME, or SAMOVAR_CACHE_FOLDER.")
    return _tune_and_keep(arguments, settings, spec, fitting(plan, spec, settings), kept)


def _check_together(arguments: TuneArguments) -> None:
    """Raises `UsageError` for options of which one would do nothing."""
    given = [
        f"--{name}"
        for name in ("forget", "convert", "keep", "quick")
        if getattr(arguments, name) not in (None, False)
    ]
    if "--forget" in given and len(given) > 1:
        raise UsageError(f"--forget measures nothing: leave {given[1]} out, or --forget.")
    if {"--convert", "--keep"} <= set(given):
        raise UsageError("--convert keeps no settings: leave --keep out, or --convert.")


def _forget(arguments: TuneArguments, spec: ModelSpec, kept: Tuned | None) -> int:
    was_there = kept is not None and kept.forget(real_path(spec.path), spec.kv_type)
    if arguments.as_json:
        write_json({"model": arguments.model, "forgotten": was_there})
    else:
        make_console().print(
            "Forgotten: the built-in table is used again." if was_there else "Nothing was kept."
        )
    return 0


def _tune_and_keep(
    arguments: TuneArguments, settings: Settings, spec: ModelSpec, plan: Plan, kept: Tuned
) -> int:
    cost = cost_of(spec, plan, settings)
    found = measured(make_console(), lambda bench: _tune(bench, spec, plan), spec, cost)
    if found is None:
        return cancelled()
    speeds, decode_ms, rates, tuning, share = found
    day = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    tuning = replace(tuning, source=measured_on(day))
    figures = {
        "speeds": [speed_object(speed) for speed in speeds],
        "threads": [
            {"threads": count, "decode_ms": decode_ms[count], "evaluate_tokens_per_s": rates[count]}
            for count in decode_ms
        ],
    }
    path = None
    if share >= LEAST_SHARE or arguments.keep:
        path = kept.keep(real_path(spec.path), spec.kv_type, tuning, figures, day)
    if arguments.as_json:
        choice = {**tuning_object(tuning), "threads": tuning.threads}
        choice["evaluating_threads"] = tuning.evaluating_threads
        outcome = {"kept": None if path is None else str(path), "share": share, "choice": choice}
        write_json({"model": arguments.model, **outcome, **figures})
        return 0 if path else 1
    out = make_console(sys.stdout)
    out.print(speeds_table(speeds, best(speeds)))
    for count, ms in decode_ms.items():
        out.print(f"{count:>3} threads: {ms:.1f} ms a token, evaluates {rates[count]:.0f} tokens/s")
    if path is None:
        out.print(
            f"Nothing is kept: other programs used {1 - share:.0%} of the time. --keep keeps it anyway."
        )
        return 1
    out.print(Text(f"Kept for this machine: {tuning}."))
    if settings.tune == "off":
        out.print("The setting `tune` is off, so models are loaded without it.")
    return 0


def _tune(
    bench: Workbench, spec: ModelSpec, plan: Plan
) -> tuple[list[Speed], dict[int, float], dict[int, float], Tuning, float]:
    text = TEXT.read_text(encoding="utf-8")
    began, cpu = time.perf_counter(), time.process_time()
    speeds = bench.speeds(choices(bench.standard, spec.kv_type), text, plan)
    wanted_s = (time.perf_counter() - began) * bench.threads_used
    share = min(1.0, (time.process_time() - cpu) / wanted_s)
    chosen = best(speeds).tuning
    decode_ms, rates = bench.threads(chosen, text, plan)
    return speeds, decode_ms, rates, bench.tuned(chosen, decode_ms, rates), share
