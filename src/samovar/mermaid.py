"""Reads Mermaid state diagrams into states and edges, each with its place.

Above: `workflow.py`. Below: nothing. It reads lines as Mermaid does, and ignores what only changes how the
diagram looks. It does not know what a label means. What has a meaning that cannot be given yet is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from samovar.errors import Fault, Place

END = "[*]"
Kind = Literal["", "fork", "join"]
"""What a state is, besides a state. `<<choice>>` and `<<end>>` change nothing."""
OTHER_KINDS = frozenset(
    [
        "flowchart",
        "graph",
        "sequenceDiagram",
        "classDiagram",
        "erDiagram",
        "gantt",
        "pie",
        "journey",
        "gitGraph",
        "mindmap",
        "timeline",
        "requirementDiagram",
        "quadrantChart",
        "sankey-beta",
        "xychart-beta",
        "block-beta",
        "C4Context",
    ]
)

_LOOKS = re.compile(
    r"(direction|classDef|class|style|linkStyle|title|scale|hide|click)\b(?!\s*(-->|:(?!:)))|acc(Title|Descr)\s*:",
    re.I,
)
_STATE = re.compile(
    r'state\s+(?:"(?P<title>[^"]*)"\s+as\s+)?(?P<id>[^"<{:\s\[](?:[^"<{:\[]*[^"<{:\s\[])?)\s*'
    r"(?:<<\s*(?P<kind>\w+)\s*>>|\[\[\s*(?P<old>\w+)\s*\]\])?$"
)
_COMPOSITE = re.compile(r'state\s(?:[^"]|"[^"]*")*?(?=\{)')
_TITLE = re.compile(r'state\s+"')
_TITLED = re.compile(r'state\s+"(?P<title>[^"]*)"$')
_BARE_COMPOSITE = re.compile(r"[^\s\"{}<>:-][^\"{}<>:]*(?=\{)")
_NOTE = re.compile(r"note\s+(?:(?:left|right)\s+of\b|(?:above|below|over)\b|\")", re.I)
_CLASS = re.compile(r":::\s*[\w-]+")
_COMMENT = r"(?<!\S)(?://|%%(?!\{)).*"
_HEAD_MARK = re.compile(rf'"[^"]*(?:"|$)|:::|(?<!\S)#.*|{_COMMENT}|[:;]')
"""What matters before a label or a description: quoted text, comments, `:` and `;`."""
_TEXT_MARK = re.compile(rf'"(?:[^"\\]|\\.?)*(?:"|$)|\'(?:[^\'\\]|\\.?)*(?:\'|$)|{_COMMENT}')
"""What matters within one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A state of the diagram."""

    id: str
    place: Place
    """Of its first mention."""
    kind: Kind = ""
    descriptions: list[tuple[str, Place]] = field(default_factory=list)
    """Filled while the diagram is read. Each `X : text`, and the text of `state "text" as X`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`source --> target : label`. None is `[*]`."""

    source: str | None
    target: str | None
    label: str
    """Empty where there is none."""
    place: Place
    label_place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagram:
    """What a state diagram says."""

    nodes: dict[str, Node]
    edges: tuple[Edge, ...]
    faults: tuple[Fault, ...]
    place: Place


@dataclass(slots=True)
class _Reader:
    """The state of one reading: changed by the statements, in order."""

    path: Path | None
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    depth: int = 0
    """Braces of a composite that are open: its inside is passed over."""

    def fault(self, code: str, message: str, place: Place) -> None:
        self.faults.append(Fault(code=code, message=message, place=place))

    def node(self, name: str, place: Place) -> str | None:
        """Notes a mention of a state; None for `[*]`."""
        name = " ".join(_CLASS.sub("", name).split())
        if name == END:
            return None
        if not name or any(char in name for char in '"{}<>'):
            self.fault("diagram-syntax", f"{name[:60]!r} cannot be a state's name.", place)
        elif name.startswith("-") or name.endswith("-"):
            self.fault(
                "diagram-syntax", f"An arrow is `-->`: there is a `-` too many at {name[:60]!r}.", place
            )
        self.nodes.setdefault(name, Node(id=name, place=place))
        return name

    def describe(self, name: str, text: str, place: Place, text_place: Place) -> None:
        known = self.node(name, place)
        if known is None:
            return self.fault("diagram-syntax", "`[*]` has no description.", place)
        self.nodes[known].descriptions.append((text, text_place))
        return None


def parse_diagram(lines: Sequence[tuple[int, str]], *, path: Path | None, line: int) -> Diagram:
    """Reads the diagram's lines, given with their numbers. `line` is where the block begins.

    Everything wrong is in `faults`; nothing is raised.
    """
    reader = _Reader(path)
    statements = [
        (number, start, text)
        for number, source in _without_blocks(lines, reader)
        for start, text in _statements(source)
    ]
    begin = Place(path=path, line=line)
    if reader.faults:
        pass
    elif not statements:
        reader.fault("diagram-empty", "The diagram is empty: it begins with `stateDiagram-v2`.", begin)
    else:
        number, start, text = statements[0]
        _header(reader, text, Place(path=path, line=number, column=start + 1))
    if not reader.faults:
        for number, start, text in statements[1:]:
            _statement(reader, text, number, start)
    return Diagram(nodes=reader.nodes, edges=tuple(reader.edges), faults=tuple(reader.faults), place=begin)


def _without_blocks(lines: Sequence[tuple[int, str]], reader: _Reader) -> list[tuple[int, str]]:
    """The lines without comments, `%%{init}%%`, a leading `---` block, notes, and long descriptions."""
    kept: list[tuple[int, str]] = []
    until: str | None = None
    begun = 1
    for number, source in lines:
        text = source.strip()
        if until is None:
            begun = number
        if until is not None:
            if text == until or (until != "---" and until in text.lower()):
                until = None
        elif text == "---" and not kept:
            until = "---"
        elif text.startswith("%%{"):
            until = None if "}%%" in text else "}%%"
        elif text.startswith(("%%", "//", "#")) or not text:
            continue
        elif _NOTE.match(text):
            until = None if ":" in text or '"' in text else "end note"
        elif re.match(r"accDescr\s*\{", text):
            until = None if "}" in text else "}"
        else:
            kept.append((number, source))
    if until is not None:
        place = Place(path=reader.path, line=begun)
        reader.fault("diagram-syntax", f"What begins here does not end: `{until}` is missing.", place)
    return kept


def _statements(source: str) -> list[tuple[int, str]]:
    """The statements of one line, each with where it begins, without comments.

    A semicolon parts them, but for one in quotes, or behind a colon, where it belongs to the text.
    """
    parts: list[tuple[int, int]] = []
    begin, end = 0, len(source)
    for mark in _HEAD_MARK.finditer(source):
        if mark[0] == ";":
            if not _LOOKS.match(source, begin + _blanks(source, begin)):
                parts.append((begin, mark.start()))
                begin = mark.end()
        elif mark[0] == ":":
            later = _TEXT_MARK.finditer(source, mark.end())
            end = next((comment.start() for comment in later if comment[0][0] in "/%"), end)
            break
        elif mark[0][0] in "/%#":
            end = mark.start()
            break
    found = []
    for first, last in (*parts, (begin, end)):
        text = source[first:last].rstrip("; \t\r\f\v")
        if text.strip():
            found.append((first + _blanks(text, 0), text.strip()))
    return found


def _blanks(text: str, at: int) -> int:
    """How many blanks stand at a place."""
    count = 0
    while at + count < len(text) and text[at + count].isspace():
        count += 1
    return count


def _header(reader: _Reader, text: str, place: Place) -> None:
    word = text.split()[0]
    if word in ("stateDiagram", "stateDiagram-v2"):
        return
    if word in OTHER_KINDS:
        message = f"A workflow is a state diagram, and this is a {word}: begin with `stateDiagram-v2`."
    else:
        message = f"A state diagram begins with `stateDiagram-v2`, not {text[:40]!r}."
    reader.fault("diagram-kind", message, place)


def _statement(reader: _Reader, text: str, number: int, start: int) -> None:
    place = Place(path=reader.path, line=number, column=start + 1)
    if reader.depth:
        reader.depth += text.count("{") - text.count("}")
        return
    if text == "--":
        return reader.fault("unsupported", "Concurrent regions (`--`) are not supported yet.", place)
    before_colon, colon, rest = _split(text)
    composite = _COMPOSITE.match(text if _TITLE.match(text) else before_colon)
    if composite := composite or _BARE_COMPOSITE.match(before_colon):
        inside = text[composite.end() :]
        reader.depth = max(inside.count("{") - inside.count("}"), 0)
        return reader.fault("unsupported", "Composite states (`state X { … }`) are not supported yet.", place)
    if "-->" in before_colon:
        return _edge(reader, text, number, start)
    if _LOOKS.match(text):
        return None
    if re.match(r"state\s+(?!:)", text):
        return _declaration(reader, text, place)
    if colon:
        column = start + 1 + len(text) - len(rest) if rest else start + 1
        return reader.describe(before_colon, rest, place, replace(place, column=column))
    if "->" in text or "--" in text or any(char in text for char in '"{}<>='):
        return reader.fault(
            "diagram-syntax", f"{text[:60]!r} is no statement. An arrow is `A --> B: label`.", place
        )
    reader.node(text, place)
    return None


def _edge(reader: _Reader, text: str, number: int, start: int) -> None:
    place = Place(path=reader.path, line=number, column=start + 1)
    left, _, right = text.partition("-->")
    target, _colon, label = _split(right)
    if not left.strip() or not target.strip() or "-->" in target:
        return reader.fault(
            "diagram-syntax", "An arrow is `A --> B` or `A --> B: label`, one on a line.", place
        )
    target_column = start + 1 + text.index(target.strip(), len(left) + 3)
    target_place = replace(place, column=target_column)
    label_place = target_place
    if label:
        label_place = replace(place, column=start + 1 + len(text) - len(label))
    edge = Edge(
        source=reader.node(left, place),
        target=reader.node(target, target_place),
        label=label,
        place=place,
        label_place=label_place,
    )
    reader.edges.append(edge)
    return None


def _split(text: str) -> tuple[str, bool, str]:
    """`X : text` at its first colon that is not of `:::`: (before, whether there is one, after)."""
    plain = _CLASS.sub(lambda match: " " * len(match[0]), text)
    at = plain.find(":")
    if at < 0:
        return text, False, ""
    return text[:at], True, text[at + 1 :].strip()


def _declaration(reader: _Reader, text: str, place: Place) -> None:
    plain = _CLASS.sub(lambda match: " " * len(match[0]), text)
    colon = next((mark.start() for mark in _HEAD_MARK.finditer(plain) if mark[0] == ":"), len(text))
    match = _STATE.match(plain[:colon].strip())
    rest = text[colon + 1 :].strip()
    if not match:
        if _TITLED.match(text):
            return reader.fault("diagram-syntax", 'A titled state needs a name: `state "text" as X`.', place)
        return reader.fault("diagram-syntax", f"{text[:60]!r} declares no state: `state X`.", place)
    name = reader.node(match["id"], place)
    _kind(reader, name, (match["kind"] or match["old"] or "").lower(), place)
    if match["title"]:
        at = replace(place, column=place.column + match.start("title"))
        reader.describe(match["id"], match["title"], place, at)
    if rest:
        at = replace(place, column=place.column + len(text) - len(rest))
        reader.describe(match["id"], rest, place, at)
    return None


def _kind(reader: _Reader, name: str | None, kind: str, place: Place) -> None:
    """Notes what a declaration says a state is. It may stand before or behind the state's edges."""
    if kind not in ("", "choice", "end", "fork", "join"):
        reader.fault("diagram-syntax", f"There is no kind of state <<{kind}>>: choice, fork, join.", place)
    elif name is not None and kind in ("fork", "join"):
        node = reader.nodes[name]
        if node.kind not in ("", kind):
            message = f"The state {name!r} cannot be <<{node.kind}>> and <<{kind}>>: two states are needed."
            reader.fault("diagram-syntax", message, place)
        reader.nodes[name] = replace(node, kind="fork" if kind == "fork" else "join")
