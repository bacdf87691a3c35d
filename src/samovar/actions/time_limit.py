"""The time limit of any action, and its repetition after a failure.

Above: the loop, which performs actions through this, and `conditional.py`. Below: the contract of actions.
An action that ends itself in time and says what there was until then (`keeps_time`) finds its limit in its
context. The limit is that of each attempt; what may be repeated was checked before the run.
"""

from __future__ import annotations

from dataclasses import replace

from samovar.actions.base import Action, ActionContext, Outcome
from samovar.errors import ActionError, RateLimitError, SamovarError, TimedOutError
from samovar.errors.durations import lasting
from samovar.values import positive_duration_s, to_text

MOST_RETRY_AFTER_S = 3600.0
"""Whoever wants to be left alone for longer is not asked again."""


async def perform(action: Action, context: ActionContext) -> Outcome:
    """Performs an action within its time limit, and again if it may be and its failure may pass.

    Raises as the last attempt does, and `TimedOutError`.
    """
    retries = action.retries
    if retries is None:
        return await _attempt(action, context)
    here = context
    for number, wait_s in enumerate(await context.compute(lambda: retries.waits_s(context.variables)), 1):
        outcome = Outcome()
        try:
            outcome = await _attempt(action, here)
            error: SamovarError | None = outcome.error
        except SamovarError as raised:
            error = raised
            if not error.retryable:
                raise
        if error is None or not error.retryable:
            return outcome
        if isinstance(error, RateLimitError) and error.retry_after_s is not None:
            if error.retry_after_s > MOST_RETRY_AFTER_S:
                raise error
            wait_s = max(wait_s, error.retry_after_s)
        context.attempt_failed(error, outcome.figures, wait_s)
        await context.sleep(wait_s)
        here = replace(context, defaults=context.defaults.again(number))
    return await _attempt(action, here)


async def _attempt(action: Action, context: ActionContext) -> Outcome:
    if action.timeout is None and context.timeout_s is None:
        return await action.act(context)
    whole_s = await context.compute(lambda: _limit_s(action, context))
    if whole_s is None or action.keeps_time:
        return await action.act(replace(context, timeout_s=whole_s))
    with context.move_on_after(whole_s - (context.gone_s if action.asks_person else 0.0)) as limit:
        outcome = await action.act(context)
    if not limit.cancelled_caught:
        return outcome
    raise TimedOutError(f"It took longer than {lasting(whole_s)} and was stopped.", place=action.place)


def _limit_s(action: Action, context: ActionContext) -> float | None:
    if action.timeout is None:
        return None
    value = action.timeout.of(context.variables)
    limit_s = positive_duration_s(value)
    if limit_s is None:
        raise ActionError(
            f"`timeout` must be a duration, not {to_text(value)!r}.", place=action.timeout.place
        )
    return limit_s
