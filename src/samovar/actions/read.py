"""`Read "path" [as format]`: reads a file, as a text or as values.

What its path may name is in `file_places.py`, what the formats are in `file_formats.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from samovar.actions.base import Action, ActionContext, Outcome, brief
from samovar.actions.blocks import text_follows
from samovar.actions.file_formats import FORMATS, decoded, is_encoding
from samovar.actions.file_options import Limit, placed, read_format, read_pairs
from samovar.actions.file_places import leads_outside, read_path, target_of
from samovar.actions.given import Value
from samovar.actions.scanner import Scanner
from samovar.errors import Fault, FileError, Place
from samovar.expressions.types import TEXT, WHOLE, Type
from samovar.language.template import Template
from samovar.values import Record

if TYPE_CHECKING:
    from samovar.language.workflow import Workflow
    from samovar.library import Library

_PARTS: Mapping[str, Type] = {"path": TEXT, "encoding": TEXT, "size_bytes": WHOLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile(Action):
    verb: ClassVar[str] = "read"
    effect: ClassVar[str | None] = "reads a file"
    words: ClassVar[tuple[str, ...]] = ("read",)
    form: ClassVar[str] = (
        'Read "path" [as text|lines|json|jsonl|csv|yaml] [result="variable"] [limit=10MB] [encoding="utf-8"]'
    )

    place: Place
    path: Value
    format: str
    result: str | None
    limit: Limit
    encoding: str | None
    """None: UTF-8, or what the file's first bytes say."""

    @classmethod
    def begins(cls, line: Scanner) -> bool:
        return text_follows(line, cls.verb)

    @classmethod
    def parse(cls, line: Scanner) -> ReadFile:
        place, _ = line.where(), line.word("read")
        path = read_path(line, "The path")
        format = read_format(line)
        options = read_pairs(line, ("result", "limit", "encoding"))
        encoding = None
        if "encoding" in options:
            value = options["encoding"].value
            encoding = str(value.given)
            if not value.is_literal or not is_encoding(encoding):
                line.note(
                    "option-value", '`encoding` must name an encoding, as in encoding="latin-1".', value.place
                )
        result = line.variable(options["result"]) if "result" in options else None
        limit = Limit.parse(line, options)
        line.end()
        return cls(place=place, path=path, format=format, result=result, limit=limit, encoding=encoding)

    @property
    def names(self) -> frozenset[str]:
        return self.path.names | self.limit.names | self.names_of_timeout

    @property
    def sets(self) -> frozenset[str]:
        return frozenset((self.result,)) if self.result else frozenset()

    @property
    def types(self) -> Mapping[str, Type]:
        if self.result is None:
            return {}
        known = FORMATS[self.format].type
        return {self.result: replace(known, parts=_PARTS) if self.format == "text" else known}

    @property
    def what(self) -> str:
        return brief(self.path.template.text)

    @property
    def shown(self) -> Template:
        return self.path.template

    @property
    def doing(self) -> str:
        return self.path.template.text

    @property
    def is_repeatable(self) -> bool:
        return True

    def faults(self, library: Library, workflow: Workflow) -> tuple[Fault, ...]:
        return leads_outside(self.path)

    async def perform(self, context: ActionContext) -> Outcome:
        variables = context.variables
        target, most_bytes = await context.compute(
            lambda: (target_of(self.path, variables, context.folder), self.limit.bytes(variables))
        )
        try:
            raw = await context.read_file(target, most_bytes)
        except FileError as error:
            raise placed(error, self.path.place) from None
        try:
            text, encoding = decoded(raw, self.encoding)
            value = await context.compute(lambda: FORMATS[self.format].read(text))
        except ValueError as error:
            said = f"{target.shown} cannot be read as {self.format}: {error}."
            raise FileError(said, place=self.path.place) from None
        if self.format == "text":
            parts = {"path": target.shown, "encoding": encoding, "size_bytes": len(raw)}
            value = Record(text, parts)
        sets = {self.result: value} if self.result else {}
        return Outcome(value=value, sets=sets, what=brief(target.shown))
