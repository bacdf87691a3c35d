"""Layers on devices: how many fit, what each device needs, what is refused. With devices made up for that."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from pathlib import Path

import pytest

from samovar.engines.base import ModelSpec
from samovar.engines.llama import declarations
from samovar.engines.llama.binding import find_library, open_binding
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.placing import all_devices, describe, may_have_devices, set_devices
from samovar.errors import BudgetError, EngineError, PlatformError
from samovar.models.cost import Cost, predict
from samovar.models.devices import (
    RESERVED_BYTES,
    Device,
    DeviceChoice,
    Load,
    choose,
    fitting_layers,
    needs,
    room_bytes,
)
from samovar.models.header import read_header
from samovar.models.held_weights import layer_bytes
from samovar.models.tuning import table
from tests.tiny import Sizes, make_tiny

MB = 1_000_000
SIZES = Sizes(layers=10, width=256, feed_forward=1024, more_tokens=3000)


def device(name: str = "CUDA0", *, free_bytes: int, own: bool = True) -> Device:
    """With so much to be had."""
    free_bytes += RESERVED_BYTES
    return Device(
        name=name, description="A card", free_bytes=free_bytes, total_bytes=free_bytes, has_own_memory=own
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("devices") / "x.gguf", sizes=SIZES)


@pytest.fixture(scope="module")
def load(path: Path) -> Load:
    return Load(header=read_header(path), kv_bytes=10 * MB, buffer_bytes=5 * MB)


def test_the_engine_lists_its_devices_and_the_cpu_is_no_place_for_layers() -> None:
    found = describe(open_binding())
    assert found
    if not may_have_devices():
        assert found == [None] and all_devices() == []


def test_every_byte_of_the_weights_but_the_embeddings_is_of_a_layer_or_the_output(path: Path) -> None:
    header = read_header(path)
    embeddings = next(one for one in header.tensors if one.name == "token_embd.weight")
    layers = layer_bytes(header)
    assert len(layers) == SIZES.layers + 1 and len(set(layers[:-1])) == 1
    assert sum(layers) == header.tensor_bytes - embeddings.size_bytes


def test_all_layers_fit_or_as_many_as_there_is_room_for(load: Load) -> None:
    layers = layer_bytes(load.header)
    for count in range(SIZES.layers + 2):
        last = layers[len(layers) - count :]
        needed = sum(last) + load.kv_bytes // SIZES.layers * max(0, count - 1) + load.buffer_bytes
        one = device(free_bytes=needed)
        assert needs(load, [one], DeviceChoice(), count) == ([needed] if count else [0])
        assert fitting_layers(load, [one], DeviceChoice()) == count
        if count:
            assert fitting_layers(load, [device(free_bytes=needed - 1)], DeviceChoice()) == count - 1


@pytest.mark.parametrize(("split", "parts"), [((), (2, 1)), ((1.0, 1.0), (1, 1)), ((0.0, 3.0), (0, 1))])
def test_layers_are_parted_as_asked_or_by_free_memory(
    load: Load, split: tuple[float, ...], parts: tuple[int, int]
) -> None:
    devices = [
        replace(device("A", free_bytes=0), free_bytes=400 * MB),
        replace(device("B", free_bytes=0), free_bytes=200 * MB),
    ]
    first, second = needs(load, devices, DeviceChoice(split=split), 10)
    each = load.kv_bytes // SIZES.layers
    weights = layer_bytes(load.header)
    of_first = -(-10 * parts[0] // sum(parts))
    held = [size + each for size in weights[1:-1]] + [weights[-1]]
    assert first == (sum(held[:of_first]) + load.buffer_bytes if of_first else 0)
    assert second == sum(held[of_first:]) + load.buffer_bytes
    rows = needs(load, devices, DeviceChoice(split=split, split_mode="row"), 10)
    assert [one > 0 for one in rows] == [part > 0 for part in parts]


def test_a_choice_that_cannot_be_met_is_an_error() -> None:
    devices = [device("CUDA0", free_bytes=MB), device("CUDA1", free_bytes=MB)]
    assert choose(devices, DeviceChoice(names=("CUDA1",))) == devices[1:]
    assert choose(devices, DeviceChoice(split_mode="none", main=1)) == devices[1:]
    assert choose([], DeviceChoice(split_mode="none", main=1)) == []
    for choice, said in (
        (DeviceChoice(names=("CUDA7",)), "CUDA0, CUDA1"),
        (DeviceChoice(split=(1.0,)), "1 part for 2 devices"),
        (DeviceChoice(split=(0.0, 0.0)), "above 0"),
        (DeviceChoice(split_mode="none", main=2), "0 to 1"),
    ):
        with pytest.raises(EngineError, match=said):
            choose(devices, choice)
    with pytest.raises(EngineError, match="none"):
        choose([], DeviceChoice(names=("CUDA0",)))


def engine_with(*devices: Device) -> LlamaEngine:
    return LlamaEngine(devices=lambda: devices)


def spec(path: Path, *, gpu_layers: int | None = None) -> ModelSpec:
    return ModelSpec(reference="x", path=path, context_tokens=1024, gpu_layers=gpu_layers)


def on_the_host(path: Path) -> Cost:
    """All of it in the host's memory, with the settings that a context on a GPU has."""
    return predict(read_header(path), context_tokens=1024, tuning=table("gpu", "f16"))


def test_what_is_on_a_device_is_not_in_the_host(path: Path) -> None:
    assert engine_with().predict(spec(path)).device_bytes == engine_with().predict(spec(path)).gpu_layers == 0
    whole = on_the_host(path)
    cost = engine_with(device(free_bytes=4000 * MB)).predict(spec(path))
    header = read_header(path)
    embeddings = next(one for one in header.tensors if one.name == "token_embd.weight").size_bytes
    assert cost.gpu_layers == SIZES.layers + 1
    assert (cost.weights_bytes, cost.kv_bytes) == (embeddings, 0)
    buffers = whole.compute_bytes + whole.scores_bytes + whole.output_bytes
    assert cost.device_bytes == whole.weights_bytes - embeddings + whole.kv_bytes + buffers
    assert cost.total_bytes == whole.total_bytes - whole.kv_bytes - whole.weights_bytes + embeddings


def test_a_number_of_layers_that_does_not_fit_is_refused_and_auto_takes_fewer(path: Path) -> None:
    whole = engine_with(device(free_bytes=4000 * MB)).predict(spec(path))
    small = engine_with(device(free_bytes=whole.device_bytes - MB))
    cost = small.predict(spec(path))
    assert 0 < cost.gpu_layers < SIZES.layers + 1
    with pytest.raises(BudgetError, match=rf"on CUDA0 \(A card\).*{cost.gpu_layers} layers") as caught:
        small.predict(spec(path, gpu_layers=99))
    assert caught.value.needed_bytes > caught.value.budget_bytes == whole.device_bytes - MB
    assert small.predict(spec(path, gpu_layers=3)).gpu_layers == 3
    assert small.predict(spec(path, gpu_layers=0)).device_bytes == 0
    assert engine_with(device(free_bytes=0)).predict(spec(path)).gpu_layers == 0


def test_an_arena_that_takes_the_place_of_another_has_what_that_one_has_on_devices(path: Path) -> None:
    whole = engine_with(device(free_bytes=4000 * MB)).predict(spec(path))
    left = engine_with(device(free_bytes=2 * MB))
    larger = replace(spec(path, gpu_layers=whole.gpu_layers), context_tokens=1280)
    with pytest.raises(BudgetError):
        left.predict(larger)
    grown = left.predict(replace(larger, replaces=whole))
    assert grown.gpu_layers == whole.gpu_layers and grown.device_bytes > whole.device_bytes


def test_devices_that_use_the_hosts_memory_are_in_the_budget(path: Path) -> None:
    whole = on_the_host(path)
    cost = engine_with(device("Metal", free_bytes=MB, own=False)).predict(spec(path))
    assert (cost.total_bytes, cost.device_bytes) == (whole.total_bytes, 0)
    assert cost.gpu_layers == SIZES.layers + 1


def test_the_choice_is_in_the_parameters_of_the_load(path: Path) -> None:
    binding = open_binding()
    params = binding.lib.llama_model_default_params()
    choice = DeviceChoice(split=(1.0, 3.0), split_mode="row", main=1)
    cost = replace(engine_with().predict(spec(path)), gpu_layers=7)
    held = set_devices(binding, params, replace(spec(path), devices=choice), cost)
    assert (params.n_gpu_layers, params.split_mode, params.main_gpu) == (7, 2, 1)
    assert [params.tensor_split[at] for at in range(2)] == [1.0, 3.0] and held


def test_another_build_of_the_same_version_is_taken_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    version = declarations.WHEEL_VERSION
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"{version}+cu128")
    assert find_library().exists() and may_have_devices()
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"{version}1")
    with pytest.raises(PlatformError, match="knows only"):
        find_library()


def test_room_is_left_for_the_driver() -> None:
    small, large = device(free_bytes=100 * MB), replace(device(free_bytes=0), free_bytes=64 << 30)
    assert room_bytes(small) == 100 * MB
    assert room_bytes(replace(large, total_bytes=64 << 30)) == (64 << 30) - (2 << 30)
