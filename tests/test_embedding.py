"""Embeddings: pooling, tokens, what a file can do, the budget, two models at once, and damaged files."""

from __future__ import annotations

import gc
import os
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from operator import mul, sub
from pathlib import Path
from typing import Any, cast

import anyio
import gguf
import pytest

import samovar
from samovar.app import check_answers
from samovar.config import Settings
from samovar.engines.base import Model, ModelSpec
from samovar.engines.llama.binding import Binding, open_binding
from samovar.engines.llama.embedding_context import EmbeddingContext, Stopped
from samovar.engines.llama.embedding_model import EmbeddingModel
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import BudgetError, ContextError, EngineError, ModelFileError, UsageError
from samovar.executors import table
from samovar.executors.base import EmbedRequest
from samovar.executors.dispatch import Dispatcher
from samovar.executors.table import Parts
from samovar.generation import Message, Options, Sampling
from samovar.memory import resident_bytes
from samovar.models.capabilities import Capability, Pooling
from samovar.models.header import read_header
from samovar.models.snapshots import Snapshots
from samovar.serving.embedding import embed
from samovar.serving.pool import Pool
from samovar.serving.room import SHRINK_AFTER_S
from tests.test_pool import Clock
from tests.tiny import ENCODERS, TENSORS, Sizes, add_bytes, add_sentence_pieces, make_tiny

pytestmark = pytest.mark.anyio
TEXTS = ["a cat sat on the mat", "hello", "steel " * 40, "the price of steel rising", "x"]
LARGE = Sizes(layers=4, width=256, heads=8, kv_heads=4, feed_forward=1024, more_tokens=20_000)


def says(pooling: int, **more: Any) -> Callable[[gguf.GGUFWriter], object]:
    """A file that says how its embeddings are pooled."""

    def amend(writer: gguf.GGUFWriter) -> None:
        writer.add_uint32(f"{writer.arch}.pooling_type", pooling)
        if head := more.get("head"):
            import numpy as np

            writer.add_tensor(head, np.zeros((1, 64), dtype=np.float32))

    return amend


@asynccontextmanager
async def loaded(path: Path, tokens: int = 256) -> AsyncIterator[Model]:
    engine = LlamaEngine()
    spec = ModelSpec(reference=path.name, path=path, context_tokens=512, embedding_tokens=tokens)
    with anyio.fail_after(120):
        model = await engine.load(spec, engine.predict(spec), lambda fraction: None)
        try:
            yield model
            model.check()
        finally:
            await model.close()
            engine.close()


@contextmanager
def weights_of(path: Path) -> Iterator[tuple[Binding, Any]]:
    read_header(path)
    binding = open_binding()
    binding.begin_use()
    params = binding.lib.llama_model_default_params()
    weights = binding.lib.llama_model_load_from_file(str(path).encode(), params)
    assert weights != binding.ffi.NULL
    try:
        yield binding, weights
    finally:
        binding.tokenizing.close()
        binding.lib.llama_model_free(weights)
        binding.end_use()


def furthest(one: Any, other: Any) -> float:
    return float(max(map(abs, map(sub, one, other))))


# Vectors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", [*TENSORS, *ENCODERS])
async def test_a_text_alone_and_among_others_has_the_same_vector(tmp_path: Path, architecture: str) -> None:
    path = make_tiny(tmp_path / "x.gguf", architecture)
    async with loaded(path) as model:
        together = await model.embed([*TEXTS, *reversed(TEXTS)])
        vectors = together.vectors
        for number, text in enumerate(TEXTS):
            alone = (await model.embed([text])).vectors[0]
            assert furthest(alone, vectors[number]) <= 1e-5
            assert furthest(alone, vectors[-1 - number]) <= 1e-5
        assert furthest(vectors[0], vectors[1]) > 0.01


@pytest.mark.real
async def test_the_default_model_embeds_like_texts_alike_and_each_alone_as_among_others(
    real_model: Path,
) -> None:
    texts = ["Steel is dearer.", "The price of steel rose.", "The cat sleeps on the sofa.", "x"]
    async with loaded(real_model) as model:
        vectors = (await model.embed([*texts, *texts * 2])).vectors
        for number, text in enumerate(texts):
            assert furthest((await model.embed([text])).vectors[0], vectors[number + 4]) <= 1e-5
    near, far = (sum(map(mul, vectors[0], vectors[other])) for other in (1, 2))
    assert near > far + 0.02


@pytest.mark.parametrize("pooling", [Pooling.MEAN, Pooling.CLS, Pooling.LAST])
def test_pooled_here_or_by_the_engine_a_vector_is_the_same(tiny_model: Path, pooling: Pooling) -> None:
    """Longer than a piece, so that it is evaluated in several."""
    text = [number * 7 % 250 for number in range(300)]
    abilities = read_header(tiny_model).abilities
    with weights_of(tiny_model) as (binding, weights):
        vectors = []
        for reads_whole in (False, True):
            context = EmbeddingContext(
                binding,
                weights,
                tokens=512,
                threads=1,
                abilities=replace(abilities, pooling=pooling, reads_whole=reads_whole),
            )
            vectors.append(context.embed(text))
            context.close()
    assert furthest(*vectors) <= 1e-5


@pytest.mark.parametrize("architecture", ["llama", "jamba", "bert"])
def test_what_is_stopped_can_be_asked_again(tmp_path: Path, architecture: str) -> None:
    path = make_tiny(tmp_path / "x.gguf", architecture)
    with weights_of(path) as (binding, weights):
        abilities = read_header(path).abilities
        context = EmbeddingContext(binding, weights, tokens=256, threads=2, abilities=abilities)
        text = [number % 90 for number in range(200)]
        before = context.embed(text)
        context.stop_soon()
        with pytest.raises(Stopped):
            context.embed(text)
        context.go_on()
        assert context.embed(text) == before
        context.close()


async def test_a_file_s_own_pooling_is_used(tmp_path: Path) -> None:
    found = {}
    for pooling in (Pooling.NONE, Pooling.MEAN, Pooling.CLS, Pooling.LAST):
        path = make_tiny(tmp_path / f"{pooling}.gguf", amend=says(pooling))
        async with loaded(path) as model:
            found[pooling] = (await model.embed(["steel rises"])).vectors[0]
    assert found[Pooling.NONE] == found[Pooling.MEAN]
    assert furthest(found[Pooling.MEAN], found[Pooling.LAST]) > 0.01
    assert furthest(found[Pooling.CLS], found[Pooling.LAST]) > 0.01


# Tokens --------------------------------------------------------------------------------------------------


def test_a_text_begins_and_ends_as_the_vocabulary_says_and_nothing_in_it_does(tmp_path: Path) -> None:
    def ends(writer: gguf.GGUFWriter) -> None:
        writer.add_add_eos_token(True)

    bert = make_tiny(tmp_path / "bert.gguf", "bert")
    pieces = make_tiny(tmp_path / "spm.gguf", vocabulary=add_sentence_pieces(), amend=ends)
    bytes_ = make_tiny(tmp_path / "bpe.gguf", vocabulary=add_bytes(user_defined=("<tool>",)), amend=ends)
    plain = make_tiny(tmp_path / "plain.gguf")
    for path, before, after, control in (
        (bert, [2], [3], "[SEP]"),
        (pieces, [1], [2], "</s>"),
        (bytes_, [], [266], "<tool>"),
        (plain, [], [], "<|im_end|>"),
    ):
        with weights_of(path) as (binding, weights):
            vocabulary = Vocabulary(binding, weights)
            special = {token for text, token in vocabulary.controls.items() if text == control}
            assert special, control
            tokens = vocabulary.tokenize_text(f"a {control} b")
            inner = tokens[len(before) : len(tokens) - len(after)]
            assert tokens == [*before, *inner, *after] and inner
            assert not special & set(inner)
            assert vocabulary.tokenize_text("") == [*before, *after]


# What a file can do --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "amend", "can", "pooling"),
    [
        ("llama", None, {"answer", "embed"}, Pooling.MEAN),
        ("llama", says(0), {"answer", "embed"}, Pooling.MEAN),
        ("llama", says(3), {"embed"}, Pooling.LAST),
        ("llama", says(4), set(), Pooling.RANK),
        ("llama", says(4, head="cls.output.weight"), {"rerank"}, Pooling.RANK),
        ("bert", None, {"embed"}, Pooling.MEAN),
        ("bert", says(2), {"embed"}, Pooling.CLS),
        ("bert", says(4, head="cls.output.weight"), {"rerank"}, Pooling.RANK),
        ("nomic-bert", says(1), {"embed"}, Pooling.MEAN),
        ("llama", lambda writer: writer.add_causal_attention(False), {"embed"}, Pooling.MEAN),
    ],
)
def test_what_a_file_can_do_is_in_its_header(
    tmp_path: Path, architecture: str, amend: Any, can: set[str], pooling: Pooling
) -> None:
    path = make_tiny(tmp_path / "x.gguf", architecture, amend=amend or (lambda writer: None))
    abilities = read_header(path).abilities
    assert abilities.can == {Capability(one) for one in can}
    assert abilities.pooling is pooling


@pytest.mark.parametrize(
    ("architecture", "amend", "said"),
    [
        ("llama", says(3), r"emb\.gguf makes embeddings of texts: it cannot answer prompts\. .*app\.embed"),
        (
            "bert",
            says(4, head="cls.output.weight"),
            r"emb\.gguf scores how well .*: it cannot answer prompts\.",
        ),
        ("llama", says(4), r"emb\.gguf says that it scores texts \(rank pooling\), but has no head"),
    ],
)
async def test_what_cannot_answer_says_what_it_is(
    tmp_path: Path, architecture: str, amend: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_tiny(tmp_path / "emb.gguf", architecture, amend=amend)
    with pytest.raises(ModelFileError, match=said):
        check_answers(ModelSpec(reference="emb.gguf", path=path))
    async with loaded(path) as model:
        assert isinstance(model, EmbeddingModel)
        with pytest.raises(ModelFileError, match=said):
            async with model.generate([Message(role="user", content="Hi")], Options()):
                pass
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "w.md").write_text(
        "---\nmodel: emb.gguf\n---\n```mermaid\nstateDiagram-v2\n[*] --> Log1\nLog1 --> A\nA --> [*]\n```\n\n"
        '## Actions\n\n- Log1: Log "begun"\n- A: Prompt "Hi"\n'
    )
    begun: list[object] = []
    async with samovar.open() as app:
        with pytest.raises(samovar.ModelError, match=said):
            await app.run("w.md", on_event=begun.append)
        with pytest.raises(samovar.ModelError, match=said):
            await app.open_session("emb.gguf")
    assert begun == []


async def test_what_cannot_embed_says_what_it_is(tmp_path: Path) -> None:
    for amend, said in ((says(4, head="cls.output.weight"), "cannot embed them"), (says(4), "has no head")):
        async with loaded(make_tiny(tmp_path / "x.gguf", "bert", amend=amend)) as model:
            with pytest.raises(ModelFileError, match=said):
                await model.embed(["one"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pooling_type", 5),
        ("pooling_type", 0xFFFFFFFF),
        ("attention.key_length", 8),
        ("rope.dimension_count", 15),
        ("rope.dimension_count", 64),
        ("attention.head_count", 0),
        ("embedding_length_out", 65),
        ("block_count", 0),
    ],
)
def test_what_the_engine_asserts_of_an_encoder_is_refused_by_the_header(
    tmp_path: Path, key: str, value: int
) -> None:
    def amend(writer: gguf.GGUFWriter) -> None:
        for entries in writer.kv_data:
            entries.pop(f"bert.{key}", None)
        writer.add_uint32(f"bert.{key}", value)

    with pytest.raises(ModelFileError):
        read_header(make_tiny(tmp_path / "x.gguf", "bert", amend=amend))


# Memory --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "gemma2", "jamba", "bert"])
@pytest.mark.parametrize("tokens", [256, 1024])
def test_the_room_for_texts_is_what_was_predicted(tmp_path: Path, architecture: str, tokens: int) -> None:
    path = make_tiny(tmp_path / "x.gguf", architecture, sizes=LARGE, context=4096)
    header = read_header(path)
    engine = LlamaEngine()
    spec = ModelSpec(reference="x", path=path, context_tokens=256, embedding_tokens=tokens)
    cost = engine.predict(spec)
    assert cost.embedding_tokens == tokens
    text = [number % 200 for number in range(tokens)]
    with weights_of(path) as (binding, weights):

        def made() -> EmbeddingContext:
            context = EmbeddingContext(binding, weights, tokens=tokens, threads=2, abilities=header.abilities)
            context.embed(text)
            return context

        made().close()  # what is mapped and started once
        binding.give_back_memory()
        gc.collect()
        before = resident_bytes()
        context = made()
        after = resident_bytes()
        context.close()
    assert before is not None and after is not None
    grown = after - before
    assert abs(grown - cost.embedding_bytes) <= max(0.05 * grown, 8e6), (grown, cost.embedding_bytes)


@pytest.mark.slow
async def test_a_thousand_calls_take_no_memory(tmp_path: Path) -> None:
    async with loaded(make_tiny(tmp_path / "x.gguf", "bert")) as model:
        for _ in range(100):
            await model.embed(TEXTS)
        gc.collect()
        before = resident_bytes() or 0
        for _ in range(1000):
            await model.embed(TEXTS)
        gc.collect()
        assert (resident_bytes() or 0) - before < 4e6


async def test_the_pool_has_room_made_for_long_texts_and_gives_it_back(tiny_model: Path) -> None:
    engine, clock = LlamaEngine(), Clock()
    spec = ModelSpec(reference="tiny", path=tiny_model, context_tokens=512)
    with anyio.fail_after(60):
        async with Pool(engine, budget_bytes=10**9, clock=clock, keep_alive_s=None) as pool:
            assert (await embed(pool, spec, ["one"])).tokens > 0
            first = engine.predict(replace(spec, embedding_tokens=256))
            assert pool.held_bytes == first.total_bytes
            await embed(pool, spec, ["long " * 100])
            second = engine.predict(replace(spec, embedding_tokens=512))
            assert pool.held_bytes == second.total_bytes > first.total_bytes
            assert [use.loads for use in pool.statistics().models] == [1]
            pool.check()
            clock.now_s += SHRINK_AFTER_S
            pool._lifecycle.act()
            while pool.held_bytes != engine.predict(spec).total_bytes:
                await pool._lifecycle._next_change()
    engine.close()


async def test_no_room_for_a_long_text_is_refused_with_the_numbers(tiny_model: Path) -> None:
    engine = LlamaEngine()
    spec = ModelSpec(reference="tiny", path=tiny_model, context_tokens=512)
    budget = engine.predict(replace(spec, embedding_tokens=256)).total_bytes
    async with Pool(engine, budget_bytes=budget) as pool:
        await embed(pool, spec, ["one"])
        with pytest.raises(BudgetError, match="embedding texts of 1792 tokens"):
            await embed(pool, spec, ["long " * 400])
        with pytest.raises(ContextError, match="at most 4096 at once"):
            await embed(pool, spec, ["long " * 4000])
        await embed(pool, spec, ["one"])
        pool.check()
    engine.close()


# From Python ---------------------------------------------------------------------------------------------


async def test_one_model_answers_while_another_embeds_in_one_budget(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    encoder = make_tiny(tmp_path / "bert.gguf", "bert")
    with anyio.fail_after(120):
        async with (
            samovar.open(model=str(tiny_model), context_tokens=512) as app,
            app.session() as session,
            anyio.create_task_group() as tasks,
        ):

            async def embeds() -> None:
                for _ in range(5):
                    found = await app.embed(TEXTS, model=str(encoder))
                    assert len(found.vectors) == len(TEXTS) and found.model == str(encoder)

            for _ in range(3):
                tasks.start_soon(embeds)
            for number in range(5):
                await session.ask(f"Number {number}", max_tokens=5)
                app.check()
        async with samovar.open(model=str(tiny_model), context_tokens=512) as app, app.session() as session:
            await session.ask("Hello", max_tokens=2)
            await app.embed(TEXTS, model=str(encoder))
            await app.embed("one text")
            await session.ask("Hello", max_tokens=2)
            statistics = app.statistics().pool
            assert [use.loads for use in statistics.models] == [1, 1]
            assert statistics.held_bytes == sum(
                use.cost.total_bytes for use in statistics.models if use.cost is not None
            )
            embedded = [use.statistics.embedded_texts for use in statistics.models if use.statistics]
            assert embedded == [1, len(TEXTS)]
            app.check()


def test_embedding_waits_without_an_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    encoder = make_tiny(tmp_path / "bert.gguf", "bert")
    with samovar.open_blocking() as app:
        found = app.embed(TEXTS, model=str(encoder), prefix="query: ")
        assert len(found.vectors) == len(TEXTS)
        for wrong in (b"bytes", 5, ["one", None], ["one", "\ud800"], "\ud800"):
            with pytest.raises(UsageError, match=r"embed\(\) takes"):
                app.embed(cast(Any, wrong))
        with pytest.raises(UsageError, match=r"prefix of embed\(\)"):
            app.embed("one", prefix=cast(Any, 5))


async def test_an_executor_that_cannot_embed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast(Any, table.KINDS), "own", "tests.test_dispatch:Own")
    parts = Parts(settings=Settings(), sessions=cast(Any, None), locate=cast(Any, None))
    with pytest.raises(UsageError, match=r"The executor 'own' cannot embed texts\. There is: local\."):
        await Dispatcher(parts).embed(EmbedRequest(texts=("one",), executor="own"))


# Damaged files -------------------------------------------------------------------------------------------


def spoiled(path: Path, target: Path) -> Path:
    """A copy whose last weights are not numbers."""
    raw = path.read_bytes()
    target.write_bytes(raw[:-1024] + struct.pack("<f", float("nan")) * 256)
    return target


@pytest.mark.parametrize(
    "options",
    [Options(), Options(sampling=Sampling(temperature=0.8, seed=1)), Options(choices=("yes", "no"))],
    ids=["greedy", "sampled", "choices"],
)
@pytest.mark.parametrize("architecture", ["llama", "mamba"])
async def test_what_is_not_a_number_is_an_error_and_not_a_text(
    tmp_path: Path, architecture: str, options: Options
) -> None:
    path = spoiled(make_tiny(tmp_path / "x.gguf", architecture), tmp_path / "bad.gguf")
    async with loaded(path) as model:
        with pytest.raises(EngineError, match=r"bad\.gguf computes invalid numbers.*Fetch or copy"):
            async with model.generate([Message(role="user", content="Hi")], options) as events:
                async for _ in events:
                    pass


@pytest.mark.parametrize("architecture", ["llama", "bert"])
async def test_vectors_that_are_not_numbers_are_an_error(tmp_path: Path, architecture: str) -> None:
    path = spoiled(make_tiny(tmp_path / "x.gguf", architecture), tmp_path / "bad.gguf")
    async with loaded(path) as model:
        with pytest.raises(EngineError, match=r"bad\.gguf computes invalid numbers"):
            await model.embed(["one"])


async def test_a_file_that_goes_while_it_is_loaded_is_no_reason_to_fail(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies of evaluated prompts are named by it: there are none then. The loaded model is lent again."""
    path = tmp_path / "x.gguf"
    path.write_bytes(tiny_model.read_bytes())
    engine = LlamaEngine(Snapshots(tmp_path / "snapshots", 10**6))
    spec = ModelSpec(reference="x", path=path, context_tokens=512)

    def gone(fraction: float) -> None:
        if fraction >= 1.0 and path.exists():
            os.rename(path, tmp_path / "elsewhere.gguf")

    async with Pool(engine, budget_bytes=10**9) as pool:
        async with pool.lease(spec, gone) as model:
            await model.embed([])
        assert not path.exists()
        async with pool.lease(spec) as again:
            assert again is model
    engine.close()
