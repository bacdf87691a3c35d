"""`samovar tune --convert`: a copy of a model in another format, compared with the original.

Above: `tuning.py`. Below: `measuring.py`, `engines/llama/convert.py`. A copy is never written over another:
whether that was made from the same file is not known.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console
from rich.text import Text

from samovar.app import open_stores
from samovar.cli.console import make_console
from samovar.cli.measuring import TEXT, cancelled, cost_of, fitting, measured, until_done
from samovar.cli.output import write_json
from samovar.cli.speeds import formats_table, speed_object
from samovar.config import Settings
from samovar.engines.base import ModelSpec
from samovar.engines.llama import convert
from samovar.engines.llama.measuring import MeasuringEndedError, Workbench
from samovar.engines.llama.speeds import Plan, Speed
from samovar.errors import UsageError
from samovar.models.header import read_header
from samovar.models.reference import Reference, is_package_file
from samovar.models.split import first_part, stem_of

FOLDER = "converted"
"""The folder of copies, beside the models that are fetched."""
_FORMAT = re.compile(r"[._-](?:i?q\d\w*|f16|f32|bf16)$", re.IGNORECASE)
"""The end of a name that says its format."""


def convert_model(
    format_: str, reference: Reference, spec: ModelSpec, settings: Settings, plan: Plan, *, as_json: bool
) -> int:
    """Writes the copy, measures and shows both; returns the exit status."""
    name = format_.lower()
    if name not in convert.FORMATS:
        raise UsageError(f"There is no format {format_!r}: {', '.join(convert.FORMATS)}.")
    folder = open_stores(settings).own.folder
    inside = f"{FOLDER}/{name_for(reference, spec.path)}.{name.upper()}.gguf"
    copy = folder / inside
    named = f"package:{inside}" if is_package_file(inside) else str(copy)
    _check_is_new(copy, named, spec.path)
    larger = convert.converted_bytes(spec.path, name) - read_header(spec.path).file_bytes
    plan = fitting(plan, spec, settings, more_bytes=max(0, larger))
    copy.parent.mkdir(parents=True, exist_ok=True)
    console = make_console()
    is_made, is_stopped = _made(console, spec.path, copy, name)
    if not is_made:
        return cancelled()
    kept = f"the copy is written; use it with --model {named}"
    if is_stopped:
        return cancelled(kept)
    console.print(Text(f"written: {named}"))
    rows: list[dict[str, Any]] = []
    for one in (spec, replace(spec, reference=named, path=copy)):
        found = measured(console, lambda bench: _speed(bench, plan), one, cost_of(one, plan, settings))
        if found is None:
            return cancelled(kept)
        speed, perplexity = found
        file_bytes = read_header(one.path).file_bytes
        row = {"path": str(first_part(one.path)), "bytes": file_bytes, "perplexity": perplexity}
        rows.append(row | speed_object(speed))
    difference = rows[1]["perplexity"] / rows[0]["perplexity"] - 1
    if as_json:
        figures = {"perplexity_difference": difference, "before": rows[0], "after": rows[1]}
        write_json({"model": named, **figures})
        return 0
    out = make_console(sys.stdout)
    out.print(formats_table(rows))
    out.print(f"Perplexity differs by {difference:+.2%}: below zero, the copy predicts the text better.")
    out.print(Text(f"Use the copy with --model {named}"))
    return 0


def name_for(reference: Reference, path: Path) -> str:
    """What a copy is called, without its format. Ollama's files have digests for names."""
    if reference.scheme == "ollama" and reference.name is not None:
        name = f"{reference.name.rpartition('/')[2]}-{reference.tag}"
    else:
        name = stem_of(path)
    return _FORMAT.sub("", name)


def _check_is_new(copy: Path, named: str, source: Path) -> None:
    """Raises `UsageError`."""
    if not copy.exists():
        return
    if copy.samefile(source):
        raise UsageError(f"{named} is itself the copy in this format.")
    raise UsageError(
        f"{named} already exists, and may have been made from another file: use it as it is, or remove it "
        f"first with `samovar rm {named}`."
    )


def _made(console: Console, source: Path, copy: Path, name: str) -> tuple[bool, bool]:
    """Writes the copy: (whether it is there, whether a person wants to stop)."""
    is_stopped = False

    def stop() -> None:
        nonlocal is_stopped
        is_stopped = True

    def told(fraction: float) -> None:
        if is_stopped:
            raise MeasuringEndedError

    def work() -> bool:
        try:
            convert.convert(source, copy, name, on_progress=told)
        except MeasuringEndedError:
            return False
        return True

    return anyio.run(until_done, console, f"writing {copy.name}", work, stop), is_stopped


def _speed(bench: Workbench, plan: Plan) -> tuple[Speed, float]:
    text = TEXT.read_text(encoding="utf-8")
    return bench.speeds([bench.standard], text, plan)[0], bench.perplexity(bench.standard, text)
