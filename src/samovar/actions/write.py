"""`Write "path" [as format] [append] with value="…"`: writes a file, completely or not at all.

What its path may name is in `file_places.py`, what the formats are in `file_formats.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from samovar.actions.base import Action, ActionContext, Outcome, brief
from samovar.actions.blocks import taken_block, text_follows
from samovar.actions.file_formats import FORMATS, decoded
from samovar.actions.file_options import Limit, placed, read_format, read_pairs
from samovar.actions.file_places import Target, leads_outside, read_path, target_of
from samovar.actions.file_system import Change
from samovar.actions.given import Value
from samovar.actions.scanner import Scanner
from samovar.errors import Fault, FileError, Place
from samovar.language.template import Template
from samovar.values import is_utf8

if TYPE_CHECKING:
    from samovar.language.workflow import Workflow
    from samovar.library import Library


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFile(Action):
    verb: ClassVar[str] = "write"
    effect: ClassVar[str | None] = "writes a file"
    words: ClassVar[tuple[str, ...]] = ("write",)
    form: ClassVar[str] = (
        'Write "path" [as text|lines|json|jsonl|csv|yaml] [append] with value="${variable}" [limit=10MB]'
    )

    place: Place
    path: Value
    format: str
    append: bool
    value: Value
    limit: Limit
    """What a file that is added to may hold before."""

    @classmethod
    def begins(cls, line: Scanner) -> bool:
        return text_follows(line, cls.verb)

    @classmethod
    def parse(cls, line: Scanner) -> WriteFile:
        place, _ = line.where(), line.word("write")
        path = read_path(line, "The path")
        format = read_format(line)
        append = bool(line.word("append"))
        if append and not FORMATS[format].adds:
            line.note("action-syntax", f"Nothing can be appended to {format}; use `as jsonl`.", place)
        options = read_pairs(line, ("value", "limit"))
        value = options["value"].value if "value" in options else _block(line, format)
        limit = Limit.parse(line, options)
        line.end()
        return cls(place=place, path=path, format=format, append=append, value=value, limit=limit)

    @property
    def names(self) -> frozenset[str]:
        return self.path.names | self.value.names | self.limit.names | self.names_of_timeout

    @property
    def what(self) -> str:
        return brief(self.path.template.text)

    @property
    def shown(self) -> Template:
        return self.path.template

    @property
    def doing(self) -> str:
        return f"{self.path.template.text} ({self.value.template.text})"

    def faults(self, library: Library, workflow: Workflow) -> tuple[Fault, ...]:
        return leads_outside(self.path)

    @property
    def is_repeatable(self) -> bool:
        return not self.append

    async def perform(self, context: ActionContext) -> Outcome:
        variables = context.variables
        target, value, most_bytes = await context.compute(
            lambda: (
                target_of(self.path, variables, context.folder),
                self.value.of(variables),
                self.limit.bytes(variables) if self.append else None,
            )
        )
        if self.append:
            change = Change(
                make=lambda before: self._made(value, before, target), most_bytes=most_bytes, adds=True
            )
        else:
            raw = self._made(value, None, target)  # before anything is touched
            change = Change(make=lambda before: raw)
        try:
            await context.write_file(target, change)
        except FileError as error:
            raise placed(error, self.path.place) from None
        return Outcome(value=target.shown, is_new=False, what=brief(target.shown))

    def _made(self, value: object, before: bytes | None, target: Target) -> bytes:
        """What the file is to hold. Raises `FileError`."""
        try:
            there = None if before is None else decoded(before, "utf-8")[0]
            text = FORMATS[self.format].write(value, there)
        except ValueError as error:
            raise FileError(
                f"{target.shown} cannot be written as {self.format}: {error}.", place=self.value.place
            ) from None
        if not is_utf8(text):
            raise FileError(f"{target.shown} cannot be written: a value contains half a character.")
        return (before or b"") + text.encode()


def _block(line: Scanner, format: str) -> Value:
    """The block below the line, each line of which is one of the file."""
    value = taken_block(line, ends="\n")
    if value is None:
        line.fail('What to write is missing: with value="${…}", or a block below the line.')
    if format != "text":
        line.note(
            "action-syntax", f"A block is always written as text: leave out `as {format}`.", value.place
        )
    return value
