"""The facts in a model's file, and whether the engine can load it.

Above: `cost.py`, the engine. Below: `gguf.py`, which reads the container, `split.py` for those in
several files, `engine_limits.py`, `shape.py`, `architectures.py`.
Everything that can be foreseen is checked here, before the engine sees the file: what the engine asserts
about a file ends the process.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from samovar.errors import ModelFileError, ModelNotFoundError, nearest
from samovar.models import capabilities, engine_limits, shape
from samovar.models.architectures import ARCHITECTURES, Architecture, Purpose
from samovar.models.binary_reader import Reader, damaged, shown
from samovar.models.capabilities import HEADS, Abilities, Capability, abilities_of
from samovar.models.gguf import Contents, read_contents
from samovar.models.split import check_complete, first_part, is_part, parts_of, real_path
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
        "split.no",
        "split.tensors.count",
        "tokenizer.ggml.model",
        "tokenizer.ggml.pre",
        "tokenizer.chat_template",  # only so that one that is too long is refused
    ]
)
_WANTED_OF_ARCHITECTURE = engine_limits.KEYS | shape.KEYS | capabilities.KEYS | {"context_length"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The known facts about a model before it is loaded."""

    file_bytes: int
    """Bytes of all its parts together."""
    modified_ns: int
    """When its file was last changed, in nanoseconds since 1970; of several parts, the sum."""
    architecture: str
    """One of those in `ARCHITECTURES`."""
    context_tokens: int
    """The longest context it was trained for."""
    vocabulary_size: int
    """Tokens."""
    has_merges: bool
    """The tokenizer merges pairs (BPE), so that the engine has a table of them."""
    tensors: tuple[Tensor, ...]
    """In the order of the file, and of its parts."""
    data_start: int
    """Where in the file the tensors begin, in bytes."""
    layers: int
    """Blocks of the model, those included that predict further tokens."""
    has_chat_template: bool
    shape: shape.Shape
    abilities: Abilities

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors together."""
        return sum(tensor.size_bytes for tensor in self.tensors)


def require(header: Header, wanted: Capability, *, name: str) -> None:
    """Raises `ModelFileError` if the model, which a person calls `name`, cannot do what is wanted."""
    if why := capabilities.missing(header.abilities, wanted, name=name, architecture=header.architecture):
        raise ModelFileError(why)


def read_header(path: Path) -> Header:
    """The header of the model file at `path`; of a model in several files, for the name of any.

    A file is read once for as long as it stays the same: it takes a tenth of a second, most of it for the
    vocabulary. Raises `ModelNotFoundError` when there is no such file, or a part of it is missing, and
    `ModelFileError` for anything that cannot be loaded, as far as it can be foreseen.
    """
    facts = _facts_of_model(path)
    try:
        return _unchanged(real_path(path), facts)
    except (ModelFileError, OSError):
        return _read(first_part(path), facts)  # so that the file is named as written


def glance_at(path: Path, ends: dict[int, int]) -> Header:
    """As `read_header`, for lists: the vocabulary is counted and not looked at, and nothing is remembered.

    `ends`: of lists of texts in the file, by their beginnings, if they are known; it gets those that are not.
    """
    return _read(first_part(path), _facts_of_model(path), ends)


def facts_of(path: Path) -> tuple[int, int]:
    """(bytes, time of change in nanoseconds) of a model's file; of one in several parts, the sums.

    Raises as `read_header` does.
    """
    facts = _facts_of_model(path)
    return sum(size for size, _ in facts), sum(modified_ns for _, modified_ns in facts)


@lru_cache(maxsize=32)
def _unchanged(path: Path, facts: tuple[tuple[int, int], ...]) -> Header:
    return _read(path, facts)


def _read(path: Path, facts: tuple[tuple[int, int], ...], ends: dict[int, int] | None = None) -> Header:
    """`ends`: as in `glance_at`; None: the vocabulary is looked at."""
    parts = parts_of(path)
    found = [_contents(part, size, ends) for part, (size, _) in zip(parts[:1], facts, strict=False)]
    kind = _architecture(path, found[0].values)
    _check_is_whole(path, found[0], len(parts))
    found += [_contents(part, size, None) for part, (size, _) in zip(parts[1:], facts[1:], strict=True)]
    contents = _joined(parts, [size for size, _ in facts], found)
    _check_engine_takes(path, kind.name, contents)
    return _build(path, facts, kind, contents)


def _contents(path: Path, size: int, ends: dict[int, int] | None) -> Contents:
    try:
        with path.open("rb") as file:
            reader = Reader(file, size, path, ends)
            return read_contents(
                reader, _is_wanted, checks_vocabulary=ends is None, needs_tensors=not is_part(path)
            )
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}.") from error


def _check_is_whole(path: Path, contents: Contents, parts: int) -> None:
    """The first part says of how many, and the engine finds the others by their names."""
    count = contents.values.get("split.count", 0)
    if count in (0, 1) and parts == 1:
        return
    if count != parts:
        raise ModelFileError(
            f"{path} is one of {shown(count)} parts according to its header, but one of {parts} according to "
            "its name. Give the parts the names they were published with, such as NAME-00001-of-00002.gguf."
        )


def _joined(parts: tuple[Path, ...], sizes: list[int], found: list[Contents]) -> Contents:
    """What all parts hold together: the entries of the first, the tensors of all, as if the parts were one
    file, one after the other."""
    first, tensors, begin = found[0], list[Tensor](), 0
    for at, (path, contents) in enumerate(zip(parts, found, strict=True)):
        number = contents.values.get("split.no", 0)
        if number != at:
            told_part = number + 1 if isinstance(number, int) else shown(number)
            raise damaged(
                path, f"its name says that it is part {at + 1}, but its header says part {told_part}"
            )
        moved = begin + contents.data_start - first.data_start
        tensors += (replace(tensor, offset=tensor.offset + moved) for tensor in contents.tensors)
        begin += sizes[at]
    told = first.values.get("split.tensors.count", len(tensors))
    if len(parts) > 1 and told != len(tensors):
        raise damaged(parts[0], f"its parts contain {len(tensors)} tensors, but {shown(told)} were split")
    return replace(first, tensors=tuple(tensors))


def _is_wanted(key: str) -> bool:
    return key in _WANTED or key.partition(".")[2] in _WANTED_OF_ARCHITECTURE


def _facts_of_model(path: Path) -> tuple[tuple[int, int], ...]:
    """(bytes, time of change) of each part, in order."""
    check_complete(path)
    return tuple(_facts_of_file(part) for part in parts_of(path))


def _facts_of_file(path: Path) -> tuple[int, int]:
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
        raise ModelFileError(f"{path} is not readable by this user.")
    return facts.st_size, facts.st_mtime_ns


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
    if kind.purpose is Purpose.OTHER:
        raise ModelFileError(
            f"{path} is a {architecture!r} model, which can neither answer prompts nor embed texts."
        )
    return kind


def _check_engine_takes(path: Path, architecture: str, contents: Contents) -> None:
    values = contents.values
    if what := engine_limits.objection(architecture, values, contents.shapes):
        raise damaged(path, what)
    if what := engine_limits.tokenizer_objection(values):
        raise damaged(path, what)
    if what := engine_limits.vocabulary_objection(
        values.get("tokenizer.ggml.model"),
        size=contents.vocabulary_size,
        spells_every_byte=contents.spells_every_byte,
    ):
        raise ModelFileError(f"{path} cannot be used: {what}.")


def _build(path: Path, facts: tuple[tuple[int, int], ...], kind: Architecture, contents: Contents) -> Header:
    values = contents.values
    entries = shape.Entries(path, kind.name, values)
    if entries.whole("embedding_length") < 1:
        raise damaged(path, "its header gives no embedding_length")
    context = entries.whole("context_length", most=1 << 62)
    if not 1 <= context <= LARGEST_CONTEXT_TOKENS:
        raise damaged(path, f"its header gives a context of {context} tokens")
    return Header(
        file_bytes=sum(size for size, _ in facts),
        modified_ns=sum(modified_ns for _, modified_ns in facts),
        architecture=kind.name,
        context_tokens=context,
        vocabulary_size=contents.vocabulary_size,
        has_merges=values.get("tokenizer.ggml.model") == "gpt2",
        tensors=contents.tensors,
        has_chat_template=bool(values.get("tokenizer.chat_template")),
        data_start=contents.data_start,
        layers=entries.whole("block_count"),
        shape=shape.read_shape(kind, entries),
        abilities=abilities_of(kind, values, has_head=not HEADS.isdisjoint(contents.shapes)),
    )
