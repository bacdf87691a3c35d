"""Which executors there are, by the names that files, options and settings use.

Above: `dispatch.py`, which opens them, and whatever must know before a run what one needs. Below: the
members, each imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from samovar.errors import NotFoundError
from samovar.executors.base import Executor

if TYPE_CHECKING:
    from samovar.config import Settings
    from samovar.engines.base import ModelSpec
    from samovar.serving.session import Sessions

LOCAL = "local"
"""The one whose prompts' models are loaded here."""
EXECUTORS: Mapping[str, str] = {
    LOCAL: "samovar.executors.local:LocalExecutor",
}
"""By name, the module and the class."""


OnFetchProgress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and those there will be, if that is known."""
Locate = Callable[[str, OnFetchProgress], Awaitable["ModelSpec"]]
"""Finds the file of a model reference, and fetches it if that is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a member may be made of."""

    settings: Settings
    sessions: Sessions
    """Conversations with models on this machine."""
    locate: Locate


class Member(Protocol):
    """What the table needs of a member's class, besides `base.Executor`."""

    needs_local_model: ClassVar[bool]
    """Whether a prompt's model is a file on this machine, which can be looked for before the run."""

    @classmethod
    def make(cls, parts: Parts) -> Executor:
        """One for the life of the app. Nothing is opened yet."""
        ...


def member(name: str) -> type[Member]:
    """The class of that name. Raises `NotFoundError` with the nearest name."""
    if name not in EXECUTORS:
        raise NotFoundError("executor", name, list(EXECUTORS))
    module, _, found = EXECUTORS[name].partition(":")
    value: Any = getattr(import_module(module), found)
    return value  # type: ignore[no-any-return]
