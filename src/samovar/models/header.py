"""What a model's file says about it: a few facts, and whether the engine can take it.

Above: `cost.py`, the engine. Below: `gguf.py`, which reads the container, `engine_limits.py`, `shape.py`,
`architectures.py`.
Everything that can be foreseen is checked here, before the engine sees the file: what the engine asserts
about a file ends the process.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from samovar.errors import ModelFileError, ModelNotFoundError, nearest
from samovar.models import engine_limits, shape
from samovar.models.architectures import ARCHITECTURES, Architecture, MemoryKind
from samovar.models.binary_reader import Reader, damaged, shown
from samovar.models.gguf import Contents, read_contents
from samovar.models.tensor_types import Tensor

LARGEST_CONTEXT_TOKENS = 1 << 27
"""More than any model has; a header that says more is damaged or made to harm."""

MOST_NAMES = 1000
"""Looked at to find the nearest one."""
LONGEST_ARCHITECTURE = 64
"""Characters; a longer name is not looked for among the known ones."""

_WANTED = frozenset(
    [
        "general.architecture",
        "general.alignment",
        "split.count",
        "tokenizer.ggml.model",
        "tokenizer.chat_template",  # only so that one that is too long is refused
    ]
)
_WANTED_OF_ARCHITECTURE = engine_limits.KEYS | shape.KEYS | {"context_length"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What is known of a model before it is loaded."""

    file_bytes: int
    architecture: str
    """One of those in `ARCHITECTURES`."""
    context_tokens: int
    """The longest context it was trained for."""
    vocabulary_size: int
    """Tokens."""
    has_merges: bool
    """The tokenizer merges pairs (BPE), so that the engine has a table of them."""
    tensors: tuple[Tensor, ...]
    """In the order of the file."""
    data_start: int
    """Where in the file the tensors begin, in bytes."""
    layers: int
    """Blocks of the model, those included that predict further tokens."""
    shape: shape.Shape

    @property
    def tensor_bytes(self) -> int:
        """Of all tensors together."""
        return sum(tensor.size_bytes for tensor in self.tensors)


def read_header(path: Path) -> Header:
    """The header of the model file at `path`.

    A file is read once for as long as it stays the same: it takes a tenth of a second, most of it for the
    vocabulary. Raises `ModelNotFoundError` when there is no such file, and `ModelFileError` for anything that
    cannot be loaded, as far as it can be foreseen.
    """
    size = _size_of_model_file(path)
    try:
        return _unchanged(path.resolve(), size, path.stat().st_mtime_ns)
    except (ModelFileError, OSError):
        return _read(path, size)  # so that the file is named as it was written


@lru_cache(maxsize=32)
def _unchanged(path: Path, size: int, modified_ns: int) -> Header:
    return _read(path, size)


def _read(path: Path, size: int) -> Header:
    try:
        with path.open("rb") as file:
            contents = read_contents(Reader(file, size, path), _is_wanted)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    kind = _architecture(path, contents.values)
    _check_engine_takes(path, kind.name, contents)
    return _build(path, size, kind, contents)


def _is_wanted(key: str) -> bool:
    return key in _WANTED or key.partition(".")[2] in _WANTED_OF_ARCHITECTURE


def _size_of_model_file(path: Path) -> int:
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotFoundError(
            f"There is no model file {path}.{nearest(path.name, _models_in(path.parent))}"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"The model file {path} cannot be reached: {error}.") from error
    if stat.S_ISDIR(facts.st_mode):
        near = _models_in(path)
        inside = f" In it: {', '.join(near[:5])}." if near else ""
        raise ModelFileError(f"{path} is a folder, not a model file.{inside}")
    if not stat.S_ISREG(facts.st_mode):
        raise ModelFileError(f"{path} is not a regular file.")
    if facts.st_size == 0:
        raise ModelFileError(f"{path} is empty. Fetch or copy it again.")
    if not os.access(path, os.R_OK):
        raise ModelFileError(f"{path} may not be read by this user.")
    return facts.st_size


def _models_in(folder: Path) -> list[str]:
    """Names of model files, for a message."""
    try:
        return sorted(path.name for path in islice(folder.glob("*.gguf"), MOST_NAMES))
    except OSError:
        return []


def _architecture(path: Path, values: dict[str, Any]) -> Architecture:
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not 0 < len(architecture) <= LONGEST_ARCHITECTURE:
        raise damaged(path, "its header names no architecture")
    kind = ARCHITECTURES.get(architecture)
    if kind is None:
        raise ModelFileError(
            f"{path} has the architecture {architecture!r}, which the engine does not know."
            f"{nearest(architecture, ARCHITECTURES)} A newer Samovar may."
        )
    if kind.memory is MemoryKind.NONE:
        raise ModelFileError(f"{path} is a {architecture!r} model, which does not answer prompts.")
    return kind


def _check_engine_takes(path: Path, architecture: str, contents: Contents) -> None:
    values = contents.values
    parts = values.get("split.count", 0)
    if parts not in (0, 1):
        raise ModelFileError(
            f"{path} is one of {shown(parts)} parts: join them with llama-gguf-split --merge."
        )
    if what := engine_limits.objection(architecture, values):
        raise damaged(path, what)
    if what := engine_limits.vocabulary_objection(
        values.get("tokenizer.ggml.model"),
        size=contents.vocabulary_size,
        spells_every_byte=contents.spells_every_byte,
    ):
        raise ModelFileError(f"{path} cannot be used: {what}.")


def _build(path: Path, size: int, kind: Architecture, contents: Contents) -> Header:
    values = contents.values
    entries = shape.Entries(path, kind.name, values)
    if entries.whole("embedding_length") < 1:
        raise damaged(path, "its header gives no embedding_length")
    context = entries.whole("context_length", most=1 << 62)
    if not 1 <= context <= LARGEST_CONTEXT_TOKENS:
        raise damaged(path, f"its header gives a context of {context} tokens")
    return Header(
        file_bytes=size,
        architecture=kind.name,
        context_tokens=context,
        vocabulary_size=contents.vocabulary_size,
        has_merges=values.get("tokenizer.ggml.model") == "gpt2",
        tensors=contents.tensors,
        data_start=contents.data_start,
        layers=entries.whole("block_count"),
        shape=shape.read_shape(kind, entries),
    )
