"""Says what a program that answers the prompts of a run may do itself: by the user's rules, or the person.

Above: the contexts of visits. Below: rules (`tools/deeds.py`), questions, and the waist. What the program
says of it is data in the question, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from samovar.actions.question import YES, AskAction, Asking, Filled
from samovar.executors.base import Permits, PromptRequest, Wish
from samovar.running.services import Services
from samovar.tools.deeds import are_allowed


def permitted(request: PromptRequest, ask_user: AskAction, services: Services) -> PromptRequest:
    """A prompt whose program may ask what it may do; without effects it may do nothing."""
    permits = permits_of(ask_user, services.settings.allow, services.folder)
    return replace(request, permits=permits, allows_effects=services.allows_effects)


def permits_of(ask_user: AskAction, rules: Sequence[str], folder: Path) -> Permits:
    """What the user's rules allow is done; all else is asked by the one door that the run has.

    Nobody there, and anything but a yes, is a no.
    """

    async def permits(wish: Wish) -> bool:
        if are_allowed(rules, wish.deeds, folder):
            return True
        asking = asking_of(wish)
        reply = await ask_user(asking)
        return reply is not None and asking.reply(reply.text) == YES

    return permits


def asking_of(wish: Wish) -> Asking:
    """The question."""
    details = f": {wish.details}" if wish.details else ""
    words = ("The program of the executor ", Filled(wish.program), " wants to use ", Filled(wish.what))
    return Asking(kind="approve", parts=(*words, Filled(details), ". May it?"))
