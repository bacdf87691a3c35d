"""However a use of the real engine ends, everything is given back and the interpreter goes down cleanly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import logging, sys, threading
from pathlib import Path
import anyio
from samovar.engines.base import ModelSpec
from samovar.generation import TextGenerated
from samovar.engines.llama.engine import LlamaEngine
from samovar.generation import FinishReason, Message, Options
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions

how, path = sys.argv[1], Path(sys.argv[2])
logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns where a step took long, as on a busy machine
spec = ModelSpec(reference="tiny", path=path, context_tokens=4096)
long = Options(max_tokens=3000, timeout_s=0.0001 if how == "timeout" else None)

async def ask(sessions, options, hear=lambda event: None):
    async with sessions.open(spec) as session:
        return await session.ask([Message(role="user", content="word " * 300)], options, on_event=hear)

def deaf(event):
    if isinstance(event, TextGenerated):
        raise ZeroDivisionError

async def use(sessions):
    if how == "success":
        await ask(sessions, Options(max_tokens=3))
    elif how == "failure":
        try:
            await ask(sessions, Options(choices=("\\ud800",)))
        except Exception:
            pass
    elif how == "timeout":
        assert (await ask(sessions, long)).reason is FinishReason.TIMEOUT
    elif how == "cancel":
        with anyio.CancelScope() as scope:
            def stop(event):
                if isinstance(event, TextGenerated):
                    scope.cancel()

            await ask(sessions, long, stop)
        assert scope.cancelled_caught
    elif how == "callback":
        try:
            await ask(sessions, long, deaf)
        except ZeroDivisionError:
            pass
        else:
            raise AssertionError
    elif how == "race":
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(ask, sessions, Options(max_tokens=2))
        assert sessions.pool.statistics().models[0].loads == 1

async def main():
    engine = LlamaEngine()
    if how == "left open":
        model = await engine.load(spec, engine.predict(spec), lambda fraction: None)
        async with model.generate([Message(role="user", content="hi")], Options(max_tokens=2)) as events:
            [event async for event in events]
        return
    async with Pool(engine, budget_bytes=1_000_000_000) as pool:
        sessions = Sessions(pool)
        await use(sessions)
        sessions.check()
        statistics = pool.statistics()
        assert statistics.leases == statistics.waiting == 0
        if how != "failure":
            assert statistics.models[0].statistics.sequences_running == 0
        assert sessions.statistics().opened == sessions.statistics().closed
    engine.close()
    assert not [thread for thread in threading.enumerate() if "samovar" in thread.name]

anyio.run(main)
"""


WAYS = ["success", "cancel"]
MORE_WAYS = ["failure", "timeout", "callback", "race", "left open"]


@pytest.mark.parametrize("how", [*WAYS, *(pytest.param(one, marks=pytest.mark.slow) for one in MORE_WAYS)])
def test_the_process_ends_with_0_and_nothing_on_standard_error(how: str, tiny_model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT, how, str(tiny_model)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
