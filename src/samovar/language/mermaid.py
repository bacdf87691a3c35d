"""Reads Mermaid state diagrams into states and edges.

Above: `reading.py`. Below: the grammar in `grammar.py`, and `statements.py`, which says what its statements
mean. It finds where the diagram begins, and continues after a line that is not a statement. What Mermaid
would refuse or read otherwise is a hint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from samovar.errors import Place
from samovar.language import explaining, spelling
from samovar.language.diagram import Diagram
from samovar.language.diagram_faults import MOST_FAULTS, DiagramFaults
from samovar.language.grammar import grammar
from samovar.language.statements import StatementReader

if TYPE_CHECKING:
    from lark.exceptions import UnexpectedInput

MOST_LINES = 100_000
"""Lines of one diagram; statements parted by `;` and arrows count as lines too."""

_BEFORE = re.compile(r"\s*(?:%%\{[\s\S]*?\}%%|(?:%%(?!\{)|//|#)[^\n]*)")
"""What may be before the header."""
_FRONT = re.compile(r"\s*---[^\S\n]*\n(?:[\s\S]*?\n)?[^\S\n]*---[^\S\n]*(?=\n|$)")
_COMMENT_LINE = re.compile(r"^[^\S\n]*%%(?!\{)[^\n]*", re.MULTILINE)


def parse_diagram(lines: Sequence[tuple[int, str]], *, path: Path | None, line: int) -> Diagram:
    """Reads the diagram's lines, given with their numbers. `line` is where the block begins.

    Everything wrong is in `faults`; nothing is raised.
    """
    faults = DiagramFaults(path, lines[0][0] if lines else line)
    reader: StatementReader | None = None
    text = "\n".join(source for _, source in lines)
    begin = Place(path=path, line=line)
    start = _start(text)
    lines_in_all = max(text.count("\n") + text.count(";"), text.count("-->"))
    word = text[start:].split(maxsplit=1)[0].split(";")[0] if text[start:].strip() else ""
    if not word:
        faults.report("diagram-empty", "The diagram is empty: it begins with `stateDiagram-v2`.", begin)
    elif word not in ("stateDiagram", "stateDiagram-v2"):
        faults.report("diagram-kind", explaining.not_ours(word, text[start:]), faults.place_at(text, start))
    elif lines_in_all > MOST_LINES:
        faults.report("too-large", f"The diagram has more than {MOST_LINES:,} statements.", begin)
    else:
        for at, comment in islice(spelling.comments(text[:start]), MOST_FAULTS):
            faults.add(spelling.comment(faults.place_at(text, at), comment))
        source = re.sub(r"[^\n]", " ", text[:start]) + _COMMENT_LINE.sub("", text[start:])
        reader = StatementReader(source.split("\n"), faults)
        reader.read(_parsed(source, faults))
    return Diagram(
        nodes=reader.nodes if reader else {},
        edges=tuple(reader.edges) if reader else (),
        faults=tuple(faults.errors),
        hints=() if faults.errors else tuple(faults.hints),
        mentions=tuple(reader.mentions) if reader else (),
        breaks=tuple(reader.breaks) if reader else (),
        place=begin,
    )


def _start(text: str) -> int:
    """Where the header begins, or the text ends: behind front matter and comments."""
    front = _FRONT.match(text)
    at = front.end() if front else 0
    while match := _BEFORE.match(text, at):
        at = match.end()
    return at + len(text[at:]) - len(text[at:].lstrip())


def _parsed(text: str, faults: DiagramFaults) -> Sequence[Any]:
    """The statements of the whole diagram. After an error the parser continues with the next line."""
    from lark.exceptions import UnexpectedInput

    try:
        statements: Any = grammar().parse(text, on_error=lambda error: _recover(error, text, faults))
    except UnexpectedInput:
        return ()
    return cast("Sequence[Any]", statements)


def _recover(error: UnexpectedInput, text: str, faults: DiagramFaults) -> bool:
    """Reports what is wrong, and has the parser continue behind the line, as if the line had ended before."""
    from lark import Token
    from lark.exceptions import UnexpectedToken

    parser: Any = error.interactive_parser
    stack, values = parser.parser_state.state_stack, parser.parser_state.value_stack
    table = parser.parser_state.parse_conf.states
    token = error.token if isinstance(error, UnexpectedToken) else None
    is_end = token is not None and token.type == "$END"
    if is_end and "_NEWLINE" in table[stack[-1]]:
        message = "A composite does not end: `}` is missing."
        faults.report("diagram-syntax", message, _open_brace(text, faults))
        brace = Token("CLOSE", "}", line=text.count("\n") + 1, column=1)
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
    faults.report("diagram-syntax", explaining.explain(line), faults.place_at(text, begin + indent))
    counter = parser.lexer_thread.state.line_ctr
    counter.feed(text[counter.char_pos : begin + len(line)])
    while "_NEWLINE" not in table[stack[-1]]:
        stack.pop()
        values.pop()
    return len(faults.errors) < MOST_FAULTS


def _open_brace(text: str, faults: DiagramFaults) -> Place:
    """The last brace that opens a composite and is not closed, as far as its line shows."""
    opened: list[int] = []
    for match in re.finditer(r"^[^\S\n]*state\s[^\n:]*?(\{)|^[^\n:]*?(\})", text, re.MULTILINE | re.I):
        if match[1]:
            opened.append(match.start(1))
        elif opened:
            opened.pop()
    return faults.place_at(text, opened[-1] if opened else len(text.rstrip()))
