"""The statements of a state diagram: its states and edges, one statement after the other.

Above: `mermaid.py`. Below: the statements of `grammar.py`, the values of `diagram.py`, and the message about
what is wrong (`diagram_faults.py`, `explaining.py`, `mermaid_hints.py`). It does not know what a label means.
What only changes how the diagram looks is passed over.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from samovar.errors import Place
from samovar.language import explaining, mermaid_hints, spelling
from samovar.language.diagram import Edge, Mention, Node, Scope
from samovar.language.diagram_faults import DiagramFaults
from samovar.language.grammar import CompositeStatement, EdgeStatement, StateStatement

if TYPE_CHECKING:
    from lark import Token

DEEPEST = 50
"""Composites within each other."""

# Atomic groups: Python before 3.11.5 misreads possessive quantifiers of groups (python/cpython#106052).
_COMMENT = re.compile(
    r"\"(?>(?:(?>[^\"\\]+)|\\.?)*)(?:\"|$)|'(?>(?:(?>[^'\\]+)|\\.?)*)(?:'|$)|(?<!\S)(?://|%%(?!\{)).*"
)
"""Quoted text, and comments, within a label."""
_NOTE = re.compile(r"note\s+(?:left|right) of\s+([^:\s-]+)", re.I)
_STYLED = re.compile(r"(?:class|style|click)\s+(\w+(?:\s*,\s*\w+)*)", re.I)
"""What only changes how states look, with their names."""


class StatementReader:
    """One reading: changed by the statements, in their order."""

    def __init__(self, lines: Sequence[str], faults: DiagramFaults) -> None:
        """`lines`: those of the diagram that was parsed. `faults`: takes what is wrong."""
        self.lines, self.faults = lines, faults
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.mentions: list[Mention] = []
        self.breaks: list[Place] = []

    def read(self, statements: Sequence[Any]) -> None:
        """Reads all statements of a diagram, as `grammar` gives them."""
        self._statements(statements, None, 0)

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
        place = self.faults.place(token)
        if token.type == "UNCLOSED":
            end = {"n": "end note", "a": "}", "%": "}%%"}[token[0].lower()]
            self.faults.report("diagram-syntax", f"The `{end}` that ends this is missing.", place)
        elif token.type == "UNKNOWN":
            message = f"This has no meaning in a state diagram, so it is ignored: {str(token)[:40]!r}."
            self.faults.report("diagram-ignored", message, place, "warning")
        elif token.type == "SLASHES":
            self.faults.add(spelling.comment(place, token))
        elif token.type == "SEMICOLON":
            self.breaks.append(place)
            self.faults.add(spelling.semicolon(place, self.lines[place.line - self.faults.first_line]))
        elif token.type == "LOOKS":
            self._styled(token)
            if scope is not None and (hint := mermaid_hints.composite_hint(token)):
                self.faults.hint("mermaid-name", hint, place)
        elif note := _NOTE.match(token):
            self._node(note[1], place, scope, depth)
            self.mentions.append(Mention(note[1], self.faults.place(token, note.start(1)), len(note[1])))
            if hint := mermaid_hints.note_hint(token, note.end()):
                self.faults.hint("mermaid-text", hint, place)
        return scope

    def _styled(self, token: Token) -> None:
        if found := _STYLED.match(token):
            for name in re.finditer(r"\w+", found[1]):
                place = self.faults.place(token, found.start(1) + name.start())
                self.mentions.append(Mention(name[0], place, len(name[0])))

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
        place, chars = self.faults.place(token), len(name)
        if hint := mermaid_hints.keyword_hint(name):
            self.faults.hint("mermaid-name", hint, place)
        if not name.isalnum():
            name = " ".join(name.split())
        self.mentions.append(Mention(name, place, chars))
        if name in self.nodes and scope is self.nodes[name].scope:
            return name
        if not name.isalnum() and name not in self.nodes:
            if wrong := explaining.no_name(name):
                self.faults.report("diagram-syntax", wrong, place)
            if " " in name or "-" in name:
                self.faults.hint("mermaid-name", mermaid_hints.name_hint(name), place)
        return self._node(name, place, scope, depth)

    def _text(self, token: Token) -> tuple[str, Place]:
        """The text behind a colon, without a comment, and where it begins."""
        inner = token[1:]
        if "//" in inner or "%%" in inner:
            marks = _COMMENT.finditer(inner)
            comment = next((mark.start() for mark in marks if mark[0][0] in "/%"), len(inner))
            inner = inner[:comment]
        is_cut = len(inner) < len(token) - 1
        text = mermaid_hints.ENTITY.sub(_entity, inner.strip())
        place = self.faults.place(token, 1 + len(inner) - len(inner.lstrip()) if text else 0)
        if hint := mermaid_hints.text_hint(token, inner, is_cut=is_cut):
            self.faults.hint("mermaid-text", hint, place)
        elif mermaid_hints.ENTITY.sub("", inner).rstrip().endswith(";"):
            end = self.faults.place(token, len(inner.rstrip()))
            self.faults.add(spelling.semicolon(end, self.lines[end.line - self.faults.first_line]))
        return text.rstrip("; \t"), place

    def _edges(self, parts: Sequence[Token], scope: Scope | None, depth: int) -> None:
        label = parts[-1] if parts[-1].type == "LABEL" else None
        ends = [part for part in parts if part.type in ("NAME", "ENDPOINT")]
        for arrow in parts:
            if arrow.type == "ARROW" and scope is None and "\n" in arrow:
                lines = arrow[: arrow.index("-->")].split("\n")
                place = self.faults.place(arrow)
                if len(lines) > 1:
                    place = replace(place, line=place.line + len(lines) - 1, column=len(lines[-1]) + 1)
                return self.faults.report(
                    "diagram-syntax", "An arrow must be on one line: `A --> B: label`.", place
                )
        pairs = list(_pairs(ends))
        if len(pairs) < len(ends) - 1 or any(not one or not other for one, other in pairs):
            message = "An arrow is `A --> B` or `A --> B: label`, one per line."
            return self.faults.report("diagram-syntax", message, self.faults.place(ends[0]))
        for index, (source, target) in enumerate(pairs):
            is_labelled = label is not None and index == len(pairs) - 1
            text, text_place = self._text(label) if label is not None and is_labelled else ("", None)
            self.edges.append(
                Edge(
                    source=self._name(source, scope, depth),
                    target=self._name(target, scope, depth),
                    label=text,
                    place=self.faults.place(source),
                    label_place=text_place if text and text_place else self.faults.place(target),
                    scope=scope,
                )
            )
        return None

    def _state(self, statement: StateStatement, scope: Scope | None, depth: int) -> None:
        name = self._name(statement.name, scope, depth)
        if name is None:
            if statement.text is not None:
                self.faults.report(
                    "diagram-syntax", "`[*]` has no description.", self.faults.place(statement.name)
                )
            return
        if statement.is_declared:
            self._declared(name, statement)
        self._kind(name, statement.kind)
        self._title(name, statement.title)
        if statement.text is not None:
            text, text_place = self._text(statement.text)
            self.nodes[name].descriptions.append((text, text_place))

    def _declared(self, name: str, statement: StateStatement | CompositeStatement) -> None:
        """Hints at what Mermaid takes for names: whatever comes after `state NAME` on its line."""
        kind = statement.kind if isinstance(statement, StateStatement) else None
        if kind is not None and statement.title is not None:
            message = f"Mermaid does not read a kind after a title: write `state {name} {kind}`."
            self.faults.hint("mermaid-name", message, self.faults.place(kind))
            return
        behind, is_glued = self._behind(statement.name), self._is_glued(statement.name)
        hint = mermaid_hints.declaration_hint(name, behind, has_kind=kind is not None, is_glued=is_glued)
        if hint:
            self.faults.hint("mermaid-name", hint, self.faults.place(statement.name, len(statement.name)))

    def _behind(self, token: Token) -> str:
        """The rest of the token's line, from the first character that is not a blank."""
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
            self.faults.add(spelling.brace(self.faults.place(brace)))

    def _title(self, name: str, title: Token | None) -> None:
        if title is not None:
            self.nodes[name].descriptions.append((title[1:-1], self.faults.place(title, 1)))

    def _kind(self, name: str, token: Token | None) -> None:
        """Notes what a declaration says a state is. It may be before or behind the state's edges."""
        kind = token[2:-2].strip().lower() if token is not None else ""
        if token is None or kind in ("choice", "end"):
            return
        place = self.faults.place(token)
        if kind not in ("fork", "join"):
            self.faults.report(
                "diagram-syntax", f"There is no kind of state <<{kind}>>: use choice, fork or join.", place
            )
            return
        node = self.nodes[name]
        if node.kind not in ("", kind):
            message = f"The state {name!r} cannot be both <<{node.kind}>> and <<{kind}>>: use two states."
            self.faults.report("two-kinds", message, place)
        self.nodes[name] = replace(node, kind="fork" if kind == "fork" else "join")

    def _composite(self, statement: CompositeStatement, scope: Scope | None, depth: int) -> None:
        name = self._name(statement.name, scope, depth)
        assert name is not None
        self._title(name, statement.title)
        if self._behind(statement.name).startswith(":"):
            self._declared(name, statement)
        if statement.is_bare:
            self.faults.add(spelling.composite(self.faults.place(statement.name), name))
        if depth == DEEPEST:
            message = f"Composite states are nested more than {DEEPEST} deep."
            self.faults.report("too-deep", message, self.faults.place(statement.name))
            return
        node = self.nodes[name]
        if statement.inside:
            self.nodes[name] = replace(node, regions=max(node.regions, 1))
            self._statements(statement.inside, Scope(name, 0), depth + 1)
        self._end(statement.end)


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
