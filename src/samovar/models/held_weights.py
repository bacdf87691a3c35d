"""The place of a model's weights: mapped from the file, in private memory, or on devices.

Above: `cost.py`, which counts them; the engine, which asks for them so and gives back what it does not need.
Below: `header.py`. If compiled for instructions that gain by it, the engine puts the numbers of some matrices
in another order ("repacks" them) into private memory: rules as in `ggml_repack_get_optimal_repack_type` and
`supports_op` in `ggml/src/ggml-cpu/repack.cpp`, llama.cpp build b11549. A tensor's use goes by its name.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Set
from dataclasses import dataclass
from itertools import groupby

from samovar.models.header import Header
from samovar.models.tensor_types import Tensor

Features = frozenset[str]
"""Instruction sets the engine is compiled for, by the names of its functions `ggml_cpu_has_…`."""

_WITHOUT_OUTPUT = frozenset(
    [
        *("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3"),
        *("neo-bert", "modern-bert", "eurobert"),
    ]
)
"""Architectures that only read: from `src/models/` of the pinned build."""
_AVX2, _AVX512 = frozenset(["avx2"]), frozenset(["avx512"])
_DOTPROD, _INT8 = frozenset(["neon", "dotprod"]), frozenset(["neon", "matmul_int8"])
_ARM_8 = ((_INT8, 8), (_DOTPROD, 8))
_ARM_4 = ((_INT8, 4), (_DOTPROD, 4))
_RULES: dict[int, tuple[tuple[Features, int], ...]] = {
    2: ((_AVX2, 8), *_ARM_4),  # Q4_0
    8: _ARM_4,  # Q8_0
    10: ((_AVX512, 8),),  # Q2_K
    12: ((_AVX2, 8), *_ARM_8),  # Q4_K
    13: _ARM_8,  # Q5_K
    14: _ARM_8,  # Q6_K
    20: ((_AVX2, 8), (_DOTPROD, 4)),  # IQ4_NL
    39: ((_AVX2, 8), (_DOTPROD, 4)),  # MXFP4
    41: _ARM_4,  # Q1_0
}
"""By tensor type: with which instructions it is repacked, if its rows are a multiple of how many."""
_WHEEL_FEATURES: dict[tuple[str, str], Features] = {
    ("linux", "x86_64"): _AVX2,
    ("linux", "aarch64"): frozenset(["neon"]),
    ("darwin", "arm64"): _DOTPROD,
    ("darwin", "x86_64"): _AVX2,
}
"""What the pinned wheels are compiled for: what their functions return, which do not look at the CPU."""

_LOOKED_UP = ("token_embd.weight", "position_embd.weight", "token_types.weight", "embed_tokens.weight")
"""Ends of names: rows of these are read one by one, which cannot be done from repacked ones, and is done by
the CPU. The first is also that of tables for each layer."""
_EXPERTS = re.compile(r"_(?:ch)?exps\.weight$")
_LAYER = re.compile(r"blk\.(\d+)\.")
_EMBEDDINGS, _OUTPUT = "token_embd.weight", "output.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineBuild:
    """What of the engine's build, and of the system, decides where weights are held."""

    features: Features
    can_release: bool
    """What was mapped and then repacked can be given back (on Linux). If not, files of which something is
    repacked are read instead of mapped, so that all of it is private."""


def this_build() -> EngineBuild:
    """The pinned wheel for this machine; without instructions if there is none."""
    features = _WHEEL_FEATURES.get((sys.platform, platform.machine()), frozenset())
    return EngineBuild(features=features, can_release=sys.platform == "linux")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldWeights:
    """Bytes of a model's weights, by where they are."""

    mapped_bytes: int
    """Mapped from the file: in memory once, however many processes use it."""
    private_bytes: int
    """In memory of the process's own."""
    device_bytes: int
    """On devices that have memory of their own."""
    is_mapped: bool
    """The file is mapped at all."""
    released: tuple[tuple[int, int], ...]
    """What of the file is not needed once it is loaded: its ranges, in bytes from the beginning."""


def hold(header: Header, build: EngineBuild, *, repack: bool = True, gpu_layers: int = 0) -> HeldWeights:
    """Where the weights are. `repack`: whether the engine may do that.

    `gpu_layers` are on devices, counted as the engine does: the output first, then the last blocks.
    """
    private_bytes = device_bytes = mapped_bytes = 0
    elsewhere = set()
    features = build.features if repack else frozenset()
    for tensor in header.tensors:
        if _is_looked_up(tensor):
            mapped_bytes += tensor.size_bytes
        elif _is_on_device(tensor, header, gpu_layers):
            device_bytes += tensor.size_bytes
            elsewhere.add(tensor.name)
        elif _is_repacked(tensor, features):
            private_bytes += tensor.size_bytes
            elsewhere.add(tensor.name)
        else:
            mapped_bytes += tensor.size_bytes
    tied = _tied(header)
    if tied is not None and gpu_layers > 0:
        device_bytes += tied.size_bytes
    elif tied is not None and _is_repacked(tied, features):
        private_bytes += tied.size_bytes
    is_mapped = build.can_release or not private_bytes
    return HeldWeights(
        mapped_bytes=mapped_bytes if is_mapped else 0,
        private_bytes=private_bytes if is_mapped else private_bytes + mapped_bytes,
        device_bytes=device_bytes,
        is_mapped=is_mapped,
        released=_ranges(header, elsewhere) if is_mapped else (),
    )


def layer_bytes(header: Header) -> list[int]:
    """What a device takes of each block's weights, and at the end of the output's and what is in no block."""
    found = [0] * (header.layers + 1)
    for tensor in header.tensors:
        if not _is_looked_up(tensor):
            match = _LAYER.match(tensor.name)
            found[min(int(match[1]), header.layers) if match else -1] += tensor.size_bytes
    tied = _tied(header)
    found[-1] += tied.size_bytes if tied else 0
    return found


def _tied(header: Header) -> Tensor | None:
    """The embeddings, if they are the output too: of that the engine makes a tensor of its own.

    The encoders without one, and without such a tensor, are known; others are taken to have one.
    """
    if header.architecture in _WITHOUT_OUTPUT:
        return None
    names = {tensor.name: tensor for tensor in header.tensors}
    return None if _OUTPUT in names else names.get(_EMBEDDINGS)


def _is_looked_up(tensor: Tensor) -> bool:
    return tensor.name.endswith(_LOOKED_UP)


def _is_repacked(tensor: Tensor, features: Features) -> bool:
    """As the engine decides for a matrix that is multiplied with, or for the experts' together."""
    if not tensor.name.endswith(".weight"):
        return False
    dimensions = max((at for at, size in enumerate(tensor.shape, 1) if size > 1), default=1)
    if dimensions != (3 if _EXPERTS.search(tensor.name) else 2):
        return False
    return any(
        needed <= features and tensor.shape[1] % rows == 0 for needed, rows in _RULES.get(tensor.kind, ())
    )


def _is_on_device(tensor: Tensor, header: Header, gpu_layers: int) -> bool:
    """As in `load_tensors` of `src/llama-model.cpp`."""
    found = _LAYER.match(tensor.name)
    return gpu_layers > 0 and (found is None or int(found[1]) > header.layers - gpu_layers)


def _ranges(header: Header, names: Set[str]) -> tuple[tuple[int, int], ...]:
    """Where these tensors lie in the file; neighbours in one."""
    ranges = []
    for is_chosen, group in groupby(header.tensors, key=lambda tensor: tensor.name in names):
        tensors = list(group)
        if is_chosen:
            start, last = header.data_start + tensors[0].offset, tensors[-1]
            ranges.append((start, header.data_start + last.offset + last.size_bytes))
    return tuple(ranges)
