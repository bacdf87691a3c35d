"""Predicted costs are what the real engine then takes: buffer by buffer as it logs them, and as a whole."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import gguf
import pytest

from samovar.engines.base import ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.generation import KvType
from samovar.models.architectures import ARCHITECTURES, MemoryKind
from samovar.models.cost import SNAPSHOT_STATES, Cost, predict
from samovar.models.header import read_header
from samovar.models.tuning import table
from tests.tiny import TENSORS, Sizes, make_tiny

pytestmark = pytest.mark.anyio

MIB = 1 << 20
TOLERANCE_BYTES = 8_000_000
TOLERANCE = 0.05
KV_TYPES: list[KvType] = ["f16", "q8_0", "q4_0"]
SIZES = Sizes(layers=4, width=128, heads=4, kv_heads=2, feed_forward=256, more_tokens=2000)
"""Heads of 32 elements, which quantized keys need."""


def is_close(predicted_bytes: float, taken_bytes: float) -> bool:
    return abs(predicted_bytes - taken_bytes) <= max(TOLERANCE_BYTES, TOLERANCE * taken_bytes)


def logged_bytes(lines: list[str], what: str) -> float:
    """The sum of `… CPU KV buffer size = 1.00 MiB` and the like."""
    found = [re.search(rf"{what} buffer size = +([\d.]+) MiB", line) for line in lines]
    return sum(float(match[1]) for match in found if match) * MIB


async def load(path: Path, context_tokens: int, kv_type: KvType) -> Cost:
    spec = ModelSpec(reference="tiny", path=path, context_tokens=context_tokens, kv_type=kv_type, threads=1)
    engine = LlamaEngine()
    cost = engine.predict(spec)
    with anyio.fail_after(60):
        model = await engine.load(spec, cost, lambda fraction: None)
        assert model.statistics().context_tokens == cost.context_tokens
        await model.close()
    engine.close()
    return cost


@pytest.mark.parametrize(
    "kv_type", ["f16", *(pytest.param(one, marks=pytest.mark.slow) for one in KV_TYPES[1:])]
)
@pytest.mark.parametrize("architecture", TENSORS)
async def test_a_cost_is_what_the_engine_logs(
    architecture: str, kv_type: KvType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_tiny(tmp_path / "x.gguf", architecture, context=8192, sizes=SIZES)
    for context_tokens in (256, 300, 1024, 4096, 8192):
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="samovar.engine"):
            cost = await load(path, context_tokens, kv_type)
        rounding_bytes = 0.03 * MIB
        kept_bytes = logged_bytes(caplog.messages, "KV") + logged_bytes(caplog.messages, "RS")
        assert cost.kv_bytes == pytest.approx(kept_bytes, abs=rounding_bytes)
        output_bytes = logged_bytes(caplog.messages, "output")
        assert output_bytes > 0
        assert cost.output_bytes == pytest.approx(output_bytes, abs=rounding_bytes)
        compute_bytes = logged_bytes(caplog.messages, "compute")
        predicted_bytes = cost.compute_bytes + cost.scores_bytes
        assert 0 < compute_bytes < predicted_bytes < compute_bytes + TOLERANCE_BYTES
        assert not cost.estimated


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """It takes seconds to make, and hundreds of megabytes."""
    sizes = Sizes(layers=2, width=2048, heads=16, kv_heads=4, feed_forward=5632, more_tokens=20_000)
    path = make_tiny(tmp_path_factory.mktemp("wide") / "x.gguf", sizes=sizes, context=8192)
    yield path
    path.unlink()


@pytest.mark.slow
@pytest.mark.xdist_group("wide-model")
@pytest.mark.parametrize("kv_type", KV_TYPES)
async def test_a_wide_model_costs_what_the_engine_logs(
    kv_type: KvType, wide_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="samovar.engine"):
        cost = await load(wide_model, 8192, kv_type)
    taken_bytes = sum(logged_bytes(caplog.messages, what) for what in ("KV", "output", "compute"))
    predicted_bytes = cost.kv_bytes + cost.output_bytes + cost.compute_bytes + cost.scores_bytes
    assert taken_bytes < predicted_bytes < taken_bytes + TOLERANCE_BYTES + 448 * 20_000


GROWTH = """
import sys
from pathlib import Path
import anyio
from samovar.engines.base import ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.generation import Message, Options
from samovar.memory import resident_bytes

async def used(engine, path, context_tokens):
    spec = ModelSpec(reference=path.name, path=path, context_tokens=context_tokens)
    cost, before_bytes = engine.predict(spec), resident_bytes()
    model = await engine.load(spec, cost, lambda fraction: None)
    messages = [Message(role="user", content="hello there " * 60)]
    async with model.generate(messages, Options(max_tokens=4)) as events:
        async for event in events:
            pass
    # Copies of states, tables of forms, and logits of the many that do not run beside this one, are promised
    # and not taken.
    promised_bytes = cost.snapshot_bytes + cost.scores_bytes + cost.output_bytes + cost.forms_bytes
    predicted_bytes = cost.total_bytes - promised_bytes
    print(predicted_bytes, resident_bytes() - before_bytes)
    return model

async def main(first, path, context_tokens):
    engine = LlamaEngine()
    one = await used(engine, Path(first), 1024)  # what the process takes once, whatever it loads
    other = await used(engine, Path(path), int(context_tokens))
    await one.close()
    await other.close()
    engine.close()

anyio.run(main, *sys.argv[1:])
"""


def growth(*arguments: object) -> tuple[int, int]:
    """(predicted, resident) bytes of the load after the first, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    predicted, resident = done.stdout.splitlines()[-1].split()
    return int(predicted), int(resident)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", TENSORS)
def test_memory_grows_by_the_cost(architecture: str, tmp_path: Path, tiny_model: Path) -> None:
    path = make_tiny(tmp_path / "x.gguf", architecture, context=8192, sizes=SIZES)
    assert is_close(*growth(tiny_model, path, 8192))


@pytest.mark.real
@pytest.mark.parametrize("context_tokens", [512, 2048, 8192])
def test_memory_grows_by_the_cost_of_the_default_model(
    context_tokens: int, tiny_model: Path, real_model: Path
) -> None:
    assert is_close(*growth(tiny_model, real_model, context_tokens))


# By themselves ----------------------------------------------------------------------------------------


def test_keys_and_values_are_what_the_formula_says(tiny_model: Path) -> None:
    header = read_header(tiny_model)
    cost = predict(header, context_tokens=1000)
    assert cost.context_tokens == 1024, "rounded up as the engine does"
    assert cost.kv_bytes == 1024 * 2 * 2 * (16 + 16) * 2
    assert predict(header, context_tokens=1000, kv_type="q8_0").kv_bytes == cost.kv_bytes * 34 // 64
    assert predict(header, context_tokens=1000, kv_type="q4_0").kv_bytes == cost.kv_bytes * 18 // 64


def test_the_total_is_the_sum_of_all_parts(tiny_model: Path) -> None:
    off = replace(table("cpu", "f16"), flash_attention=False)
    cost = predict(read_header(tiny_model), context_tokens=1024, tuning=off)
    parts = [cost.weights_bytes, cost.kv_bytes, cost.compute_bytes, cost.scores_bytes]
    parts += [cost.output_bytes, cost.snapshot_bytes, cost.forms_bytes]
    assert all(part > 0 for part in parts) and cost.total_bytes == sum(parts)


def test_copies_of_states_have_room_where_contexts_are_small(tmp_path: Path) -> None:
    header = read_header(make_tiny(tmp_path / "x.gguf", "mamba"))
    cost = predict(header, context_tokens=512)
    assert cost.snapshot_bytes == SNAPSHOT_STATES * 4 * header.shape.state_elements > 0


def test_a_window_does_not_grow_with_the_context(tmp_path: Path) -> None:
    header = read_header(make_tiny(tmp_path / "x.gguf", "gemma2", context=1 << 20))
    shape = header.shape
    longer, long = (predict(header, context_tokens=tokens).kv_bytes for tokens in (1 << 20, 1 << 19))
    assert longer - long == (1 << 19) * shape.cell_elements * 2


@pytest.mark.parametrize("key", ["attention.key_length_mla", "attention.shared_kv_layers"])
def test_what_is_compressed_or_shared_is_an_estimate(tmp_path: Path, key: str) -> None:
    def amend(writer: gguf.GGUFWriter) -> None:
        writer.add_uint32(f"llama.{key}", 1)

    assert predict(read_header(make_tiny(tmp_path / "x.gguf", amend=amend)), context_tokens=512).estimated


@pytest.mark.parametrize(
    "name", [one.name for one in ARCHITECTURES.values() if one.memory != MemoryKind.NONE]
)
def test_every_architecture_has_a_cost_that_grows_with_the_context(name: str, tiny_model: Path) -> None:
    header = replace(read_header(tiny_model), architecture=name)
    costs = [predict(header, context_tokens=tokens) for tokens in (512, 1024, 8192)]
    assert [cost.total_bytes for cost in costs] == sorted(cost.total_bytes for cost in costs)
    assert costs[0].estimated is not ARCHITECTURES[name].is_measured
