"""The message about a missing variable: the nearest name, or that its parameter was not given.

Above: whatever reads variables, here and in templates; the loop of a run and prompts, which say what is
declared. Below: the errors. Variables are plain maps, and what is not in one cannot say why, so the names of
parameters are a variable of the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from samovar.errors import nearest

_DECLARED: ContextVar[frozenset[str]] = ContextVar("declared", default=frozenset())


@contextmanager
def declared(names: Iterable[str], *, more: bool = False) -> Iterator[None]:
    """These are the parameters within, for this task and those it starts. `more`: beside those around it."""
    token = _DECLARED.set(frozenset(names) | (_DECLARED.get() if more else frozenset()))
    try:
        yield
    finally:
        _DECLARED.reset(token)


def no_variable(name: str, known: Iterable[str], *, in_liquid: bool = False) -> str:
    """The sentences for a name that is not among the known ones."""
    if name not in _DECLARED.get():
        return f"There is no variable {name!r}.{nearest(name, known)}"
    form = f'{{{{ {name} | default: "…" }}}}' if in_liquid else f"default({name}, …)"
    return (
        f"The parameter {name!r} was not given and has no default: add one in the front matter, or write "
        f"`{form}`."
    )
