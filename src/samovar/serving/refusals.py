"""The message if a model does not fit: the numbers, and ways to make it fit.

Above: `room.py`, which refuses. Below: the engine's predictions. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from samovar.engines.base import Engine, ModelSpec
from samovar.errors import BudgetError, SamovarError
from samovar.generation import KvType
from samovar.memory import in_words
from samovar.models.cost import Cost

SMALLEST_CONTEXT_TOKENS = 512
"""No smaller context is proposed."""
SMALLER_KV: tuple[KvType, ...] = ("q8_0", "q4_0")


def refusal(
    engine: Engine,
    spec: ModelSpec,
    cost: Cost,
    *,
    budget_bytes: int,
    growing_bytes: int = 0,
    others_bytes: int = 0,
) -> BudgetError:
    """The error for `spec`, which would take `cost`.

    `growing_bytes` of the budget are not to be had because of this process's own models that are growing;
    `others_bytes` because of other processes.
    """
    free_bytes = budget_bytes - growing_bytes - others_bytes
    taken = []
    if growing_bytes:
        taken.append(f"{in_words(growing_bytes)} reserved by growing models")
    if others_bytes:
        taken.append(f"{in_words(others_bytes)} reserved by other Samovar processes")
    ways = list(_smaller(engine, spec, cost, free_bytes))
    if others_bytes and cost.total_bytes <= free_bytes + others_bytes:
        ways.append("closing the other processes")
    embedding = ""
    if cost.embedding_tokens:
        embedding = f", embedding texts of {cost.embedding_tokens} tokens {in_words(cost.embedding_bytes)}"
    compute_bytes = cost.compute_bytes + cost.scores_bytes + cost.output_bytes + cost.forms_bytes
    needed_bytes = cost.total_bytes + growing_bytes + others_bytes
    ways.append(f"a budget of {_up(needed_bytes)} (--budget)")
    ways.append("a smaller model")
    return BudgetError(
        f"{spec.reference} needs {in_words(cost.total_bytes)} (weights {in_words(cost.weights_bytes)}, "
        f"KV for {cost.context_tokens} tokens {in_words(cost.kv_bytes)}, compute "
        f"{in_words(compute_bytes)}, copies of prefixes "
        f"{in_words(cost.snapshot_bytes)}{embedding}) but the memory budget is {in_words(budget_bytes)}"
        f"{', less ' if taken else ''}{' and '.join(taken)}. "
        f"Any of these would help: {', '.join(ways[:-1])}, or {ways[-1]}.",
        needed_bytes=cost.total_bytes,
        budget_bytes=budget_bytes,
    )


def _smaller(engine: Engine, spec: ModelSpec, cost: Cost, free_bytes: int) -> Iterator[str]:
    """The largest halved context that fits, and the best KV type that lets the wanted one fit."""
    tokens = 1 << (cost.context_tokens - 1).bit_length() - 1
    while tokens >= SMALLEST_CONTEXT_TOKENS:
        if _fits(engine, replace(spec, context_tokens=tokens), free_bytes):
            yield f"a context of {tokens} tokens (--context)"
            break
        tokens //= 2
    if spec.kv_type == "f16":
        wanted_tokens = spec.context_tokens or cost.context_tokens
        for kv_type in SMALLER_KV:
            if _fits(engine, replace(spec, kv_type=kv_type, context_tokens=wanted_tokens), free_bytes):
                yield f"a KV cache of type {kv_type} (--kv-type {kv_type})"
                break


def _fits(engine: Engine, spec: ModelSpec, free_bytes: int) -> bool:
    try:
        return engine.predict(spec, free_bytes=free_bytes).total_bytes <= free_bytes
    except SamovarError:
        return False


def _up(size_bytes: int) -> str:
    """Rounded up, so that setting it is enough: `2.1 GB` for 2.04 GB."""
    unit = 10 ** max(0, len(str(size_bytes)) - 2)
    return in_words(-(-size_bytes // unit) * unit)
