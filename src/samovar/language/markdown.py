"""The Markdown around a workflow: headings, fences, bullets, each with its place.

Above: `reading.py`, `front.py`, `prompt.py`. Below: markdown-it-py for blocks, `yaml_document.py` for front
matter. It knows no workflow: it gives lines, and says where they are. Lines and columns count from 1.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from samovar.errors import Place
from samovar.language.yaml_document import LARGEST_TEXT_CHARS, FrontMatter, fail, read_front_matter

MOST_LINES = 200_000
"""Lines of one file."""
DEEPEST_BLOCKS = 100
"""Lists and quotes within each other that are read; what follows deeper ones is lost to Markdown."""

_BULLET = re.compile(r"^(?P<indent>\s*)[-*+]\s+(?P<text>\S.*)$")


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
    """Line of the opening fence."""
    end_line: int
    """Line of the closing fence, or one past the end of the text."""
    is_closed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBlock:
    """The fenced block below a bullet, without the indentation of its fence and without its last line end."""

    text: str
    place: Place
    """Place of the first character of the text."""
    line: int
    """Line of the opening fence, in its document."""
    end_line: int
    """The line behind the closing fence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bullet:
    """A list item with its continuation lines, joined by newlines and without the indentation they share."""

    text: str
    place: Place
    indent: int = 0
    """Indent of its first line, in characters."""
    end_line: int = 0
    """The line that ends it, of its document; one past the end of the text if it is the last."""
    block: TextBlock | None = None
    """The fenced block that is below its text and ends it; a part of `text` too, up to an empty line."""
    head: str = ""
    """The text above the block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Joined(Place):
    """The place of a text whose later lines were joined without the indentation they share."""

    indent: int = field(compare=False, repr=False)
    """The characters left out before each of the later lines."""

    def within(self, text: str, offset: int) -> Place:
        at = Place.within(self, text, offset)
        column = at.column + (self.indent if at.line > self.line else 0)
        return _Joined(path=self.path, line=at.line, column=column, indent=self.indent)


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
        """The place of a value in the front matter: its key, else the nearest around it that is known."""
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
        lines: list[str] = []
        indent, first = 0, line
        place = self.place(line)
        for number in range(line, end_line + 1):
            source = self.lines[number - 1] if number < end_line else ""
            match = _BULLET.match(source) if not self.is_fenced(number) else None
            if lines and source.strip() and not match and self._indent(source) > indent:
                lines.append(source.rstrip())
                continue
            if lines:
                bullet = _bullet(lines, place, indent, number)
                block = self._block(first, bullet, end_line)
                head = _bullet(lines[: block.line - first], place, indent, number).text if block else ""
                yield replace(bullet, block=block, head=head)
                lines = []
            if match:
                indent, first = len(match["indent"]), number
                lines, place = [match["text"].rstrip()], self.place(number, match.start("text") + 1)

    def _block(self, first: int, bullet: Bullet, end_line: int) -> TextBlock | None:
        """The block that ends a bullet whose text begins in the line `first`."""
        index = bisect_right(self.fences, first, key=lambda fence: fence.line)
        fence = self.fences[index] if index < len(self.fences) else None
        if fence is None or not fence.is_closed or fence.end_line >= end_line:
            return None
        indent = self._indent(self.lines[fence.line - 1])
        above = self.lines[bullet.end_line - 1 : fence.line - 1]
        behind = range(fence.end_line + 1, bullet.end_line)
        if indent <= bullet.indent or any(one.strip() for one in above) or len(behind):
            return None
        text = "\n".join(
            one[min(indent, self._indent(one)) :] for one in self.lines[fence.line : fence.end_line - 1]
        )
        at = self.place(fence.line + 1, indent + 1)
        place = _Joined(path=at.path, line=at.line, column=at.column, indent=indent)
        return TextBlock(text=text, place=place, line=fence.line, end_line=fence.end_line + 1)

    @staticmethod
    def _indent(source: str) -> int:
        return len(source) - len(source.lstrip())

    def is_fenced(self, line: int) -> bool:
        """Whether a line is part of a fenced block."""
        index = bisect_right(self.fences, line, key=lambda fence: fence.line) - 1
        return index >= 0 and line <= self.fences[index].end_line


def _bullet(lines: Sequence[str], place: Place, indent: int, end_line: int) -> Bullet:
    """A bullet of these lines, the first of which begins at `place`."""
    first, *later = lines
    if not later:
        return Bullet(text=first, place=place, indent=indent, end_line=end_line)
    indents = [one[: len(one) - len(one.lstrip())] for one in later]
    least, most = min(indents), max(indents)
    shared = next((at for at, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), len(least))
    text = "\n".join((first, *(one[shared:] for one in later)))
    at = _Joined(path=place.path, line=place.line, column=place.column, indent=shared)
    return Bullet(text=text, place=at, indent=indent, end_line=end_line)


def parse_document(text: str, *, path: Path | None, line: int = 1) -> Document:
    """Takes a text apart. `line` is where the text begins in its file.

    Raises `FaultsError` for what cannot be text, and for front matter that is not YAML.
    """
    if len(text) > LARGEST_TEXT_CHARS:
        fail("too-large", f"The file is larger than {LARGEST_TEXT_CHARS // 1_000_000} MB.", path, 1)
    if text.count("\n") > MOST_LINES:
        fail("too-large", f"The file has more than {MOST_LINES:,} lines.", path, 1)
    source = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in source:
        at = Place(path=path, line=line).within(source, source.index("\0"))
        message = "The file contains a NUL character: it is binary, not Markdown."
        fail("not-text", message, path, at.line, at.column)
    lines = source.split("\n")
    front_matter = read_front_matter(lines, line, path)
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
    tokens, lines = _parser().parse(text), text.split("\n")
    for index, token in enumerate(tokens):
        if token.map is None:
            continue
        if token.type == "heading_open" and token.markup.startswith("#"):
            if token.level and lines[token.map[0]].startswith(("  ", "\t")):
                continue  # it belongs to a list item, as a comment in a command does
            title = tokens[index + 1].content.strip()
            headings.append(Heading(level=len(token.markup), title=title, line=token.map[0] + 1))
        elif token.type == "fence":
            inside = len(token.content.removesuffix("\n").split("\n")) if token.content else 0
            is_closed = token.map[1] - token.map[0] - 1 > inside
            end_line = token.map[1] + (not is_closed)
            info, line = token.info.strip(), token.map[0] + 1
            fences.append(Fence(info=info, line=line, end_line=end_line, is_closed=is_closed))
    return tuple(headings), tuple(fences)
