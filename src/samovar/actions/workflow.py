"""`Run workflow "name"`: performs another workflow, with variables of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from samovar.actions.base import Action, ActionContext, Outcome
from samovar.actions.scanner import Pair, Scanner, Value, as_taken
from samovar.errors import ActionError, Fault, Place
from samovar.language.spelling import old_spelling
from samovar.language.template import Template
from samovar.values import duration_s, to_text

if TYPE_CHECKING:
    from samovar.language.workflow import Workflow
    from samovar.library import Library


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWorkflow(Action):
    verb: ClassVar[str] = "workflow"
    words: ClassVar[tuple[str, ...]] = ("run", "delegate")
    form: ClassVar[str] = 'Run workflow "name" [with key="value" …] [result="variable"] [timeout=30s]'

    place: Place
    name: Value
    given: tuple[Pair, ...]
    """For the parameters of the workflow."""
    result: str | None
    timeout: Value | None
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
        given, result, timeout = [], None, None
        for pair in line.pairs():
            if pair.key == "result":
                result = line.variable(pair)
            elif pair.key == "timeout":
                timeout = pair.value
                if timeout.is_literal and _seconds(timeout.given) is None:
                    line.note("option-value", "`timeout` is a duration, as in 30s or 2min.", timeout.place)
            else:
                given.append(pair)
        line.end()
        return cls(
            place=place, name=name, given=tuple(given), result=result, timeout=timeout, old_spelling=old
        )

    @property
    def names(self) -> frozenset[str]:
        values = [self.name, *(pair.value for pair in self.given)]
        if self.timeout:
            values.append(self.timeout)
        return frozenset().union(*(value.names for value in values))

    @property
    def sets(self) -> frozenset[str]:
        return frozenset((self.result,)) if self.result else frozenset()

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
        timeout_s, name, given = await context.compute(
            lambda: (
                self._timeout_s(variables),
                self.name.text(variables),
                {pair.key: pair.value.of(variables) for pair in self.given},
            )
        )
        if any(pair.value.written for pair in self.given):
            given = as_taken(self.given, given, context.library.child(context.workflow, name).parameters)
        result = await context.run_workflow(name, given, timeout_s=timeout_s, place=self.name.place)
        return Outcome(value=result, sets={self.result: result} if self.result else {})

    def _timeout_s(self, variables: Mapping[str, object]) -> float | None:
        if self.timeout is None:
            return None
        value = self.timeout.of(variables)
        timeout_s = _seconds(value)
        if timeout_s is None:
            raise ActionError(f"`timeout` is a duration, not {to_text(value)!r}.", place=self.timeout.place)
        return timeout_s


def _seconds(value: object) -> float | None:
    try:
        return duration_s(value) or None
    except ValueError:
        return None
