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
from samovar.errors import ModelError, ModelFetchError
from samovar.executors.base import Embedder, Executor
from samovar.executors.finding import find_daemon
from samovar.folders import current_folder, library_folders
from samovar.language.names import surroundings_of
from samovar.library import Library
from samovar.models.devices import DeviceChoice
from samovar.models.reference import Reference, parse_reference
from samovar.models.store import Store
from samovar.models.stores import Stores

# What a command that only reads files does not need is imported where it is used.
if TYPE_CHECKING:
    from samovar.engines.base import Engine
    from samovar.engines.scripted import Script
    from samovar.executors.daemon import RunningDaemon
    from samovar.executors.dispatch import Dispatcher
    from samovar.executors.table import Locate, OnFetchProgress, Parts
    from samovar.models.snapshots import Snapshots
    from samovar.models.tuned import Tuned
    from samovar.serving.pool import Pool
    from samovar.serving.session import Sessions

BUDGET_SHARE = 0.8
"""Share of the memory available at the start, if no budget is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What a door uses. Everything in it lives until `open_app` ends."""

    settings: Settings
    library: Library
    executor: Executor
    executors: Dispatcher
    """The same, which knows what each of them was asked for."""
    embedder: Embedder
    """Embeds with the executor that is named."""
    locate: Locate
    """Finds the file of a model, fetching it if the settings allow."""
    sessions: Sessions
    pool: Pool
    daemon: RunningDaemon | None = None
    """Answers prompts in place of models of this process."""

    @property
    def room_bytes(self) -> int:
        """What models may take where prompts are answered."""
        return self.pool.budget_bytes if self.daemon is None else self.daemon.hello.budget_bytes


def open_library(start: Path, *, is_current: bool = True) -> Library:
    """The workflows and prompts that can be named from the folder `start`, nearest first.

    `is_current`: it is the current folder, so that paths are shown as written.
    """
    return Library(library_folders(start), parse_action, start=None if is_current else start)


def surroundings(settings: Settings, folder: Path) -> dict[str, object]:
    """What prompts may read besides variables: `cwd`, `working_directory`, and `env` with what is allowed."""
    allowed = ((name, os.environ[name]) for name in settings.environment if name in os.environ)
    return surroundings_of(str(folder), allowed)


def open_store(settings: Settings) -> Store:
    """Samovar's own cache folder."""
    return Store(settings.cache_folder)


def open_stores(settings: Settings) -> Stores:
    """All places on this machine that keep models."""
    return Stores.of_this_machine(settings.cache_folder)


def read_reference(settings: Settings, text: str) -> Reference:
    """A model reference, taken apart. Raises `UsageError`."""
    return parse_reference(text, settings.aliases)


def open_snapshots(settings: Settings) -> Snapshots:
    """The folder of evaluated prefixes. Raises `ModelFetchError` if there is no place for one."""
    from samovar.models.snapshots import Snapshots

    folder = open_store(settings).folder.parent / "snapshots"
    return Snapshots(folder, settings.snapshots_bytes, limit_days=settings.snapshots_days)


def open_tuned(settings: Settings) -> Tuned | None:
    """What `samovar tune` has kept; None if it is not to be used, or there is no place for it."""
    return None if settings.tune == "off" else kept_tunings(settings)


def kept_tunings(settings: Settings) -> Tuned | None:
    """Where `samovar tune` keeps what it has measured; None if there is no place for it."""
    from samovar.engines.llama.cores import in_words
    from samovar.engines.llama.declarations import WHEEL_VERSION
    from samovar.models.tuned import Tuned

    store = open_store(settings)
    if not store.is_anywhere:
        return None
    return Tuned(store.folder.parent / "tuned", machine=in_words(), build=WHEEL_VERSION)


def budget_bytes(settings: Settings) -> int:
    """The bytes that models may take."""
    if settings.budget_bytes is not None:
        return settings.budget_bytes
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
        devices=DeviceChoice(
            names=tuple(settings.devices),
            split_mode=settings.split_mode,
            split=tuple(settings.tensor_split),
            main=settings.main_gpu,
        ),
    )


class Locator:
    """Finds the file of a model reference, fetching it if the settings allow."""

    def __init__(self, settings: Settings, stores: Stores) -> None:
        self._settings, self._stores = settings, stores

    async def __call__(self, model: str, on_progress: OnFetchProgress) -> ModelSpec:
        reference = read_reference(self._settings, model)
        if reference.is_fetched and not self._stores.is_here(reference):
            if self._settings.offline:
                raise not_here(reference)
            await fetch(self._settings, reference, self._stores, on_progress)
        return spec_for(self._settings, reference, self._stores.find(reference))


async def fetch(
    settings: Settings, reference: Reference, stores: Stores, on_progress: OnFetchProgress
) -> Path:
    """Fetches a model, and keeps what answers of a form need of it. Raises as `models.fetching` does."""
    from samovar.engines.llama.grammar_maker import keep_table  # what few runs need, none waits for
    from samovar.models.fetching import fetch_model

    path = await fetch_model(reference, stores, lambda one: on_progress(one.done_bytes, one.total_bytes))
    if (folder := _tables_folder(settings)) is not None:
        await anyio.to_thread.run_sync(keep_table, path, folder)
    return path


def _tables_folder(settings: Settings) -> Path | None:
    """Where the tables of vocabularies are kept; None if there is no place for them."""
    store = open_store(settings)
    return store.folder.parent / "tokens" if store.is_anywhere else None


def check_answers(spec: ModelSpec) -> None:
    """Raises `ModelFileError` for a model that is known to answer no prompts: one for embeddings, say."""
    from samovar.models.capabilities import Capability
    from samovar.models.header import read_header, require

    try:
        header = read_header(spec.path)
    except ModelError:  # which anyone who loads it will get
        return
    require(header, Capability.ANSWER, name=spec.reference)


def not_here(reference: Reference) -> ModelFetchError:
    """The message about a model that may not be fetched."""
    return ModelFetchError(
        f"{reference.text} is not on this machine, and the setting `offline` is on. With a network: "
        f"samovar pull {reference.text}"
    )


async def _in_thread(work: Callable[[], None]) -> None:
    with anyio.CancelScope(shield=True):
        try:
            await anyio.to_thread.run_sync(work)
        except RuntimeError:  # no thread can be started: the user has as many as are allowed
            work()


@asynccontextmanager
async def open_app(
    settings: Settings,
    library: Library | None = None,
    *,
    script: Script | None = None,
    local: Callable[[Parts], Executor] | None = None,
) -> AsyncIterator[App]:
    """Everything, ready to be used; on leaving, everything is given back in the opposite order.

    `library`: one that was opened before; None opens the one of the current folder. `script`: answers every
    prompt in place of models, none of which is looked for. `local`: makes what answers prompts of local
    models; None: a daemon, if one runs that may, or else this process.
    """
    from samovar.executors.dispatch import Dispatcher
    from samovar.executors.table import Parts
    from samovar.serving.pool import Pool
    from samovar.serving.reservations import Reservations
    from samovar.serving.session import Sessions

    async with AsyncExitStack() as stack:
        engine = _scripted(script) if script else _on_llama(settings, stack)
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
        locate = _locate_scripted if script else Locator(settings, open_stores(settings))
        daemon = None if script or local else find_daemon(settings)[0]
        local = daemon.make if daemon else local
        dispatcher = Dispatcher(Parts(settings=settings, sessions=sessions, locate=locate, local=local))
        yield App(
            settings=settings,
            library=library or open_library(current_folder()),
            executor=dispatcher,
            executors=dispatcher,
            embedder=dispatcher,
            locate=locate,
            sessions=sessions,
            pool=pool,
            daemon=daemon,
        )


def _on_llama(settings: Settings, stack: AsyncExitStack) -> Engine:
    from samovar.engines.llama.engine import LlamaEngine
    from samovar.engines.llama.token_table import KeptTables

    snapshots, store = None, open_store(settings)
    if settings.snapshots_bytes and store.is_anywhere:
        snapshots = open_snapshots(settings)
        stack.push_async_callback(_in_thread, snapshots.close)
    tables = _tables_folder(settings)
    return LlamaEngine(snapshots, open_tuned(settings), tables=KeptTables(tables) if tables else None)


def _scripted(script: Script) -> Engine:
    from samovar.engines.scripted import ScriptedEngine

    return ScriptedEngine(script)


async def _locate_scripted(reference: str, on_progress: OnFetchProgress) -> ModelSpec:
    """Whatever a model is called, the script answers."""
    return ModelSpec(reference=reference, path=Path(reference), context_tokens=SCRIPTED_CONTEXT_TOKENS)


SCRIPTED_CONTEXT_TOKENS = 1_000_000_000
"""More words than any prompt has."""


@asynccontextmanager
async def open_scripted(script: Script) -> AsyncIterator[Executor]:
    """An executor without a model: every prompt is answered by `script`."""
    from samovar.executors.local import LocalExecutor
    from samovar.serving.pool import Pool
    from samovar.serving.session import Sessions

    async with Pool(_scripted(script), budget_bytes=1) as pool:
        yield LocalExecutor(Sessions(pool), _locate_scripted, default_model="scripted")
