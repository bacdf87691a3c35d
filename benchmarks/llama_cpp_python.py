"""llama-cpp-python as a contender: which interpreter has it, and how it is built where none does.

Above: `contenders.py`, `seconds.py`. Below: `llama_cpp_w12.py`, which does the work in that interpreter.
There is no wheel of it in the package index: `install` compiles it, which takes ten minutes and more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs

from benchmarks.work import CELLS, MAX_TOKENS, SYSTEM, TOPICS, Measured, question
from samovar.engines.llama.cores import usable_cores

PACKAGE = "llama-cpp-python"
VARIABLE = "SAMOVAR_BENCHMARKS_LLAMA_CPP_PYTHON"
"""An interpreter that can import `llama_cpp`."""

BUILD = "-DGGML_NATIVE=OFF"
"""For the instructions that the wheel of our engine is built for; what a compiler takes for this machine's
own may be more than a virtual one has."""


def folder() -> Path:
    """Of the virtual environment that `install` makes."""
    return platformdirs.user_cache_path("samovar") / "benchmarks" / "llama-cpp-python"


@cache
def python() -> Path | None:
    """The interpreter that has it; None if there is none. Looked for once: that takes a process for each."""
    for path in (os.environ.get(VARIABLE), folder() / "bin" / "python", sys.executable):
        if path and Path(path).exists() and version_in(Path(path)) is not None:
            return Path(path)
    return None


def version_in(interpreter: Path) -> str | None:
    """None if it has none."""
    program = f"from importlib.metadata import version; print(version({PACKAGE!r}))"
    done = subprocess.run([interpreter, "-c", program], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def missing() -> str | None:
    """Why it cannot be measured; None when it can."""
    return None if python() else f"{PACKAGE} is not installed: {VARIABLE}, or --install"


def version() -> str:
    found = python()
    return f"{PACKAGE} {version_in(found) if found else None}"


def install() -> str | None:
    """Compiles it into an environment of its own; what went wrong, or None."""
    venv.create(folder(), with_pip=True)
    done = subprocess.run(
        [folder() / "bin" / "python", "-m", "pip", "install", "-q", "--no-binary", PACKAGE, PACKAGE],
        capture_output=True,
        text=True,
        env={**os.environ, "CMAKE_ARGS": BUILD},
    )
    python.cache_clear()
    return None if done.returncode == 0 else f"pip says: {done.stderr.strip()[-400:]}"


def run(path: Path, warm_up: tuple[str, str] | None) -> dict[str, Any]:
    """What `llama_cpp_w12.py` prints for one round. Raises `RuntimeError`."""
    work = {
        "model": str(path),
        "cells": CELLS,
        "threads": usable_cores(),
        "system": SYSTEM,
        "questions": [question(topic) for topic in TOPICS],
        "max_tokens": MAX_TOKENS,
        "warm_up": warm_up,
    }
    done = subprocess.run(
        [str(python()), str(Path(__file__).with_name("llama_cpp_w12.py"))],
        input=json.dumps(work),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{PACKAGE} failed: {done.stderr.strip()[-800:]}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def answer(path: Path, warm_up: tuple[str, str]) -> Measured:
    """One round, from the first prompt to the last answer."""
    return Measured(**run(path, warm_up)["figures"])
