"""Reads the section `## Schemas` of a workflow: each `### name` has the schema of an answer.

Above: `reading.py`. Below: `markdown.py`, `schemas.py`. A schema is in a fenced block, or it is all the text
of its section.
"""

from __future__ import annotations

from samovar.language.findings import Findings
from samovar.language.markdown import Document, Heading
from samovar.language.schemas import Schema, read_schema_source


def read_schemas(document: Document, found: Findings) -> dict[str, Schema]:
    """The schemas by name. Faults are found, and what has one is left out."""
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
        try:
            schemas[name] = read_schema_source(_text(document, heading))
        except ValueError as error:
            found.add("schema-syntax", f"The schema {name!r} cannot be that: expected {error}", place)
    return schemas


def _text(document: Document, heading: Heading) -> str:
    """The block of a section; without one all its text."""
    end = document.end_of(heading, 3)
    fence = next((fence for fence in document.fences if heading.line < fence.line < end), None)
    if fence is None:
        return document.text(heading.line + 1, end)
    return document.text(fence.line + 1, fence.end_line)
