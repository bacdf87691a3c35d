"""node-llama-cpp as a contender: installed from npm into the user's cache, where it is asked for.

Above: `contenders.py`. Below: `node.mjs`, which does the work in Node.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import platformdirs

from benchmarks.work import MAX_TOKENS, SYSTEM, TOPICS, Measured, question
from samovar.engines.llama.cores import usable_cores

PACKAGE = "node-llama-cpp"
VERSION = "3"
"""What is asked of npm."""
INSTALL_S = 600.0


def folder() -> Path:
    """Where it is installed."""
    return platformdirs.user_cache_path("samovar") / "benchmarks" / "node"


def missing() -> str | None:
    """Why it cannot be measured; None when it can."""
    if shutil.which("node") is None:
        return "there is no `node`"
    if not _manifest().is_file():
        return f"{PACKAGE} is not installed: --install does that"
    return None


def install() -> str | None:
    """Installs it with its prebuilt binaries; what went wrong, or None. Nothing is compiled."""
    if shutil.which("npm") is None:
        return "there is no `npm`"
    folder().mkdir(parents=True, exist_ok=True)
    (folder() / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    try:
        done = subprocess.run(
            ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", f"{PACKAGE}@{VERSION}"],
            cwd=folder(),
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
        )
    except subprocess.TimeoutExpired:
        return f"npm took more than {INSTALL_S:.0f} s"
    return None if done.returncode == 0 else f"npm says: {done.stderr.strip()[-400:]}"


def version() -> str:
    return f"{PACKAGE} {json.loads(_manifest().read_text(encoding='utf-8'))['version']}"


def _manifest() -> Path:
    return folder() / "node_modules" / PACKAGE / "package.json"


def answer(path: Path, sequences: int, sequence_cells: int, warm_up: tuple[str, str]) -> Measured:
    """One round, `sequences` prompts at once. `warm_up`: a system message and a prompt that do not count."""
    work = {
        "folder": str(folder()),
        "model": str(path),
        "sequences": sequences,
        "sequence_cells": sequence_cells,
        "threads": usable_cores(),
        "system": SYSTEM,
        "questions": [question(topic) for topic in TOPICS],
        "max_tokens": MAX_TOKENS,
        "warm_up_system": warm_up[0],
        "warm_up": warm_up[1],
    }
    done = subprocess.run(
        ["node", str(Path(__file__).with_suffix(".mjs"))],
        input=json.dumps(work),
        capture_output=True,
        text=True,
        env={**os.environ, "NODE_LLAMA_CPP_SKIP_DOWNLOAD": "true"},
    )
    if done.returncode:
        raise RuntimeError(f"node-llama-cpp failed: {done.stderr.strip()[-800:]}")
    return Measured(**json.loads(done.stdout[done.stdout.index("{") :]))
