"""A tiny model in the real engine, for the body of a test. What it left is looked at behind the body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from samovar.engines.base import ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.model import LlamaModel
from samovar.generation import Message
from samovar.models.snapshots import Snapshots


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


def spec_of(path: Path, context_tokens: int | None = 1024) -> ModelSpec:
    return ModelSpec(reference="tiny", path=path, context_tokens=context_tokens)


@asynccontextmanager
async def loaded(
    path: Path, context_tokens: int | None = 1024, snapshots: Snapshots | None = None
) -> AsyncIterator[LlamaModel]:
    engine, spec = LlamaEngine(snapshots), spec_of(path, context_tokens)
    with anyio.fail_after(60):
        model = await engine.load(spec, engine.predict(spec), lambda fraction: None)
        assert isinstance(model, LlamaModel)
        try:
            yield model
            model.check()
        finally:
            await model.close()
            engine.close()
            if snapshots:
                snapshots.close()
