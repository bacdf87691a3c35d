"""Settings of contexts: the table, what is kept of measurements, and the workbench on a tiny model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from samovar.cli.measuring import TEXT
from samovar.engines.base import ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.measuring import MeasuringEndedError, Workbench
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.speeds import Plan, Speed, best, choices
from samovar.generation import Message, Options, TextGenerated
from samovar.models.cost import predict
from samovar.models.header import read_header
from samovar.models.tuned import MOST_KEPT, Tuned
from samovar.models.tuning import BATCH_TOKENS, TABLE, Tuning, table

PLAN = Plan(lengths=(32, 80), decoded=3, rounds=2)
TUNED = Tuning(flash_attention=True, micro_batch_tokens=BATCH_TOKENS, threads=1, source="somewhere")


def tuned_in(folder: Path, machine: str = "here", build: str = "1") -> Tuned:
    return Tuned(folder, machine=machine, build=build)


# The table --------------------------------------------------------------------------------------------


def test_the_table_knows_devices_and_kv_types() -> None:
    assert table("cpu", "f16").flash_attention is True, "it skips the cells of others"
    assert table("cpu", "q8_0").flash_attention is table("gpu", "q4_0").flash_attention is True
    assert table("gpu", "f16").flash_attention is None, "the engine knows better"
    assert table("gpu", "f16").micro_batch_tokens > table("cpu", "f16").micro_batch_tokens


def test_scores_cost_memory_where_flash_attention_is_off(tiny_model: Path) -> None:
    header = read_header(tiny_model)
    off = replace(table("cpu", "f16"), flash_attention=False)
    assert predict(header, context_tokens=4096).scores_bytes == 0
    small = predict(header, context_tokens=4096, tuning=off)
    large = predict(header, context_tokens=4096, tuning=replace(off, micro_batch_tokens=512))
    assert 3 < large.scores_bytes / small.scores_bytes < 5


# What is kept -----------------------------------------------------------------------------------------


def test_what_was_kept_is_found_for_the_same_file_machine_and_build(tiny_model: Path, tmp_path: Path) -> None:
    tuned_in(tmp_path).keep(tiny_model, "f16", TUNED, {"speeds": []}, "2026-12-31")
    found = tuned_in(tmp_path).find(tiny_model, "f16")
    assert found is not None and found.tuning is not None and found.note is None
    assert found.tuning == replace(TUNED, source="measured by samovar tune on 2026-12-31")
    assert tuned_in(tmp_path).find(tiny_model, "q8_0") is None
    assert tuned_in(tmp_path).forget(tiny_model, "f16") and not tuned_in(tmp_path).forget(tiny_model, "f16")


@pytest.mark.parametrize(("machine", "build"), [("there", "1"), ("here", "2")])
def test_what_was_measured_elsewhere_is_ignored_and_said(
    machine: str, build: str, tiny_model: Path, tmp_path: Path
) -> None:
    tuned_in(tmp_path).keep(tiny_model, "f16", TUNED, {}, "2026-12-31")
    found = tuned_in(tmp_path, machine, build).find(tiny_model, "f16")
    assert found is not None and found.tuning is None and found.note is not None
    assert "not used" in found.note


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 1, "build": "1", "machine": "here"}',
        '{"format": 1, "build": "1", "machine": "here", "measured": "x", "device": "cpu", "choice": {}}',
        " " * 70_000,
    ],
)
def test_a_damaged_file_is_ignored_and_said(text: str, tiny_model: Path, tmp_path: Path) -> None:
    tuned_in(tmp_path).keep(tiny_model, "f16", TUNED, {}, "2026-12-31").write_text(text)
    found = tuned_in(tmp_path).find(tiny_model, "f16")
    assert found is not None and found.tuning is None and found.note is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [("micro_batch_tokens", 0), ("micro_batch_tokens", 1e9), ("threads", "2"), ("threads", -1)],
)
def test_a_choice_that_cannot_be_is_ignored(
    name: str, value: object, tiny_model: Path, tmp_path: Path
) -> None:
    path = tuned_in(tmp_path).keep(tiny_model, "f16", TUNED, {}, "2026-12-31")
    said = json.loads(path.read_text())
    said["choice"][name] = value
    path.write_text(json.dumps(said))
    found = tuned_in(tmp_path).find(tiny_model, "f16")
    assert found is not None and found.tuning is None


def test_only_so_many_are_kept(tiny_model: Path, tmp_path: Path) -> None:
    for number in range(MOST_KEPT + 3):
        copy = tmp_path / f"{number}.gguf"
        copy.write_bytes(b"x" * number)
        tuned_in(tmp_path / "kept").keep(copy, "f16", TUNED, {}, "2026-12-31")
    assert len(list((tmp_path / "kept").iterdir())) == MOST_KEPT


# What a model is loaded with --------------------------------------------------------------------------


@asynccontextmanager
async def loaded(path: Path, tuned: Tuned | None = None) -> AsyncIterator[LlamaModel]:
    engine = LlamaEngine(tuned=tuned)
    spec = ModelSpec(reference="tiny", path=path, context_tokens=1024)
    model = await engine.load(spec, engine.predict(spec), lambda fraction: None)
    assert isinstance(model, LlamaModel)
    try:
        yield model
    finally:
        await model.close()
        engine.close()


async def answer(model: LlamaModel, *, deterministic: bool = False) -> str:
    said = [Message(role="user", content="hello there " * 30)]
    options = Options(max_tokens=8, deterministic=deterministic)
    async with model.generate(said, options) as events:
        return "".join([event.piece async for event in events if isinstance(event, TextGenerated)])


@pytest.mark.anyio
async def test_a_load_uses_what_was_kept_and_says_so(tiny_model: Path, tmp_path: Path) -> None:
    async with loaded(tiny_model) as model:
        assert TABLE in (model.statistics().tuning or "")
    tuned_in(tmp_path).keep(tiny_model.resolve(), "f16", TUNED, {}, "2026-12-31")
    async with loaded(tiny_model, tuned_in(tmp_path)) as model:
        statistics = model.statistics()
        assert "flash attention on" in (statistics.tuning or "") and "2026-12-31" in (statistics.tuning or "")
        assert statistics.threads == 1 and "2026-12-31" in (statistics.threads_reason or "")
        await answer(model)
        assert model.statistics().tuning == statistics.tuning
    async with loaded(tiny_model, tuned_in(tmp_path, machine="there")) as model:
        assert any("another machine" in note for note in model.statistics().notes)
    on_gpu = replace(TUNED, device="gpu")
    tuned_in(tmp_path).keep(tiny_model.resolve(), "f16", on_gpu, {}, "2026-12-31")
    async with loaded(tiny_model, tuned_in(tmp_path)) as model:
        assert TABLE in (model.statistics().tuning or "")
        assert any("a GPU was measured" in note for note in model.statistics().notes)


@pytest.mark.anyio
async def test_a_deterministic_answer_depends_on_no_measurement(tiny_model: Path, tmp_path: Path) -> None:
    async with loaded(tiny_model) as model:
        wanted = await answer(model, deterministic=True)
    tuned_in(tmp_path).keep(tiny_model.resolve(), "f16", TUNED, {}, "2026-12-31")
    async with loaded(tiny_model, tuned_in(tmp_path)) as model:
        await answer(model)
        assert await answer(model, deterministic=True) == wanted
        assert TABLE in (model.statistics().tuning or "")
        model.check()


# Measuring --------------------------------------------------------------------------------------------


def speed(tuning: Tuning, rate: float, ms: float) -> Speed:
    return Speed(tuning=tuning, evaluate_tokens_per_s=rate, decode_ms={512: ms})


def test_another_choice_than_the_table_s_must_be_clearly_faster() -> None:
    standard, other = choices(table("cpu", "f16"), "f16")[:2]
    assert best([speed(standard, 100, 20), speed(other, 101, 19.9)]).tuning is standard
    assert best([speed(standard, 100, 20), speed(other, 100, 15)]).tuning is other


def test_quantized_cells_leave_no_choice_of_attention() -> None:
    assert {one.flash_attention for one in choices(table("cpu", "q8_0"), "q8_0")} == {True}
    assert {one.flash_attention for one in choices(table("cpu", "f16"), "f16")} == {True, False}


def bench_of(path: Path, *, threads: int | None = None, **told: Callable[..., None]) -> Workbench:
    spec = ModelSpec(reference="tiny", path=path, threads=threads)
    return Workbench(spec, LlamaEngine().predict(spec), **told)


def test_every_choice_is_measured_in_every_round(tiny_model: Path) -> None:
    parts: list[str] = []
    bench = bench_of(tiny_model, on_part=parts.append)
    try:
        tried = choices(bench.standard, "f16")
        speeds = bench.speeds(tried, TEXT.read_text(), PLAN)
        decode_ms, rates = bench.threads(bench.standard, TEXT.read_text(), PLAN)
    finally:
        bench.close()
    assert [one.tuning for one in speeds] == tried and len(tried) == 4
    assert all(list(one.decode_ms) == [32, 80] and one.evaluate_tokens_per_s > 0 for one in speeds)
    assert len([part for part in parts if "thread" not in part]) == len(tried) * PLAN.rounds
    assert list(decode_ms) == list(rates) and 1 in decode_ms


def test_a_text_is_foreseen_alike_with_each_setting(tiny_model: Path) -> None:
    bench = bench_of(tiny_model)
    try:
        found = [bench.perplexity(one, TEXT.read_text(), 300) for one in choices(bench.standard, "f16")]
        whole = bench.vocabulary.tokenize(TEXT.read_text(), special=False)
    finally:
        bench.close()
    assert len(whole) >= 2000
    # Random weights know nothing: each of the 259 tokens is about as likely as the others.
    assert all(one == pytest.approx(found[0], rel=1e-3) and 200 < one < 2000 for one in found)


def test_what_a_load_would_take_is_measured(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samovar.engines.llama.cores._allowed", lambda: range(8))
    monkeypatch.setattr("samovar.engines.llama.cores._fast", lambda root, allowed: allowed)
    monkeypatch.setattr("samovar.engines.llama.cores._siblings", lambda root, cpu: frozenset([cpu // 4]))
    monkeypatch.setattr("samovar.engines.llama.cores._within_quota", lambda cores, root: cores)
    plan = Plan(lengths=(8, 16), decoded=1, rounds=1)
    for set_threads, measured in ((None, [2, 1]), (3, [3])):
        bench = bench_of(tiny_model, threads=set_threads)
        try:
            decode_ms, rates = bench.threads(bench.standard, TEXT.read_text(), plan)
            assert list(decode_ms) == list(rates) == measured
            assert bench.threads_used == measured[0]
        finally:
            bench.close()


def test_what_is_raised_while_it_loads_ends_the_load(tiny_model: Path) -> None:
    fractions: list[float] = []

    def on_progress(fraction: float) -> None:
        fractions.append(fraction)
        raise MeasuringEndedError

    with pytest.raises(MeasuringEndedError):
        bench_of(tiny_model, on_progress=on_progress)
    assert len(fractions) == 1 and fractions[0] < 1


def test_measuring_ends_when_it_is_stopped(tiny_model: Path) -> None:
    bench = bench_of(tiny_model, on_part=lambda part: bench.stop())
    try:
        with pytest.raises(MeasuringEndedError):
            bench.speeds(choices(bench.standard, "f16"), TEXT.read_text(), PLAN)
    finally:
        bench.close()
