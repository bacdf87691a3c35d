"""What `samovar.open()` takes. Made by `scripts/docs.py` of `config.Settings`: edit there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

from samovar.generation import KvType


class OpenSettings(TypedDict, total=False):
    """Every setting by its name; `config.Settings` says what each means."""

    model: str
    executor: str
    context_tokens: int
    budget_bytes: int | str
    threads: int
    gpu_layers: Literal["auto"] | int
    kv_type: KvType
    keep_alive_s: float
    cache_folder: str | Path
    snapshots_bytes: int | str
    snapshots_days: float
    environment: Sequence[str]
    offline: bool
