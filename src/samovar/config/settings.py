"""The settings themselves: one field each, with all there is to know of it.

Above: `loading.py`, which reads them, and `__init__.py`. Below: `declared.py`, `setting.py`. A setting's
option, its variable, its key in the files, the docs and the types of `samovar.open()` come from its field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from samovar.config.declared import DeclaredExecutor, DeclaredServer
from samovar.generation import KvType, SplitMode
from samovar.setting import Setting, setting
from samovar.values import MOST_VALUE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, with its default. In the environment: `SAMOVAR_` and the name in capitals."""

    model: str = setting(
        "smollm2",
        "The model of prompts that name none: a path, `package:…`, `hf:…`, `ollama:…`, `lmstudio:…`, or a "
        "known name.",
        expected="a text: a path, package:…, hf:…, ollama:…, lmstudio:… or a known name",
        names="model",
    )
    aliases: tuple[tuple[str, str], ...] = setting(
        (),
        "Names of your own for models, as a table `[aliases]` of names and references; those of all files "
        "count. In the environment `fast=hf:…,big=…`, or an object of JSON.",
        expected="a table of names and model references (in SAMOVAR_ALIASES: fast=hf:…,big=…)",
        names="model",
        reads="pairs",
        given="Mapping[str, str]",
    )
    executor: str = setting(
        "local",
        "Who answers prompts that name no executor: `local` is a model on this machine. Several with commas "
        "between them: the next one answers where one is not to be had at the moment.",
        expected="the name of an executor, or several with commas between them",
    )
    executors: tuple[DeclaredExecutor, ...] = setting(
        (),
        "Who else answers prompts, as tables `[executors.NAME]` with a `kind`, and a `url` or a `command`.",
        expected="tables of executors, as in [executors.NAME]",
        opens=True,
        reads="tables",
        given="Mapping[str, Mapping[str, object]]",
    )
    remote_fallback: bool = setting(
        False,
        "Where several executors are named, one on another machine may answer in place of one on this.",
        expected="true or false",
        opens=True,
    )
    servers: tuple[DeclaredServer, ...] = setting(
        (),
        "Servers of tools (MCP), as tables `[servers.NAME]` with a `command` or a `url`.",
        expected="tables of servers, as in [servers.NAME]",
        opens=True,
        reads="tables",
        given="Mapping[str, Mapping[str, object]]",
    )
    allow: tuple[str, ...] = setting(
        (),
        "What tools may do without asking: `write:out/**`, `shell:git *`, `fetch:docs.example.org`.",
        expected="a list of rules, as in write:out/** (with commas between them in SAMOVAR_ALLOW)",
        opens=True,
        reads="names",
        given="Sequence[str]",
    )
    context_tokens: int | None = setting(
        None,
        "Tokens a context holds; unset: min(trained, 8192), less where the budget is small.",
        expected="a whole number from 256 on",
        option="--context",
        metavar="TOKENS",
        help="Tokens a model's context holds.",
        least=256,
    )
    budget_bytes: int | None = setting(
        None,
        "Memory that models may take, as in `4GB`; unset: 80 % of what is available.",
        expected="a number of bytes, as in 4GB or 500MB",
        option="--budget",
        metavar="BYTES",
        help="Memory that models may take, as in 4GB.",
        reads="bytes",
        given="int | str",
    )
    threads: int | None = setting(
        None,
        "CPU threads of the engine; unset: one per physical core of the fast kind that this process may use, "
        "fewer for decoding beside other busy processes.",
        expected="a whole number from 1 to 1024",
        option="--threads",
        metavar="N",
        help="CPU threads of the engine.",
        least=1,
        most=1024,
    )
    gpu_layers: Literal["auto"] | int = setting(
        "auto",
        "Layers kept on the GPU, the output counted as one: `auto` is as many as fit, 0 is none.",
        expected="auto, or a whole number from 0 on",
        option="--gpu-layers",
        metavar="auto|N",
        help="Layers kept on the GPU; 0 is none.",
        least=0,
    )
    devices: tuple[str, ...] = setting(
        (),
        "GPUs that layers are put on, by the engine's names as in `CUDA0`; unset: all there are.",
        expected="a list of names (with commas between them in SAMOVAR_DEVICES)",
        reads="names",
        given="Sequence[str]",
    )
    split_mode: SplitMode = setting(
        "layer",
        "How a model is put on several GPUs: `layer` puts each layer on one, `row` parts each matrix, `none` "
        "takes one GPU.",
        expected="'layer', 'row' or 'none'",
    )
    tensor_split: tuple[float, ...] = setting(
        (),
        "Each GPU's part of a model, in any unit; unset: by the memory that is free there.",
        expected="a list of numbers from 0 on (with commas between them in SAMOVAR_TENSOR_SPLIT)",
        reads="names",
        given="Sequence[float]",
    )
    main_gpu: int = setting(
        0,
        "With the split mode `none`, which of the GPUs, from 0 on.",
        expected="a whole number from 0 on",
        least=0,
    )
    kv_type: KvType = setting(
        "f16",
        "What a context keeps in its cells: `q8_0` takes half of `f16`, `q4_0` a quarter.",
        expected="'f16', 'q8_0' or 'q4_0'",
        option="--kv-type",
        metavar="TYPE",
        help="What a context's cells are kept in: f16, q8_0 or q4_0.",
    )
    tune: Literal["auto", "off"] = setting(
        "auto",
        "`auto` loads models with what `samovar tune` kept for them on this machine, `off` does not.",
        expected="'auto' or 'off'",
    )
    keep_alive_s: float = setting(
        300.0,
        "Seconds an idle model stays loaded when no run needs it.",
        expected="a number of seconds from 0 on",
        least=0,
    )
    cache_folder: Path | None = setting(
        None,
        "Where fetched models and snapshots are kept; unset: the user's cache folder.",
        expected="a path",
        opens=True,
        names="folder",
        given="str | Path",
    )
    snapshots_bytes: int = setting(
        2_000_000_000,
        "What evaluated prompts may take on disk, so that the next process need not evaluate them; 0 keeps "
        "nothing there.",
        expected="a number of bytes, as in 4GB or 500MB",
        reads="bytes",
        given="int | str",
    )
    snapshots_days: float = setting(
        14.0,
        "Days after which an evaluated prompt on disk that was not used is deleted.",
        expected="a number of days from 0 on",
        least=0,
    )
    value_bytes: int = setting(
        MOST_VALUE_BYTES,
        "The most that one value may take: a variable, an answer, a filled text, what a command writes.",
        expected="a number of bytes, as in 4GB or 500MB",
        reads="bytes",
        given="int | str",
    )
    most_items: int = setting(
        10_000,
        "The most items that one `for each` goes through; a workflow's `limits: {items: …}` wins.",
        expected="a whole number from 1 on",
        least=1,
    )
    journal: Literal["on", "off"] = setting(
        "off",
        "Whether runs are kept, so that one that was interrupted can go on (`samovar resume`).",
        expected="'on' or 'off'",
    )
    journal_file: Path | None = setting(
        None,
        "Where runs are kept; unset: `journal.db` in the user's state folder.",
        expected="a path",
        option="--journal",
        metavar="FILE",
        help="Keep the run in this file, so that it can go on if it is interrupted.",
        opens=True,
        names="folder",
        given="str | Path",
    )
    environment: tuple[str, ...] = setting(
        (),
        "Environment variables that prompts may read, as `env.NAME`; others are not there.",
        expected="a list of names (with commas between them in SAMOVAR_ENVIRONMENT)",
        opens=True,
        reads="names",
        given="Sequence[str]",
    )
    offline: bool = setting(
        False,
        "Never fetch a model; it must be there already.",
        expected="true or false",
        option="--offline",
        help="Never fetch a model.",
    )


def settings_known() -> Mapping[str, Setting]:
    """What there is to know of each setting, by its name."""
    return {one.name: one.metadata["setting"] for one in fields(Settings)}
