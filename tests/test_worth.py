"""What is kept of what was evaluated, when there is no room for all of it: counted in evaluated tokens."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks import accesses as accesses_module
from benchmarks import eviction
from benchmarks.accesses import Access, as_tokens
from hypothesis import given
from hypothesis import strategies as st

from samovar.engines.base import Conversation
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.prefixes.sightings import BLOCK_TOKENS, Sightings
from samovar.generation import Message, Options
from samovar.models import worth as module
from samovar.models.snapshots import Snapshots
from samovar.models.worth import HOLDING_STEPS, MARGIN, Returns, Uses, is_dear, pays, worth
from tests.on_tiny import loaded, user
from tests.test_arena import answer
from tests.tiny import make_tiny

CONTEXT = 2048
SHORT = Options(max_tokens=4)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("kinds")
    return {kind: make_tiny(folder / f"{kind}.gguf", kind) for kind in ("llama", "gemma2")}


def text(name: str, tokens: int) -> str:
    """About so many tokens, unlike those of any other name from the first."""
    return "".join(itertools.islice(itertools.cycle(f"{name}0123456789 "), tokens))


async def evaluated(
    model: LlamaModel, said: list[Message] | str, conversation: Conversation | None = None
) -> int:
    messages = user(said) if isinstance(said, str) else said
    return (await answer(model, messages, SHORT, conversation))[1].tokens.evaluated


class Talk:
    """A conversation, turn by turn."""

    def __init__(self, model: LlamaModel) -> None:
        self.model, self.conversation, self.messages = model, Conversation(), list[Message]()

    async def say(self, said: str) -> int:
        self.messages += user(said)
        reply, end = await answer(self.model, self.messages, SHORT, self.conversation)
        self.messages.append(Message(role="assistant", content=reply))
        return end.tokens.evaluated


async def by_turns(path: Path, rounds: int, names: str, idle_tokens: int) -> int:
    """Tokens that are evaluated for prefixes of 300, asked for by turns."""
    async with loaded(path, CONTEXT) as model:
        if idle_tokens:
            await Talk(model).say(text("z", idle_tokens))
        asked = zip(range(rounds), itertools.cycle(names), strict=False)
        return sum([await evaluated(model, f"{text(one, 300)} {number}") for number, one in asked])


@pytest.mark.anyio
@pytest.mark.parametrize(("names", "rounds"), [("ab", 6), ("ab", 20), ("abc", 12)])
async def test_an_idle_conversation_does_not_push_out_what_is_asked_for(
    models: dict[str, Path], names: str, rounds: int
) -> None:
    alone = await by_turns(models["llama"], rounds, names, 0)
    beside = await by_turns(models["llama"], rounds, names, 1600)
    assert alone < 400 * len(names) + 30 * rounds
    assert beside <= 1.2 * alone


@pytest.mark.anyio
async def test_a_conversation_that_goes_on_is_not_pushed_out_by_prompts_that_come_once(
    models: dict[str, Path],
) -> None:
    async with loaded(models["llama"], CONTEXT) as model:
        talk, names = Talk(model), itertools.count()
        first = await talk.say(text("z", 1000))
        again = []
        for turn in range(5):
            for _ in range(3 if turn else 1):
                await evaluated(model, text(f"{next(names)}-", 300))
            again.append(await talk.say(f"And {turn}?"))
        assert first > 1000
        assert sum(again) < first / 2, "the conversation is there, at most its end had to go"
        assert max(again[1:]) < 100


@pytest.mark.anyio
async def test_what_forks_share_is_kept_when_their_ends_go(models: dict[str, Path]) -> None:
    async with loaded(models["llama"], CONTEXT) as model:
        talk = Talk(model)
        await talk.say(text("z", 600))
        for fork in range(6):
            branch = Talk(model)
            branch.messages = list(talk.messages)
            assert await branch.say(text(f"{fork}", 250)) < 330, "all but what is new is there"
            branch.conversation.leave()


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["llama", "gemma2"])
async def test_of_two_conversations_that_end_in_the_same_tokens_one_may_leave(
    models: dict[str, Path], kind: str
) -> None:
    async with loaded(models[kind], CONTEXT) as model:
        stays, leaves = Talk(model), Talk(model)
        for talk in (stays, leaves):
            await talk.say(text("z", 800))
        leaves.conversation.leave()
        kept = model._arena._prefixes.carry(1 << 40)
        assert any(stays.conversation in one.claims for one in kept)


# Pure --------------------------------------------------------------------------------------------------


def test_what_is_used_more_often_or_claimed_is_worth_more() -> None:
    once, twice = Uses(0.0), Uses(0.0)
    twice.use(0.0)
    for now in (0.0, 0.3, 5.0):
        assert twice.rate(now) > once.rate(now, claims=1) > once.rate(now)
        assert worth(once.rate(now), 10, 5) == 2 * worth(once.rate(now), 10, 10)


@given(ages=st.lists(st.floats(0, 100), min_size=2, max_size=9), claims=st.integers(0, 3))
def test_nothing_is_worth_more_for_getting_older(ages: list[float], claims: int) -> None:
    uses = Uses(0.0)
    uses.use(0.0)
    rates = [uses.rate(now, claims) for now in sorted(ages)]
    assert rates == sorted(rates, reverse=True)
    assert all(rate > 0 for rate in rates)


def test_no_claim_is_worth_anything_for_ever() -> None:
    idle, asked = Uses(0.0), Uses(0.0)
    asked.use(40.0)
    assert asked.rate(40.1) > idle.rate(40.1, claims=100)


def test_idle_cells_are_held_no_longer_than_evaluating_them_again_would_take() -> None:
    assert not is_dear(0.0, HOLDING_STEPS)
    assert is_dear(0.0, HOLDING_STEPS + 1)
    assert not is_dear(1.0, HOLDING_STEPS + 1)
    assert is_dear(1.0, HOLDING_STEPS // 2, is_saved=True)
    assert is_dear(0.0, HOLDING_STEPS // 2, returns=0.4)


def test_what_comes_once_only_is_learnt_and_unlearnt() -> None:
    returns = Returns(1000)
    assert returns.share == 1
    for _ in range(20):
        returns.count(never=300)
    assert returns.share < 0.2
    for _ in range(20):
        returns.count(again=300)
    assert returns.share > 0.6


def test_a_copy_is_written_only_if_it_saves_more_than_it_takes() -> None:
    assert pays(None, 1.0, 1.0) and pays(MARGIN * 2.1, 1.0, 1.0) and not pays(MARGIN * 1.9, 1.0, 1.0)


def test_only_what_others_have_asked_for_counts_as_seen() -> None:
    sightings, mine, other = Sightings(), Conversation(), Conversation()
    prompt = array("i", range(100))
    assert sightings.see(prompt, mine) == 0
    assert sightings.see(prompt, mine) == 0, "its own next turn"
    assert sightings.see(prompt[:50], other) == 50 // BLOCK_TOKENS * BLOCK_TOKENS
    assert sightings.see(prompt, mine) == 48, "what another has asked for too"
    assert Sightings(cut(sightings.digests())).see(prompt, mine) == 100, "another process"
    assert sightings.see(array("i", [7, *range(100)]), None) == 0


def cut(digests: bytes) -> Iterator[bytes]:
    return (digests[at : at + 8] for at in range(0, len(digests), 8))


def test_of_what_was_seen_the_latest_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    from samovar.engines.llama.prefixes import sightings as sightings_module

    monkeypatch.setattr(sightings_module, "MAX_SEEN", 10)
    sightings = Sightings()
    for start in range(20):
        sightings.see(array("i", range(start, start + BLOCK_TOKENS)), None)
    assert len(sightings.digests()) == 80
    assert sightings.see(array("i", range(19, 19 + BLOCK_TOKENS)), None) == BLOCK_TOKENS
    assert sightings.see(array("i", range(BLOCK_TOKENS)), None) == 0


# On disk -----------------------------------------------------------------------------------------------


def copies(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.kv"))


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["llama", "gemma2"])
async def test_what_came_once_is_not_written_and_what_comes_again_is(
    models: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    document, prefix = text("d", 300), text("p", 300)
    async with loaded(models[kind], CONTEXT, Snapshots(tmp_path, 10**8)) as model:
        await evaluated(model, document)
        talk = Talk(model)
        for _ in range(3):
            await talk.say(text("z", 60))
    assert copies(tmp_path) == []
    async with loaded(models[kind], CONTEXT, Snapshots(tmp_path, 10**8)) as model:
        assert await evaluated(model, f"{prefix} one") > 300
        await evaluated(model, f"{prefix} two")
        assert await evaluated(model, f"{prefix} and") < 100
        assert await evaluated(model, document) > 300
    async with loaded(models[kind], CONTEXT, Snapshots(tmp_path, 10**8)) as model:
        assert await evaluated(model, f"{prefix} three") < 100
        if kind == "llama":
            assert await evaluated(model, document) < 100, "seen in two processes"


@pytest.mark.anyio
async def test_a_prompt_that_is_larger_than_the_queue_is_written_in_pieces(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from samovar.engines.llama.prefixes import disk_index

    monkeypatch.setattr(disk_index, "PIECE_BYTES", 100 * 256)
    prompt = text("p", 1000)
    async with loaded(models["llama"], CONTEXT, Snapshots(tmp_path, 10**8)) as model:
        for _ in range(2):
            await evaluated(model, prompt)
    assert len(copies(tmp_path)) > 5
    async with loaded(models["llama"], CONTEXT, Snapshots(tmp_path, 10**8)) as model:
        assert await evaluated(model, prompt) < 60


@pytest.mark.anyio
async def test_a_copy_that_does_not_pay_is_not_written(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MARGIN", 1e9)
    async with loaded(models["llama"], CONTEXT, Snapshots(tmp_path, 10**8)) as model:
        for _ in range(3):
            await evaluated(model, text("p", 300))
    assert copies(tmp_path) == []


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["llama", "gemma2"])
async def test_a_secret_is_nowhere_on_disk(models: dict[str, Path], kind: str, tmp_path: Path) -> None:
    prefix, secret = text("p", 200), "xkcd-hunter2-correct-horse-battery"
    async with loaded(models[kind], CONTEXT, Snapshots(tmp_path, 10**8)) as model:
        for number in range(3):
            await evaluated(model, f"{prefix} {number}")
            hidden = Message(role="user", content=f"{prefix} {secret}", secret=True)
            await evaluated(model, [hidden])
            later = [hidden, Message(role="assistant", content=secret), *user("And?")]
            await evaluated(model, later)
        plain = array("i", model._template.tokens(user(prefix + secret)))
        tokens = array("i", model._template.tokens(user(secret)))
    assert copies(tmp_path), "what stands before it is there"
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert plain[20:120].tobytes() in written
    for start in range(4, len(tokens) - 12):
        ids = tokens[start : start + 4].tobytes()
        assert ids not in written


# Against the optimum -------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", eviction.SHARES)
def test_recorded_prompts_of_the_examples_are_evaluated_again_little_more_than_they_must(
    share: float,
) -> None:
    accesses = accesses_module.read()
    cells = max(int(share * eviction.distinct(accesses)), eviction.least_cells(accesses))
    assert len(accesses) > 100
    assert eviction.replay(accesses, cells) <= 1.5 * eviction.optimum(accesses, cells)


@st.composite
def recorded(draw: st.DrawFn) -> list[Access]:
    """Prompts that begin like earlier ones, or like nothing."""
    sizes: list[int] = []
    made: list[Access] = []
    for number in range(draw(st.integers(1, 25))):
        like = draw(st.integers(-1, number - 1))
        shared = draw(st.integers(1, sizes[like])) if like >= 0 else 0
        prompt, answer = shared + draw(st.integers(1, 20)), draw(st.integers(0, 5))
        sizes.append(prompt + answer)
        asker = draw(st.sampled_from((-1, -1, 0, 1)))
        made.append(
            Access(
                like=like if shared else -1,
                shared=shared,
                prompt=prompt,
                answer=answer,
                promised=prompt + 5,
                asker=asker,
            )
        )
    return made


@given(accesses=recorded(), more=st.integers(0, 100))
def test_no_rule_is_better_than_the_optimum(accesses: list[Access], more: int) -> None:
    cells = eviction.least_cells(accesses) + more
    least = eviction.optimum(accesses, cells)
    assert all(eviction.replay(accesses, cells, rule) >= least for rule in eviction.RULES.values())
    with_all = eviction.optimum(accesses, 10**6)
    prompts = {token for asked in as_tokens(accesses) for token in asked.prompt}
    assert with_all <= least
    assert with_all <= len(prompts) + len(accesses), "each once, and the last of a prompt that is known"
