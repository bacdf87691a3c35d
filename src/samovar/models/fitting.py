"""Chooses the size of a context: the requested one, or the largest that fits into memory.

Above: the engine, `samovar models` and `offers.py`, which say the same by it. Below: `cost.py`, `header.py`.
If nobody asks for a size, it is halved until it fits; with each size, weights are first held in the faster
order, which takes memory of its own, and then as they are in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from samovar.errors import EngineError
from samovar.generation import KvType
from samovar.models.cost import CELL_STEP_TOKENS, Cost, predict
from samovar.models.header import Header

DEFAULT_CONTEXT_TOKENS = 8192
"""If nobody asks for another number, of models that were trained for as many."""
SMALLEST_CONTEXT_TOKENS = 512


def usual_tokens(header: Header) -> int:
    """The context of a model if nobody asks for another one, and memory is no matter."""
    return min(header.context_tokens, DEFAULT_CONTEXT_TOKENS)


def contexts(header: Header, asked_tokens: int | None, *, name: str, is_bounded: bool) -> Iterator[int]:
    """The sizes of context to try, in tokens, the best first. Raises `EngineError` for one that cannot be.

    `asked_tokens`: None: as many as fit. `name`: of the model, for a person.
    """
    tokens = asked_tokens or usual_tokens(header)
    if tokens > -(-header.context_tokens // CELL_STEP_TOKENS) * CELL_STEP_TOKENS:
        raise EngineError(
            f"A context of {tokens} tokens was requested, but {name} was trained for {header.context_tokens}."
        )
    yield tokens
    while is_bounded and asked_tokens is None and tokens > SMALLEST_CONTEXT_TOKENS:
        tokens = max(SMALLEST_CONTEXT_TOKENS, tokens // 2)
        yield tokens


def first_that_fits(
    cost_of: Callable[[int, bool], Cost],
    sizes: Iterator[int],
    repack: bool | None,
    free_bytes: int | None,
) -> Cost:
    """The cost of the first of these sizes that fits into `free_bytes`; of the last one if none does.

    `cost_of`: for (tokens, repack). `repack`: None for what fits. `free_bytes`: None: everything fits.
    """
    for tokens in sizes:
        for one in (True, False) if repack is None else (repack,):
            cost = cost_of(tokens, one)
            if free_bytes is None or cost.total_bytes <= free_bytes:
                return cost
    return cost


def predict_fitting(
    header: Header, budget_bytes: int, *, kv_type: KvType, asked_tokens: int | None, name: str
) -> Cost:
    """What a model that answers would take, with the context that it has if this much is free.

    All of it in the host's memory, and with the table's settings. Raises as `contexts` does.
    """
    return first_that_fits(
        lambda tokens, repack: predict(header, context_tokens=tokens, kv_type=kv_type, repack=repack),
        contexts(header, asked_tokens, name=name, is_bounded=True),
        None,
        budget_bytes,
    )
