"""Faults of answers: missing, cut off, or not of the required form; and warnings about doubtful ones.

Above: `prompt.py`. Below: the waist, whose replies are looked at here.
"""

from __future__ import annotations

from samovar.actions.answers import is_json
from samovar.actions.base import ActionContext
from samovar.actions.options import Chosen
from samovar.errors import ActionError, CutOffError, Place, TimedOutError
from samovar.errors.counting import counted
from samovar.errors.durations import lasting
from samovar.executors.base import PromptReply, cut_off
from samovar.generation import FinishReason


def failure(reply: PromptReply, chosen: Chosen, place: Place) -> ActionError | None:
    """Why there is no answer, or not one of its form; None if there is."""
    if reply.finish_reason is FinishReason.TIMEOUT:
        pause_s, ceiling_s = chosen.options.timeout_s, chosen.options.ceiling_s
        why = "It timed out" if pause_s is None else f"No token came for {lasting(pause_s)}"
        if ceiling_s is not None and reply.duration_s > ceiling_s:
            why = f"It took longer than {lasting(ceiling_s)} in all"
        return TimedOutError(f"{why}, so the answer was given up.", place=place)
    if reply.finish_reason is FinishReason.CANCELLED:
        return ActionError("The answer was cancelled.", place=place)
    if reply.cut == "call" and reply.finish_reason is FinishReason.LENGTH:
        after = counted(reply.tokens.generated, "token")
        why = f"The answer was cut off within a call of a tool, after {after}"
        why = f"{why} (max_tokens is {chosen.options.max_tokens})."
        return CutOffError(why, text=reply.text, place=place)
    if reply.cut and chosen.options.held_by:
        why = cut_off(reply.cut, reply.finish_reason, reply.tokens, chosen.options)
        return CutOffError(why, text=reply.text, place=place)
    if chosen.options.schema is not None and not is_json(reply.text):
        return ActionError(
            "The answer is not JSON, although a schema was given: this executor does not enforce schemas.",
            place=place,
        )
    return None


def warn_if_cut(context: ActionContext, reply: PromptReply, chosen: Chosen) -> None:
    """Warns of an answer that counts, though it is not whole."""
    if reply.cut == "reasoning":
        context.warn(cut_off("reasoning", reply.finish_reason, reply.tokens, chosen.options))
    elif reply.finish_reason is FinishReason.LENGTH:
        thought = f", {reply.tokens.reasoning} of them its reasoning" if reply.tokens.reasoning else ""
        context.warn(
            f"The answer was cut off after {counted(reply.tokens.generated, 'token')}{thought} "
            f"(max_tokens is {chosen.options.max_tokens})."
        )
