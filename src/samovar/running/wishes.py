"""Asks the person of a run what a program that answers its prompts may do itself.

Above: the contexts of visits. Below: questions, and the waist. What the program says of it is data in the
question, whoever wrote it.
"""

from __future__ import annotations

from dataclasses import replace

from samovar.actions.question import YES, AskAction, Asking, Filled
from samovar.executors.base import Permits, PromptRequest, Wish


def permitted(request: PromptRequest, ask_user: AskAction, *, allows_effects: bool) -> PromptRequest:
    """A prompt whose program may ask what it may do; without effects it may do nothing."""
    return replace(request, permits=permits_of(ask_user), allows_effects=allows_effects)


def permits_of(ask_user: AskAction) -> Permits:
    """Asks by the one door that the run has. Nobody there, and anything but a yes, is a no."""

    async def permits(wish: Wish) -> bool:
        asking = asking_of(wish)
        reply = await ask_user(asking)
        return reply is not None and asking.reply(reply.text) == YES

    return permits


def asking_of(wish: Wish) -> Asking:
    """The question."""
    details = f": {wish.details}" if wish.details else ""
    words = ("The program of the executor ", Filled(wish.program), " wants to use ", Filled(wish.what))
    return Asking(kind="approve", parts=(*words, Filled(details), ". May it?"))
