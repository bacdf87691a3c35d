"""Reads the section `## Schemas` of a workflow: each `### name` has the schema of an answer.

Above: `reading.py`. Below: `markdown.py`, `schemas.py`. A schema is in a fenced block, or it is all the text
of its section.
"""

from __future__ import annotations

import re

from samovar.errors import Place
from samovar.language.findings import Findings
from samovar.language.markdown import Document, Heading
from samovar.language.schemas import Schema, read_schema_source


def read_schemas(document: Document, found: Findings) -> dict[str, Schema]:
    """The schemas by name. Faults are found."""
    names: set[str] = set()
    schemas: dict[str, Schema] = {}
    is_schemas = False
    for heading in document.headings:
        if heading.level <= 2:
            is_schemas = heading.level == 2 and heading.title.lower() == "schemas"
        if not is_schemas or heading.level != 3:
            continue
        name = heading.title.strip("`* ")
        place = document.place(heading.line)
        if not name or name in names:
            said = f"There are two schemas {name!r}." if name else "A schema needs a name: `### name`."
            found.add("schema-name", said, place)
            continue
        names.add(name)
        begin, end = _lines(document, heading)
        try:
            schemas[name] = read_schema_source(document.text(begin, end))
        except ValueError as error:
            schemas[name] = {}  # any value, so that nothing else is said of what uses it
            said = f"In the schema {name!r}, expected {error}"
            found.add("schema-syntax", said, _where(document, begin, end, str(error)) or place)
    return schemas


def _lines(document: Document, heading: Heading) -> tuple[int, int]:
    """From where to before where the block of a section goes; without one all its text."""
    end = document.end_of(heading, 3)
    fence = next((fence for fence in document.fences if heading.line < fence.line < end), None)
    return (heading.line + 1, end) if fence is None else (fence.line + 1, fence.end_line)


def _where(document: Document, begin: int, end: int, error: str) -> Place | None:
    """The first mention of the field that an error names."""
    field = re.search(r"`([^`]+)`", error)
    if field is None:
        return None
    for line in range(begin, end):
        if at := re.search(rf"(?<!\w){re.escape(field[1])}(?!\w)", document.lines[line - 1]):
            return document.place(line, at.start() + 1)
    return None
