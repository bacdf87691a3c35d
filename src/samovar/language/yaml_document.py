"""YAML within bounds, with the place of each key: front matter at the top of a text, or a whole file.

Above: `markdown.py`, files of cases and of variables. Below: PyYAML, which is imported with the first
document. Plain scalars are those of YAML 1.2. It does not know what a key means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from samovar.errors import Fault, FaultsError, Place

LARGEST_TEXT_CHARS = 4_000_000
"""Characters of one file."""
LARGEST_FRONT_MATTER_CHARS = 262_144
MOST_ALIASES = 50
"""References in one front matter; more are a bomb, not a document."""
MOST_YAML_NODES = 20_000
"""Values in one front matter, those behind references counted as often as named."""
DEEPEST_YAML = 50
DEEPEST_SPOT = 3
"""Steps of the longest path whose place is known."""
_TOO_DEEP = f"values nested more than {DEEPEST_YAML} deep"
LATEST_KEYS = 4
"""Lines at the top of a file in which keys are taken for those of front matter without its first line."""
_KEY = re.compile(r"(?:title|description|parameters|arguments|system|model|limits|executor):(?:\s|$)")
_TITLE_LIKE = re.compile(r"[^\s\-–—]")
_BODY = re.compile(r"#|```|~~~|\s*$")
_QUOTED = re.compile(r"(?P<mark>'(?:.|<[^']*>)')|'.*'|\"[^\"]{2,}\"", re.S)
"""What a message of PyYAML quotes: a single character or the kind of a token, or a piece of the text."""
_KEPT_TAGS = ("null", "merge")
_SOURCED_TAGS = ("bool", "int", "float")
CORE_SCALARS = (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:[-+]?(?:0|[1-9][0-9]{0,99})|0x[0-9a-fA-F]{1,16}|0o[0-7]{1,21})$", "-+0123456789"),
    (
        "float",
        r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$",
        "-+.0123456789",
    ),
)
"""Which plain scalars are not texts: tag, pattern, and what they can begin with."""

Steps = tuple[str | int, ...]
"""The path to a value: keys, and indices from 0."""
Spots = dict[Steps, tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMatter:
    """The YAML at the top."""

    values: dict[str, Any]
    spots: Mapping[Steps, tuple[int, int]]
    """By its path, as `("parameters", 0, "type")`: line and column of each key and item in the document."""
    line: int
    """Line of its first `---`; 0 for a file that is YAML as a whole."""
    end_line: int
    """Line of its last `---`."""
    twice: tuple[Steps, ...] = ()
    """Paths of keys that appear more than once in their map; the last one counts."""
    sources: Mapping[Steps, str] = field(default_factory=dict)
    """By its path, how each number and truth is written, as `1.10` for the value 1.1."""

    def source(self, *steps: str | int) -> str | None:
        """How the number or truth at the end of these steps is written; None for any other value."""
        return self.sources.get(steps)


def read_front_matter(lines: list[str], begin: int, path: Path | None) -> FrontMatter | None:
    """The front matter of a text whose first line is the line `begin` of its file; None without any.

    Raises `FaultsError` (`front-matter`) for what is not YAML, or has too much of something.
    """
    if lines[0].rstrip() != "---":
        if begin == 1 and (number := _late_keys(lines)):
            message = "Front matter begins with `---` on the first line of the file, which is missing."
            fail("front-matter", message, path, number)
        return None
    end = next((number for number, line in enumerate(lines[1:], start=2) if line.rstrip() == "---"), None)
    if end is None:
        fail("front-matter", "The front matter begins with `---` but has no closing `---`.", path, begin)
    text = "\n".join(lines[1 : end - 1])
    if len(text) > LARGEST_FRONT_MATTER_CHARS:
        fail("front-matter", "The front matter is larger than 256 kB.", path, begin)
    return replace(_load_yaml(text, begin, path, _Yaml()), line=1, end_line=end)


def _late_keys(lines: list[str]) -> int | None:
    """The line, from 1, where keys of front matter begin that no line of `---` opens at the very top."""
    first = next((at for at, line in enumerate(lines[:LATEST_KEYS]) if _KEY.match(line)), None)
    before = lines[: first or 0]
    if first is None or any(_TITLE_LIKE.search(line) or line.rstrip() == "---" for line in before):
        return None  # behind blank lines, `---` is a line across the page
    for line in lines[first + 1 :]:
        if line.rstrip() == "---":
            return first + 1
        if _BODY.match(line):
            break
    return None


def read_yaml(text: str, *, path: Path | None) -> FrontMatter:
    """A file that is YAML as a whole, with the bounds of front matter except for its length.

    Raises `FaultsError` (`yaml`) for what is not a map, or has too much of something.
    """
    if len(text) > LARGEST_TEXT_CHARS:
        fail("too-large", f"The file is larger than {LARGEST_TEXT_CHARS // 1_000_000} MB.", path, 1)
    read = _Yaml(named="file", code="yaml", deepest_spot=DEEPEST_YAML)
    return _load_yaml(text.removeprefix("\ufeff"), 0, path, read)


def yaml_value(text: str) -> object:
    """What a text of YAML holds, whatever that is, within the same bounds. Raises `ValueError`."""
    import yaml

    try:
        if wrong := _excess(yaml.parse(text, Loader=_loader())):
            raise ValueError(f"it has {wrong}")
        return _values(text, 0)[0]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"{getattr(error, 'problem', None) or error}{where}") from None
    except (RecursionError, OverflowError, TypeError) as error:
        raise ValueError(str(error)) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Yaml:
    """The message about YAML, and how deep its places are known."""

    named: str = "front matter"
    code: str = "front-matter"
    deepest_spot: int = DEEPEST_SPOT


def _load_yaml(text: str, begin: int, path: Path | None, read: _Yaml) -> FrontMatter:
    """The values of front matter whose `---` is on the line `begin`; spots count from that line as 1."""
    import yaml

    code, named, first = read.code, f"The {read.named}", max(begin, 1)
    try:
        if wrong := _excess(yaml.parse(text, Loader=_loader())):
            fail(code, f"{named} has {wrong}.", path, first)
        values, found = _values(text, read.deepest_spot)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        if "quoted scalar" in (getattr(error, "context", None) or "") and "end of stream" in problem:
            mark, problem = error.context_mark, "the quotation mark here is not closed"  # type: ignore[attr-defined]
        where = (first, 1)
        if mark:  # whose own line counts characters as ends of lines that no editor does
            whole = text if text.endswith("\n") else f"{text}\n"
            index = len(whole) if mark.index >= len(text) else mark.index
            at = Place(path=path, line=begin + 1).within(whole, index)
            where = (at.line, at.column)
        if "nesting depth" in problem:  # PyYAML from 6.0.4 has a limit of its own, and looks ahead of ours
            fail(code, f"{named} has {_TOO_DEEP}.", path, first)
        fail(code, f"{named} is not valid YAML: {_without_values(problem)}.", path, *where)
    except (RecursionError, ValueError, OverflowError, TypeError) as error:
        fail(code, f"{named} cannot be read: {error}.", path, first)
    if values is None:
        return found
    if not isinstance(values, dict):
        fail(code, f"{named} must be `key: value` lines.", path, begin + 1)
    return replace(found, values={str(key): value for key, value in values.items()})


def _without_values(problem: str) -> str:
    """What PyYAML says, without the longer pieces of the text that it quotes: values may be secrets."""
    return _QUOTED.sub(lambda found: found[0] if found["mark"] else "…", problem)


def _values(text: str, deepest_spot: int) -> tuple[Any, FrontMatter]:
    """What a text of YAML holds, and the known facts about its places and its sources."""
    loader = _loader()(text)
    try:
        node = loader.get_single_node()
        spots: Spots = {}
        twice: list[Steps] = []
        sources: dict[Steps, str] = {}
        values = None
        if node is not None:
            _note_spots(node, (), spots, twice, deepest_spot)
            values = loader.construct_document(node)
            _note_sources(node, (), sources)  # which has by now what is merged into each map
    finally:
        loader.dispose()
    found = FrontMatter(values={}, spots=spots, line=0, end_line=0, twice=tuple(twice), sources=sources)
    return values, found


@cache
def _loader() -> Any:
    """The safe loader with the plain scalars of YAML 1.2: `yes`, `1:30` and `2024-01-01` are texts."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {
            first: [(tag, regexp) for tag, regexp in pairs if tag.rpartition(":")[2] in _KEPT_TAGS]
            for first, pairs in base.yaml_implicit_resolvers.items()
        }

    for name, pattern, firsts in CORE_SCALARS:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(pattern), list(firsts))
    return Loader


def _excess(events: Iterable[Any]) -> str:
    """What the YAML has too much of, before anything is built from it; empty when it is fair."""
    import yaml

    aliases = 0
    sizes: dict[str, int] = {}
    stack: list[tuple[str | None, int]] = []
    size = 0
    for event in events:
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            anchor, before = stack.pop()
            if anchor:
                sizes[anchor] = size - before
            continue
        if isinstance(event, yaml.AliasEvent):
            aliases += 1
            if any(anchor == event.anchor for anchor, _ in stack):
                return "a reference to the value that contains it"
            size += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            size += 1
            if (event.tag or "!") not in ("!", "tag:yaml.org,2002:str"):
                return "a tag (`!name`), which has no meaning here"
            if isinstance(event, yaml.CollectionStartEvent):
                stack.append((event.anchor, size - 1))
            elif event.anchor:
                sizes[event.anchor] = 1
        if aliases > MOST_ALIASES:
            return f"more than {MOST_ALIASES} aliases"
        if len(stack) > DEEPEST_YAML:
            return _TOO_DEEP
        if size > MOST_YAML_NODES:
            return f"more than {MOST_YAML_NODES} values"
    return ""


def _note_spots(node: Any, path: Steps, spots: Spots, twice: list[Steps], deepest: int) -> None:
    import yaml

    inside: list[tuple[str | int, Any, Any]] = []
    if isinstance(node, yaml.MappingNode):
        inside = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        inside = [(index, item, item) for index, item in enumerate(node.value)]
    for step, at, value in inside:
        if (*path, step) in spots:
            twice.append((*path, step))
        spots[(*path, step)] = (at.start_mark.line + 2, at.start_mark.column + 1)
        if len(path) < deepest - 1:
            _note_spots(value, (*path, step), spots, twice, deepest)


def _note_sources(node: Any, path: Steps, sources: dict[Steps, str]) -> None:
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _note_sources(value, (*path, str(key.value)), sources)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_sources(item, (*path, index), sources)
    elif node.tag.rpartition(":")[2] in _SOURCED_TAGS:
        sources[path] = node.value


def fail(code: str, message: str, path: Path | None, line: int, column: int = 1) -> NoReturn:
    """Raises `FaultsError` with the one thing that is wrong."""
    raise FaultsError([Fault(code=code, message=message, place=Place(path=path, line=line, column=column))])
