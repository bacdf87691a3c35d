"""Reads Mermaid state diagrams into states and edges.

Above: `reading.py`. Below: the grammar in `grammar.py`, and the values of `diagram.py`. It does not know
what a label means. What Mermaid would refuse or read otherwise is a hint; what only changes how the diagram
looks is passed over.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samovar.errors import Fault, Place, Severity
from samovar.language import explaining, spelling
from samovar.language.diagram import Diagram, Edge, Node, Scope
from samovar.language.grammar import CompositeStatement, EdgeStatement, StateStatement, grammar

if TYPE_CHECKING:
    from lark import Token
    from lark.exceptions import UnexpectedInput

DEEPEST = 50
"""Composites within each other."""
MOST_FAULTS = 100
"""Errors of one diagram."""
MOST_LINES = 100_000
"""Of one diagram; statements parted by `;` and arrows count as lines too."""
KEYWORDS = frozenset(
    (
        *("as", "default", "state", "class", "classdef", "style", "note", "click", "href", "scale"),
        *("acctitle", "accdescr", "statediagram", "statediagram-v2"),
    )
)
"""Names that Mermaid refuses, in some places."""

_BEFORE = re.compile(r"\s*(?:%%\{[\s\S]*?\}%%|(?:%%(?!\{)|//|#)[^\n]*)")
"""What may stand before the header."""
_FRONT = re.compile(r"\s*---[^\S\n]*\n(?:[\s\S]*?\n)?[^\S\n]*---[^\S\n]*(?=\n|$)")
_COMMENT_LINE = re.compile(r"^[^\S\n]*%%(?!\{)[^\n]*", re.MULTILINE)
# Atomic groups: Python before 3.11.5 misreads possessive quantifiers of groups (python/cpython#106052).
_COMMENT = re.compile(
    r"\"(?>(?:(?>[^\"\\]+)|\\.?)*)(?:\"|$)|'(?>(?:(?>[^'\\]+)|\\.?)*)(?:'|$)|(?<!\S)(?://|%%(?!\{)).*"
)
"""Quoted text, and comments, within a label."""
_ENTITY = re.compile(r"#(\w{2,});")
_NOTE = re.compile(r"note\s+(?:left|right) of\s+([^:\s-]+)", re.I)
_DIRECTION = re.compile(r"direction\s+(?:TB|BT|RL|LR)", re.I)
_OUTSIDE = re.compile(r"(?:scale|hide|click|acc)", re.I)
"""How statements begin that Mermaid knows outside of composites only."""
_NOTE_TEXT = re.compile(r"[^\S\n]*:([^\n]*[:;][^\n]*)?\Z|\s*\n\s*:")
"""A note's text where Mermaid reads another."""


def parse_diagram(lines: Sequence[tuple[int, str]], *, path: Path | None, line: int) -> Diagram:
    """Reads the diagram's lines, given with their numbers. `line` is where the block begins.

    Everything wrong is in `faults`; nothing is raised.
    """
    reader = _Reader(path, lines[0][0] if lines else line)
    text = "\n".join(source for _, source in lines)
    begin = Place(path=path, line=line)
    start = _start(text)
    lines_in_all = max(text.count("\n") + text.count(";"), text.count("-->"))
    word = text[start:].split(maxsplit=1)[0].split(";")[0] if text[start:].strip() else ""
    if not word:
        reader.tell("diagram-empty", "The diagram is empty: it begins with `stateDiagram-v2`.", begin)
    elif word not in ("stateDiagram", "stateDiagram-v2"):
        reader.tell("diagram-kind", explaining.not_ours(word, text[start:]), reader.place_at(text, start))
    elif lines_in_all > MOST_LINES:
        reader.tell("too-large", f"The diagram has more than {MOST_LINES:,} statements.", begin)
    else:
        for at, comment in islice(spelling.comments(text[:start]), MOST_FAULTS):
            reader.add(spelling.comment(reader.place_at(text, at), comment))
        reader.read(re.sub(r"[^\n]", " ", text[:start]) + _COMMENT_LINE.sub("", text[start:]))
    return Diagram(
        nodes=reader.nodes,
        edges=tuple(reader.edges),
        faults=tuple(reader.faults),
        hints=() if reader.faults else tuple(reader.hints),
        place=begin,
    )


def _start(text: str) -> int:
    """Where the header begins, or the text ends: behind front matter and comments."""
    front = _FRONT.match(text)
    at = front.end() if front else 0
    while match := _BEFORE.match(text, at):
        at = match.end()
    return at + len(text[at:]) - len(text[at:].lstrip())


class _Reader:
    """One reading: changed by the statements, in their order."""

    def __init__(self, path: Path | None, first_line: int) -> None:
        self.path, self.first_line = path, first_line
        self.lines: list[str] = []
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.faults: list[Fault] = []
        self.hints: list[Fault] = []

    def tell(self, code: str, message: str, place: Place, severity: Severity = "error") -> None:
        self.add(Fault(code=code, message=message, place=place, severity=severity))

    def add(self, fault: Fault) -> None:
        """Notes something wrong, once in each place."""
        kind = self.faults if fault.severity == "error" else self.hints
        if kind is self.faults and len(kind) >= MOST_FAULTS:
            return
        if not kind or (kind[-1].place, kind[-1].code) != (fault.place, fault.code):
            kind.append(fault)

    def hint(self, code: str, message: str, place: Place) -> None:
        self.tell(code, message, place, "hint")

    def place_at(self, text: str, position: int) -> Place:
        before = text[:position]
        line = self.first_line + before.count("\n")
        return Place(path=self.path, line=line, column=position - before.rfind("\n"))

    def place(self, token: Token, offset: int = 0) -> Place:
        """Where a token stands, or what is in it, which begins on its first line."""
        assert token.line is not None and token.column is not None
        return Place(path=self.path, line=self.first_line + token.line - 1, column=token.column + offset)

    def read(self, text: str) -> None:
        """Reads the whole diagram; after an error it goes on with the next line."""
        from lark.exceptions import UnexpectedInput

        self.lines = text.split("\n")

        try:
            statements: Any = grammar().parse(text, on_error=lambda error: self._recover(error, text))
        except UnexpectedInput:
            return
        self._statements(statements, None, 0)

    # Errors.

    def _recover(self, error: UnexpectedInput, text: str) -> bool:
        """Tells what is wrong, and has the parser go on behind the line, as if the line had ended before."""
        from lark import Token
        from lark.exceptions import UnexpectedToken

        parser: Any = error.interactive_parser
        stack, values = parser.parser_state.state_stack, parser.parser_state.value_stack
        table = parser.parser_state.parse_conf.states
        token = error.token if isinstance(error, UnexpectedToken) else None
        is_end = token is not None and token.type == "$END"
        if is_end and "_NEWLINE" in table[stack[-1]]:
            self.tell("diagram-syntax", "A composite does not end: `}` is missing.", self._open_brace(text))
            brace = Token("CLOSE", "}", line=len(self.lines), column=1)
            with suppress(UnexpectedToken):  # once there is nothing left to close
                while True:
                    parser.feed_token(brace)
            return True
        at = error.pos_in_stream or 0
        if token is not None and not is_end:
            at += len(token) - len(token.lstrip()) - token.startswith("\n")
        begin, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
        line = text[begin : end if end >= 0 else len(text)]
        indent = len(line) - len(line.lstrip())
        self.tell("diagram-syntax", explaining.explain(line), self.place_at(text, begin + indent))
        counter = parser.lexer_thread.state.line_ctr
        counter.feed(text[counter.char_pos : begin + len(line)])
        while "_NEWLINE" not in table[stack[-1]]:
            stack.pop()
            values.pop()
        return len(self.faults) < MOST_FAULTS

    def _open_brace(self, text: str) -> Place:
        """The last brace that opens a composite and is not closed, as far as its line tells."""
        opened: list[int] = []
        for match in re.finditer(r"^[^\S\n]*state\s[^\n:]*?(\{)|^[^\n:]*?(\})", text, re.MULTILINE | re.I):
            if match[1]:
                opened.append(match.start(1))
            elif opened:
                opened.pop()
        return self.place_at(text, opened[-1] if opened else len(text.rstrip()))

    # Statements.

    def _statements(self, statements: Sequence[Any], scope: Scope | None, depth: int) -> None:
        for statement in statements:
            match statement:
                case EdgeStatement():
                    self._edges(statement.parts, scope, depth)
                case StateStatement():
                    self._state(statement, scope, depth)
                case CompositeStatement():
                    self._composite(statement, scope, depth)
                case _:
                    scope = self._lone(statement, scope, depth)

    def _lone(self, token: Token, scope: Scope | None, depth: int) -> Scope | None:
        """A statement of one token. Gives the scope of what follows."""
        if token.type == "DIVIDER":
            assert scope is not None
            owner = self.nodes[scope.composite]
            self.nodes[owner.id] = replace(owner, regions=max(owner.regions, scope.region + 2))
            return Scope(scope.composite, scope.region + 1)
        place = self.place(token)
        if token.type == "UNCLOSED":
            end = {"n": "end note", "a": "}", "%": "}%%"}[token[0].lower()]
            self.tell("diagram-syntax", f"What begins here does not end: `{end}` is missing.", place)
        elif token.type == "UNKNOWN":
            message = f"This has no meaning in a state diagram, so it is ignored: {str(token)[:40]!r}."
            self.tell("diagram-ignored", message, place, "warning")
        elif token.type == "SLASHES":
            self.add(spelling.comment(place, token))
        elif token.type == "SEMICOLON":
            self.add(spelling.semicolon(place, self.lines[place.line - self.first_line]))
        elif token.type == "LOOKS" and scope is not None and _OUTSIDE.match(token):
            self.hint("mermaid-name", "Mermaid knows this outside of composites only.", place)
        elif note := _NOTE.match(token):
            self._node(note[1], place, scope, depth)
            if _NOTE_TEXT.match(token, note.end()):
                self.hint("mermaid-text", "Mermaid wants a text in a note, without `:` and `;`.", place)
        return scope

    def _node(self, name: str, place: Place, scope: Scope | None, depth: int) -> str:
        """Notes a mention of a state."""
        known = self.nodes.get(name)
        if known is None:
            self.nodes[name] = Node(id=name, place=place, scope=scope, depth=depth)
        elif depth > known.depth and not self._stands_in(scope, name):
            self.nodes[name] = replace(known, scope=scope, depth=depth)
        return name

    def _stands_in(self, scope: Scope | None, composite: str) -> bool:
        """Whether a scope is within a composite."""
        while scope is not None and scope.composite != composite:
            scope = self.nodes[scope.composite].scope
        return scope is not None

    def _name(self, token: Token, scope: Scope | None, depth: int) -> str | None:
        """The state that a token names; None for `[*]`."""
        if token.type == "ENDPOINT":
            return None
        name: str = token.value
        if name.lower() in KEYWORDS:
            message = f"Mermaid takes the name {name!r} for a keyword."
            self.hint("mermaid-name", message, self.place(token))
        if name in self.nodes and scope is self.nodes[name].scope:
            return name
        place = self.place(token)
        if not name.isalnum():
            name = " ".join(name.split())
            if name not in self.nodes and (" " in name or "-" in name):
                if wrong := explaining.no_name(name):
                    self.tell("diagram-syntax", wrong, place)
                message = (
                    f'Mermaid cannot read the name {name[:60]!r}: write `state "{name[:60]}" as '
                    f"{re.sub(r'[^0-9A-Za-z]+', '_', name)[:60].strip('_') or 'X'}` to have it drawn."
                )
                self.hint("mermaid-name", message, place)
        return self._node(name, place, scope, depth)

    def _text(self, token: Token) -> tuple[str, Place]:
        """The text behind a colon, without a comment, and where it begins."""
        inner = token[1:]
        if "//" in inner or "%%" in inner:
            marks = _COMMENT.finditer(inner)
            comment = next((mark.start() for mark in marks if mark[0][0] in "/%"), len(inner))
            inner = inner[:comment]
        is_cut = len(inner) < len(token) - 1
        text = _ENTITY.sub(_entity, inner.strip())
        place = self.place(token, 1 + len(inner) - len(inner.lstrip()) if text else 0)
        if hint := _text_hint(token, inner, is_cut=is_cut):
            self.hint("mermaid-text", hint, place)
        elif _ENTITY.sub("", inner).rstrip().endswith(";"):
            end = self.place(token, len(inner.rstrip()))
            self.add(spelling.semicolon(end, self.lines[end.line - self.first_line]))
        return text.rstrip("; \t"), place

    def _edges(self, parts: Sequence[Token], scope: Scope | None, depth: int) -> None:
        label = parts[-1] if parts[-1].type == "LABEL" else None
        ends = [part for part in parts if part.type in ("NAME", "ENDPOINT")]
        for arrow in parts:
            if arrow.type == "ARROW" and scope is None and "\n" in arrow:
                lines = arrow[: arrow.index("-->")].split("\n")
                place = self.place(arrow)
                if len(lines) > 1:
                    place = replace(place, line=place.line + len(lines) - 1, column=len(lines[-1]) + 1)
                return self.tell("diagram-syntax", "An arrow stands on one line: `A --> B: label`.", place)
        pairs = list(_pairs(ends))
        if len(pairs) < len(ends) - 1 or any(not one or not other for one, other in pairs):
            message = "An arrow is `A --> B` or `A --> B: label`, one on a line."
            return self.tell("diagram-syntax", message, self.place(ends[0]))
        for index, (source, target) in enumerate(pairs):
            is_labelled = label is not None and index == len(pairs) - 1
            text, text_place = self._text(label) if label is not None and is_labelled else ("", None)
            self.edges.append(
                Edge(
                    source=self._name(source, scope, depth),
                    target=self._name(target, scope, depth),
                    label=text,
                    place=self.place(source),
                    label_place=text_place if text and text_place else self.place(target),
                    scope=scope,
                )
            )
        return None

    def _state(self, statement: StateStatement, scope: Scope | None, depth: int) -> None:
        name = self._name(statement.name, scope, depth)
        if name is None:
            if statement.text is not None:
                self.tell("diagram-syntax", "`[*]` has no description.", self.place(statement.name))
            return
        if statement.is_declared:
            self._declared(name, statement)
        self._kind(name, statement.kind)
        self._title(name, statement.title)
        if statement.text is not None:
            text, text_place = self._text(statement.text)
            self.nodes[name].descriptions.append((text, text_place))

    def _declared(self, name: str, statement: StateStatement | CompositeStatement) -> None:
        """Hints at what Mermaid takes for names: whatever stands behind `state NAME` on its line."""
        behind = self._behind(statement.name)
        kind = statement.kind if isinstance(statement, StateStatement) else None
        place = self.place(statement.name, len(statement.name))
        if kind is not None and statement.title is not None:
            message = f"Mermaid reads no kind behind a title: write `state {name} {kind}`."
            self.hint("mermaid-name", message, self.place(kind))
        elif behind.startswith(":"):
            look = re.match(r":::\s*([^\s;{}]*)", behind)
            end, wanted = ("class", f"class {name} {look[1]}") if look else ("text", f"{name}: text")
            message = f"Mermaid takes the {end} behind `state {name}` for a name: write `{wanted}`."
            self.hint("mermaid-name", message, place)
        elif kind is None and behind and (behind[0] not in ";#{%" or self._is_glued(statement.name)):
            message = f"Mermaid takes what stands behind `state {name}` for names: begin a line with it."
            self.hint("mermaid-name", message, place)

    def _behind(self, token: Token) -> str:
        """The rest of the token's line, from the first character that is no blank."""
        assert token.line is not None and token.column is not None
        return self.lines[token.line - 1][token.column - 1 + len(token) :].lstrip()

    def _is_glued(self, token: Token) -> bool:
        """Whether a comment follows the token without a blank."""
        assert token.line is not None and token.column is not None
        return self.lines[token.line - 1].startswith(("%%", "#"), token.column - 1 + len(token))

    def _end(self, brace: Token) -> None:
        assert brace.line is not None and brace.column is not None
        before = self.lines[brace.line - 1][: brace.column - 1]
        if before and not before[-1].isspace() and before[-1] not in ">*]{}":
            self.add(spelling.brace(self.place(brace)))

    def _title(self, name: str, title: Token | None) -> None:
        if title is not None:
            self.nodes[name].descriptions.append((title[1:-1], self.place(title, 1)))

    def _kind(self, name: str, token: Token | None) -> None:
        """Notes what a declaration says a state is. It may stand before or behind the state's edges."""
        kind = token[2:-2].strip().lower() if token is not None else ""
        if token is None or kind in ("choice", "end"):
            return
        place = self.place(token)
        if kind not in ("fork", "join"):
            self.tell("diagram-syntax", f"There is no kind of state <<{kind}>>: choice, fork, join.", place)
            return
        node = self.nodes[name]
        if node.kind not in ("", kind):
            message = f"The state {name!r} cannot be <<{node.kind}>> and <<{kind}>>: two states are needed."
            self.tell("two-kinds", message, place)
        self.nodes[name] = replace(node, kind="fork" if kind == "fork" else "join")

    def _composite(self, statement: CompositeStatement, scope: Scope | None, depth: int) -> None:
        name = self._name(statement.name, scope, depth)
        assert name is not None
        self._title(name, statement.title)
        if self._behind(statement.name).startswith(":"):
            self._declared(name, statement)
        if statement.is_bare:
            self.add(spelling.composite(self.place(statement.name), name))
        if depth == DEEPEST:
            message = f"Composite states stand more than {DEEPEST} deep in each other."
            self.tell("too-deep", message, self.place(statement.name))
            return
        node = self.nodes[name]
        if statement.inside:
            self.nodes[name] = replace(node, regions=max(node.regions, 1))
            self._statements(statement.inside, Scope(name, 0), depth + 1)
        self._end(statement.end)


def _text_hint(token: Token, text: str, *, is_cut: bool) -> str | None:
    """What Mermaid makes of a text behind a colon, but for a `;` at its end. `is_cut`: a comment followed."""
    if not text.strip():
        return "Mermaid wants a text behind `:`."
    if "::" in token or text.endswith(":") or ";" in _ENTITY.sub("", text).rstrip()[:-1]:
        return "Mermaid ends a text at `;` or `::`, and wants none with `:` last."
    if is_cut:
        return "Mermaid takes a comment behind a text for a part of it."
    if "direction" in text and _DIRECTION.search(text):
        return "Mermaid takes all of a line with `direction TB` in it for that."
    return None


def _pairs(ends: Sequence[Token]) -> Iterator[tuple[Token, Token]]:
    """The arrows of one line, as Mermaid reads them: `A --> B C --> D` is two."""
    source = ends[0]
    for index, target in enumerate(ends[1:], start=1):
        if index == len(ends) - 1:
            yield source, target
            return
        words = target.value.split()
        if len(words) < 2:
            return
        last = target.value.rindex(words[-1])
        yield source, target.update(value=words[0])
        source = target.update(value=words[-1])
        source.column = (target.column or 1) + last


def _entity(match: re.Match[str]) -> str:
    """Mermaid's `#quot;` and `#35;`."""
    from html.entities import html5

    name = match[1]
    if name.isdigit() and len(name) < 7 and int(name) <= sys.maxunicode:
        return chr(int(name))
    return html5.get(f"{name};", match[0])
