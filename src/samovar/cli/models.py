"""`samovar models` and `samovar pull`: which models are here, what each would take, and fetching one.

Above: the commands of `__init__.py`. Below: `app.py`, and the model half's headers, costs and stores.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from samovar.app import budget_bytes, open_store
from samovar.background import beside
from samovar.cli.console import make_console
from samovar.cli.output import write_json
from samovar.cli.terminal import say
from samovar.config import load_settings
from samovar.errors import ModelError, ModelFetchError, SamovarError, UsageError
from samovar.generation import KvType
from samovar.memory import in_words
from samovar.models.architectures import ARCHITECTURES
from samovar.models.cost import predict
from samovar.models.header import read_header
from samovar.models.package import FetchProgress, fetch, is_pinned
from samovar.models.reference import ALIASES, Reference, names_of, parse_reference, resolve
from samovar.models.store import Store

DEFAULT_CONTEXT_TOKENS = 8192
NARROW_COLUMNS = 100
"""Of a terminal, below which the figures of a model stand below each other."""


def list_models(references: Sequence[str], given: Mapping[str, Any], *, as_json: bool) -> int:
    """Models that are here, and what each would take. `given`: settings by name."""
    settings = load_settings(given)
    store, budget = open_store(settings), budget_bytes(settings)
    paths = {reference: resolve(parse_reference(reference), store) for reference in references}
    if not references:
        paths = {(names_of(path, store) or [str(path)])[0]: path for path in store.files()}
    rows = [
        {"ref": name, "refs": names_of(path, store) or [name], "path": str(path), "file_bytes": None}
        | _cost_row(path, settings.context_tokens, settings.kv_type, budget)
        for name, path in paths.items()
    ]
    # What was asked for by name must be there; of all that lies in the cache, some may be bad.
    status = 2 if references and any(row["fault"] for row in rows) else 0
    if as_json:
        write_json({"budget_bytes": budget, "models": rows})
        return status
    console = make_console(sys.stdout)
    if not rows:
        known = ", ".join(ALIASES)
        console.print(f"No models are here yet. `samovar pull {next(iter(ALIASES))}` fetches one ({known}).")
        return 0
    good = [row for row in rows if not row["fault"]]
    if good:
        _show_models(console, good)
        console.print(f"The budget is {in_words(budget)}. KV is of the type {settings.kv_type}.")
    if any(row["estimated"] for row in good):
        console.print("≤: an upper bound; what this architecture really takes was not compared.")
    for row in rows:
        if row["fault"]:
            make_console().print(Text(f"samovar: {_named(row['fault'], row['ref'])}", style="red"))
    return status


def _named(fault: str, reference: str) -> str:
    """The fault, with the reference where it does not say it."""
    return fault if reference in fault else f"{reference}: {fault}"


def _cost_row(path: Path, context_tokens: int | None, kv_type: KvType, budget: int) -> dict[str, Any]:
    try:
        header = read_header(path)
    except SamovarError as error:
        return {"fault": error.message}
    tokens = context_tokens or min(header.context_tokens, DEFAULT_CONTEXT_TOKENS)
    if tokens > header.context_tokens:
        return {
            "file_bytes": header.file_bytes,
            "fault": f"It was trained for {header.context_tokens} tokens; {tokens} were asked for.",
        }
    cost = predict(header, context_tokens=tokens, kv_type=kv_type)
    return {
        "fault": None,
        "file_bytes": header.file_bytes,
        "architecture": header.architecture,
        "memory": ARCHITECTURES[header.architecture].memory.value,
        "trained_context_tokens": header.context_tokens,
        "context_tokens": tokens,
        "kv_type": kv_type,
        "weights_bytes": cost.weights_bytes,
        "kv_bytes": cost.kv_bytes,
        "compute_bytes": cost.compute_bytes,
        "output_bytes": cost.output_bytes,
        "snapshot_bytes": cost.snapshot_bytes,
        "total_bytes": cost.total_bytes,
        "estimated": cost.estimated,
        "fits": cost.total_bytes <= budget,
    }


def _show_models(console: Console, rows: list[dict[str, Any]]) -> None:
    headings = ("context", "weights", "KV", "compute", "copies", "in memory", "fits")
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("model", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right")
    is_narrow = console.width < NARROW_COLUMNS
    for row in rows:
        names = "\n".join(dict.fromkeys([row["ref"], *row["refs"]]))
        compute_bytes = row["compute_bytes"] + row["output_bytes"]
        sizes = [row["weights_bytes"], row["kv_bytes"], compute_bytes, row["snapshot_bytes"]]
        total = ("≤ " if row["estimated"] else "") + in_words(row["total_bytes"])
        fits = Text("yes") if row["fits"] else Text("no", style="red")
        context = f"{row['context_tokens']} of {row['trained_context_tokens']}"
        figures: tuple[str | Text, ...] = (context, *map(in_words, sizes), total, fits)
        if is_narrow:
            console.print(Text(names, style="bold"))
            for heading, figure in zip(headings, figures, strict=True):
                console.print(Text.assemble((f"  {heading:<10}", "dim"), figure))
        else:
            table.add_row(names, *figures)
    if not is_narrow:
        console.print(table)


def pull_model(text: str, *, quiet: bool) -> int:
    """Fetches a model, with a progress bar on a terminal."""
    settings = load_settings({})
    reference, store = parse_reference(text), open_store(settings)
    if not reference.is_fetched:
        raise UsageError(f"{text} is a path: there is nothing to fetch.")
    here = _whole(reference, store)
    if here is not None and (settings.offline or is_pinned(reference)):
        return _say_here(text, here, quiet)
    if settings.offline:
        raise UsageError("The settings say offline, so nothing is fetched.")
    try:
        path = _fetch(text, reference, store, quiet)
    except ModelFetchError as error:
        if here is None:
            raise
        say(f"samovar: whether there is a newer one is not known: {error}")
        path = here
    if path is None:
        say("samovar: cancelled; nothing was kept")
        return 130
    return _say_here(text, path, quiet)


def _whole(reference: Reference, store: Store) -> Path | None:
    """The file, where it was fetched before and can be used."""
    try:
        path = resolve(reference, store)
        read_header(path)
    except ModelError:
        return None
    return path


def _say_here(text: str, path: Path, quiet: bool) -> int:
    if not quiet:
        say(f"{text} is here: {path}")
    return 0


def _fetch(text: str, reference: Reference, store: Store, quiet: bool) -> Path | None:
    """Fetches it; None where a person stopped that."""
    console = make_console()
    columns = (TextColumn("fetching {task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns, console=console, transient=True, disable=quiet or not console.is_terminal
    ) as progress:
        task = progress.add_task(text, total=None)

        def told(fetched: FetchProgress) -> None:
            progress.update(task, completed=fetched.done_bytes, total=fetched.total_bytes)

        async def main() -> Path | None:
            with anyio.CancelScope() as scope:
                async with beside(hear_signals=lambda: _cancel_on_signal(scope)):
                    return await fetch(reference, store, told)
            return None

        return anyio.run(main)


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()
            return
