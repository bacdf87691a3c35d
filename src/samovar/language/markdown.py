"""The Markdown around a workflow: front matter, headings, fences, bullets, each with its place.

Above: `workflow.py`, `prompt.py`. Below: markdown-it-py for blocks, PyYAML for front matter. It knows no
workflow: it gives lines, and says where they stand. Lines and columns count from 1.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from samovar.errors import Fault, FaultsError, Place

LARGEST_TEXT_CHARS = 4_000_000
MOST_LINES = 200_000
"""Of one file."""
LARGEST_FRONT_MATTER_CHARS = 262_144
MOST_ALIASES = 50
"""References in one front matter; more are a bomb, not a document."""
MOST_YAML_NODES = 20_000
"""Values in one front matter, those behind references counted as often as they are named."""
DEEPEST_YAML = 50
DEEPEST_BLOCKS = 100
"""Lists and quotes within each other that are read; what follows deeper ones is lost to Markdown."""
DEEPEST_SPOT = 3
"""Steps of the longest path whose place is known."""

_BULLET = re.compile(r"^(?P<indent>\s*)[-*+]\s+(?P<text>\S.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMatter:
    """The YAML at the top."""

    values: dict[str, Any]
    spots: Mapping[tuple[str | int, ...], tuple[int, int]]
    """By its path, as `("parameters", 0, "type")`: line and column of each key and item in the document."""
    line: int
    """Of its first `---`; 0 for a file that is YAML as a whole."""
    end_line: int
    """Of its last `---`."""
    twice: tuple[tuple[str | int, ...], ...] = ()
    """Paths of keys that stand more than once in their map; the last one counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """`## Title`. Underlined headings do not count."""

    level: int
    title: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """A fenced block. Its content is the lines between `line` and `end_line`."""

    info: str
    line: int
    """Of the opening fence."""
    end_line: int
    """Of the closing fence, or one past the end of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bullet:
    """A list item with its continuation lines, joined by newlines and without their indentation."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class _Joined(Place):
    """The place of a text whose later lines were joined without their indentation."""

    indents: Mapping[int, int] = field(compare=False, repr=False)
    """By line, the characters left out before it."""

    def within(self, text: str, offset: int) -> Place:
        at = Place.within(self, text, offset)
        column = at.column + (self.indents.get(at.line, 0) if at.line > self.line else 0)
        return _Joined(path=self.path, line=at.line, column=column, indents=self.indents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text taken apart. Its own line numbers count from 1; `place` gives those of the file."""

    path: Path | None
    begin: int
    """The line of the file where the text begins."""
    lines: tuple[str, ...]
    """Without their ends."""
    front_matter: FrontMatter | None
    headings: tuple[Heading, ...]
    fences: tuple[Fence, ...]

    def place(self, line: int, column: int = 1) -> Place:
        return Place(path=self.path, line=self.begin - 1 + line, column=column)

    def spot(self, *path: str | int) -> Place:
        """Where a value of the front matter stands: its key, else the nearest around it that is known."""
        assert self.front_matter is not None
        for length in range(len(path), 0, -1):
            if found := self.front_matter.spots.get(path[:length]):
                return self.place(*found)
        return self.place(self.front_matter.line)

    def text(self, line: int, end_line: int) -> str:
        """The lines from `line` up to, not with, `end_line`."""
        return "\n".join(self.lines[line - 1 : end_line - 1])

    def end_of(self, heading: Heading, level: int | None = None) -> int:
        """The line where the section ends: the next heading of `level` or higher, or one past the end."""
        limit = heading.level if level is None else level
        first = bisect_right(self.headings, heading.line, key=lambda other: other.line)
        for index in range(first, len(self.headings)):
            if self.headings[index].level <= limit:
                return self.headings[index].line
        return len(self.lines) + 1

    def bullets(self, line: int, end_line: int) -> Iterator[Bullet]:
        """The list items among the lines from `line` up to `end_line`, outside fences."""
        text: list[str] = []
        indents: dict[int, int] = {}
        indent = 0
        place = self.place(line)
        for number in range(line, end_line + 1):
            source = self.lines[number - 1] if number < end_line else ""
            match = _BULLET.match(source) if not self.is_fenced(number) else None
            goes_on = bool(text and source.strip() and not match and self._indent(source) > indent)
            if goes_on:
                indents[self.place(number).line] = self._indent(source)
                text.append(source.strip())
                continue
            if text:
                at = _Joined(path=place.path, line=place.line, column=place.column, indents=indents)
                yield Bullet(text="\n".join(text), place=at if indents else place)
                text, indents = [], {}
            if match:
                indent = len(match["indent"])
                text, place = [match["text"].rstrip()], self.place(number, match.start("text") + 1)

    @staticmethod
    def _indent(source: str) -> int:
        return len(source) - len(source.lstrip())

    def is_fenced(self, line: int) -> bool:
        """Whether a line is part of a fenced block."""
        index = bisect_right(self.fences, line, key=lambda fence: fence.line) - 1
        return index >= 0 and line <= self.fences[index].end_line


def parse_document(text: str, *, path: Path | None, line: int = 1) -> Document:
    """Takes a text apart. `line` is where the text begins in its file.

    Raises `FaultsError` for what cannot be text, and for front matter that is not YAML.
    """
    if len(text) > LARGEST_TEXT_CHARS:
        _fail("too-large", f"The file is larger than {LARGEST_TEXT_CHARS // 1_000_000} MB.", path, 1)
    if text.count("\n") > MOST_LINES:
        _fail("too-large", f"The file has more than {MOST_LINES:,} lines.", path, 1)
    source = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in source:
        at = Place(path=path, line=line).within(source, source.index("\0"))
        message = "The file holds a NUL character: it is binary, not Markdown."
        _fail("not-text", message, path, at.line, at.column)
    lines = source.split("\n")
    front_matter = _front_matter(lines, line, path)
    body = list(lines)
    if front_matter:
        body[: front_matter.end_line] = [""] * front_matter.end_line
    headings, fences = _blocks("\n".join(body))
    return Document(
        path=path,
        begin=line,
        lines=tuple(lines),
        front_matter=front_matter,
        headings=headings,
        fences=fences,
    )


def _fail(code: str, message: str, path: Path | None, line: int, column: int = 1) -> NoReturn:
    raise FaultsError([Fault(code=code, message=message, place=Place(path=path, line=line, column=column))])


@cache
def _parser() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark")
    # Only blocks are wanted; inline text can be long and deep.
    parser.core.ruler.enableOnly(["normalize", "block"])
    parser.options["maxNesting"] = DEEPEST_BLOCKS
    parser.disable(["html_block", "code", "reference", "lheading"])
    return parser


def _blocks(text: str) -> tuple[tuple[Heading, ...], tuple[Fence, ...]]:
    headings, fences = [], []
    tokens = _parser().parse(text)
    for index, token in enumerate(tokens):
        if token.map is None:
            continue
        if token.type == "heading_open" and token.markup.startswith("#"):
            title = tokens[index + 1].content.strip()
            headings.append(Heading(level=len(token.markup), title=title, line=token.map[0] + 1))
        elif token.type == "fence":
            inside = len(token.content.removesuffix("\n").split("\n")) if token.content else 0
            is_closed = token.map[1] - token.map[0] - 1 > inside
            end_line = token.map[1] + (not is_closed)
            fences.append(Fence(info=token.info.strip(), line=token.map[0] + 1, end_line=end_line))
    return tuple(headings), tuple(fences)


def _front_matter(lines: list[str], begin: int, path: Path | None) -> FrontMatter | None:
    if lines[0].rstrip() != "---":
        return None
    end = next((number for number, line in enumerate(lines[1:], start=2) if line.rstrip() == "---"), None)
    if end is None:
        _fail("front-matter", "The front matter begins with `---` and has no closing `---`.", path, begin)
    text = "\n".join(lines[1 : end - 1])
    if len(text) > LARGEST_FRONT_MATTER_CHARS:
        _fail("front-matter", "The front matter is larger than 256 kB.", path, begin)
    values, spots, twice = _load_yaml(text, begin, path, _Yaml())
    return FrontMatter(values=values, spots=spots, line=1, end_line=end, twice=twice)


Steps = tuple[str | int, ...]
Spots = dict[Steps, tuple[int, int]]


def read_yaml(text: str, *, path: Path | None) -> FrontMatter:
    """A file that is YAML as a whole, held to the bounds of front matter but for its length.

    Raises `FaultsError` (`yaml`) for what is no map, or has too much of something.
    """
    if len(text) > LARGEST_TEXT_CHARS:
        _fail("too-large", f"The file is larger than {LARGEST_TEXT_CHARS // 1_000_000} MB.", path, 1)
    read = _Yaml(named="file", code="yaml", deepest_spot=DEEPEST_YAML)
    values, spots, twice = _load_yaml(text.removeprefix("\ufeff"), 0, path, read)
    return FrontMatter(values=values, spots=spots, line=0, end_line=0, twice=twice)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Yaml:
    """What is said of YAML, and how deep its places are known."""

    named: str = "front matter"
    code: str = "front-matter"
    deepest_spot: int = DEEPEST_SPOT


def _load_yaml(
    text: str, begin: int, path: Path | None, read: _Yaml
) -> tuple[dict[str, Any], Spots, tuple[Steps, ...]]:
    """The values of front matter whose `---` is on the line `begin`; spots count from that line as 1."""
    import yaml

    code, named, first = read.code, f"The {read.named}", max(begin, 1)
    try:
        if wrong := _excess(yaml.parse(text, Loader=_loader())):
            _fail(code, f"{named} has {wrong}.", path, first)
        node = yaml.compose(text, Loader=_loader())
        values = yaml.load(text, Loader=_loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = (first, 1)
        if mark:  # whose own line counts characters as ends of lines that no editor does
            whole = text if text.endswith("\n") else f"{text}\n"
            index = len(whole) if mark.index >= len(text) else mark.index
            at = Place(path=path, line=begin + 1).within(whole, index)
            where = (at.line, at.column)
        problem = getattr(error, "problem", None) or str(error)
        if "nesting depth" in problem:  # PyYAML from 6.0.4 has a limit of its own, and looks ahead of ours
            _fail(code, f"{named} has {_TOO_DEEP}.", path, first)
        _fail(code, f"{named} is not valid YAML: {problem}.", path, *where)
    except (RecursionError, ValueError, OverflowError, TypeError) as error:
        _fail(code, f"{named} cannot be read: {error}.", path, first)
    if values is None:
        return {}, {}, ()
    if not isinstance(values, dict):
        _fail(code, f"{named} must be `key: value` lines.", path, begin + 1)
    spots: Spots = {}
    twice: list[Steps] = []
    _note_spots(node, (), spots, twice, read.deepest_spot)
    return {str(key): value for key, value in values.items()}, spots, tuple(twice)


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


_TOO_DEEP = f"values nested more than {DEEPEST_YAML} deep"
_KEPT_TAGS = ("null", "merge")
CORE_SCALARS = (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:[-+]?(?:0|[1-9][0-9]{0,99})|0x[0-9a-fA-F]{1,16}|0o[0-7]{1,21})$", "-+0123456789"),
    (
        "float",
        r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$",
        "-+.0123456789",
    ),
)


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
                return "a reference to what it stands in"
            size += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            size += 1
            if (event.tag or "!") not in ("!", "tag:yaml.org,2002:str"):
                return f"the tag {event.tag}, which means nothing here"
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
