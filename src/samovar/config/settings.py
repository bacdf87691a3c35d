"""The settings themselves: one field each, with all its metadata.

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
        "The model of prompts that do not name one: a path, `package:…`, `hf:…`, `ollama:…`, "
        "`lmstudio:…`, or a "
        "known name.",
        expected="a text: a path, package:…, hf:…, ollama:…, lmstudio:… or a known name",
        names="model",
    )
    aliases: tuple[tuple[str, str], ...] = setting(
        (),
        "Your own names for models, as a table `[aliases]` of names and references; the tables of all "
        "files are "
        "combined. In the environment `fast=hf:…,big=…`, or an object of JSON.",
        expected="a table of names and model references (in SAMOVAR_ALIASES: fast=hf:…,big=…)",
        names="model",
        reads="pairs",
        given="Mapping[str, str]",
    )
    executor: str = setting(
        "local",
        "The executor of prompts that do not name one: `local` is a model on this machine. Several separated "
        "by "
        "commas: the next one answers if one is unavailable at the moment.",
        expected="the name of an executor, or several separated by commas",
    )
    executors: tuple[DeclaredExecutor, ...] = setting(
        (),
        "Other executors that answer prompts, as tables `[executors.NAME]` with a `kind`, and a `url` or "
        "a `command`.",
        expected="tables of executors, as in [executors.NAME]",
        opens=True,
        reads="tables",
        given="Mapping[str, Mapping[str, object]]",
    )
    remote_fallback: bool = setting(
        False,
        "If several executors are named, one on another machine may answer in place of one on this machine.",
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
        expected="a list of rules, as in write:out/** (separated by commas in SAMOVAR_ALLOW)",
        opens=True,
        reads="names",
        given="Sequence[str]",
    )
    context_tokens: int | None = setting(
        None,
        "Tokens in a context; unset: min(trained, 8192), fewer if the budget is small.",
        expected="a whole number, at least 256",
        option="--context",
        metavar="TOKENS",
        help="Tokens in a model's context.",
        least=256,
    )
    budget_bytes: int | None = setting(
        None,
        "Memory that models may use, as in `4GB`; unset: 80 % of what is available.",
        expected="a number of bytes, as in 4GB or 500MB",
        option="--budget",
        metavar="BYTES",
        help="Memory that models may use, as in 4GB.",
        reads="bytes",
        given="int | str",
    )
    threads: int | None = setting(
        None,
        "CPU threads of the engine; unset: one per fast physical core that this process may use, fewer for "
        "decoding while other processes are busy.",
        expected="a whole number from 1 to 1024",
        option="--threads",
        metavar="N",
        help="CPU threads of the engine.",
        least=1,
        most=1024,
    )
    gpu_layers: Literal["auto"] | int = setting(
        "auto",
        "Layers kept on the GPU, counting the output as one: `auto` means as many as fit, 0 means none.",
        expected="auto, or a whole number, at least 0",
        option="--gpu-layers",
        metavar="auto|N",
        help="Layers kept on the GPU; 0 means none.",
        least=0,
    )
    devices: tuple[str, ...] = setting(
        (),
        "GPUs to put layers on, by the engine's names, as in `CUDA0`; unset: all GPUs.",
        expected="a list of names (separated by commas in SAMOVAR_DEVICES)",
        reads="names",
        given="Sequence[str]",
    )
    split_mode: SplitMode = setting(
        "layer",
        "How a model is divided among several GPUs: `layer` puts each layer on one, `row` splits each "
        "matrix, `none` "
        "uses one GPU.",
        expected="'layer', 'row' or 'none'",
    )
    tensor_split: tuple[float, ...] = setting(
        (),
        "Each GPU's share of a model, in any unit; unset: in proportion to its free memory.",
        expected="a list of numbers, each at least 0 (separated by commas in SAMOVAR_TENSOR_SPLIT)",
        reads="names",
        given="Sequence[float]",
    )
    main_gpu: int = setting(
        0,
        "The GPU to use with the split mode `none`, counted from 0.",
        expected="a whole number, at least 0",
        least=0,
    )
    kv_type: KvType = setting(
        "f16",
        "The type of the KV cache: `q8_0` takes half the memory of `f16`, `q4_0` a quarter.",
        expected="'f16', 'q8_0' or 'q4_0'",
        option="--kv-type",
        metavar="TYPE",
        help="The type of the KV cache: f16, q8_0 or q4_0.",
    )
    tune: Literal["auto", "off"] = setting(
        "auto",
        "`auto` loads models with the settings that `samovar tune` found for them on this machine, `off` "
        "does not.",
        expected="'auto' or 'off'",
    )
    keep_alive_s: float = setting(
        300.0,
        "Seconds an idle model stays loaded when no run needs it.",
        expected="a number of seconds, at least 0",
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
        "Disk space for evaluated prompts, so that the next process need not evaluate them again; 0 "
        "keeps none.",
        expected="a number of bytes, as in 4GB or 500MB",
        reads="bytes",
        given="int | str",
    )
    snapshots_days: float = setting(
        14.0,
        "Days after which an unused evaluated prompt on disk is deleted.",
        expected="a number of days, at least 0",
        least=0,
    )
    value_bytes: int = setting(
        MOST_VALUE_BYTES,
        "The largest size of one value: a variable, an answer, a filled template, a command's output.",
        expected="a number of bytes, as in 4GB or 500MB",
        reads="bytes",
        given="int | str",
    )
    most_items: int = setting(
        10_000,
        "The most items that one `for each` goes through; a workflow's `limits: {items: …}` wins.",
        expected="a whole number, at least 1",
        least=1,
    )
    journal: Literal["full", "outline", "off"] = setting(
        "full",
        "How runs are kept: `full`, so that an interrupted one can continue (`samovar resume`); `outline`, "
        "states, times and tokens alone, with no text and no value; `off`, not at all.",
        expected="'full', 'outline' or 'off'",
    )
    journal_file: Path | None = setting(
        None,
        "Where runs are kept; unset: `journal.db` in the user's state folder.",
        expected="a path",
        option="--journal",
        metavar="FILE",
        help="The file that runs are kept in, instead of the one in your state folder.",
        opens=True,
        names="folder",
        given="str | Path",
    )
    journal_days: int = setting(
        30,
        "How many days the journal keeps a run that is over or was interrupted.",
        expected="a whole number of days, at least 1",
        least=1,
    )
    journal_bytes: int = setting(
        1_000_000_000,
        "How large the journal may be; beyond that, the oldest runs are deleted when the next one starts.",
        expected="a number of bytes, as in 4GB or 500MB",
        reads="bytes",
        given="int | str",
    )
    wait: bool = setting(
        False,
        "Without a terminal, a run that needs a person is left waiting for `samovar answer`.",
        expected="true or false",
        option="--wait",
        help="If a person is needed and there is no terminal, leave the run waiting for `samovar answer`.",
    )
    environment: tuple[str, ...] = setting(
        (),
        "Environment variables that prompts may read, as `env.NAME`; prompts see no others.",
        expected="a list of names (separated by commas in SAMOVAR_ENVIRONMENT)",
        opens=True,
        reads="names",
        given="Sequence[str]",
    )
    daemon: Literal["auto", "off"] = setting(
        "auto",
        "`auto` has prompts of local models answered by `samovar serve` while it runs, `off` does not.",
        expected="'auto' or 'off'",
        option="--no-daemon",
        flag="off",
        help="Load models in this process, also if `samovar serve` runs.",
    )
    offline: bool = setting(
        False,
        "Never fetch a model: it must already be on this machine.",
        expected="true or false",
        option="--offline",
        help="Never fetch a model.",
    )


def settings_known() -> Mapping[str, Setting]:
    """What there is to know of each setting, by its name."""
    return {one.name: one.metadata["setting"] for one in fields(Settings)}
