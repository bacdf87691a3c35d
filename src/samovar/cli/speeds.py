"""The measurements of `samovar tune`, as tables for a person and as objects for `--json`.

Above: `tuning.py`. Below: rich, and the values of `engines/llama/measuring.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from samovar.engines.llama.speeds import Speed
from samovar.errors.durations import lasting
from samovar.memory import in_words
from samovar.models.tuning import Tuning


def tuning_object(tuning: Tuning) -> dict[str, Any]:
    return {"flash_attention": tuning.flash_attention, "micro_batch_tokens": tuning.micro_batch_tokens}


def speed_object(speed: Speed) -> dict[str, Any]:
    return {
        **tuning_object(speed.tuning),
        "evaluate_tokens_per_s": speed.evaluate_tokens_per_s,
        "decode_ms": {str(length): ms for length, ms in speed.decode_ms.items()},
        "request_s": speed.request_s,
    }


def speeds_table(speeds: list[Speed], chosen: Speed) -> Table:
    """A row for each choice: flash attention, tokens of a micro-batch, evaluated tokens for each second,
    milliseconds of a token behind this many, seconds of the usual request."""
    shown = Table(box=None, pad_edge=False, header_style="dim")
    shown.add_column("flash")
    for heading in ("batch", "tokens/s"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for length in speeds[0].decode_ms:
        shown.add_column(f"ms at {length}", justify="right", no_wrap=True)
    shown.add_column("request", justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True)
    for speed in speeds:
        flash = {True: "on", False: "off", None: "auto"}[speed.tuning.flash_attention]
        figures = [f"{ms:.1f}" for ms in speed.decode_ms.values()]
        marks = ["the table's"] if speed is speeds[0] else []
        marks += ["chosen"] if speed is chosen else []
        shown.add_row(
            flash,
            str(speed.tuning.micro_batch_tokens),
            f"{speed.evaluate_tokens_per_s:.0f}",
            *figures,
            lasting(speed.request_s),
            ", ".join(marks),
        )
    return shown


def formats_table(rows: list[dict[str, Any]]) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="dim")
    shown.add_column("file", overflow="fold")
    for heading in ("size", "evaluates, tokens/s", "ms a token", "perplexity"):
        shown.add_column(heading, justify="right")
    for row in rows:
        shown.add_row(
            Path(row["path"]).name,
            in_words(row["bytes"]),
            f"{row['evaluate_tokens_per_s']:.0f}",
            " / ".join(f"{ms:.1f}" for ms in row["decode_ms"].values()),
            f"{row['perplexity']:.3f}",
        )
    return shown
