"""The acceptance suite of Open Responses against the model API, as its authors run it.

The folder of its repository is in SAMOVAR_TEST_OPENRESPONSES, with `tsx` and `zod` in its `node_modules`;
without that it is left out. What needs images, compaction or web sockets is not part of it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from samovar.engines.scripted_calls import call_text
from tests.model_api import behind_a_server

FOLDER = os.environ.get("SAMOVAR_TEST_OPENRESPONSES", "")
TESTS = ("basic-response", "streaming-response", "system-prompt", "tool-calling", "multi-turn")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.conformance,
    pytest.mark.skipif(not FOLDER, reason="SAMOVAR_TEST_OPENRESPONSES names no folder"),
]


async def test_the_acceptance_suite_of_open_responses_passes() -> None:
    async with behind_a_server("<think>Well.</think>Hello. " + call_text("get_weather", location="X")) as api:
        words = ["node_modules/.bin/tsx", "bin/compliance-test.ts", "--base-url", f"{api.url}/v1"]
        words += ["--api-key", "x", "--model", "tiny", "--filter", ",".join(TESTS), "--json"]

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(words, cwd=Path(FOLDER), capture_output=True, text=True, timeout=120)

        with anyio.fail_after(150):
            done = await anyio.to_thread.run_sync(run)
    results = json.loads(done.stdout)["results"]
    assert {one["id"]: one.get("errors") for one in results} == {name: [] for name in TESTS}, done.stdout
    assert {one["status"] for one in results} == {"passed"}
