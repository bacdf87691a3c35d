"""What happens to readers when the decode loop fails, and when an arena goes while it is used."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from samovar.engines.base import Finished, ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.requests import Request
from samovar.errors import ClosedError, EngineError
from samovar.generation import Message, Options
from tests.test_arena import CUT_ANYWHERE, answer, loaded, user
from tests.tiny import make_tiny

pytestmark = pytest.mark.anyio

KINDS = (CUT_ANYWHERE, "mamba")
"""Memory that can be cut, and memory that cannot."""


@pytest.fixture(scope="module")
def tiny_kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("kinds")
    return {kind: make_tiny(folder / f"{kind}.gguf", kind) for kind in KINDS}


def ask(model: LlamaModel, text: str) -> Request:
    request = model._request(model._template.tokens(user(text)), Options(max_tokens=4), None)
    model._arena.submit(request)
    return request


async def read(request: Request) -> None:
    """Raises what the reader is told."""
    with anyio.fail_after(60):
        await request.events.finished.wait()
        while await request.events.next(0) is not None:
            pass


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", ["begin", "stop", "evaluated", "give_back", "tidy", "is_room", "known"])
async def test_whatever_fails_in_the_decode_loop_every_reader_is_told(
    tiny_kinds: dict[str, Path], kind: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with loaded(tiny_kinds[kind]) as model:
        prefixes = model._arena._prefixes
        done = getattr(prefixes, step)

        all_asked = threading.Event()

        def fail(*rest: Any, **more: Any) -> None:
            assert all_asked.wait(10)
            done(*rest, **more)  # half done is the worst
            raise MemoryError("no room for the state")

        monkeypatch.setattr(prefixes, step, fail)
        requests = [ask(model, text * 20) for text in ("one", "other", "one and more")]
        all_asked.set()
        for request in requests:
            with pytest.raises(EngineError, match=r"decode loop failed.*no room for the state"):
                await read(request)
        assert model.statistics().sequences_running == model.statistics().requests_waiting == 0
        with pytest.raises(EngineError, match="decode loop failed"):
            ask(model, "late")
        monkeypatch.undo()
        text, _ = await answer(model, user("again"))  # another arena answers
        assert text


async def test_weights_are_not_freed_while_a_prompt_is_tokenized(
    tiny_kinds: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    is_tokenizing, go_on = threading.Event(), threading.Event()

    def tokens(messages: list[Message]) -> list[int]:
        is_tokenizing.set()
        assert go_on.wait(10)
        happened.append("tokenized")
        return [1]

    def freed() -> None:
        happened.append("freed")

    async with loaded(tiny_kinds[CUT_ANYWHERE]) as model:
        monkeypatch.setattr(model._template, "tokens", tokens)
        monkeypatch.setattr(model._binding, "give_back_memory", freed)

        async def one() -> None:
            with pytest.raises(ClosedError):
                await answer(model, user("x"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            await anyio.to_thread.run_sync(is_tokenizing.wait, 10)
            tasks.start_soon(model.close)
            await anyio.to_thread.run_sync(model._arena._thread.join, 10)
            go_on.set()
        assert happened == ["tokenized", "freed"]


async def test_an_arena_is_replaced_for_one_who_asks_before_he_has_read_an_answer_to_its_end(
    tiny_kinds: dict[str, Path],
) -> None:
    larger = LlamaEngine().predict(
        ModelSpec(reference="tiny", path=tiny_kinds[CUT_ANYWHERE], context_tokens=2048)
    )
    async with (
        loaded(tiny_kinds[CUT_ANYWHERE]) as model,
        model.generate(user("one"), Options(max_tokens=4)) as events,
    ):
        with anyio.fail_after(60):
            await model.resize(larger)
        assert (await answer(model, user("x" * 1500)))[1].tokens.evaluated > 1500
        assert isinstance([event async for event in events][-1], Finished)
