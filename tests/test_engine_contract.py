"""What every engine must do: the same suite over all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from samovar import generation
from samovar.engines.base import Engine, Finished, Model, ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.scripted import ScriptedEngine
from samovar.errors import ClosedError, ContextError, ModelError
from samovar.generation import FinishReason, Message, Options, PromptEvaluating, Sampling, TextGenerated

pytestmark = pytest.mark.anyio


ENGINES: dict[str, type[Engine]] = {"scripted": ScriptedEngine, "llama": LlamaEngine}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]()


@asynccontextmanager
async def loaded(engine: Engine, path: Path, context_tokens: int | None = 512) -> AsyncIterator[Model]:
    spec = ModelSpec(reference="tiny", path=path, context_tokens=context_tokens)
    with anyio.fail_after(60):
        model = await engine.load(spec, engine.predict(spec), lambda fraction: None)
        try:
            yield model
            model.check()
            assert model.statistics().sequences_running == 0
        finally:
            await model.close()
            engine.close()


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


async def test_whoever_asked_hears_once_that_the_engine_has_done(engine: Engine, tiny_model: Path) -> None:
    async with loaded(engine, tiny_model) as model:
        for reads in (True, False):
            ended: list[str] = []

            def hear(ended: list[str] = ended) -> None:
                ended.append("done")

            async with model.generate(user("a b c"), Options(max_tokens=4), on_end=hear) as events:
                if reads:
                    async for _ in events:
                        pass
            assert ended == ["done"]


async def answer(model: Model, text: str, options: Options) -> tuple[str, Finished, list[PromptEvaluating]]:
    said, progress, end = "", [], None
    async with model.generate(user(text), options) as events:
        async for event in events:
            if isinstance(event, TextGenerated):
                assert end is None
                said += event.piece
            elif isinstance(event, PromptEvaluating):
                progress.append(event)
            else:
                assert end is None, "Finished comes once"
                end = event
    assert end is not None
    return said, end, progress


async def test_an_answer_begins_with_progress_and_ends_with_finished(
    engine: Engine, tiny_model: Path
) -> None:
    async with loaded(engine, tiny_model) as model:
        _, end, progress = await answer(model, "one two three", Options(max_tokens=2))
        assert progress[0].evaluated_tokens == 0
        assert end.tokens.evaluated + end.tokens.reused == progress[0].total_tokens
        assert end.tokens.generated <= 2


async def test_max_tokens_ends_it_with_length(engine: Engine, tiny_model: Path) -> None:
    async with loaded(engine, tiny_model) as model:
        _, end, _ = await answer(model, "a b c d e f g h", Options(max_tokens=3))
        assert (end.reason, end.tokens.generated) == (FinishReason.LENGTH, 3)


async def test_a_prompt_seen_before_is_reused_but_for_its_last_token(
    engine: Engine, tiny_model: Path
) -> None:
    async with loaded(engine, tiny_model) as model:
        _, first, _ = await answer(model, "the same words again", Options(max_tokens=1))
        _, again, _ = await answer(model, "the same words again", Options(max_tokens=1))
        assert first.tokens.reused == 0
        assert again.tokens.evaluated == 1
        assert again.tokens.reused == first.tokens.evaluated - 1


async def test_choices_give_one_of_them_whatever_the_model_would_say(
    engine: Engine, tiny_model: Path
) -> None:
    choices = ("yes", "no", "yes, but", "ünsure", 'a "quoted" one')
    async with loaded(engine, tiny_model) as model:
        for seed in range(20):
            options = Options(
                choices=choices, max_tokens=1, stop=("e",), sampling=Sampling(temperature=1.5, seed=seed)
            )
            said, end, _ = await answer(model, f"which {seed}", options)
            assert said in choices
            assert end.reason is FinishReason.STOP


async def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(
    engine: Engine, tiny_model: Path
) -> None:
    async with loaded(engine, tiny_model, context_tokens=256) as model:
        with pytest.raises(ContextError) as caught:
            await answer(model, "word " * 400, Options())
        assert caught.value.prompt_tokens > caught.value.context_tokens == 256
        assert str(caught.value.prompt_tokens) in str(caught.value) and "256" in str(caught.value)


async def test_leaving_early_gives_the_sequence_back(engine: Engine, tiny_model: Path) -> None:
    async with loaded(engine, tiny_model) as model:
        async with model.generate(user("a b c d e f"), Options(max_tokens=400)) as events:
            async for event in events:
                if isinstance(event, TextGenerated):
                    break
        assert model.statistics().sequences_running == 0
        model.check()


async def test_a_cancelled_caller_gives_the_sequence_back(engine: Engine, tiny_model: Path) -> None:
    async with loaded(engine, tiny_model) as model:
        with anyio.CancelScope() as scope:
            async with model.generate(user("a b c d e f"), Options(max_tokens=400)) as events:
                async for event in events:
                    if isinstance(event, TextGenerated):
                        scope.cancel()
        assert scope.cancelled_caught
        assert model.statistics().sequences_running == 0


async def test_an_exception_while_listening_comes_out_and_gives_the_sequence_back(
    engine: Engine, tiny_model: Path
) -> None:
    async with loaded(engine, tiny_model) as model:
        with pytest.raises(ZeroDivisionError):
            async with model.generate(user("a b c d"), Options(max_tokens=400)) as events:
                async for _ in events:
                    raise ZeroDivisionError
        assert model.statistics().sequences_running == 0


async def test_many_at_once_all_get_their_answer(engine: Engine, tiny_model: Path) -> None:
    ends: list[Finished] = []

    async def one(model: Model, number: int) -> None:
        _, end, _ = await answer(model, f"number {number} of many", Options(max_tokens=1 + number % 5))
        ends.append(end)

    async with loaded(engine, tiny_model) as model:
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(one, model, number)
        assert len(ends) == 40
        model.check()


async def test_a_closed_model_refuses_and_closing_twice_is_fine(engine: Engine, tiny_model: Path) -> None:
    async with loaded(engine, tiny_model) as model:
        await model.close()
        await model.close()
        with pytest.raises(ClosedError):
            await answer(model, "hello", Options())


async def test_closing_ends_what_runs_as_cancelled(engine: Engine, tiny_model: Path) -> None:
    if isinstance(engine, ScriptedEngine):
        pytest.skip("the scripted engine holds nothing that closing could take away")
    ends: list[TextGenerated] = []
    async with (
        loaded(engine, tiny_model) as model,
        model.generate(user("a b c d"), Options(max_tokens=450)) as events,
    ):
        async for event in events:
            if isinstance(event, TextGenerated) and not ends:
                ends.append(event)
                await model.close()
            if isinstance(event, Finished):
                assert event.reason in (FinishReason.CANCELLED, FinishReason.STOP, FinishReason.LENGTH)


async def test_progress_that_raises_stops_the_load_and_comes_out(engine: Engine, tiny_model: Path) -> None:
    spec = ModelSpec(reference="tiny", path=tiny_model, context_tokens=512)

    def deaf(fraction: float) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await engine.load(spec, engine.predict(spec), deaf)
    async with loaded(engine, tiny_model) as model:
        await answer(model, "a good load right after works", Options(max_tokens=1))


async def test_a_key_says_which_weights_and_nothing_else(engine: Engine, tiny_model: Path) -> None:
    one = engine.key(ModelSpec(reference="a", path=tiny_model, context_tokens=256, threads=1))
    other = engine.key(ModelSpec(reference="b", path=tiny_model, context_tokens=512, threads=2))
    assert one == other


async def test_a_missing_file_is_a_model_error(engine: Engine, tmp_path: Path) -> None:
    if isinstance(engine, ScriptedEngine):
        pytest.skip("the scripted engine reads no file")
    with pytest.raises(ModelError, match=r"nowhere\.gguf"):
        engine.key(ModelSpec(reference="x", path=tmp_path / "nowhere.gguf"))


async def test_however_steadily_tokens_come_an_answer_has_a_ceiling(
    engine: Engine, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "TIMEOUT_CEILING", 1e-6)
    async with loaded(engine, tiny_model, 4096) as model:
        _, end, _ = await answer(model, "a " * 100, Options(max_tokens=3000, timeout_s=30))
        assert end.reason is FinishReason.TIMEOUT
        assert end.tokens.generated < 2000
