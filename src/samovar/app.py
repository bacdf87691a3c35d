"""Builds everything from the settings, on one exit stack.

Above: the command line and other doors. Below: every shelf; this is the only file that knows each member.
Read `open_app` downwards for the start-up order, upwards for the shut-down order.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from samovar import memory
from samovar.actions import parse_action
from samovar.config import Settings
from samovar.engines.base import ModelSpec
from samovar.errors import ModelFetchError, ModelNotFoundError
from samovar.executors.base import Executor
from samovar.folders import current_folder, library_folders
from samovar.language.names import surroundings_of
from samovar.library import Library
from samovar.models.reference import Reference, parse_reference, resolve
from samovar.models.store import Store

# What a command that only reads files does not need is imported where it is used.
if TYPE_CHECKING:
    from samovar.engines.scripted import Script
    from samovar.executors.table import OnFetchProgress
    from samovar.models.package import FetchProgress
    from samovar.models.snapshots import Snapshots
    from samovar.serving.pool import Pool
    from samovar.serving.session import Sessions

BUDGET_SHARE = 0.8
"""Of the memory available at the start, where no budget is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What a door uses. Everything in it lives until `open_app` ends."""

    settings: Settings
    library: Library
    executor: Executor
    sessions: Sessions
    pool: Pool


def open_library(start: Path) -> Library:
    """The workflows and prompts that can be named from the folder `start`, nearest first."""
    return Library(library_folders(start), parse_action)


def surroundings(settings: Settings, folder: Path) -> dict[str, object]:
    """What prompts may read besides variables: `cwd`, `working_directory`, and `env` with what is allowed."""
    allowed = ((name, os.environ[name]) for name in settings.environment if name in os.environ)
    return surroundings_of(str(folder), allowed)


def open_store(settings: Settings) -> Store:
    """Where fetched models are."""
    return Store(settings.cache_folder)


def open_snapshots(settings: Settings) -> Snapshots:
    """The folder of evaluated prefixes. Raises `ModelFetchError` if there is no place for one."""
    from samovar.models.snapshots import Snapshots

    folder = open_store(settings).folder.parent / "snapshots"
    return Snapshots(folder, int(settings.snapshots_bytes), limit_days=settings.snapshots_days)


def budget_bytes(settings: Settings) -> int:
    """The bytes that models may take."""
    if settings.budget_bytes is not None:
        return int(settings.budget_bytes)
    return int(memory.available_bytes() * BUDGET_SHARE)


def spec_for(settings: Settings, reference: Reference, path: Path) -> ModelSpec:
    """How the settings want this model loaded."""
    return ModelSpec(
        reference=reference.text,
        path=path,
        gpu_layers=None if settings.gpu_layers == "auto" else settings.gpu_layers,
        context_tokens=settings.context_tokens,
        threads=settings.threads,
        kv_type=settings.kv_type,
    )


class Locator:
    """Finds the file of a model reference, fetching it where the settings allow."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store

    async def __call__(self, model: str, on_progress: OnFetchProgress) -> ModelSpec:
        from samovar.models.package import fetch

        reference = parse_reference(model)
        if reference.is_fetched and not is_here(reference, self._store):
            if self._settings.offline:
                raise not_here(reference)

            def told(progress: FetchProgress) -> None:
                on_progress(progress.done_bytes, progress.total_bytes)

            await fetch(reference, self._store, told)
        return spec_for(self._settings, reference, resolve(reference, self._store))


def is_here(reference: Reference, store: Store) -> bool:
    """Whether the model was fetched before."""
    try:
        resolve(reference, store)
    except ModelNotFoundError:
        return False
    return True


def not_here(reference: Reference) -> ModelFetchError:
    """What is said of a model that may not be fetched."""
    return ModelFetchError(
        f"{reference.text} is not here, and the settings say offline. With a network: "
        f"samovar pull {reference.text}"
    )


async def _in_thread(work: Callable[[], None]) -> None:
    with anyio.CancelScope(shield=True):
        try:
            await anyio.to_thread.run_sync(work)
        except RuntimeError:  # no thread can be started: the user has as many as are allowed
            work()


@asynccontextmanager
async def open_app(settings: Settings, library: Library | None = None) -> AsyncIterator[App]:
    """Everything, ready to be used; on leaving, everything is given back in the opposite order.

    `library`: one that was opened before; None opens the one of the current folder.
    """
    from samovar.engines.llama.engine import LlamaEngine
    from samovar.executors.dispatch import Dispatcher
    from samovar.executors.table import Parts
    from samovar.serving.pool import Pool
    from samovar.serving.reservations import Reservations
    from samovar.serving.session import Sessions

    async with AsyncExitStack() as stack:
        snapshots = None
        if settings.snapshots_bytes and open_store(settings).is_anywhere:
            snapshots = open_snapshots(settings)
            stack.push_async_callback(_in_thread, snapshots.close)
        engine = LlamaEngine(snapshots)
        stack.callback(engine.close)
        pool = await stack.enter_async_context(
            Pool(
                engine,
                budget_bytes=budget_bytes(settings),
                keep_alive_s=settings.keep_alive_s,
                reservations=Reservations(is_measured=settings.budget_bytes is None),
            )
        )
        sessions = Sessions(pool)
        locate = Locator(settings, open_store(settings))
        yield App(
            settings=settings,
            library=library or open_library(current_folder()),
            executor=Dispatcher(Parts(settings=settings, sessions=sessions, locate=locate)),
            sessions=sessions,
            pool=pool,
        )


SCRIPTED_CONTEXT_TOKENS = 1_000_000_000
"""More words than any prompt has."""


@asynccontextmanager
async def open_scripted(script: Script) -> AsyncIterator[Executor]:
    """An executor without a model: every prompt is answered by `script`."""
    from samovar.engines.scripted import ScriptedEngine
    from samovar.executors.local import LocalExecutor
    from samovar.serving.pool import Pool
    from samovar.serving.session import Sessions

    async def locate(reference: str, on_progress: OnFetchProgress) -> ModelSpec:
        return ModelSpec(reference=reference, path=Path(reference), context_tokens=SCRIPTED_CONTEXT_TOKENS)

    async with Pool(ScriptedEngine(script), budget_bytes=1) as pool:
        yield LocalExecutor(Sessions(pool), locate, default_model="scripted")
