"""The table of executors, by the names that files, options and settings use.

Above: `dispatch.py`, which opens them, and whatever must know before a run what one needs. Below: the
members, each imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from samovar.config.declared import DeclaredExecutor
from samovar.errors import NotFoundError, SamovarError, UsageError, nearest
from samovar.executors.base import Executor, ExecutorAbilities

if TYPE_CHECKING:
    from samovar.config import Settings
    from samovar.engines.base import ModelSpec
    from samovar.serving.session import Sessions

LOCAL = "local"
"""The one whose prompts' models are loaded here."""
HERE = "this process"
"""Where that is, unless a daemon answers in its place."""
LOCAL_ONE = DeclaredExecutor(name=LOCAL, kind=LOCAL)
"""As it is if nothing is declared."""
KINDS: Mapping[str, str] = {
    LOCAL: "samovar.executors.local:LocalExecutor",
    "openai": "samovar.executors.openai:OpenAIExecutor",
    "anthropic": "samovar.executors.anthropic:AnthropicExecutor",
    "claude-code": "samovar.executors.claude_code:ClaudeCodeExecutor",
    "acp": "samovar.executors.acp:AcpExecutor",
}
"""By kind, the module and the class. A kind is also the name of an executor that nobody need declare."""


OnFetchProgress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and those there will be, if that is known."""
Locate = Callable[[str, OnFetchProgress], Awaitable["ModelSpec"]]
"""Finds the file of a model reference, and fetches it if that is allowed."""


def _nobody_counts(sent_bytes: int) -> None:
    return


def _nobody_asks(where: str) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a member may be made of."""

    settings: Settings
    sessions: Sessions
    """Conversations with models on this machine."""
    locate: Locate
    declared: DeclaredExecutor = LOCAL_ONE
    """What the settings say of this one."""
    on_sent: Callable[[int], None] = _nobody_counts
    """Called with the bytes that are about to be sent to whoever answers, where that is not this process."""
    on_where: Callable[[str], None] = _nobody_asks
    """Called with where prompts are answered, once that is known to be another place than its class says."""
    local: Callable[[Parts], Executor] | None = None
    """Makes what answers in place of models of this process; None: nothing does."""


class Member(Protocol):
    """What the table needs of a member's class, besides `base.Executor`."""

    needs_local_model: ClassVar[bool]
    """Whether a prompt's model is a file on this machine, which can be looked for before the run."""
    abilities: ClassVar[ExecutorAbilities]
    takes: ClassVar[frozenset[str]]
    """The keys of `DeclaredExecutor` that it takes notice of; others are refused."""

    @classmethod
    def make(cls, parts: Parts) -> Executor:
        """One for the life of the app. Nothing is opened yet."""
        ...

    @classmethod
    def is_remote(cls, declared: DeclaredExecutor) -> bool:
        """What it is asked may leave this machine."""
        ...

    @classmethod
    def where(cls, declared: DeclaredExecutor) -> str:
        """Where what it is asked goes, for a person: a host, a program, `this process`."""
        ...

    @classmethod
    def objection(cls, declared: DeclaredExecutor, model: str | None) -> SamovarError | None:
        """Why it could not answer with this model (None: it has to choose), as far as that is known before
        a run: a key or a package that is missing, say. None if nothing is known.
        """
        ...


def names_of(text: str) -> tuple[str, ...]:
    """The names of executors in an option, a setting or a front matter: one, or several with commas."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def chosen_executors(text: str, settings: Settings) -> tuple[DeclaredExecutor, ...]:
    """Those that an option names, in their order: the next one answers where one is not to be had.

    Raises `NotFoundError` for one that there is not, and `UsageError` for no name, and for a list that goes
    from this machine to another one although the settings do not say that it may.
    """
    chosen = tuple(declared_executor(name, settings) for name in dict.fromkeys(names_of(text)))
    if not chosen:
        raise UsageError(
            f"An executor cannot be {text!r}: expected a name, or several with commas between them."
        )
    if len(chosen) > 1 and not settings.remote_fallback:
        remote = [_class_of(one.kind).is_remote(one) for one in chosen]
        if not remote[0] and any(remote):
            away = chosen[remote.index(True)].name
            raise UsageError(
                f"{away!r} may not answer in place of {chosen[0].name!r}: what is asked would leave this "
                "machine. If that is meant, put remote_fallback = true into your own settings."
            )
    return chosen


def known_executors(settings: Settings) -> tuple[str, ...]:
    """The names that prompts may use: those declared, then the kinds."""
    declared = (one.name for one in settings.executors)
    return tuple(dict.fromkeys((*declared, *KINDS)))


def declared_executor(name: str, settings: Settings) -> DeclaredExecutor:
    """What is declared under that name.

    Raises `NotFoundError`, and `UsageError` for what its kind cannot take.
    """
    found = next((one for one in settings.executors if one.name == name), None)
    if found is None:
        if name not in KINDS:
            raise NotFoundError("executor", name, known_executors(settings))
        return DeclaredExecutor(name=name, kind=name)
    kind = found.kind or name
    if not found.kind and name not in KINDS:
        raise UsageError(f'{found.table} has no kind. Write kind = "…", one of: {", ".join(KINDS)}.')
    if kind not in KINDS:
        hint = nearest(kind, KINDS) or f" There is {', '.join(KINDS)}."
        raise UsageError(f"kind of {found.table} cannot be {kind!r}.{hint}")
    takes = _class_of(kind).takes
    for one in fields(DeclaredExecutor):
        if one.name in ("name", "kind") or one.name in takes:
            continue
        if getattr(found, one.name) != one.default:
            raise UsageError(f"{found.table} has {one.name}: an executor of kind {kind} has no such key.")
    return replace(found, kind=kind)


def member(name: str, settings: Settings) -> type[Member]:
    """The class that answers under that name. Raises as `declared_executor` does."""
    return _class_of(declared_executor(name, settings).kind)


def _class_of(kind: str) -> type[Member]:
    module, _, found = KINDS[kind].partition(":")
    value: Any = getattr(import_module(module), found)
    return value  # type: ignore[no-any-return]
