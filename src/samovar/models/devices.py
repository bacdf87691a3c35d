"""Devices for models, and the number of layers that fit on each. Pure: devices are values.

Above: the engine, which asks for them, loads as is decided here, and settings. Below: `held_weights.py`.
A device with memory of its own is not in the budget, which is of the host: what goes there is compared with
what the engine says is free. Devices that use the host's memory (integrated ones, Apple's) are in the budget.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

from samovar.errors import BudgetError, EngineError, nearest
from samovar.errors.counting import counted
from samovar.generation import SplitMode
from samovar.memory import in_words
from samovar.models.header import Header
from samovar.models.held_weights import layer_bytes

RESERVED_BYTES, RESERVED_PART = 256 << 20, 32
"""Memory of a device that its driver takes: this many bytes, or one part in this many of all if that
is more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device as the engine describes it."""

    name: str
    """As settings name it: `CUDA0`."""
    description: str
    """For a person."""
    free_bytes: int
    total_bytes: int
    has_own_memory: bool
    """Otherwise it uses the host's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChoice:
    """What a person wants of devices."""

    names: tuple[str, ...] = ()
    """Those to use, in this order; none named: all there are."""
    split_mode: SplitMode = "layer"
    """Each layer on one device; each matrix on several; or all on one device."""
    split: tuple[float, ...] = ()
    """Each device's part, in any unit; none: as their memory is free."""
    main: int = 0
    """With the mode `none`, which of them, from 0 on."""


ANY_DEVICES = DeviceChoice()
"""Nothing in particular is wanted."""


def choose(devices: Sequence[Device], choice: DeviceChoice) -> list[Device]:
    """The devices to use. Raises `EngineError` for a choice that cannot be met."""
    named = {device.name: device for device in devices}
    for name in choice.names:
        if name not in named:
            there = ", ".join(named) or "none"
            raise EngineError(f"There is no device {name!r}.{nearest(name, named)} There are: {there}.")
    chosen = [named[name] for name in choice.names] or list(devices)
    if chosen and len(choice.split) not in (0, len(chosen)):
        raise EngineError(
            f"tensor_split has {counted(len(choice.split), 'part')} for {counted(len(chosen), 'device')}."
        )
    if chosen and choice.split and (min(choice.split) < 0 or sum(choice.split) <= 0):
        raise EngineError("tensor_split needs parts from 0 on, and one above 0.")
    if chosen and choice.split_mode == "none":
        if not 0 <= choice.main < len(chosen):
            raise EngineError(f"main_gpu is {choice.main}, and devices are numbered 0 to {len(chosen) - 1}.")
        return [chosen[choice.main]]
    return chosen


@dataclass(frozen=True, kw_only=True)
class Load:
    """What of a model there is to be put on devices."""

    header: Header
    kv_bytes: int
    """Keys, values and states of all layers."""
    buffer_bytes: int
    """For evaluation, on each device that is used."""

    @cached_property
    def weights_bytes(self) -> list[int]:
        """See `layer_bytes`."""
        return layer_bytes(self.header)

    def freed(self, devices: Sequence[Device], choice: DeviceChoice, gpu_layers: int) -> list[Device]:
        """The devices once this load, which is on them, has gone."""
        held = needs(self, devices, choice, gpu_layers)
        return [
            replace(device, free_bytes=device.free_bytes + size)
            for device, size in zip(devices, held, strict=True)
        ]


def needs(load: Load, devices: Sequence[Device], choice: DeviceChoice, gpu_layers: int) -> list[int]:
    """Bytes that each device needs with this many layers, counted as the engine does: the output is one."""
    parts = choice.split if len(choice.split) == len(devices) else tuple(one.free_bytes for one in devices)
    if not sum(parts):
        parts = (1,) * len(devices)
    ends = [end / sum(parts) for end in accumulate(parts)]
    layers, count = load.header.layers, min(gpu_layers, load.header.layers + 1)
    each_kv_bytes = load.kv_bytes // max(1, layers)
    weights = load.weights_bytes
    needed = [0] * len(devices)
    first = layers + 1 - count
    for layer in range(first, layers + 1):
        # As in `load_tensors` of `src/llama-model.cpp`.
        at = min(bisect_right(ends, (layer - first) / count), len(devices) - 1)
        needed[at] += weights[layer] + (each_kv_bytes if layer < layers else 0)
    if choice.split_mode == "row":
        whole = sum(needed)
        needed = [int(whole * part / sum(parts)) for part in parts]
    return [one + load.buffer_bytes if one else 0 for one in needed]


def room_bytes(device: Device) -> int:
    """What a model may take there."""
    return max(0, device.free_bytes - max(RESERVED_BYTES, device.total_bytes // RESERVED_PART))


def fitting_layers(load: Load, devices: Sequence[Device], choice: DeviceChoice) -> int:
    """The most layers that fit, the output counted as one; 0 if none does."""
    for count in range(load.header.layers + 1, 0, -1):
        if not _too_much(load, devices, choice, count):
            return count
    return 0


def check_fits(
    load: Load, devices: Sequence[Device], choice: DeviceChoice, gpu_layers: int, *, reference: str
) -> None:
    """Raises `BudgetError`, with the numbers, if this many layers do not fit."""
    for device, needed_bytes in _too_much(load, devices, choice, gpu_layers):
        most = fitting_layers(load, devices, choice)
        raise BudgetError(
            f"{reference} with {counted(gpu_layers, 'layer')} on devices needs {in_words(needed_bytes)} on "
            f"{device.name} ({device.description}), but only {in_words(room_bytes(device))} of its "
            f"{in_words(device.total_bytes)} is free. Any of these would help: {counted(most, 'layer')} "
            f"(--gpu-layers {most}), "
            "--gpu-layers auto, or a smaller context (--context).",
            needed_bytes=needed_bytes,
            budget_bytes=room_bytes(device),
        )


def _too_much(
    load: Load, devices: Sequence[Device], choice: DeviceChoice, gpu_layers: int
) -> list[tuple[Device, int]]:
    """The devices on which there is too little room, and what would be needed there."""
    needed = zip(devices, needs(load, devices, choice, gpu_layers), strict=True)
    return [(device, size) for device, size in needed if size > room_bytes(device)]
