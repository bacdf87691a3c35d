"""Models in several files: `NAME-00001-of-00003.gguf`, and the others by name beside it.

Above: `header.py`, `stores.py`, fingerprints, the engine. Below: files. The engine opens the first part, and
finds the others by their names, so a part is never resolved through a link that has another name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from samovar.errors import ModelNotFoundError
from samovar.files import is_file

_PART = re.compile(r"(?P<name>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)", re.DOTALL)
MOST_PARTS = 1000
"""More than any model has; a name that says more is not that of a part."""


def first_name(name: str) -> str:
    """The name of the first part, for the name of any part; other names are as they are."""
    match = _part(name)
    return name if match is None else _name_of(match, 1)


def part_names(name: str) -> tuple[str, ...]:
    """The names of all parts, in order, for the name of any; of a model in one file, its name."""
    match = _part(name)
    return (
        (name,) if match is None else tuple(_name_of(match, at) for at in range(1, int(match["count"]) + 1))
    )


def stem_of(path: Path) -> str:
    """The name without its end: of a part, without what says which part it is."""
    match = _part(path.name)
    return path.stem if match is None else match["name"]


def safe_stem(path: Path) -> str:
    """The first 80 characters of the name without its end, as any file may be called."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in path.stem)[:80]


def is_part(path: Path) -> bool:
    """Whether the file is called like one of several."""
    return _part(path.name) is not None


def first_part(path: Path) -> Path:
    """What the engine is given: the first part for any part, another file as it is."""
    return path.with_name(first_name(path.name)) if is_part(path) else path


def parts_of(path: Path) -> tuple[Path, ...]:
    """All files of the model, in order. They need not be there."""
    return tuple(path.with_name(name) for name in part_names(path.name)) if is_part(path) else (path,)


def ranges_of_parts(
    path: Path, ranges: Iterable[tuple[int, int]]
) -> Iterator[tuple[Path, list[tuple[int, int]]]]:
    """(part, its share) of ranges that count all parts as one file, in bytes. Raises `OSError`."""
    wanted, begin = list(ranges), 0
    for part in parts_of(path):
        end = begin + part.stat().st_size
        yield part, [(max(a, begin) - begin, min(b, end) - begin) for a, b in wanted if a < end and begin < b]
        begin = end


def real_path(path: Path) -> Path:
    """The same for every name of a model: without links, but for the names of parts."""
    if not is_part(path):
        return path.resolve()
    return path.parent.resolve() / first_name(path.name)


def check_complete(path: Path) -> None:
    """Raises `ModelNotFoundError` that names the parts which are not there, if the first or another is."""
    parts = parts_of(path)
    missing = [part.name for part in parts if not is_file(part)]
    if missing and len(missing) < len(parts):
        names = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise ModelNotFoundError(
            f"{path} is one of {len(parts)} parts, and {names} {'is' if len(missing) == 1 else 'are'} not "
            "beside it. Fetch or copy all parts into one folder."
        )


def _part(name: str) -> re.Match[str] | None:
    match = _PART.fullmatch(name)
    if match is None or not 1 <= int(match["number"]) <= int(match["count"]) <= MOST_PARTS:
        return None
    return match


def _name_of(match: re.Match[str], number: int) -> str:
    return f"{match['name']}-{number:05}-of-{match['count']}{match['suffix']}"
