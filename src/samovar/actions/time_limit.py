"""The time limit of an action, whatever it does: `timeout=` at the end of its line.

Above: the loop, which performs actions through this, and `conditional.py`. Below: the contract of actions.
An action that ends itself in time and says what there was until then (`keeps_time`) finds it in its context.
"""

from __future__ import annotations

from dataclasses import replace

from samovar.actions.base import Action, ActionContext, Outcome
from samovar.errors import ActionError, TimedOutError
from samovar.values import positive_duration_s, to_text


async def perform(action: Action, context: ActionContext) -> Outcome:
    """Performs an action within its time limit. Raises as it does, and `TimedOutError`."""
    if action.timeout is None and context.timeout_s is None:
        return await action.act(context)
    limit_s = await context.compute(lambda: _limit_s(action, context))
    if limit_s is None or action.keeps_time:
        return await action.act(replace(context, timeout_s=limit_s))
    with context.move_on_after(limit_s) as limit:
        outcome = await action.act(context)
    if not limit.cancelled_caught:
        return outcome
    raise TimedOutError(f"It took longer than {limit_s:g} s and was stopped.", place=action.place)


def _limit_s(action: Action, context: ActionContext) -> float | None:
    if action.timeout is None:
        return None
    value = action.timeout.of(context.variables)
    limit_s = positive_duration_s(value)
    if limit_s is None:
        raise ActionError(f"`timeout` is a duration, not {to_text(value)!r}.", place=action.timeout.place)
    return limit_s
