"""The results of `samovar tune`, kept for later loads: one small file for a model and KV type.

Above: the engine, which asks with each first prediction, and `samovar tune`, which keeps. Below: files. A
choice holds for the machine, the engine's build and the file that it was measured with; for others it is
ignored, with a note. A file is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from samovar.generation import KvType
from samovar.models.replacing import write_over
from samovar.models.split import safe_stem
from samovar.models.tuning import BATCH_TOKENS, Tuning

MOST_KEPT = 64
"""Files; beyond that the oldest goes."""
MOST_BYTES = 1 << 16
"""Bytes of a file; a larger one is not read."""
_FORMAT = 1
_SUFFIX = ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was kept for a model."""

    tuning: Tuning | None
    """None if it does not hold here."""
    note: str | None = None
    """Why not, for a person."""


def ignored(why: str) -> str:
    """A note for a person whose measurements do not hold for a load."""
    return f"The settings that `samovar tune` found for this model are not used: {why}. Run it again."


class Tuned:
    """The folder of choices. Nothing is read before it is asked for."""

    def __init__(self, folder: Path, *, machine: str, build: str) -> None:
        """`machine`: in words that differ for machines of different speed. `build`: of the engine."""
        self.folder, self._machine, self._build = folder, machine, build

    def find(self, path: Path, kv_type: KvType) -> Found | None:
        """What was kept for this file; None if nothing was."""
        try:
            kept = self._path(path, kv_type)
            if kept.stat().st_size > MOST_BYTES:
                raise ValueError("it is too large")
            said = json.loads(kept.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            return Found(tuning=None, note=ignored(f"its file cannot be read: {error}"))
        if not isinstance(said, dict) or said.get("format") != _FORMAT:
            return Found(tuning=None, note=ignored("its file has another format"))
        if said.get("build") != self._build:
            return Found(tuning=None, note=ignored("another build of the engine was measured"))
        if said.get("machine") != self._machine:
            return Found(tuning=None, note=ignored("another machine was measured"))
        try:
            return Found(tuning=_read(said, kv_type))
        except (KeyError, TypeError, ValueError):
            return Found(tuning=None, note=ignored("its file is damaged"))

    def keep(self, path: Path, kv_type: KvType, tuning: Tuning, table: Mapping[str, Any], day: str) -> Path:
        """Keeps a choice, with what was measured for it. `day`: as 2026-12-31. Raises `OSError`."""
        kept = self._path(path, kv_type)
        choice = asdict(tuning)
        del choice["source"], choice["device"], choice["notes"]
        said = {
            "format": _FORMAT,
            "machine": self._machine,
            "build": self._build,
            "measured": day,
            "device": tuning.device,
            "choice": choice,
            "table": dict(table),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        write_over(kept, json.dumps(said, indent=1))
        self._sweep()
        return kept

    def forget(self, path: Path, kv_type: KvType) -> bool:
        """Takes a choice back. False if there was none. Raises `OSError`."""
        try:
            self._path(path, kv_type).unlink()
        except FileNotFoundError:
            return False
        return True

    def _path(self, path: Path, kv_type: KvType) -> Path:
        """A file is the same with the same size and time of change, as for copies of prompts."""
        stat = path.stat()
        told = f"{stat.st_size}\0{stat.st_mtime_ns}\0{kv_type}"
        return (
            self.folder
            / f"{safe_stem(path)}-{hashlib.blake2b(told.encode(), digest_size=8).hexdigest()}{_SUFFIX}"
        )

    def _sweep(self) -> None:
        files = [(file.stat().st_mtime, file) for file in self.folder.glob(f"*{_SUFFIX}")]
        for _, file in sorted(files)[: max(0, len(files) - MOST_KEPT)]:
            with suppress(OSError):
                file.unlink()


def measured_on(day: str) -> str:
    """Where a choice comes from, in words."""
    return f"measured by samovar tune on {day:.10}"


def _read(said: Mapping[str, Any], kv_type: KvType) -> Tuning:
    """The choice in a file. Raises `KeyError`, `TypeError` or `ValueError` if it cannot be one."""
    choice, device = said["choice"], said["device"]
    flash, micro = choice["flash_attention"], choice["micro_batch_tokens"]
    threads = [choice["threads"], choice["evaluating_threads"]]
    is_whole = (
        device in ("cpu", "gpu")
        and flash in (None, True, False)
        and (flash is True or kv_type == "f16")
        and type(micro) is int
        and 1 <= micro <= BATCH_TOKENS
        and all(one is None or (type(one) is int and 1 <= one <= 1024) for one in threads)
    )
    if not is_whole:
        raise ValueError(choice)
    return Tuning(
        flash_attention=flash,
        micro_batch_tokens=micro,
        threads=threads[0],
        evaluating_threads=threads[1],
        device=device,
        source=measured_on(said["measured"]),
    )
