"""`samovar models`: the models on this machine, in every store, their memory, and whether they can answer.

Above: the commands of `__init__.py`. Below: `app.py`, and the model half's headers, costs and stores.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from samovar.app import budget_bytes, open_stores, read_reference
from samovar.cli.console import make_console
from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.cli.trusting import settings_for
from samovar.config import Settings
from samovar.errors import SamovarError
from samovar.memory import in_words
from samovar.models.architectures import ARCHITECTURES
from samovar.models.capabilities import Capability
from samovar.models.embedding_cost import FIRST_EMBEDDING_TOKENS, predict_embedder
from samovar.models.fitting import predict_fitting, usual_tokens
from samovar.models.glances import Glances
from samovar.models.header import Header, read_header
from samovar.models.reference import ALIASES
from samovar.models.stored import Stored
from samovar.models.stores import Stores

NARROW_COLUMNS = 100
"""Columns of a terminal, below which the figures of a model are below each other."""


def list_models(references: Sequence[str], given: Mapping[str, Any], *, as_json: bool) -> int:
    """Models that are here, and what each would take. `given`: settings by name."""
    settings = settings_for(given)
    stores, budget = open_stores(settings), budget_bytes(settings)
    with Glances(stores.memory) as glances:
        if references:
            found, look = _named_ones(references, settings, stores), read_header
        else:
            found, look = list(stores.listed()), glances.header
        rows = [_row(one, look, settings, budget) for one in found]
    # A model requested by name must exist; of all that lies in the stores, some may be bad.
    status = 2 if references and any(row["fault"] for row in rows) else 0
    if as_json:
        write_json({"budget_bytes": budget, "models": rows})
        return status
    console = make_console(sys.stdout)
    if not rows:
        known = ", ".join(ALIASES)
        console.print(
            f"There are no models here yet. `samovar pull {next(iter(ALIASES))}` fetches one ({known})."
        )
        return 0
    good = [row for row in rows if not row["fault"]]
    if good:
        _show_models(console, good)
        console.print(f"The budget is {in_words(budget)}. The KV cache has the type {settings.kv_type}.")
    if any(row["estimated"] for row in good):
        console.print("≤: an upper bound; it was not compared with what this architecture really takes.")
    _show_faults(console, [row for row in rows if row["fault"]], are_errors=bool(references))
    return status


def _named_ones(references: Sequence[str], settings: Settings, stores: Stores) -> list[Stored]:
    """What these references lead to, with all that leads to the same file of Samovar's own."""
    found = []
    for text in references:
        reference = read_reference(settings, text)
        path = stores.find(reference)
        same = [one for one in stores.own.listed() if one.path == path]
        names = tuple(name for one in same for name in (one.reference, *one.names))
        found.append(Stored(reference=text, scheme=reference.scheme, path=path, names=names))
    return found


def _row(stored: Stored, look: Callable[[Path], Header], settings: Settings, budget: int) -> dict[str, Any]:
    own = [name for name, target in settings.aliases if target in (stored.reference, *stored.names)]
    row: dict[str, Any] = {
        "ref": stored.reference,
        "refs": list(stored.names if stored.reference in stored.names else (stored.reference, *stored.names))
        + own,
        "store": stored.scheme,
        "path": None if stored.path is None else str(stored.path),
        "file_bytes": None,
    }
    if stored.path is None:
        return row | {"fault": stored.fault}
    return row | _cost_row(stored.path, look, settings, budget)


def _show_faults(console: Console, rows: list[dict[str, Any]], *, are_errors: bool) -> None:
    """Those that cannot answer, and why: errors if they were asked for, else a part of the list."""
    if rows and not are_errors:
        console.print("These cannot answer:")
    for row in rows:
        fault = shown(_named(row["fault"], row["ref"]))
        if are_errors:
            make_console().print(Text(f"samovar: {fault}", style="red"))
        else:
            console.print(Text.assemble(("  ", ""), (fault, "red")), soft_wrap=True)


def _named(fault: str, reference: str) -> str:
    """The fault, with the reference if it does not say it."""
    return fault if reference in fault else f"{reference}: {fault}"


def _cost_row(path: Path, look: Callable[[Path], Header], settings: Settings, budget: int) -> dict[str, Any]:
    kv_type = settings.kv_type
    try:
        header = look(path)
    except SamovarError as error:
        return {"fault": error.message}
    asked = settings.context_tokens
    if Capability.ANSWER in header.abilities.can:
        try:
            cost = predict_fitting(header, budget, kv_type=kv_type, asked_tokens=asked, name="it")
        except SamovarError as error:
            return {"file_bytes": header.file_bytes, "fault": error.message}
        usual = asked or usual_tokens(header)
        tokens = min(usual, cost.context_tokens)
    else:
        usual = tokens = min(header.context_tokens, FIRST_EMBEDDING_TOKENS)
        cost = predict_embedder(header, tokens)
    return {
        "fault": None,
        "file_bytes": header.file_bytes,
        "architecture": header.architecture,
        "can": sorted(header.abilities.can),
        "memory": ARCHITECTURES[header.architecture].memory.value,
        "trained_context_tokens": header.context_tokens,
        "context_tokens": tokens,
        "usual_context_tokens": usual,
        "kv_type": kv_type,
        "weights_bytes": cost.weights_bytes,
        "private_weights_bytes": cost.private_weights_bytes,
        "kv_bytes": cost.kv_bytes,
        "compute_bytes": cost.compute_bytes,
        "scores_bytes": cost.scores_bytes,
        "output_bytes": cost.output_bytes,
        "snapshot_bytes": cost.snapshot_bytes,
        "forms_bytes": cost.forms_bytes,
        "embedding_bytes": cost.embedding_bytes,
        "total_bytes": cost.total_bytes,
        "estimated": cost.estimated,
        "fits": cost.total_bytes <= budget,
    }


_COMPUTE = ("compute", "scores", "output", "forms", "embedding")
"""What is shown as one figure."""


def _fits(row: dict[str, Any]) -> str:
    """In a word, or with how much less than usual."""
    tokens = row["context_tokens"]
    return "yes" if tokens == row["usual_context_tokens"] else f"with {tokens} tokens"


def _show_models(console: Console, rows: list[dict[str, Any]]) -> None:
    headings = ("context", "weights", "KV", "compute", "copies", "in memory", "fits")
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("model", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right")
    is_narrow = console.width < NARROW_COLUMNS
    for row in rows:
        names = "\n".join(dict.fromkeys([row["ref"], *row["refs"]]))
        compute_bytes = sum(row[f"{part}_bytes"] for part in _COMPUTE)
        sizes = [row["weights_bytes"], row["kv_bytes"], compute_bytes, row["snapshot_bytes"]]
        total = ("≤ " if row["estimated"] else "") + in_words(row["total_bytes"])
        fits = Text(_fits(row)) if row["fits"] else Text("no", style="red")
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
