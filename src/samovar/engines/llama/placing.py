"""Puts a model's layers on devices: finds them, counts the layers that fit, sets a load's parameters.

Above: `engine.py`, `loading.py`. Below: `binding.py`, and the arithmetic in `models/`.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from typing import Any

from samovar.engines.base import ModelSpec
from samovar.engines.llama import declarations
from samovar.engines.llama.binding import Binding, open_binding
from samovar.errors import PlatformError
from samovar.generation import SplitMode
from samovar.models.cost import Cost, OnDevices, predict
from samovar.models.devices import Device, Load, check_fits, choose, fitting_layers
from samovar.models.header import Header
from samovar.models.held_weights import EngineBuild
from samovar.models.tuning import Tuning

_GPU, _INTEGRATED = 1, 2
"""`enum ggml_backend_dev_type`."""
_SPLIT_MODES: dict[SplitMode, int] = {"none": 0, "layer": 1, "row": 2}
"""`enum llama_split_mode`."""


def may_have_devices() -> bool:
    """Whether this build of the engine could know devices, without opening it: `+cu…` wheels, and Apple's."""
    if (sys.platform, platform.machine()) == ("darwin", "arm64"):
        return True
    try:
        return "+" in importlib.metadata.version(declarations.WHEEL)
    except importlib.metadata.PackageNotFoundError:
        return False


def all_devices() -> list[Device]:
    """The devices the engine can put layers on; none if it cannot run here."""
    if not may_have_devices():
        return []
    try:
        return [device for device in describe(open_binding()) if device is not None]
    except PlatformError:  # said by the load, which has more to say
        return []


def describe(binding: Binding) -> list[Device | None]:
    """The engine's devices in its order; None for those that have no place for layers, as the CPU."""
    lib, ffi = binding.lib, binding.ffi
    found: list[Device | None] = []
    for index in range(lib.ggml_backend_dev_count()):
        device = lib.ggml_backend_dev_get(index)
        kind = lib.ggml_backend_dev_type(device)
        sizes: Any = ffi.new("size_t[2]")
        if kind not in (_GPU, _INTEGRATED):
            found.append(None)
            continue
        lib.ggml_backend_dev_memory(device, sizes, sizes + 1)
        found.append(
            Device(
                name=_text(ffi, lib.ggml_backend_dev_name(device)),
                description=_text(ffi, lib.ggml_backend_dev_description(device)),
                free_bytes=int(sizes[0]),
                total_bytes=int(sizes[1]),
                has_own_memory=kind == _GPU and sys.platform != "darwin",
            )
        )
    return found


def _text(ffi: Any, value: Any) -> str:
    return str(ffi.string(value).decode("utf-8", "replace"))


def place(
    spec: ModelSpec,
    header: Header,
    devices: Sequence[Device],
    build: EngineBuild,
    tokens: int,
    *,
    repack: bool,
    tuning: Tuning,
) -> Cost:
    """What a load with a context of this many `tokens` costs, with as many layers on devices as fit.

    Raises `BudgetError` for a number that does not fit, `EngineError` for devices that are not there.
    """
    on_devices = OnDevices()
    if spec.gpu_layers != 0 and (chosen := choose(devices, spec.devices)):
        everything = header.layers + 1
        wanted = everything if spec.gpu_layers is None else min(spec.gpu_layers, everything)
        if not any(device.has_own_memory for device in chosen):
            on_devices = OnDevices(layers=wanted, is_unified=True)
        else:
            on_devices = OnDevices(layers=_layers(spec, header, chosen, tokens, wanted, tuning))
    return predict(
        header,
        context_tokens=tokens,
        kv_type=spec.kv_type,
        tuning=tuning,
        repack=repack,
        build=build,
        on_devices=on_devices,
    )


def _layers(
    spec: ModelSpec, header: Header, devices: Sequence[Device], tokens: int, wanted: int, tuning: Tuning
) -> int:
    load = _load(spec, header, tokens, tuning)
    if spec.replaces is not None:
        there = _load(spec, header, spec.replaces.context_tokens, tuning)
        devices = there.freed(devices, spec.devices, spec.replaces.gpu_layers)
    if spec.gpu_layers is None:
        return fitting_layers(load, devices, spec.devices)
    check_fits(load, devices, spec.devices, wanted, reference=spec.reference)
    return wanted


def _load(spec: ModelSpec, header: Header, tokens: int, tuning: Tuning) -> Load:
    cost = predict(header, context_tokens=tokens, kv_type=spec.kv_type, tuning=tuning)
    return Load(
        header=header,
        kv_bytes=cost.kv_bytes,
        buffer_bytes=cost.compute_bytes + cost.scores_bytes + cost.output_bytes,
    )


def set_devices(binding: Binding, params: Any, spec: ModelSpec, cost: Cost) -> list[Any]:
    """Puts the choice into the parameters of a load. What is returned must be held until that has ended."""
    choice, ffi, lib = spec.devices, binding.ffi, binding.lib
    params.n_gpu_layers = cost.gpu_layers
    params.split_mode, params.main_gpu = _SPLIT_MODES[choice.split_mode], choice.main
    held = []
    if choice.names and cost.gpu_layers:
        pointers = {
            device.name: lib.ggml_backend_dev_get(index)
            for index, device in enumerate(describe(binding))
            if device is not None
        }
        held.append(ffi.new("void *[]", [*(pointers[name] for name in choice.names), ffi.NULL]))
        params.devices = held[-1]
    if choice.split and cost.gpu_layers:
        parts = [*choice.split] + [0.0] * (lib.llama_max_devices() - len(choice.split))
        held.append(ffi.new("float[]", parts))
        params.tensor_split = held[-1]
    return held
