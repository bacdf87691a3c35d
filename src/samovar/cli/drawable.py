"""A workflow's diagram as those who draw it can read it: Mermaid, and the library that draws for a terminal.

Above: `pictures.py`, `kept_drawing.py`. Below: the diagram's parser, which knows where each state is named. A
workflow may have names that are words of Mermaid, as `Note`, or that have blanks in them: here they get other
ids, and are their own titles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from samovar.language.diagram import Diagram, Node
from samovar.language.mermaid import parse_diagram
from samovar.language.mermaid_hints import KEYWORDS

HEADER = "stateDiagram-v2"
_INDENT = "    "
_COMMENT = re.compile(r"%%(?!\{)|//|#")
_NOTE = re.compile(r"note\b(?!.*[:\"])", re.IGNORECASE)
_WORDS = KEYWORDS | {"direction", "end", "hide", "root", "title"}
"""Words that Mermaid, or whoever draws it, may read as something else than a name."""
_DECLARED = re.compile(r"\s*state\s+", re.IGNORECASE)
_TITLED = re.compile(r'(\s*state\s+)"([^"]*)"\s+as\s+(\w+)\s*\{', re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawable:
    """A diagram whose ids can be read by all who draw."""

    text: str
    """Mermaid: one header, one statement in a line, no comments, even indents."""
    ids: Mapping[str, str]
    """The id of each state, by its name."""


def mermaid_of(diagram: str) -> str:
    """The diagram as any Mermaid takes it."""
    return drawable(diagram).text


def drawable(diagram: str) -> Drawable:
    """The diagram with ids that are words of nobody."""
    lines = diagram.splitlines()
    parsed = parse_diagram(list(enumerate(lines, start=1)), path=None, line=1)
    if parsed.faults:  # nobody knows what it means: it stays as it is
        return Drawable(text=_even(lines), ids={name: name for name in parsed.nodes})
    ids = _ids(parsed.nodes)
    named = list(_unchained(_broken(_named(lines, parsed, ids), parsed)))
    return Drawable(text=_even(named), ids=ids)


def _ids(nodes: Mapping[str, Node]) -> dict[str, str]:
    """An id for each state: its name, unless that may be read as something else."""
    ids = {name: name for name in nodes if re.fullmatch(r"(?!__)\w+", name) and name.lower() not in _WORDS}
    for name in nodes.keys() - ids.keys():
        wanted = "s_" + re.sub(r"\W+", "_", name)
        while wanted in ids.values():
            wanted += "_"
        ids[name] = wanted
    return ids


def _named(lines: list[str], parsed: Diagram, ids: Mapping[str, str]) -> list[str]:
    """The lines with ids in place of names, each with the name as its title. Breaks stay where they are."""
    changed, titles = list(lines), dict[int, list[str]]()
    has_title = {name for name, node in parsed.nodes.items() if node.descriptions or node.kind}
    found = sorted(parsed.mentions, key=lambda one: (one.place.line, one.place.column))
    first = {one.name: one for one in reversed(found)}
    for one in reversed(found):
        name, number, at = one.name, one.place.line - 1, one.place.column - 1
        if ids.get(name, name) == name:  # a style may be of what is no state
            continue
        line, new = changed[number], ids[name]
        before, behind = line[:at], line[at + one.chars :]
        if one == first[name] and name not in has_title and not behind.lstrip().startswith(("<<", "[[")):
            if _DECLARED.fullmatch(before):
                new = f'"{name}" as {new}'
            else:
                titles.setdefault(number, []).append(f'state "{name}" as {new}')
        changed[number] = before + new + behind
    return ["\n".join([*titles.get(number, ()), line]) for number, line in enumerate(changed)]


def _broken(lines: list[str], parsed: Diagram) -> Iterator[str]:
    """One statement in each line."""
    broken = {one.line - 1 for one in parsed.breaks}
    for number, text in enumerate(lines):
        for line in text.split("\n"):
            before, colon, label = line.partition(":")
            yield from (
                (*before.split(";")[:-1], before.split(";")[-1] + colon + label)
                if (number in broken and not line.strip().endswith(";") and "%%" not in line)
                else (line,)
            )


def _unchained(lines: Iterator[str]) -> Iterator[str]:
    """One arrow in each line."""
    for line in lines:
        head, colon, label = line.partition(":")
        ends = head.split("-->")
        if len(ends) < 3 or _COMMENT.match(line.lstrip()):
            yield line
            continue
        for number, (source, target) in enumerate(pairwise(ends), start=2):
            arrow = f"{source.split()[-1]} --> {target.split()[0]}"
            yield arrow + colon + label if number == len(ends) else arrow


def _even(source: list[str]) -> str:
    lines: list[str] = []
    depth, note, preface = 1, False, False
    for raw in (line for text in source for line in text.split("\n")):
        line = raw.strip()
        if preface or (line == "---" and not lines):
            preface = line != "---" or not preface
            continue
        if note:
            lines.append(_INDENT * (depth + 1) + line)
            note = line.lower() != "end note"
            if not note:
                lines[-1] = _INDENT * depth + line
            continue
        if not line or _COMMENT.match(line):
            continue
        if line.startswith("%%{"):
            lines.insert(0, line)
        elif re.fullmatch(r"stateDiagram(?:-v2)?;?", line):
            lines.append(HEADER)
        else:
            depth -= line.startswith("}")
            lines.append(_INDENT * max(depth, 1) + line.removesuffix(";"))
            depth += line.endswith("{")
            note = bool(_NOTE.match(line))
    return "\n".join(lines) + "\n"


# The terminal ------------------------------------------------------------------------------------------


def drawing_of(diagram: str, labels: Mapping[str, str] | None = None) -> str:
    """The diagram in box characters; its own text if it cannot be drawn. `labels`: of states, by name."""
    try:
        return _drawn(drawable(diagram), labels or {})
    except Exception:  # a drawing is a comfort: any fault of the library leaves the text itself
        return diagram


def _drawn(found: Drawable, labels: Mapping[str, str]) -> str:
    import termaid
    from termaid.renderer import render_graph

    titles: dict[str, str] = {}

    def untitled(match: re.Match[str]) -> str:
        """The library takes no title of a composite: it is put in the drawing."""
        titles[match[3]] = match[2]
        return f"{match[1]}{match[3]} {{"

    graph: Any = termaid.parse(_TITLED.sub(untitled, _one_line_notes(found.text)))
    names = {id: name for name, id in found.ids.items()}
    for id, node in graph.nodes.items():
        name = names.get(id, id)
        if name in labels or node.label == id:
            node.label = labels.get(name) or (name if id in names else node.label)
    waiting = list(graph.subgraphs)
    while waiting:
        one = waiting.pop()
        waiting += one.children
        one.label = titles.get(one.id) or names.get(one.id, one.label)
    return str(render_graph(graph)).rstrip("\n")


def _one_line_notes(text: str) -> str:
    """A note of several lines as one: the library takes only that."""
    pattern = re.compile(r"^([ ]*note [^\n:]*?)[ ]*\n(.*?)\n[ ]*end note$", re.I | re.M | re.S)
    return pattern.sub(
        lambda found: f"{found[1]}: {'<br>'.join(map(str.strip, found[2].splitlines()))}", text
    )
