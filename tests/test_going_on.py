"""An answer that was interrupted goes on from the token where it was, in another process, with any engine."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from samovar.engines.base import Engine, Finished, Model
from samovar.engines.lasting import Lasting
from samovar.engines.llama.loading import ANSWERS
from samovar.engines.llama.prefixes.answer_states import AnswerStates
from samovar.engines.llama.requests import Running
from samovar.generation import (
    Begun,
    FinishReason,
    GoingOn,
    Message,
    Options,
    Sampling,
    TextGenerated,
    TokenCounts,
    ToolDefinition,
)
from samovar.generation.options import TIMEOUT_CEILING
from samovar.models.snapshots import Snapshots, _Job
from tests.on_tiny import loaded, user
from tests.talker import make_talker
from tests.test_engine_contract import engine
from tests.test_engine_contract import loaded as contract_loaded
from tests.test_forms import THINKING
from tests.test_reasoning import QWEN
from tests.tiny import add_bytes, make_tiny

__all__ = ["engine"]
pytestmark = pytest.mark.anyio

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad", "so so"]}, "why": {"type": "string", "maxLength": 5}},
        "required": ["mood", "why"],
        "additionalProperties": False,
    }
)
WARM = Sampling(temperature=1.3, seed=7)
TOOLS = (ToolDefinition(name="look", description="Looks.", parameters='{"type": "object"}'),)
THOUGHT: dict[str, dict[str, Any]] = {
    "free": {},
    "choices": {"choices": ("yes, very much", "yes, very little")},
    "schema": {"schema": SCHEMA},
    "calls": {"tools": TOOLS},
}
KINDS = {
    "greedy": Options(max_tokens=12),
    "seeded": Options(max_tokens=12, sampling=WARM),
    "nearly-greedy": Options(max_tokens=12, sampling=replace(WARM, top_k=2, top_p=0.7, min_p=0.05)),
    "penalties": Options(max_tokens=12, sampling=replace(WARM, repeat_penalty=1.6)),
    "greedy-penalties": Options(max_tokens=12, sampling=Sampling(repeat_penalty=1.6)),
    "choices": Options(choices=("yes, very much", "yes, very little", "yes, no"), sampling=WARM),
    "schema": Options(max_tokens=60, schema=SCHEMA, sampling=WARM),
    "regex": Options(max_tokens=30, regex="[a-f]{3}-[äöü€]{4}", sampling=WARM),
    "grammar": Options(max_tokens=30, grammar='start: "<" /[a-z]{4}/ ("," /[a-z]/)* ">"', sampling=WARM),
    "call": Options(max_tokens=40, tools=TOOLS, tool_choice="required", sampling=WARM),
    "raw": Options(max_tokens=10, template="none", sampling=WARM),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """All that is the same, whether an answer was interrupted or not."""

    pieces: tuple[tuple[str, str, tuple[int, ...]], ...]
    """By kind: the text, and the tokens it is made of."""
    end: Finished

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(token for _, _, tokens in self.pieces for token in tokens)


def heard(events: Sequence[object]) -> Heard:
    pieces = [event for event in events if isinstance(event, TextGenerated)]
    kinds = dict.fromkeys(piece.kind for piece in pieces)
    [end] = [event for event in events if isinstance(event, Finished)]
    return Heard(
        pieces=tuple(
            (
                kind,
                "".join(piece.piece for piece in pieces if piece.kind == kind),
                tuple(token for piece in pieces if piece.kind == kind for token in piece.tokens),
            )
            for kind in kinds
        ),
        end=end,
    )


async def answered(
    model: Model, messages: Sequence[Message], options: Options, begun: Sequence[Begun] = ()
) -> tuple[Heard, list[Begun]]:
    """The answer, and what was kept of it: after each token."""
    kept: list[Begun] = []
    going_on = GoingOn(begun=tuple(begun), keep=kept.append, every_s=0.0)
    async with model.generate(messages, options, going_on=going_on) as events:
        found = heard([event async for event in events])
    return found, kept


def same(one: Heard, other: Heard, *, nearly: bool = False) -> bool:
    """Figures of time, and of what was evaluated, may differ. `nearly`: so may the last digits of how sure a
    choice is, since tokens were evaluated again."""
    ends = [replace(end, tokens=TokenCounts(), first_token_s=None) for end in (one.end, other.end)]
    if nearly:
        sure = [[(each.value, round(each.confidence, 2)) for each in end.chosen] for end in ends]
        ends = [replace(end, chosen=()) for end in ends]
    else:
        sure = []
    counts = [(end.tokens.generated, end.tokens.reasoning) for end in (one.end, other.end)]
    return one.pieces == other.pieces and all(len(set(map(repr, each))) < 2 for each in (ends, counts, sure))


class Lazy(Snapshots):
    """Copies of which none is deleted, as if each process had been killed at once."""

    def offer(self, job: _Job) -> bool:
        return job.is_removal or super().offer(job)


LONG = "hello there, what is it that you say to the tin " * 6


async def check_every_token(path: Path, copies: Path, options: Options) -> Heard:
    """Goes on from each token of an answer, in a model that is loaded anew. Gives the whole answer."""
    messages = user("x" if options.tools else LONG)  # definitions of tools are long themselves
    async with loaded(path, snapshots=Lazy(copies, 1 << 30)) as model:
        whole, kept = await answered(model, messages, options)
        assert [len(one.tokens) for one in kept] == sorted({len(one.tokens) for one in kept})
        assert len(kept) >= 3
    others = 0
    async with loaded(path, snapshots=Lazy(copies, 1 << 30)) as model:
        for one in kept:
            again, more = await answered(model, messages, options, [one])
            assert again.end.tokens.resumed == len(one.tokens)
            assert again.tokens[: len(one.tokens)] == one.tokens
            assert all(len(other.tokens) > len(one.tokens) for other in more)
            if options.deterministic:
                assert same(again, whole) and again.end.tokens.evaluated == 0, one
            else:  # tokens that are evaluated again give other last bits, and so another token now and then
                others += not same(again, whole, nearly=True)
    assert others <= len(kept) / 4
    return whole


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deterministic", [False, True])
async def test_an_answer_goes_on_from_every_token_and_is_the_same(
    tiny_model: Path, tmp_path: Path, kind: str, deterministic: bool
) -> None:
    options = replace(KINDS[kind], deterministic=deterministic)
    await check_every_token(tiny_model, tmp_path / "copies", options)


@pytest.mark.parametrize("architecture", ["gemma2", "mamba", "jamba"])
async def test_a_model_whose_memory_cannot_be_cut_goes_on_exactly(tmp_path: Path, architecture: str) -> None:
    path = make_tiny(tmp_path / "m.gguf", architecture)
    for sampling in (Sampling(), WARM):
        options = Options(max_tokens=12, deterministic=True, sampling=sampling)
        await check_every_token(path, tmp_path / "copies", options)


@pytest.mark.parametrize("kind", ["free", "choices", "schema", "calls"])
async def test_a_model_that_thinks_goes_on_within_its_reasoning_and_behind_it(
    tmp_path: Path, kind: str
) -> None:
    control = ("<|endoftext|>", "<|im_start|>", "<think>", "</think>", "<|im_end|>")
    path = make_tiny(tmp_path / "m.gguf", chat_template=THINKING, vocabulary=add_bytes(control))
    options = Options(max_tokens=60, sampling=replace(WARM, seed=6))
    options = replace(options, deterministic=True)
    whole = await check_every_token(path, tmp_path / "copies", replace(options, **THOUGHT[kind]))
    assert whole.end.tokens.reasoning > 3
    assert whole.end.tokens.reasoning < whole.end.tokens.generated or kind == "calls"


@pytest.mark.parametrize("deterministic", [False, True])
async def test_a_model_that_has_to_stop_thinking_goes_on_from_there(
    tmp_path: Path, deterministic: bool
) -> None:
    says = ("The ", "tag", " is", " one")
    path = make_talker(tmp_path / "m.gguf", says, chat_template=QWEN)
    options = Options(choices=("The tag is one", "The tag is two"), deterministic=deterministic)
    whole = await check_every_token(path, tmp_path / "copies", options)
    assert whole.pieces[-1][1] == "The tag is one"


async def test_an_answer_goes_on_a_hundred_times(tiny_model: Path, tmp_path: Path) -> None:
    options = Options(max_tokens=100, sampling=WARM, deterministic=True)
    copies, begun = tmp_path / "copies", list[Begun]()
    async with loaded(tiny_model) as model:
        whole, _ = await answered(model, user(LONG), options)
    for _ in range(101):
        async with loaded(tiny_model, snapshots=Lazy(copies, 1 << 30)) as model:
            again, more = await answered(model, user(LONG), options, begun)
            assert same(again, whole)
            assert again.end.tokens.resumed == sum(len(one.tokens) for one in begun)
        begun = more[:1]
        if not begun:
            break


async def test_what_would_be_another_answer_begins_anew(tiny_model: Path, tmp_path: Path) -> None:
    options = Options(max_tokens=12, sampling=WARM)
    async with loaded(tiny_model) as model:
        _, [*_, last] = await answered(model, user("one"), options)
        for text, other in (
            ("two", options),
            ("one", replace(options, sampling=replace(WARM, seed=8))),
            ("one", replace(options, stop=("x",))),
            ("one", replace(options, deterministic=True)),
        ):
            plain, _ = await answered(model, user(text), other)
            again, _ = await answered(model, user(text), other, [last])
            assert same(again, plain) and again.end.tokens.resumed == 0
        for damaged in (
            replace(last, tokens=()),
            replace(last, tokens=(*last.tokens[:-1], 1 << 30)),
            replace(last, tokens=last.tokens * 2),
        ):
            plain, _ = await answered(model, user("one"), options)
            again, _ = await answered(model, user("one"), options, [damaged])
            assert same(again, plain) and again.end.tokens.resumed == 0
    another = make_tiny(tmp_path / "other.gguf", seed=5)
    async with loaded(another) as model:
        again, _ = await answered(model, user("one"), options, [last])
        assert again.end.tokens.resumed == 0


async def test_without_its_copies_a_deterministic_answer_begins_anew(
    tiny_model: Path, tmp_path: Path
) -> None:
    options = Options(max_tokens=12, sampling=WARM, deterministic=True)
    copies = tmp_path / "copies"
    async with loaded(tiny_model, snapshots=Lazy(copies, 1 << 30)) as model:
        whole, kept = await answered(model, user(LONG), options)
    last = kept[-1]
    files = sorted((copies / name for name in copies.rglob("*.kv")), key=lambda path: path.stat().st_mtime)
    for count, resumed in ((1, last.states[1].tokens), (len(files), 0)):
        for file in files[-count:]:
            file.write_bytes(file.read_bytes()[:-1] + b"!")
        async with loaded(tiny_model, snapshots=Lazy(copies, 1 << 30)) as model:
            again, _ = await answered(model, user(LONG), options, [last])
            assert same(again, whole) and again.end.tokens.resumed == resumed
    async with loaded(tiny_model) as model:
        again, kept = await answered(model, user(LONG), options, [last])
        assert same(again, whole) and again.end.tokens.resumed == 0 and not kept


async def test_copies_are_few_and_gone_once_the_answer_is_there(tiny_model: Path, tmp_path: Path) -> None:
    options = Options(max_tokens=200, sampling=WARM, deterministic=True)
    copies = tmp_path / "copies"
    async with loaded(tiny_model, snapshots=Lazy(copies, 1 << 30)) as model:
        _, kept = await answered(model, user(LONG), options)
        assert max(len(one.states[0].ends) for one in kept) <= 10
    snapshots = Snapshots(tmp_path / "others", 1 << 30)
    async with loaded(tiny_model, snapshots=snapshots) as model:
        for text in ("one", LONG):
            _, kept = await answered(model, user(text), options)
            assert snapshots.wait(10)
            again, _ = await answered(model, user(text), options, kept[-1:])
            assert again.end.tokens.resumed  # whoever asked may not have kept the whole yet
    assert not list((tmp_path / "others").rglob(f"*{ANSWERS}/*.kv"))


async def test_an_answer_that_is_left_early_is_kept_to_its_last_token(
    engine: Engine, tiny_model: Path
) -> None:
    options = Options(max_tokens=40)
    text = "one two three four five six seven"
    async with contract_loaded(engine, tiny_model) as model:
        whole, _ = await answered(model, user(text), options)
        kept: list[Begun] = []
        said: list[TextGenerated] = []
        going_on = GoingOn(keep=kept.append, every_s=3600)
        async with model.generate(user(text), options, going_on=going_on) as events:
            async for event in events:
                if isinstance(event, TextGenerated):
                    said.append(event)
                    break
        [last] = kept
        assert len(last.tokens) >= max(1, len(said[0].tokens))
        again, _ = await answered(model, user(text), options, kept)
        assert same(again, whole) and again.end.tokens.resumed == len(last.tokens)


@pytest.mark.parametrize("can", ["be weighed", "be copied"])
def test_what_cannot_be_kept_is_not_tried_again_with_each_token(can: str) -> None:
    told: list[Begun] = []
    lasting = Lasting(of="", tell=told.append, every_s=3600, said=[1], _kept_s=-math.inf)
    running = SimpleNamespace(
        sampler=SimpleNamespace(weighed=lambda: () if can == "be copied" else None),
        request=SimpleNamespace(options=Options(deterministic=True), tokens=[5]),
        row=[5],
        next_tokens=[1],
    )
    states = SimpleNamespace(keep=lambda *_: None)
    due = [lasting.is_due]
    Running.keep(cast(Running, running), lasting, cast(AnswerStates, states))
    due.append(lasting.is_due)
    assert (due, lasting.is_new, told) == ([True, False], True, [])


async def test_an_answer_goes_on_from_every_token_with_any_engine(engine: Engine, tiny_model: Path) -> None:
    text = "one two three four five six seven"
    for options in (Options(max_tokens=5), Options(max_tokens=40, stop=("six",))):
        async with contract_loaded(engine, tiny_model) as model:
            whole, kept = await answered(model, user(text), options)
            assert kept
            for one in kept:
                again, _ = await answered(model, user(text), options, [one])
                assert same(again, whole) and again.end.tokens.resumed == len(one.tokens)


async def test_nothing_is_kept_of_an_answer_to_a_secret(engine: Engine, tiny_model: Path) -> None:
    messages = [Message(role="user", content="one two three", secret=True)]
    async with contract_loaded(engine, tiny_model) as model:
        _, kept = await answered(model, messages, Options(max_tokens=8))
        assert not kept


async def test_the_time_that_an_answer_took_before_counts(engine: Engine, tiny_model: Path) -> None:
    options = Options(max_tokens=8, timeout_s=100.0)
    async with contract_loaded(engine, tiny_model) as model:
        _, kept = await answered(model, user("one two three four"), options)
        late = replace(kept[0], spent_s=TIMEOUT_CEILING * 100.0 + 1)
        again, _ = await answered(model, user("one two three four"), options, [late])
        assert again.end.reason is FinishReason.TIMEOUT
