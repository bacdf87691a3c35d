"""Asks on behalf of a visit: first what was answered before the run, then a person.

Above: the contexts of visits. Below: questions, `waiting.py`. What a person, a journal or another process
gets of a question has no secrets in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from samovar.actions.question import YES, Asking, Filled, Question, Reply
from samovar.running.services import Services
from samovar.running.waiting import AskedBy
from samovar.values.secrecy import Secrets

AskPerson = Callable[[Question], Awaitable[Reply | None]]


def question_of(asking: Asking, secrets: Secrets, *, run: str, visit: int, path: str) -> Question:
    """The question of a visit, without secrets."""
    mask = secrets.mask_whole if len(asking.parts) == 1 else secrets.mask
    return Question(
        run=run,
        visit=visit,
        path=path,
        kind=asking.kind,
        parts=tuple(
            mask(part) if isinstance(part, str) else Filled(mask(part.text)) for part in asking.parts
        ),
        choices=asking.choices,
        is_from_server=asking.is_from_server,
        default=asking.default,
    )


async def ask_person(
    services: Services, question: Question, ask: AskPerson, by: AskedBy | None
) -> Reply | None:
    """What is answered; None: there is nobody. `by`: the visit that may wait for an answer.

    Raises `WaitsForPersonError`.
    """
    user = services.outside.user
    given = None if question.is_from_server else services.answers.next(question.path)
    if given is not None or (services.yes and question.is_approval and not question.is_from_server):
        before = YES if given is None else Reply(given)
        user.answered(question, before)
        return before

    async def ask_here() -> Reply | None:
        async with services.asking:  # one question at a time
            return await ask(question)

    if by is None:
        return await ask_here()
    kept = without_secrets(question, services.secrets)
    reply = await services.waiting.ask(kept, by, ask_here)
    if reply is not None and reply.text in kept.choices:
        return Reply(question.choices[kept.choices.index(reply.text)])
    return reply


def without_secrets(question: Question, secrets: Secrets) -> Question:
    """As a journal may keep it: the choices too."""
    default = None if question.default is None else secrets.mask_whole(question.default)
    return replace(
        question, choices=tuple(secrets.mask_whole(one) for one in question.choices), default=default
    )
