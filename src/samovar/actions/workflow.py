"""`Run workflow "name"`: performs another workflow, with its own variables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Self

from samovar.actions.base import Action, ActionContext, Outcome
from samovar.actions.given import Pair, Value, as_taken
from samovar.actions.scanner import Scanner
from samovar.errors import Fault, Place
from samovar.language.spelling import old_spelling
from samovar.language.template import Template

if TYPE_CHECKING:
    from samovar.language.workflow import Workflow
    from samovar.library import Library


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWorkflow(Action):
    verb: ClassVar[str] = "workflow"
    keeps_time: ClassVar[bool] = True
    effect: ClassVar[str | None] = None
    words: ClassVar[tuple[str, ...]] = ("run", "delegate")
    takes_items: ClassVar[bool] = True
    is_made_of_visits: ClassVar[bool] = True
    form: ClassVar[str] = 'Run workflow "name" [with key="value" …] [result="variable"] [timeout=30s]'

    place: Place
    name: Value
    given: tuple[Pair, ...]
    """For the parameters of the workflow."""
    result: str | None
    old_spelling: Fault | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, line: Scanner) -> RunWorkflow:
        place, begin, old = line.where(), line.at, None
        if line.word("delegate"):
            line.word("to")
            old = old_spelling(place, line.text[begin : line.at].rstrip(), "Run workflow")
        elif not (line.word("run") and line.word("workflow")):
            line.fail(f"`workflow` is expected after `Run`, {line.found()}.")
        name = line.expect_quoted("The name of the workflow")
        line.word("with")
        given, result = [], None
        for pair in line.pairs():
            if pair.key == "result":
                result = line.variable(pair)
            elif pair.key == "timeout":
                line.limit(pair.value)
            else:
                given.append(pair)
        line.end()
        return cls(place=place, name=name, given=tuple(given), result=result, old_spelling=old)

    @property
    def names(self) -> frozenset[str]:
        values = [self.name, *(pair.value for pair in self.given)]
        return frozenset().union(*(value.names for value in values), self.names_of_timeout)

    @property
    def sets(self) -> frozenset[str]:
        return frozenset((self.result,)) if self.result else frozenset()

    def with_result(self, name: str | None) -> Self:
        return replace(self, result=name)

    @property
    def what(self) -> str:
        return self.name.template.text

    def faults(self, library: Library, workflow: Workflow) -> tuple[Fault, ...]:
        return (self.old_spelling,) if self.old_spelling else ()

    @property
    def shown(self) -> Template:
        return self.name.template

    @property
    def runs(self) -> str | None:
        return self.name.text({}) if self.name.is_literal else None

    async def perform(self, context: ActionContext) -> Outcome:
        variables = context.variables
        name, given = await context.compute(
            lambda: (
                self.name.text(variables),
                {pair.key: pair.value.of(variables) for pair in self.given},
            )
        )
        if any(pair.value.written for pair in self.given):
            given = as_taken(self.given, given, context.library.child(context.workflow, name).parameters)
        result = await context.run_workflow(name, given, timeout_s=context.timeout_s, place=self.name.place)
        return Outcome(value=result, sets={self.result: result} if self.result else {})
