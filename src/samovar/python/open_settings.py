"""What `samovar.open()` takes. Made by `scripts/docs.py` of `config.Settings`: edit there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from samovar.generation import KvType, SplitMode


class OpenSettings(TypedDict, total=False):
    """Every setting by its name; `config.Settings` says what each means."""

    model: str
    aliases: Mapping[str, str]
    executor: str
    executors: Mapping[str, Mapping[str, object]]
    remote_fallback: bool
    servers: Mapping[str, Mapping[str, object]]
    allow: Sequence[str]
    context_tokens: int
    budget_bytes: int | str
    threads: int
    gpu_layers: Literal["auto"] | int
    devices: Sequence[str]
    split_mode: SplitMode
    tensor_split: Sequence[float]
    main_gpu: int
    kv_type: KvType
    tune: Literal["auto", "off"]
    keep_alive_s: float
    cache_folder: str | Path
    snapshots_bytes: int | str
    snapshots_days: float
    value_bytes: int | str
    most_items: int
    journal: Literal["full", "outline", "off"]
    journal_file: str | Path
    journal_days: int
    journal_bytes: int | str
    wait: bool
    environment: Sequence[str]
    daemon: Literal["auto", "off"]
    offline: bool
