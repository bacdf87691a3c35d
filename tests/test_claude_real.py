"""The real program Claude Code, on a tiny model behind the engine's own server: nothing leaves the machine.

Its path is in SAMOVAR_TEST_CLAUDE; without that these are left out. From npm it is the package
`@anthropic-ai/claude-code-linux-x64` (373 MB), which needs no Node.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from samovar.config.declared import DeclaredExecutor
from samovar.errors import UnreachableError
from samovar.executors.claude_code import ClaudeCodeExecutor
from samovar.generation import FinishReason, Options, PromptEvent, TextGenerated
from tests.test_claude_code import ignore, parts_for, prompt

PROGRAM = os.environ.get("SAMOVAR_TEST_CLAUDE", "")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.claude,
    pytest.mark.skipif(not PROGRAM, reason="SAMOVAR_TEST_CLAUDE names no program"),
]
SERVE = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.n_gpu_layers = sys.argv[1], 8192, 1, 0
params.fit_params, params.verbosity, params.ui = False, 0, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
import os
os._exit(0)
"""


@pytest.fixture(scope="module")
def url(real_model: Path) -> Iterator[str]:
    words = [sys.executable, "-c", SERVE, str(real_model)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()
        process.wait(30)


@pytest.fixture
def executor(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClaudeCodeExecutor:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "x")
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    (tmp_path / "home").mkdir()
    return ClaudeCodeExecutor(parts_for(declared(url)))


def declared(url: str) -> DeclaredExecutor:
    named = ("ANTHROPIC_AUTH_TOKEN",)
    return DeclaredExecutor(
        name="c", kind="claude-code", command=(PROGRAM,), url=url, model="tiny", environment=named
    )


async def test_it_answers_goes_on_and_copies_offline(executor: ClaudeCodeExecutor, tmp_path: Path) -> None:
    events: list[PromptEvent] = []
    short = Options(max_tokens=16, think=False)
    with anyio.fail_after(300):
        async with executor.open("run") as connection:
            first = await connection.ask(prompt("Say hello.", session="s", options=short), events.append)
            second = await connection.ask(prompt("Again.", session="s", options=short), ignore)
            copy = await connection.ask(prompt("And again.", fork="s", options=short), ignore)
    assert first.finish_reason in (FinishReason.STOP, FinishReason.LENGTH) and first.text
    assert first.text == "".join(
        one.piece for one in events if isinstance(one, TextGenerated) and one.kind == "text"
    )
    sizes = [one.tokens.evaluated + one.tokens.reused for one in (first, second, copy)]
    assert 0 < sizes[0] < sizes[1] and sizes[2] > sizes[0], "all that was said before is sent"
    assert first.cost is None, "it does not know the price of such a model"
    assert list((tmp_path / "home").glob(".claude/projects/*/*.jsonl")) == []


async def test_nobody_there_is_an_error_that_can_be_tried_again(
    executor: ClaudeCodeExecutor,
) -> None:
    nobody = ClaudeCodeExecutor(parts_for(declared("http://127.0.0.1:9")))
    with anyio.fail_after(120):
        async with nobody.open("run") as connection:
            with pytest.raises(UnreachableError, match="refused"):
                await connection.ask(prompt("Say hello."), ignore)
