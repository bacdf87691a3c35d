"""What an arena keeps, shares and gives back, on tiny models of every kind of memory."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from samovar.engines.base import Conversation, Finished, ModelSpec
from samovar.engines.llama import arena
from samovar.engines.llama.arena import CHUNK_BESIDE_TOKENS
from samovar.engines.llama.binding import Binding, open_binding
from samovar.engines.llama.context import Context
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.model import MAX_WAITING, LlamaModel
from samovar.engines.llama.prefixes import tree as tree_module
from samovar.engines.llama.prefixes.radix import PrefixTree
from samovar.engines.llama.prefixes.tree import TreePrefixes
from samovar.errors import BudgetError, ContextError
from samovar.generation import Message, Options, Sampling, TextGenerated
from samovar.models.cost import MAX_RUNNING
from samovar.models.snapshots import Snapshots
from samovar.models.tuning import table
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions
from tests.on_tiny import loaded, user
from tests.tiny import TENSORS, make_tiny

pytestmark = pytest.mark.anyio

KINDS = list(TENSORS)
CUT_ANYWHERE = "llama"
PREFIX = "".join(f"{number} bottles on the wall. " for number in range(12))


@pytest.fixture(scope="module")
def tiny_kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("kinds")
    return {kind: make_tiny(folder / f"{kind}.gguf", kind) for kind in KINDS}


async def answer(
    model: LlamaModel,
    messages: list[Message],
    options: Options | None = None,
    conversation: Conversation | None = None,
) -> tuple[str, Finished]:
    said, end = "", None
    async with model.generate(messages, options or Options(max_tokens=6), conversation) as events:
        async for event in events:
            if isinstance(event, TextGenerated):
                said += event.piece
            elif isinstance(event, Finished):
                end = event
    assert end is not None
    return said, end


async def together(model: LlamaModel, texts: list[str], options: Options | None = None) -> list[Finished]:
    ends: list[Finished] = []

    async def one(text: str) -> None:
        ends.append((await answer(model, user(text), options))[1])

    async with anyio.create_task_group() as tasks:
        for text in texts:
            tasks.start_soon(one, text)
    return ends


# Prefixes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_equal_prompts_that_arrive_together_are_evaluated_once(
    tiny_kinds: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arena, "GATHER_S", 0.3)  # enough for all to arrive on a busy machine
    async with loaded(tiny_kinds[kind], 2048) as model:
        ends = await together(model, [PREFIX] * 4)
        prompt = ends[0].tokens.evaluated + ends[0].tokens.reused
        assert prompt > 200
        assert sum(end.tokens.evaluated for end in ends) == prompt + 3  # each its own last token


@pytest.mark.parametrize("kind", KINDS)
async def test_a_prefix_that_arrives_together_is_evaluated_once(
    tiny_kinds: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arena, "GATHER_S", 0.3)  # enough for all to arrive on a busy machine
    async with loaded(tiny_kinds[kind], 4096) as model:
        ends = await together(model, [f"{PREFIX}{letter} says what?" for letter in "abcdefgh"])
        tokens = [end.tokens.evaluated for end in ends]
        assert max(tokens) > 200
        assert sum(tokens) - max(tokens) < 7 * 50


@pytest.mark.parametrize("before", range(10))
async def test_each_token_of_prompts_that_begin_alike_is_evaluated_once_wherever_a_chunk_ends(
    tiny_kinds: dict[str, Path], monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """`before`: so many tokens before the prompts part."""
    monkeypatch.setattr(arena, "GATHER_S", 0.3)  # enough for all to arrive on a busy machine
    texts = [f"{PREFIX[:40]}{letter} says what?" for letter in "bcdefghi"]
    async with loaded(tiny_kinds[CUT_ANYWHERE], 4096) as model:
        prompts = [model._template.tokens(user(text)) for text in texts]
        shared = next(at for at, tokens in enumerate(zip(*prompts, strict=False)) if len(set(tokens)) > 1)
        monkeypatch.setattr(arena, "BATCH_TOKENS", shared - before)
        ends = await together(model, texts)
        distinct = {tuple(prompt[:end]) for prompt in prompts for end in range(1, len(prompt) + 1)}
        assert sum(end.tokens.evaluated for end in ends) == len(distinct)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_conversation_evaluates_only_what_is_new(tiny_kinds: dict[str, Path], kind: str) -> None:
    async with loaded(tiny_kinds[kind], 2048) as model:
        conversation, messages = Conversation(), user(PREFIX)
        for turn in range(3):
            said, end = await answer(model, messages, conversation=conversation)
            assert turn == 0 or end.tokens.evaluated < 60, "more than the last question and its frame"
            messages += [Message(role="assistant", content=said), *user("And?")]
        conversation.leave()


async def test_a_conversation_of_many_turns_says_what_it_would_without_what_it_reuses(
    tiny_kinds: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_module, "MAX_SEQUENCES", MAX_RUNNING + 1 + 10)
    conversation, messages = Conversation(), user(PREFIX)
    async with loaded(tiny_kinds[CUT_ANYWHERE], 2048) as model:
        for turn in range(12):  # of two nodes each, so that they are joined
            said, end = await answer(model, messages, conversation=conversation)
            assert turn == 0 or end.tokens.evaluated < 60
            messages += [Message(role="assistant", content=said), *user("And?")]
        reused, _ = await answer(model, messages)
    async with loaded(tiny_kinds[CUT_ANYWHERE], 2048) as model:
        assert (await answer(model, messages))[0] == reused


async def test_memory_that_cannot_be_cut_says_what_that_costs(tiny_kinds: dict[str, Path]) -> None:
    for kind in KINDS:
        async with loaded(tiny_kinds[kind], 2048) as model:
            for text in ("one", "two", "three"):
                _, end = await answer(model, user(PREFIX + text))
            assert end.tokens.evaluated < 60, "the third finds a copy where the first two parted"
            assert any("cannot be cut" in note for note in model.statistics().notes) == (kind != CUT_ANYWHERE)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_larger_arena_keeps_what_was_evaluated(tiny_kinds: dict[str, Path], kind: str) -> None:
    engine = LlamaEngine()
    spec = ModelSpec(reference="tiny", path=tiny_kinds[kind], context_tokens=1024)
    async with loaded(tiny_kinds[kind], 1024) as model:
        conversation, messages = Conversation(), user(PREFIX)
        said, _ = await answer(model, messages, conversation=conversation)
        await model.resize(engine.predict(replace(spec, context_tokens=2048)))
        assert model.statistics().context_tokens == 2048
        messages += [Message(role="assistant", content=said), *user("And?")]
        _, end = await answer(model, messages, conversation=conversation)
        assert end.tokens.evaluated < 60


@pytest.mark.parametrize("kind", KINDS)
async def test_another_process_evaluates_only_what_has_changed(
    tiny_kinds: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    said: list[str] = []
    for number in range(3):
        async with loaded(tiny_kinds[kind], 2048, Snapshots(tmp_path, 10**8)) as model:
            for text in ("one", "two", "three"):
                text, end = await answer(model, user(PREFIX + text), Options(max_tokens=1))
                said.append(text)
                assert number == 0 or end.tokens.evaluated < 60
    assert said[:3] == said[3:6] == said[6:]
    for path in tmp_path.rglob("*.kv"):
        path.write_bytes(path.read_bytes()[:-5] + b"wrong")
    async with loaded(tiny_kinds[kind], 2048, Snapshots(tmp_path, 10**8)) as model:
        text, end = await answer(model, user(PREFIX + "one"), Options(max_tokens=1))
        assert text == said[0] and end.tokens.reused == 0


# Never each other's words --------------------------------------------------------------------------------


def evaluate(context: Context, binding: Binding, sequence: int, tokens: list[int], start: int) -> list[float]:
    """The logits after the last of `tokens`, alone in their batch."""
    ffi, lib = binding.ffi, binding.lib
    batch = lib.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for place, token in enumerate(tokens):
        batch.token[place], batch.pos[place] = token, start + place
        batch.n_seq_id[place], batch.seq_id[place][0] = 1, sequence
        batch.logits[place] = place == len(tokens) - 1
    assert context.decode(batch) == 0
    logits: Any = lib.llama_get_logits_ith(context.value, -1)
    values = list(ffi.unpack(logits, 259))
    lib.llama_batch_free(batch)
    return values


def test_forks_of_one_prefix_never_see_each_other(tiny_kinds: dict[str, Path]) -> None:
    binding = open_binding()
    binding.begin_use()
    params = binding.lib.llama_model_default_params()
    for kind, path in tiny_kinds.items():
        weights = binding.lib.llama_model_load_from_file(str(path).encode(), params)

        def fresh(weights: Any = weights) -> Context:
            return Context(binding, weights, cells=512, threads=1, kv_type="f16", tuning=table("cpu", "f16"))

        prefix, left, right = list(range(40, 90)), [5, 6, 7, 8], [9, 10, 11, 12]
        alone = fresh()
        evaluate(alone, binding, 0, prefix, 0)
        evaluate(alone, binding, 0, right, len(prefix))
        wanted = evaluate(alone, binding, 0, [13], len(prefix) + 4)
        alone.close()

        shared = fresh()
        tree = PrefixTree(shared, range(shared.max_running + 1, 64), filling=512)
        if shared.keeps_whole_states:
            evaluate(shared, binding, 0, prefix, 0)
            state = shared.state(0)
            assert shared.restore(1, state) and shared.restore(2, state)
            pairs = ((1, left), (2, right))
        else:
            node = tree.hold([], 0)
            evaluate(shared, binding, 0, prefix, 0)
            tree.let_go(tree.add(node, prefix, 0))
            shared.remove(0)
            tree.hold(prefix, 1)
            tree.hold(prefix, 2)
            pairs = ((1, left), (2, right))
        for sequence, tokens in pairs:  # one after the other, so that the second would see the first
            evaluate(shared, binding, sequence, tokens, len(prefix))
        got = evaluate(shared, binding, 2, [13], len(prefix) + 4)
        other = evaluate(shared, binding, 1, [13], len(prefix) + 4)
        shared.close()
        binding.lib.llama_model_free(weights)
        assert got == pytest.approx(wanted, abs=1e-3), kind
        assert max(abs(a - b) for a, b in zip(other, wanted, strict=True)) > 0.05, "the test sees nothing"
    binding.end_use()


# The same each time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_deterministic_is_the_same_cold_warm_and_beside_others(
    tiny_kinds: dict[str, Path], kind: str
) -> None:
    sampled = Options(max_tokens=24, deterministic=True, sampling=Sampling(temperature=1.5, seed=7))
    texts: list[str] = []
    async with loaded(tiny_kinds[kind], 2048) as model:
        texts.append((await answer(model, user(PREFIX), sampled))[0])
        again, end = await answer(model, user(PREFIX), sampled)
        texts.append(again)
        assert end.tokens.reused >= 128

        async def one(text: str, options: Options | None = None) -> None:
            said = (await answer(model, user(text), options))[0]
            if options:
                texts.append(said)

        async with anyio.create_task_group() as tasks:
            for text in ("x", PREFIX + "x", "xx"):
                tasks.start_soon(one, text)
            tasks.start_soon(one, PREFIX, sampled)
            for text in ("y", PREFIX + "y"):
                tasks.start_soon(one, text)
    assert len(texts) == 3 and len(set(texts)) == 1


# Nothing is lost ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_random_sessions_with_random_cancels_leave_the_books_balanced(
    tiny_kinds: dict[str, Path], kind: str
) -> None:
    chance = random.Random(3)
    async with loaded(tiny_kinds[kind], 1024) as model:
        limit = anyio.CapacityLimiter(10)

        async def session() -> None:
            async with limit:
                conversation, messages = Conversation(), user("x" * chance.randint(1, 300))
                for _ in range(chance.randint(1, 2)):
                    options = Options(max_tokens=chance.randint(1, 40))
                    pieces = chance.choice((1, 2, 1000))
                    async with model.generate(messages, options, conversation) as events:
                        async for _ in events:
                            pieces -= 1
                            if not pieces:
                                break
                    messages += [Message(role="assistant", content="so"), *user("and")]
                    model.check()
                conversation.leave()

        async with anyio.create_task_group() as tasks:
            for _ in range(60):
                tasks.start_soon(session)
        statistics = model.statistics()
        assert statistics.sequences_running == statistics.requests_waiting == 0
        _, end = await answer(model, user("x" * 900), Options(max_tokens=1))
        assert end.tokens.evaluated + end.tokens.reused > 900, "all cells can be had"


# Fair ------------------------------------------------------------------------------------------------------


async def test_a_long_prompt_delays_others_by_one_chunk_at_a_time(
    tiny_kinds: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    decode = Context.decode

    def noted(context: Context, batch: Any) -> int:
        sizes.append(batch.n_tokens)
        return decode(context, batch)

    monkeypatch.setattr(Context, "decode", noted)
    async with (
        loaded(tiny_kinds[CUT_ANYWHERE], 4096) as model,
        model.generate(user("x"), Options(max_tokens=2000)) as events,
    ):
        async for event in events:
            if isinstance(event, TextGenerated):
                break
        del sizes[:]
        _, end = await answer(model, user("y" * 1000), Options(max_tokens=1))
        assert end.tokens.evaluated > 1000
        assert max(sizes) == CHUNK_BESIDE_TOKENS + 1


async def test_no_caller_waits_while_a_prefix_is_brought_back(
    tiny_kinds: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_reading, go_on = threading.Event(), threading.Event()
    begin = TreePrefixes.begin

    def slow(self: TreePrefixes, *rest: Any, **more: Any) -> None:
        is_reading.set()
        assert go_on.wait(30)
        begin(self, *rest, **more)

    monkeypatch.setattr(TreePrefixes, "begin", slow)
    async with (
        loaded(tiny_kinds[CUT_ANYWHERE]) as model,
        model.generate(user("one"), Options(max_tokens=2)),
    ):
        assert await anyio.to_thread.run_sync(is_reading.wait, 30)
        async with model.generate(user("two"), Options(max_tokens=2)) as events:
            go_on.set()
            assert [event async for event in events]


async def test_more_callers_than_may_wait_in_line_are_served_in_order(tiny_kinds: dict[str, Path]) -> None:
    async with loaded(tiny_kinds[CUT_ANYWHERE]) as model:
        order: list[int] = []
        most = 0

        async def one(number: int) -> None:
            nonlocal most
            most = max(most, model._arena.books().waiting)
            await answer(model, user(f"{number}"), Options(max_tokens=1))
            order.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(300):
                tasks.start_soon(one, number)
        assert most <= MAX_WAITING
        assert len(order) == 300
        assert all(abs(place - number) <= 2 * MAX_RUNNING for place, number in enumerate(order))


# Longer than the context ------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_longer_prompt_gets_a_larger_arena_over_the_same_weights(tmp_path: Path) -> None:
    path = make_tiny(tmp_path / "long.gguf", context=40_000)
    spec = ModelSpec(reference="long", path=path)
    engine = LlamaEngine()
    async with Pool(engine, budget_bytes=10**9) as pool:
        async with Sessions(pool).open(spec) as session:
            await session.ask(user(PREFIX), Options(max_tokens=4))
            assert pool.statistics().models[0].statistics.context_tokens == 8192  # type: ignore[union-attr]
            turn = await session.ask(user("x" * 9000), Options(max_tokens=4))
            assert turn.tokens.evaluated > 9000 and turn.tokens.reused > 200
            (use,) = pool.statistics().models
            assert use.loads == 1 and use.statistics and use.statistics.context_tokens == 16384
            with pytest.raises(ContextError, match=r"holds 16384\. .*no more than 40000"):
                await session.ask(user("x" * 41_000))
        pool.check()
    engine.close()


async def test_a_prompt_whose_arena_would_not_fit_is_refused_with_the_numbers(tmp_path: Path) -> None:
    path = make_tiny(tmp_path / "long.gguf", context=40_000)
    spec = ModelSpec(reference="long", path=path)
    engine = LlamaEngine()
    budget = engine.predict(spec).total_bytes + 100_000
    async with Pool(engine, budget_bytes=budget) as pool:
        async with Sessions(pool).open(spec) as session:
            with pytest.raises(BudgetError, match=r"KV for \d+ tokens .* but the memory budget is"):
                await session.ask(user("x" * 9000))
            assert (await session.ask(user("x"), Options(max_tokens=2))).tokens.generated > 0
        pool.check()
    engine.close()
