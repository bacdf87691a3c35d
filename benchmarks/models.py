"""How long `samovar models` takes for twelve models in four stores: `python -m benchmarks.models`.

A home is made with small files that have the headers of large ones: three with vocabularies of 260,000
tokens and as many merges, the rest with 32,000. Each round is a process of its own, and its time that of the
command after its imports. `cold` has looked at none of the files before; `again` remembers how to read them.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import gguf
import typer
from tests.test_cli import environment
from tests.test_stores import add_to_hub, add_to_ollama
from tests.tiny import Sizes, byte_texts, make_tiny

GOAL_S = 0.5
LARGE, SMALL = 260_000, 32_000
"""Tokens of a vocabulary."""
SIZES = Sizes(width=32, heads=2, kv_heads=1, feed_forward=32)
COMMAND = """
import contextlib, io, json, sys, time
from samovar.cli.models import list_models
from samovar.config import load_settings
load_settings({})  # which imports what reads them
wall, cpu = time.perf_counter(), time.process_time()
with contextlib.redirect_stdout(io.StringIO()) as shown:
    list_models([], {}, as_json=True)
took = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps([*took, len(json.loads(shown.getvalue())["models"])]))
"""


def vocabulary(tokens: int) -> Callable[[gguf.GGUFWriter, int], int]:
    """So many tokens, and as many merges."""

    def add(writer: gguf.GGUFWriter, more: int) -> int:
        texts = [*byte_texts(), *(f"token{number}" for number in range(tokens - 256))]
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(texts)
        writer.add_token_types([gguf.TokenType.NORMAL] * tokens)
        writer.add_token_merges([f"tok en{number}" for number in range(tokens)])
        return tokens

    return add


def make_home(home: Path) -> None:
    """Three models in each of the four stores."""
    files = home / "files"
    files.mkdir()
    large, small = (
        make_tiny(files / f"{tokens}.gguf", sizes=SIZES, vocabulary=vocabulary(tokens))
        for tokens in (LARGE, SMALL)
    )
    for number, (name, model) in enumerate((("a", small), ("b", small), ("c", large))):
        package = home / ".cache" / "samovar" / "models" / f"package-{name}" / "m.gguf"
        studio = home / ".lmstudio" / "models" / "pub" / name / "m-Q4_K_M.gguf"
        for path in (package, studio):
            path.parent.mkdir(parents=True)
            shutil.copy(model if path is package else small, path)
        sha = str(number) * 64
        add_to_hub(home / ".cache" / "huggingface" / "hub", model, f"{name}-Q4_K_M.gguf", sha)
        add_to_ollama(home / "ollama", model, f"host/library/{name}/latest", sha)


def took(home: Path) -> tuple[float, float, int]:
    """(wall seconds, CPU seconds, models) of one process."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND], env=environment(home), capture_output=True, text=True, check=True
    )
    wall_s, cpu_s, models = json.loads(done.stdout)
    return wall_s, cpu_s, models


def main(rounds: int = 5) -> None:
    """Prints the medians in seconds, and exits with 1 if the goal is missed."""
    times: dict[str, list[tuple[float, float, int]]] = {"cold": [], "again": []}
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        make_home(home)
        remembered = home / ".cache" / "samovar" / "headers.json"
        for _ in range(rounds):
            remembered.unlink(missing_ok=True)
            times["cold"].append(took(home))
            times["again"].append(took(home))
    for what, all_of in times.items():
        wall_s, cpu_s = (statistics.median(one[at] for one in all_of) for at in (0, 1))
        print(f"{what:6} {all_of[0][2]} models  {wall_s:.3f} s  ({cpu_s:.3f} s of CPU; goal: {GOAL_S} s)")
    raise SystemExit(statistics.median(one[0] for one in times["cold"]) > GOAL_S)


if __name__ == "__main__":
    typer.run(main)
