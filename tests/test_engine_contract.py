"""What every engine must do: the same suite over all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from operator import sub
from pathlib import Path

import anyio
import pytest

from samovar.engines.base import Engine, Finished, Model, ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.scripted import ScriptedEngine
from samovar.errors import ClosedError, ContextError, EngineError, ModelError
from samovar.generation import (
    Embeddings,
    FinishReason,
    Message,
    Options,
    PromptEvaluating,
    Sampling,
    TextGenerated,
    ToolDefinition,
)

pytestmark = pytest.mark.anyio


ENGINES: dict[str, type[Engine]] = {"scripted": ScriptedEngine, "llama": LlamaEngine}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]()


@asynccontextmanager
async def loaded(
    engine: Engine, path: Path, context_tokens: int | None = 512, embedding_tokens: int = 0
) -> AsyncIterator[Model]:
    spec = ModelSpec(
        reference="tiny", path=path, context_tokens=context_tokens, embedding_tokens=embedding_tokens
    )
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


async def test_a_prompt_is_counted_as_it_would_be_evaluated(engine: Engine, tiny_model: Path) -> None:
    tool = ToolDefinition(name="look", description="Looks.", parameters='{"type": "object"}')
    async with loaded(engine, tiny_model) as model:
        for options in (Options(max_tokens=1), Options(max_tokens=1, tools=(tool,))):
            counted = await model.count(user("a b c d"), options)
            async with model.generate(user("a b c d"), options) as events:
                [first, *_] = [event async for event in events if isinstance(event, PromptEvaluating)]
            assert counted == first.total_tokens
        assert await model.count(user("a b " * 400), Options()) > 512, "more than there is room for"


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
    monkeypatch.setattr("samovar.generation.options.TIMEOUT_CEILING", 1e-6)
    async with loaded(engine, tiny_model, 4096) as model:
        _, end, _ = await answer(model, "a " * 100, Options(max_tokens=3000, timeout_s=30))
        assert end.reason is FinishReason.TIMEOUT
        assert end.tokens.generated < 2000


# Embedding -------------------------------------------------------------------------------------------------

TEXTS = ("a cat sat", "the price of steel rose again " * 5, "x", "A cat sat.", "<|im_end|>", "ü é")


async def test_a_text_is_a_vector_of_length_1_the_same_alone_and_with_others(
    engine: Engine, tiny_model: Path
) -> None:
    async with loaded(engine, tiny_model, embedding_tokens=256) as model:
        whole = await model.embed(TEXTS)
        assert whole.model == "tiny" and len(whole.vectors) == len(TEXTS)
        for text, vector in zip(TEXTS, whole.vectors, strict=True):
            assert sum(value * value for value in vector) == pytest.approx(1, abs=1e-5)
            alone = await model.embed([text])
            assert max(map(abs, map(sub, alone.vectors[0], vector))) <= 1e-5, text
        assert model.statistics().embedded_texts == 2 * len(TEXTS)
        assert model.statistics().embedded_tokens == 2 * whole.tokens
        assert model.statistics().tokens.evaluated == 0


async def test_a_prefix_is_put_before_each_text_and_nothing_else_is(engine: Engine, tiny_model: Path) -> None:
    async with loaded(engine, tiny_model, embedding_tokens=256) as model:
        given = await model.embed(["one", "other"], prefix="query: ")
        written = await model.embed(["query: one", "query: other"])
        assert given == written
        assert given.vectors != (await model.embed(["one", "other"])).vectors
        assert (await model.embed([])).vectors == ()


async def test_a_text_that_is_too_long_is_named_with_its_tokens_and_the_limit(
    engine: Engine, tiny_model: Path
) -> None:
    async with loaded(engine, tiny_model, embedding_tokens=256) as model:
        with pytest.raises(ContextError) as caught:
            await model.embed(["short", "word " * 400, "short"])
        error = caught.value
        assert (error.text, error.context_tokens) == (2, 256)
        assert error.context_tokens < error.prompt_tokens <= error.most_tokens
        with pytest.raises(
            ContextError, match=rf"Text 3 has \d+ tokens.*at most {error.most_tokens} at once"
        ):
            await model.embed(["short", "word " * 400, "word " * 20_000, "word " * 30_000])
        assert model.statistics().embedded_texts == 0


async def test_there_is_as_much_room_for_texts_as_was_promised(engine: Engine, tiny_model: Path) -> None:
    async with loaded(engine, tiny_model) as model:
        with pytest.raises(ContextError) as caught:
            await model.embed(["one"])
        assert caught.value.context_tokens == 0
        spec = ModelSpec(reference="tiny", path=tiny_model, context_tokens=512, embedding_tokens=256)
        answered, _, _ = await answer(model, "before", Options(max_tokens=3))
        await model.resize(engine.predict(spec))
        assert len((await model.embed(["one"])).vectors) == 1
        assert (await answer(model, "before", Options(max_tokens=3)))[0] == answered
        await model.resize(engine.predict(replace(spec, embedding_tokens=0)))
        with pytest.raises(ContextError):
            await model.embed(["one"])


async def test_answers_and_embeddings_go_on_side_by_side(engine: Engine, tiny_model: Path) -> None:
    async with loaded(engine, tiny_model, embedding_tokens=256) as model:
        alone = await model.embed(TEXTS)
        found: list[Embeddings] = []

        async def embed() -> None:
            found.append(await model.embed(TEXTS))

        async def ask() -> None:
            await answer(model, "a b c", Options(max_tokens=40))

        async with anyio.create_task_group() as tasks:
            for work in (embed, ask, embed, ask, embed):
                tasks.start_soon(work)
        assert found == [alone] * 3


async def test_cancelled_embedding_stops_and_gives_everything_back(engine: Engine, tiny_model: Path) -> None:
    async with loaded(engine, tiny_model, embedding_tokens=256) as model:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(model.embed, ["the price of steel " * 10] * 20_000)
                await model.embed(["the first"])
                scope.cancel()
        assert scope.cancelled_caught
        assert model.statistics().embedded_texts == 1
        await model.embed(["another"])


async def test_closing_ends_what_embeds(engine: Engine, tiny_model: Path) -> None:
    async with loaded(engine, tiny_model, embedding_tokens=256) as model:
        errors: list[ClosedError] = []

        async def embed() -> None:
            try:
                await model.embed(["the price of steel " * 10] * 20_000)
            except ClosedError as error:
                errors.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(embed)
            await model.embed(["the first"])
            await model.close()
        assert len(errors) == 1
        with pytest.raises(ClosedError):
            await model.embed(["late"])


async def test_a_text_of_no_token_is_refused_by_its_number(engine: Engine, tiny_model: Path) -> None:
    async with loaded(engine, tiny_model, embedding_tokens=256) as model:
        with pytest.raises(EngineError, match="Text 2 is empty"):
            await model.embed(["one", "", "three"])
