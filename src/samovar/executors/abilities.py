"""What prompts ask of executors, by the options that ask for it: what one cannot do is refused.

Above: the checks before a run, and `dispatch.py`, which refuses what only a run knows. Below: the waist. The
options of prompts and the fields of `ExecutorAbilities` meet in the table here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

from samovar.executors.base import ExecutorAbilities, PromptRequest
from samovar.generation import Options, Sampling

NEEDS: Mapping[str, tuple[str, str]] = {
    "choices": ("choices", "hold an answer to choices"),
    "schema": ("schema", "hold an answer to a schema"),
    "regex": ("regex", "hold an answer to a regular expression"),
    "grammar": ("grammar", "hold an answer to a grammar"),
    "tools": ("tools", "have tools used"),
    "session": ("sessions", "go on with a conversation"),
    "fork": ("fork", "copy a conversation"),
    "verify": ("sessions", "go on with a conversation, as repairs need"),
    "deterministic": ("deterministic", "give the same text each time"),
    "stop": ("stop", "end at a text"),
    "think": ("think", "turn reasoning on or off"),
    "template": ("template", "be given a chat template or its arguments"),
}
"""By the option of a prompt: the field of `ExecutorAbilities`, and what it lets an executor do, in words."""
SAMPLING = tuple(one.name for one in fields(Sampling))
_UNCHOSEN = Options()


def cannot(abilities: ExecutorAbilities, option: str) -> str | None:
    """What the option asks for that such an executor cannot do, in words; None if it can."""
    if option in SAMPLING:
        return None if option in abilities.sampling else f"take notice of {option}"
    if option not in NEEDS:
        return None
    field, words = NEEDS[option]
    return None if getattr(abilities, field) else words


def asked_for(request: PromptRequest) -> Iterable[str]:
    """The options that a request has, but for the seed, which every request has from somewhere."""
    options, sampling = request.options, request.options.sampling
    if request.session is not None:
        yield "verify" if request.is_own else "session"
    if request.fork is not None:
        yield "fork"
    for name in NEEDS:
        if hasattr(options, name) and getattr(options, name) != getattr(_UNCHOSEN, name):
            yield name
    for name in SAMPLING:
        if name != "seed" and getattr(sampling, name) != getattr(_UNCHOSEN.sampling, name):
            yield name
