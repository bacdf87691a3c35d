"""`samovar list` and `samovar snapshots`: the content of the library, and the evaluated prompts on disk.

Above: the commands of `__init__.py`. Below: the library, the folder of snapshots.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from samovar.app import open_library, open_snapshots
from samovar.cli.console import make_console
from samovar.cli.output import write_json
from samovar.cli.trusting import settings_for
from samovar.errors import UsageError
from samovar.folders import LibraryEntry, current_folder
from samovar.memory import in_words


def list_library(*, as_json: bool) -> int:
    """Workflows and prompts that can be named here."""
    library = open_library(current_folder())
    kinds = {"workflows": library.workflows(), "prompts": library.prompts()}
    if as_json:
        write_json({kind: [_entry(one) for one in found] for kind, found in kinds.items()})
        return 0
    console = make_console(sys.stdout)
    for kind, found in kinds.items():
        if not found:
            console.print(
                f"There are no {kind} here. They are read from .samovar/{kind}/ in this folder "
                f"and above it, up to the repository's root."
            )
            continue
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in (kind, "from", "description"):
            table.add_column(heading)
        for entry in found:
            text = (
                Text(entry.fault, style="red")
                if entry.fault
                else Text(entry.description or entry.title or "")
            )
            if entry.is_exposed:
                text.append("\nis a tool for other programs (`expose: true`)", style="dim")
            for source, path in entry.shadows:
                text.append(f"\nhides {path} ({source})", style="dim")
            table.add_row(entry.name, entry.source, text)
        console.print(table)
    return 0


def _entry(entry: LibraryEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "path": str(entry.path),
        "source": entry.source,
        "title": entry.title,
        "description": entry.description,
        "fault": entry.fault,
        "is_exposed": entry.is_exposed,
        "shadows": [{"source": source, "path": str(path)} for source, path in entry.shadows],
    }


def list_snapshots(*, clear: bool, as_json: bool) -> int:
    """Evaluated prompts on disk, by model; or, with `clear`, none any more."""
    settings = settings_for({})
    folder = open_snapshots(settings).folder
    try:
        freed = folder.clear() if clear else 0
    except OSError as error:
        raise UsageError(f"{folder.path} could not be deleted: {error.strerror}.") from error
    uses = folder.uses()
    total = sum(use.size_bytes for use in uses)
    if as_json:
        rows = [asdict(use) for use in uses]
        limit = settings.snapshots_bytes
        told: dict[str, object] = {
            "limit_bytes": limit,
            "limit_days": settings.snapshots_days,
            "bytes": total,
        }
        told |= {"freed_bytes": freed, "snapshots": rows}
        write_json(told)
        return 0
    console = make_console(sys.stdout)
    if clear:
        console.print(f"{in_words(freed)} are free again.")
        return 0
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("model", overflow="fold")
    for heading in ("copies", "bytes", "used"):
        table.add_column(heading, justify="right")
    for use in uses:
        day = datetime.fromtimestamp(use.used_s).astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(use.name, str(use.copies), in_words(use.size_bytes), day)
    if uses:
        console.print(table)
    console.print(f"{in_words(total)} of {in_words(settings.snapshots_bytes)} in {folder.path}")
    return 0
