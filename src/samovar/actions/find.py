"""`Find "glob"`: the paths that match a pattern, as a list of texts.

What the pattern may name is in `file_places.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from samovar.actions.base import Action, ActionContext, Outcome, brief
from samovar.actions.blocks import text_follows
from samovar.actions.file_options import placed, read_pairs
from samovar.actions.file_places import leads_outside, read_path, search_of
from samovar.actions.given import Value
from samovar.actions.scanner import Scanner
from samovar.errors import Fault, FileError, Place
from samovar.expressions.chosen_paths import FoundPath
from samovar.expressions.types import TEXT, Type, list_of
from samovar.language.template import Template

if TYPE_CHECKING:
    from samovar.language.workflow import Workflow
    from samovar.library import Library


@dataclass(frozen=True, slots=True, kw_only=True)
class FindFiles(Action):
    verb: ClassVar[str] = "find"
    effect: ClassVar[str | None] = "looks for files"
    words: ClassVar[tuple[str, ...]] = ("find",)
    form: ClassVar[str] = 'Find "glob" [result="variable"]'

    place: Place
    pattern: Value
    result: str | None

    @classmethod
    def begins(cls, line: Scanner) -> bool:
        return text_follows(line, cls.verb)

    @classmethod
    def parse(cls, line: Scanner) -> FindFiles:
        place, _ = line.where(), line.word("find")
        pattern = read_path(line, "The pattern")
        options = read_pairs(line, ("result",))
        result = line.variable(options["result"]) if "result" in options else None
        line.end()
        return cls(place=place, pattern=pattern, result=result)

    @property
    def names(self) -> frozenset[str]:
        return self.pattern.names | self.names_of_timeout

    @property
    def sets(self) -> frozenset[str]:
        return frozenset((self.result,)) if self.result else frozenset()

    @property
    def types(self) -> Mapping[str, Type]:
        return {self.result: list_of(TEXT)} if self.result else {}

    @property
    def what(self) -> str:
        return brief(self.pattern.template.text)

    @property
    def shown(self) -> Template:
        return self.pattern.template

    @property
    def doing(self) -> str:
        return self.pattern.template.text

    @property
    def is_repeatable(self) -> bool:
        return True

    def faults(self, library: Library, workflow: Workflow) -> tuple[Fault, ...]:
        return leads_outside(self.pattern)

    async def perform(self, context: ActionContext) -> Outcome:
        search = await context.compute(lambda: search_of(self.pattern, context.variables, context.folder))
        try:
            paths = await context.find_files(search)
        except FileError as error:
            raise placed(error, self.pattern.place) from None
        found = [FoundPath(path, len(search.shown)) for path in paths]
        sets = {self.result: found} if self.result else {}
        return Outcome(value=found, sets=sets, what=brief(f"{search.pattern}: {len(found)}"))
