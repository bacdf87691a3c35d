"""What happens to readers when the decode loop fails, and when an arena goes while it is used."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from samovar.engines.base import Conversation, Finished, ModelSpec
from samovar.engines.llama.binding import open_binding
from samovar.engines.llama.chat import PromptTokens
from samovar.engines.llama.context import Context
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.requests import Request
from samovar.errors import ClosedError, EngineError
from samovar.generation import FinishReason, Message, Options, TextGenerated
from tests.on_tiny import loaded, user
from tests.test_arena import CUT_ANYWHERE, answer
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

    def prompt(messages: list[Message], options: Options) -> PromptTokens:
        is_tokenizing.set()
        assert go_on.wait(10)
        happened.append("tokenized")
        return PromptTokens(tokens=[1], beginning=None)

    def freed() -> None:
        happened.append("freed")

    async with loaded(tiny_kinds[CUT_ANYWHERE]) as model:
        monkeypatch.setattr(model._template, "prompt", prompt)
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


@pytest.mark.parametrize("kind", KINDS)
async def test_after_a_growth_that_fails_twice_the_model_answers_as_soon_as_there_is_room(
    tiny_kinds: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger = LlamaEngine().predict(ModelSpec(reference="tiny", path=tiny_kinds[kind], context_tokens=2048))
    async with loaded(tiny_kinds[kind]) as model:
        await answer(model, user("one"))

        def make(*rest: Any) -> Any:
            raise EngineError("no room for a context")

        monkeypatch.setattr(Context, "_make", make)
        with pytest.raises(EngineError, match="no room for a context"):
            await model.resize(larger)
        with pytest.raises(EngineError, match="no room for a context"):
            await answer(model, user("two"))
        model.check()
        assert model.statistics().sequences_running == 0
        monkeypatch.undo()
        assert (await answer(model, user("three")))[1].tokens.generated
        await model.resize(larger)
        assert model.statistics().context_tokens == 2048


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", ["carry", "accept"])
async def test_too_little_memory_for_what_was_evaluated_leaves_no_context_behind(
    tiny_kinds: dict[str, Path], kind: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger = LlamaEngine().predict(ModelSpec(reference="tiny", path=tiny_kinds[kind], context_tokens=2048))
    made: list[Context] = []
    init = Context.__init__

    def noted(context: Context, *rest: Any, **more: Any) -> None:
        init(context, *rest, **more)
        made.append(context)

    monkeypatch.setattr(Context, "__init__", noted)
    async with loaded(tiny_kinds[kind]) as model:
        await answer(model, user("one" * 20), conversation=Conversation())
        prefixes = type(model._arena._prefixes)
        done = getattr(prefixes, step)

        def fail(self: Any, *rest: Any) -> Any:
            if step == "carry" or rest[0]:
                raise MemoryError
            return done(self, *rest)

        monkeypatch.setattr(prefixes, step, fail)
        if step == "carry":
            await model.resize(larger)
        else:
            with pytest.raises(EngineError, match="no memory for a context of 2048"):
                await model.resize(larger)
        assert (await answer(model, user("two")))[1].tokens.generated
        assert [context for context in made if context._value is not None] == [model._arena._context]


@pytest.mark.parametrize("kind", ["mamba", "jamba", "gemma2"])
async def test_cancelling_others_evaluates_nothing_again_of_an_answer_whose_memory_cannot_be_cut(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[Request] = []
    stopped: list[Request] = []
    decode = Context.decode
    async with loaded(make_tiny(tmp_path / f"{kind}.gguf", kind), 4096) as model:
        arena = model._arena

        def cancelling(context: Context, batch: Any) -> int:
            """While a batch is evaluated in which others take part, these are cancelled."""
            for part in arena._batch.parts:
                if part.running.request in others and part.running.pending:
                    others.remove(part.running.request)
                    stopped.append(part.running.request)
                    arena.end(part.running.request, FinishReason.CANCELLED)
            return decode(context, batch)

        monkeypatch.setattr(Context, "decode", cancelling)
        tokens = model._template.tokens(user("x" * 700))
        one = model._request(tokens, Options(max_tokens=200), None)
        arena.submit(one)
        for number in range(20):
            asked = model._template.tokens(user(f"{number} " * 100))
            others.append(model._request(asked, Options(max_tokens=4), None))
        everybody = list(others)
        for other in everybody:
            arena.submit(other)
        for other in everybody:
            with anyio.fail_after(60):
                await other.events.finished.wait()
        assert len(stopped) == 20
        end = None
        while not isinstance(end, Finished):
            end = await one.events.next(None)
        assert end.tokens.evaluated == len(tokens)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_prompt_that_the_engine_cannot_evaluate_fails_none_that_shares_its_batch(
    tiny_kinds: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Request] = []
    failed: list[int] = []
    decode = Context.decode
    async with loaded(tiny_kinds[kind], 2048) as model:
        arena = model._arena

        def failing(context: Context, batch: Any) -> int:
            parts = arena._batch.parts
            if any(part.running.request is bad for part in parts):
                failed.append(len(parts))
                return -3
            return decode(context, batch)

        monkeypatch.setattr(Context, "decode", failing)
        begun = threading.Event()
        admit = arena._admission.admit

        def together() -> None:
            assert begun.wait(10)
            arena._admission.waiting.extend(arena._queue.take())
            admit()

        monkeypatch.setattr(arena._admission, "admit", together)
        for text in ("good" * 9, "bad" * 9, "better" * 9):
            tokens = model._template.tokens(user(text))
            asked.append(model._request(tokens, Options(max_tokens=30), None))
        bad = asked[1]
        for request in asked:
            arena.submit(request)
        begun.set()
        with pytest.raises(EngineError, match=r"could not evaluate a batch \(code -3\)"):
            await read(bad)
        texts = [await text_of(request) for request in (asked[0], asked[2])]
        assert failed == [3, 1], "once with the others, once alone"
        assert all(texts)
        model.check()


async def text_of(request: Request) -> str:
    said = ""
    with anyio.fail_after(60):
        while not isinstance(event := await request.events.next(None), Finished):
            if isinstance(event, TextGenerated):
                said += event.piece
    return said


def test_a_failed_load_reads_its_own_reasons_while_others_fail() -> None:
    binding = open_binding()
    wrong: list[object] = []
    binding._errors.clear()  # an earlier thread may have had the number of one below
    binding._errors.extend((0, "of a thread that never asks") for _ in range(60))

    def fail(name: str) -> None:
        text = binding.ffi.new("char[]", name.encode())
        try:
            for _ in range(1000):
                for _ in range(2):
                    binding._log(4, text, None)
                wrong.extend(line for line in binding.errors_of_this_thread() if line != name)
        except RuntimeError as error:  # of a collection that changed meanwhile
            wrong.append(error)

    threads = [threading.Thread(target=fail, args=(name,)) for name in ("one", "other", "third", "last")]
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval_s)
    assert wrong == []
    binding._errors.clear()
