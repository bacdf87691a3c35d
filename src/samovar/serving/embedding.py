"""Embeds texts with a model of the pool: borrows it, and gets memory for long texts.

Above: `executors/local.py`. Below: `pool.py`. The room is part of the budget, and is given back when the
model has been idle for a while, as an arena that has grown is.
"""

from __future__ import annotations

from collections.abc import Sequence

from samovar.engines.base import ModelSpec
from samovar.errors import ContextError
from samovar.generation import Embeddings
from samovar.serving.pool import Pool

LEAST_TOKENS = 256
"""Room is asked for texts of this many tokens at least, so that it is not asked for again soon."""


async def embed(pool: Pool, spec: ModelSpec, texts: Sequence[str], *, prefix: str = "") -> Embeddings:
    """See `engines.base.Model.embed`, for texts of any length that the model takes.

    Raises what that does, what `Pool.lease` does, and `BudgetError` if the room for the longest text does not
    fit the budget.
    """
    async with pool.lease(spec) as model:
        try:
            return await model.embed(texts, prefix=prefix)
        except ContextError as error:
            if error.prompt_tokens > error.most_tokens:
                raise
            tokens = min(max(error.prompt_tokens, LEAST_TOKENS), error.most_tokens)
            await pool.grow_embedding(model, tokens, most_tokens=error.most_tokens)
        return await model.embed(texts, prefix=prefix)
