"""The result and cost of a run as one object, for `--json` and for `Run.to_json()`.

Above: the command line, the Python API. Below: the run's record, and the statistics of the app. A figure is
measured, or it is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from samovar import memory
from samovar.app import App
from samovar.executors.table import LOCAL
from samovar.generation import TokenCounts
from samovar.running.run import Run
from samovar.running.wire import run_to_wire, tokens_to_wire
from samovar.serving.lifecycle import ModelUse
from samovar.serving.pool import PoolStatistics
from samovar.serving.session import SessionStatistics

if TYPE_CHECKING:
    from samovar.executors.dispatch import ExecutorUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What is held and what was done. Figures are measured, or None."""

    pool: PoolStatistics
    """Each model's loads, tokens, threads and bytes; the budget."""
    sessions: SessionStatistics
    resident_bytes: int | None
    """Resident bytes of this process, now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident bytes of this process; None is not measured."""

    ready_bytes: int | None
    """After the first generated token of the last model loaded."""
    end_bytes: int | None
    """After the last state, nothing closed yet."""
    peak_bytes: int | None
    closed_bytes: int | None
    """After the pool was closed; None while it is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the model half says of a run."""

    models: Sequence[ModelUse]
    sessions: SessionStatistics
    memory: Memory
    executors: Sequence[ExecutorUse] = ()
    """Who was asked, and what left this machine."""


def report_object(run: Run, figures: Figures | None, *, with_values: bool = True) -> dict[str, Any]:
    """The object of `--json`; what a person is shown needs no values."""
    wire = run_to_wire(run, with_values=with_values)
    if figures is None:
        return wire
    if figures.models:  # whose books have the prompts that were cancelled, too
        counts = [use.tokens for use in figures.models]
        counts += [use.tokens for use in figures.executors if use.kind != LOCAL]
        wire["tokens"] = tokens_to_wire(sum(counts, TokenCounts()))
    wire["models"] = [model_object(use) for use in figures.models]
    wire["sessions"] = {"opened": figures.sessions.opened, "closed": figures.sessions.closed}
    wire["memory"] = asdict(figures.memory)
    wire["executors"] = [_executor_object(use) for use in figures.executors]
    return wire


def _executor_object(use: ExecutorUse) -> dict[str, Any]:
    return {
        "name": use.name,
        "kind": use.kind,
        "where": use.where,
        "remote": use.is_remote,
        "prompts": use.prompts,
        "failed": use.failed,
        "sent_bytes": use.sent_bytes,
        "tokens": tokens_to_wire(use.tokens),
        "cost": use.cost,
    }


def model_object(use: ModelUse) -> dict[str, Any]:
    """One model as `--json` has it."""
    statistics = use.statistics
    return {
        "ref": use.reference,
        "loads": use.loads,
        "load_s": use.load_s,
        "weights_bytes": statistics.weights_bytes if statistics else None,
        "private_weights_bytes": use.cost.private_weights_bytes if use.cost else None,
        "kv_bytes": statistics.kv_bytes if statistics else None,
        "context_tokens": statistics.context_tokens if statistics else None,
        "threads": statistics.threads if statistics else None,
        "threads_reason": statistics.threads_reason if statistics else None,
        "tuning": statistics.tuning if statistics else None,
        "restored_tokens": statistics.restored_tokens if statistics else 0,
        "restored_s": statistics.restored_s if statistics else 0.0,
        "evaluate_s": statistics.evaluate_s if statistics else None,
        "decode_tokens_per_s": statistics.decode_tokens_per_s if statistics else None,
        "notes": list(statistics.notes) if statistics else [],
    }


def figures_of(app: App) -> Figures:
    """What there is to say while everything is open: of all that the app was used for so far."""
    pool = app.pool.statistics()
    resident = memory.resident_bytes()
    seen = (memory.peak_bytes(), pool.ready_bytes, resident)
    return Figures(
        models=pool.models,
        sessions=app.sessions.statistics(),
        executors=app.executors.statistics(),
        memory=Memory(
            ready_bytes=pool.ready_bytes,
            end_bytes=resident,
            # The kernel counts the peak and the present with different care.
            peak_bytes=max((size for size in seen if size is not None), default=None),
            closed_bytes=None,
        ),
    )
