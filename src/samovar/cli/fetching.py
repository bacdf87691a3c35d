"""`samovar pull` and `samovar rm`: fetches a model, or deletes one that Samovar may delete.

Above: the commands of `__init__.py`. Below: `app.py`, the stores.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import anyio
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from samovar.app import fetch, open_stores, read_reference
from samovar.background import beside
from samovar.cli.console import make_console
from samovar.cli.terminal import say
from samovar.cli.trusting import settings_for
from samovar.config import Settings
from samovar.errors import ModelError, ModelFetchError, ModelNotFoundError, UsageError
from samovar.memory import in_words
from samovar.models.fetching import is_pinned, is_resumed
from samovar.models.header import read_header
from samovar.models.reference import Reference
from samovar.models.split import parts_of
from samovar.models.stores import Stores


def pull_model(text: str, *, quiet: bool) -> int:
    """Fetches a model, with a progress bar on a terminal."""
    settings = settings_for({})
    reference, stores = read_reference(settings, text), open_stores(settings)
    if not reference.is_fetched:
        what = "a path" if reference.scheme == "path" else "used from where it is"
        raise UsageError(f"{text} is {what}: there is nothing to fetch.")
    here = _whole(reference, stores)
    if here is not None and (settings.offline or is_pinned(reference)):
        return _say_here(text, here, quiet)
    if settings.offline:
        raise UsageError("The setting `offline` is on, so nothing is fetched.")
    try:
        path = _fetch(text, settings, reference, stores, quiet)
    except ModelFetchError as error:
        if here is None:
            raise
        say(f"samovar: cannot tell if there is a newer version: {error}")
        path = here
    if path is None:
        kept = (
            "the part that was fetched is kept for the next pull"
            if is_resumed(reference)
            else "nothing was kept"
        )
        say(f"samovar: cancelled; {kept}")
        return 130
    read_header(path)  # which says why, if it cannot answer
    return _say_here(text, path, quiet)


def _whole(reference: Reference, stores: Stores) -> Path | None:
    """The file, if it was fetched before and can be used."""
    try:
        path = stores.find(reference)
        read_header(path)
    except ModelError:
        return None
    return path


def _say_here(text: str, path: Path, quiet: bool) -> int:
    if not quiet:
        say(f"{text} is here: {path}")
    return 0


def _fetch(text: str, settings: Settings, reference: Reference, stores: Stores, quiet: bool) -> Path | None:
    """Fetches it; None if a person stopped that."""
    console = make_console()
    columns = (TextColumn("fetching {task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns, console=console, transient=True, disable=quiet or not console.is_terminal
    ) as progress:
        task = progress.add_task(text, total=None)

        def told(done_bytes: int, total_bytes: int | None) -> None:
            progress.update(task, completed=done_bytes, total=total_bytes)

        async def main() -> Path | None:
            with anyio.CancelScope() as scope:
                async with beside(hear_signals=lambda: _cancel_on_signal(scope)):
                    return await fetch(settings, reference, stores, told)
            return None

        return anyio.run(main)


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()
            return


def remove_model(text: str, *, yes: bool, quiet: bool) -> int:
    """Deletes a model, after asking unless `yes`."""
    settings = settings_for({})
    reference, stores = read_reference(settings, text), open_stores(settings)
    if reference.is_fetched and not yes:
        try:
            path = stores.find(reference)
            what = f"{in_words(sum(part.stat().st_size for part in parts_of(path)))}, {path}"
        except ModelNotFoundError:
            what = "parts of fetches that were stopped"
        if not sys.stdin.isatty():
            raise UsageError(f"There is no terminal to ask at before deleting {text}: add --yes.")
        say(f"Delete {text} ({what})? [y/N] ", end="")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            say("samovar: nothing was deleted")
            return 1
    try:
        freed = stores.remove(reference)
    except OSError as error:
        raise UsageError(f"{text} cannot be deleted: {error.strerror or error}.") from error
    if not quiet:
        say(f"{text} is deleted: {in_words(freed)} are free again.")
    return 0
