"""The engine on llama.cpp, on tiny models: the binding, batches, aborts, sampling, what is given back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from samovar.engines.base import Finished
from samovar.engines.llama import declarations, machine
from samovar.engines.llama.binding import find_library, open_binding
from samovar.engines.llama.choosing import choices_grammar
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.model import LlamaModel
from samovar.errors import EngineError, ModelError
from samovar.generation import (
    MOST_SEED,
    FinishReason,
    Message,
    Options,
    PromptEvaluating,
    Sampling,
    TextGenerated,
)
from tests.on_tiny import loaded, spec_of, user

pytestmark = pytest.mark.anyio


async def answer(model: LlamaModel, text: str, options: Options | None = None) -> tuple[str, Finished]:
    said, end = "", None
    async with model.generate(user(text), options or Options(max_tokens=8)) as events:
        async for event in events:
            if isinstance(event, TextGenerated):
                said += event.piece
            elif isinstance(event, Finished):
                end = event
    assert end is not None
    return said, end


# The binding ------------------------------------------------------------------------------------------


def test_every_declared_function_is_exported() -> None:
    listed = subprocess.run(["nm", "-D", "--defined-only", find_library()], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("nm cannot read the object here")
    exported = {line.split()[-1].split("@")[0] for line in listed.stdout.splitlines()}
    declared = set(re.findall(r"\b((?:llama|ggml)_\w+)\(", declarations.CDEF))
    assert len(declared) > 40
    assert not declared - exported
    sources = "".join(path.read_text() for path in Path(declarations.__file__).parent.glob("*.py"))
    assert not [name for name in declared if f"lib.{name}" not in sources], "declared and not used"


def test_the_abort_predicate_reads_the_flag() -> None:
    binding = open_binding()
    flag = binding.ffi.new("struct ggml_tensor_head *")
    flag.ne = [1, 1, 1, 1]
    assert not binding.lib.ggml_is_empty(flag)
    flag.ne[0] = 0
    assert binding.lib.ggml_is_empty(flag)


def test_the_wait_policy_is_not_left_in_the_environment() -> None:
    open_binding()
    assert "GOMP_SPINCOUNT" not in os.environ


GOOD = machine.Machine(
    system="linux", processor="x86_64", libc="glibc", cpu_flags=frozenset(("avx2", "fma", "f16c"))
)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"system": "win32"}, "WSL 2"),
        ({"libc": "musl"}, "musl"),
        ({"cpu_flags": frozenset(("fma", "f16c"))}, "lacks AVX2"),
        ({"processor": "riscv64"}, "do not run on linux riscv64"),
    ],
)
def test_a_machine_that_cannot_is_told_so_before_the_object_is_opened(
    change: dict[str, object], says: str
) -> None:
    assert machine.objection(GOOD) is None
    objection = machine.objection(replace(GOOD, **change))  # type: ignore[arg-type]
    assert objection and says in objection and "Supported" in objection


# Files ------------------------------------------------------------------------------------------------


async def test_a_context_larger_than_trained_is_refused_with_both_numbers(tiny_model: Path) -> None:
    with pytest.raises(EngineError, match=r"99999.*4096"):
        LlamaEngine().predict(spec_of(tiny_model, 99999))


async def test_without_a_context_asked_for_it_is_what_fits(tiny_model: Path) -> None:
    engine = LlamaEngine()
    whole = engine.predict(spec_of(tiny_model, None))
    assert whole.context_tokens == 4096
    small = engine.predict(spec_of(tiny_model, None), free_bytes=whole.total_bytes - 1)
    assert small.context_tokens == 2048 and small.total_bytes < whole.total_bytes


async def test_weights_that_are_damaged_do_not_end_the_process_and_a_good_load_follows(
    tmp_path: Path, tiny_model: Path
) -> None:
    raw = bytearray(tiny_model.read_bytes())
    name = raw.index(b"blk.0.attn_q.weight")
    raw[name : name + 19] = b"blk.0.attn_x.weight"
    path = tmp_path / "renamed.gguf"
    path.write_bytes(raw)
    with closing(LlamaEngine()) as engine, pytest.raises(ModelError, match=r"attn_q|missing"):
        await engine.load(spec_of(path), engine.predict(spec_of(path)), lambda fraction: None)
    async with loaded(tiny_model) as model:
        assert (await answer(model, "hello"))[1].tokens.generated


# Answers ----------------------------------------------------------------------------------------------


async def test_the_same_seed_says_the_same_and_another_something_else(tiny_model: Path) -> None:
    def options(seed: int) -> Options:
        return Options(max_tokens=24, sampling=Sampling(temperature=1.2, top_k=50, top_p=0.95, seed=seed))

    async with loaded(tiny_model) as model:
        first, again, other = [(await answer(model, "x", options(seed)))[0] for seed in (1, 1, 2)]
        assert first == again != other


async def test_greedy_is_what_no_temperature_means(tiny_model: Path) -> None:
    async with loaded(tiny_model) as model:
        await answer(model, "abc")
        one, _ = await answer(model, "abc", Options(max_tokens=12))
        two, _ = await answer(model, "abc", Options(max_tokens=12, sampling=Sampling(seed=99)))
        assert one == two


async def test_every_sampling_option_reaches_the_chain(tiny_model: Path) -> None:
    base = Sampling(temperature=1.5, seed=3)
    changes = {"top_k": 1, "top_p": 0.01, "min_p": 0.99}
    async with loaded(tiny_model) as model:
        greedy, _ = await answer(model, "q", Options(max_tokens=12))
        greedy, _ = await answer(model, "q", Options(max_tokens=12))
        free, _ = await answer(model, "q", Options(max_tokens=12, sampling=base))
        assert free != greedy
        for name, value in changes.items():
            sampling = replace(base, **{name: value})  # type: ignore[arg-type]
            strict, _ = await answer(model, "q", Options(max_tokens=12, sampling=sampling))
            assert strict == greedy, name
        penalty = Sampling(repeat_penalty=3.0)
        assert (await answer(model, "q", Options(max_tokens=40, sampling=penalty)))[0] != (
            await answer(model, "q", Options(max_tokens=40))
        )[0]


def test_choices_are_quoted_for_the_grammar_by_code_point() -> None:
    assert choices_grammar(["yes", 'a"b\\']) == r'root ::= "yes" | "a\U00000022b\U0000005C"'


@pytest.mark.parametrize(
    "choices",
    [
        ("<|im_end|>", "<|im_start|>"),
        ("x<|im_start|>y",),
        ("<|endoftext|>x", "<|endoftext|>"),
        ("", "a"),
        (" ", "  ", "\n"),
        ("a", "ab", "abc"),
        ("a\n", "a"),
        ("é", "e\u0301", "\ufffd", "😀"),
        ("漢", "😀"),
    ],
)
async def test_choices_of_any_kind_are_answered_exactly(tiny_model: Path, choices: tuple[str, ...]) -> None:
    async with loaded(tiny_model) as model:
        for seed in range(12):
            options = Options(choices=choices, sampling=Sampling(temperature=5.0, seed=seed))
            said, end = await answer(model, "x", options)
            assert said in choices and end.reason is FinishReason.STOP


@pytest.mark.parametrize("choice", ["\ud800", "a\0b"])
async def test_a_choice_that_cannot_be_said_is_refused_and_the_model_goes_on(
    tiny_model: Path, choice: str
) -> None:
    async with loaded(tiny_model) as model:
        with pytest.raises(EngineError, match="a NUL or half of a surrogate pair"):
            await answer(model, "x", Options(choices=("yes", choice)))
        assert (await answer(model, "x", Options(choices=("yes",))))[0] == "yes"


@pytest.mark.parametrize("seed", [MOST_SEED, MOST_SEED - 1, 0])
async def test_every_seed_says_the_same_each_time(tiny_model: Path, seed: int) -> None:
    options = Options(max_tokens=24, sampling=Sampling(temperature=1.2, seed=seed))
    async with loaded(tiny_model) as model:
        assert len({(await answer(model, "x", options))[0] for _ in range(4)}) == 1


async def test_two_hundred_choices_on_a_random_model_are_all_among_them(tiny_model: Path) -> None:
    choices = ("yes", "no", "maybe not", "да", "")[:4]
    async with loaded(tiny_model) as model:
        for number in range(200):
            options = Options(choices=choices, sampling=Sampling(temperature=float(number % 3), seed=number))
            said, end = await answer(model, f"question {number}", options)
            assert said in choices and end.reason is FinishReason.STOP


async def test_prompts_share_what_they_have_in_common_token_by_token(tiny_model: Path) -> None:
    system = Message(role="system", content="rules " * 100)
    async with loaded(tiny_model) as model:
        for number, question in enumerate(("one", "two", "three")):
            async with model.generate([system, *user(question)], Options(max_tokens=1)) as events:
                progress = [event async for event in events if isinstance(event, PromptEvaluating)]
            if number:
                assert progress[0].total_tokens - progress[0].reused_tokens < 40


async def test_a_small_context_gives_up_parked_sequences_for_new_ones(tiny_model: Path) -> None:
    async with loaded(tiny_model, 512) as model:
        for number in range(12):
            _, end = await answer(model, f"{number} " * 80, Options(max_tokens=100))
            assert end.reason in (FinishReason.LENGTH, FinishReason.STOP)
            model.check()
        assert model.statistics().cells_used <= 512


async def test_more_at_once_than_fit_wait_their_turn(tiny_model: Path) -> None:
    ends: list[Finished] = []

    async def one(model: LlamaModel, number: int) -> None:
        ends.append((await answer(model, f"{number} words", Options(max_tokens=200)))[1])

    async with loaded(tiny_model, 512) as model:
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(one, model, number)
        assert len(ends) == 10


async def test_an_abort_in_a_long_prompt_leaves_batch_mates_as_they_were(tiny_model: Path) -> None:
    async with loaded(tiny_model, 4096) as model:
        alone, _ = await answer(model, "the one that stays", Options(max_tokens=200))
        beside = ""

        async def stays() -> None:
            nonlocal beside
            beside, end = await answer(model, "the one that stays", Options(max_tokens=200))
            assert end.reason in (FinishReason.LENGTH, FinishReason.STOP)

        async def goes(number: int) -> None:
            with anyio.CancelScope() as scope:
                async with model.generate(user(f"{number} " * 900), Options(max_tokens=10)) as events:
                    async for _ in events:
                        scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stays)
            for number in range(5):
                tasks.start_soon(goes, number)
        assert len(beside) > 0 and len(alone) > 0
        model.check()
        assert model.statistics().sequences_running == 0


async def test_a_timeout_says_so_and_gives_the_sequence_back(tiny_model: Path) -> None:
    async with loaded(tiny_model, 4096) as model:
        _, end = await answer(model, "word " * 700, Options(max_tokens=3000, timeout_s=0.0001))
        assert end.reason is FinishReason.TIMEOUT
        assert model.statistics().sequences_running == 0


async def test_a_file_without_a_template_is_noted(other_tiny_model: Path) -> None:
    async with loaded(other_tiny_model) as model:
        assert any("ChatML" in note for note in model.statistics().notes)
        await answer(model, "hello")


LOADS = """
import gc, os, sys, threading
from pathlib import Path
import anyio
from samovar.memory import resident_bytes
from tests.on_tiny import loaded
from tests.test_llama import Options, answer

async def main():
    for number in range(160):
        async with loaded(Path(sys.argv[1])) as model:
            await answer(model, "hello", Options(max_tokens=2))
        if number % 20 == 19:
            gc.collect()
        if number in (59, 159):  # what libraries keep once is there by then
            print(resident_bytes(), threading.active_count(), len(os.listdir("/proc/self/fd")))

anyio.run(main)
"""


@pytest.mark.slow
def test_a_hundred_loads_leave_no_memory_thread_or_file_behind(tiny_model: Path) -> None:
    root = Path(__file__).parent.parent
    # With an arena of its own for each thread, glibc's resident memory swings by 2 MB and hides what leaks.
    done = subprocess.run(
        [sys.executable, "-c", LOADS, str(tiny_model)],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=root,
        env=os.environ | {"MALLOC_ARENA_MAX": "1"},
    )
    assert done.returncode == 0, done.stderr
    before, after = (tuple(map(int, line.split())) for line in done.stdout.splitlines())
    assert after[0] - before[0] <= 500_000
    assert after[1:] <= before[1:]
