"""The Markdown around a workflow: front matter, headings, fences, bullets, each with its place.

Above: `workflow.py`, `prompt.py`. Below: markdown-it-py for blocks, PyYAML for front matter. It knows no
workflow: it gives lines, and says where they stand. Lines and columns count from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from samovar.errors import Fault, FaultsError, Place

LARGEST_TEXT_CHARS = 10_000_000
LARGEST_FRONT_MATTER_CHARS = 262_144
MOST_ALIASES = 50
"""References in one front matter; more are a bomb, not a document."""

_BULLET = re.compile(r"^(?P<indent>\s*)[-*+]\s+(?P<text>\S.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMatter:
    """The YAML at the top."""

    values: dict[str, Any]
    lines: dict[str, int]
    """The line of each top-level key."""
    line: int
    """Of its first `---`."""
    end_line: int
    """Of its last `---`."""


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
class Document:
    """A text taken apart."""

    path: Path | None
    lines: tuple[str, ...]
    """Without their ends."""
    front_matter: FrontMatter | None
    headings: tuple[Heading, ...]
    fences: tuple[Fence, ...]

    def place(self, line: int, column: int = 1) -> Place:
        return Place(path=self.path, line=line, column=column)

    def text(self, line: int, end_line: int) -> str:
        """The lines from `line` up to, not with, `end_line`."""
        return "\n".join(self.lines[line - 1 : end_line - 1])

    def end_of(self, heading: Heading, level: int | None = None) -> int:
        """The line where the section ends: the next heading of `level` or higher, or one past the end."""
        limit = heading.level if level is None else level
        later = (other.line for other in self.headings if other.line > heading.line and other.level <= limit)
        return next(later, len(self.lines) + 1)

    def bullets(self, line: int, end_line: int) -> Iterator[Bullet]:
        """The list items among the lines from `line` up to `end_line`, outside fences."""
        text: list[str] = []
        start, indent = 0, 0
        place = self.place(line)
        for number in range(line, end_line + 1):
            source = self.lines[number - 1] if number < end_line else ""
            match = _BULLET.match(source) if not self._is_fenced(number) else None
            goes_on = bool(text and source.strip() and not match and self._indent(source) > indent)
            if goes_on:
                text.append(source.strip())
                continue
            if text:
                yield Bullet(text="\n".join(text), place=place)
                text = []
            if match:
                start, indent = match.start("text"), len(match["indent"])
                text, place = [match["text"].rstrip()], self.place(number, start + 1)

    @staticmethod
    def _indent(source: str) -> int:
        return len(source) - len(source.lstrip())

    def _is_fenced(self, line: int) -> bool:
        return any(fence.line <= line <= fence.end_line for fence in self.fences)


def parse_document(text: str, *, path: Path | None, line: int = 1) -> Document:
    """Takes a text apart. `line` is where the text begins in its file: blank lines stand before it.

    Raises `FaultsError` for what cannot be text, and for front matter that is not YAML.
    """
    if len(text) > LARGEST_TEXT_CHARS:
        _fail("too-large", f"The file is larger than {LARGEST_TEXT_CHARS // 1_000_000} MB.", path, 1)
    source = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in source:
        _fail(
            "not-text",
            "The file holds a NUL character: it is binary, not Markdown.",
            path,
            source.count("\n") + 1,
        )
    lines = ("\n" * (line - 1) + source).split("\n")
    front_matter = _front_matter(lines, line, path)
    body = list(lines)
    if front_matter:
        body[line - 1 : front_matter.end_line] = [""] * (front_matter.end_line - line + 1)
    headings, fences = _blocks("\n".join(body))
    return Document(
        path=path, lines=tuple(lines), front_matter=front_matter, headings=headings, fences=fences
    )


def _fail(code: str, message: str, path: Path | None, line: int, column: int = 1) -> NoReturn:
    raise FaultsError([Fault(code=code, message=message, place=Place(path=path, line=line, column=column))])


def _blocks(text: str) -> tuple[tuple[Heading, ...], tuple[Fence, ...]]:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark")
    # Only blocks are wanted; inline text can be long and deep.
    parser.core.ruler.enableOnly(["normalize", "block"])
    parser.disable(["html_block", "code", "reference", "lheading"])
    headings, fences = [], []
    tokens = parser.parse(text)
    for index, token in enumerate(tokens):
        if token.map is None:
            continue
        if token.type == "heading_open" and token.markup.startswith("#"):
            title = tokens[index + 1].content.strip()
            headings.append(Heading(level=len(token.markup), title=title, line=token.map[0] + 1))
        elif token.type == "fence":
            fences.append(Fence(info=token.info.strip(), line=token.map[0] + 1, end_line=token.map[1]))
    return tuple(headings), tuple(fences)


def _front_matter(lines: list[str], line: int, path: Path | None) -> FrontMatter | None:
    if len(lines) < line or lines[line - 1].rstrip() != "---":
        return None
    end = next(
        (number for number in range(line + 1, len(lines) + 1) if lines[number - 1].rstrip() == "---"), None
    )
    if end is None:
        _fail("front-matter", "The front matter begins with `---` and has no closing `---`.", path, line)
    text = "\n".join(lines[line : end - 1])
    if len(text) > LARGEST_FRONT_MATTER_CHARS:
        _fail("front-matter", "The front matter is larger than 256 kB.", path, line)
    values, key_lines = _load_yaml(text, line, path)
    return FrontMatter(values=values, lines=key_lines, line=line, end_line=end)


def _load_yaml(text: str, line: int, path: Path | None) -> tuple[dict[str, Any], dict[str, int]]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=loader))
        if aliases > MOST_ALIASES:
            _fail(
                "front-matter",
                f"The front matter has {aliases} aliases; {MOST_ALIASES} are allowed.",
                path,
                line,
            )
        node = yaml.compose(text, Loader=loader)
        values = yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = (line + 1 + mark.line, mark.column + 1) if mark else (line, 1)
        problem = getattr(error, "problem", None) or str(error)
        _fail("front-matter", f"The front matter is not valid YAML: {problem}.", path, *where)
    except (RecursionError, ValueError, OverflowError, TypeError) as error:
        _fail("front-matter", f"The front matter cannot be read: {error}.", path, line)
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        _fail("front-matter", "The front matter must be `key: value` lines.", path, line + 1)
    keys = {str(key.value): line + 1 + key.start_mark.line for key, _ in node.value} if node else {}
    return {str(key): value for key, value in values.items()}, keys
