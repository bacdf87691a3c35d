"""While an arena is replaced by a larger one, the process takes no more than was promised for that time."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from samovar.engines.base import Conversation, Finished, ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.generation import Message, Options
from samovar.memory import peak_bytes, resident_bytes
from samovar.serving.entries import PoolEntry
from tests.tiny import Sizes, make_tiny

RESET_PEAK = Path("/proc/self/clear_refs")
TOLERANCE_BYTES = 8_000_000
SIZES = Sizes(layers=16, width=512, heads=8, kv_heads=8, feed_forward=64)
"""32 KB of keys and values for each token: 67 MB for the first arena, 134 MB for the other one."""
FIRST_TOKENS, THEN_TOKENS = 2048, 4096
PROMPT_TOKENS = 1800


async def measure(path: str, share: str) -> None:
    """Prints the bytes promised for the resize, those taken at its peak, and the tokens evaluated then."""
    engine = LlamaEngine()
    spec = ModelSpec(reference="x", path=Path(path), context_tokens=FIRST_TOKENS)
    first = engine.predict(spec)
    key = engine.key(spec)
    small = replace(spec, context_tokens=256)
    warm = await engine.load(small, engine.predict(small), lambda fraction: None)
    before_bytes = resident_bytes()
    model = await engine.load(spec, first, lambda fraction: None)
    conversation = Conversation()
    messages = [Message(role="user", content="abcdefgh " * (PROMPT_TOKENS // 9))]
    await _tokens(model, messages, conversation)

    then = engine.predict(replace(spec, context_tokens=THEN_TOKENS))
    entry = PoolEntry(key, spec, first, first)
    then = replace(then, carry_bytes=int(entry.carried_most_bytes * float(share)))
    entry.next_cost = then
    RESET_PEAK.write_text("5", encoding="ascii")
    await model.resize(then)
    peak = peak_bytes()
    assert peak is not None
    evaluated = await _tokens(model, messages, conversation)
    sys.stdout.write(json.dumps([entry.held_bytes, peak - before_bytes, evaluated]) + "\n")
    await model.close()
    await warm.close()
    engine.close()


async def _tokens(model: object, messages: list[Message], conversation: Conversation) -> int:
    """How many were evaluated for one token's answer."""
    from samovar.engines.llama.model import LlamaModel

    assert isinstance(model, LlamaModel)
    async with model.generate(messages, Options(max_tokens=1), conversation) as events:
        found = [event.tokens.evaluated async for event in events if isinstance(event, Finished)]
    return found[0]


@pytest.mark.slow
@pytest.mark.skipif(not RESET_PEAK.exists(), reason="the system does not count the peak of a moment")
@pytest.mark.parametrize("share", [1.0, 0.0])
def test_a_resize_takes_no_more_than_was_promised(share: float, tmp_path: Path) -> None:
    path = make_tiny(tmp_path / "x.gguf", sizes=SIZES)
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_memory_resize", str(path), str(share)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    promised, taken, evaluated = json.loads(done.stdout.splitlines()[-1])
    assert taken <= promised + TOLERANCE_BYTES, (taken, promised)
    assert (evaluated == 1) == bool(share), "all was carried over if there was room for it"


if __name__ == "__main__":
    model_path, carried_share = sys.argv[1:]
    anyio.run(measure, model_path, carried_share)
