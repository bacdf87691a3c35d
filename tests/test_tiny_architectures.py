"""Tiny models of every kind of memory load in the real engine and answer."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from samovar.engines.base import Finished, ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.generation import FinishReason, Message, Options
from tests.tiny import TENSORS, make_tiny

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("architecture", TENSORS)
async def test_it_loads_and_answers(architecture: str, tmp_path: Path) -> None:
    spec = ModelSpec(reference="tiny", path=make_tiny(tmp_path / "x.gguf", architecture), context_tokens=512)
    engine = LlamaEngine()
    with anyio.fail_after(60):
        model = await engine.load(spec, engine.predict(spec), lambda fraction: None)
        try:
            for text in ("hello", "hello there " * 20):  # longer than the window, and with a shared prefix
                messages = [Message(role="user", content=text)]
                async with model.generate(messages, Options(max_tokens=8)) as events:
                    end = [event async for event in events][-1]
                assert isinstance(end, Finished)
                assert end.reason in (FinishReason.LENGTH, FinishReason.STOP)
                assert end.tokens.generated > 0
            model.check()
        finally:
            await model.close()
            engine.close()
