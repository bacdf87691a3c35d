"""`ACTION … for each NAME in EXPRESSION …`, and `For each NAME in EXPRESSION …` as the action of a composite.

Above: the verbs, whose lines may have it, and the loop of a run, which performs each item as a visit of its
own. Below: `loop_clause.py`, which reads it, and the contract of actions. Items are branches: each has a copy
of the variables, and the kept part of it comes back in the order of the list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from samovar.actions.base import Action, ActionContext, Outcome, brief
from samovar.actions.failures import error_type
from samovar.actions.given import Value
from samovar.actions.list_items import CommonAnswer, Items
from samovar.actions.loop_clause import (
    AT_ONCE,
    LoopClause,
    read_clause,
    read_options,
    with_arguments,
)
from samovar.actions.prompt import ExecutePrompt
from samovar.actions.scanner import Scanner
from samovar.actions.workflow import RunWorkflow
from samovar.errors import ActionError, FaultsError, Place
from samovar.errors.counting import counted
from samovar.expressions.types import ANYTHING, BOOL, TEXT, WHOLE, Type, list_of
from samovar.values import to_text

if TYPE_CHECKING:
    from samovar.language.workflow import State, Workflow

TOGETHER = 8
"""Prompts, and items of a composite, that are worked on together if nothing is said; of others, one."""
NO_COLLECT = (
    "`collect` names the variable to keep from each item of a sub-workflow or a composite. A prompt or "
    "a command keeps its whole value."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForEach(Action):
    verb: ClassVar[str] = "for each"
    words: ClassVar[tuple[str, ...]] = ("for",)
    is_made_of_visits: ClassVar[bool] = True
    form: ClassVar[str] = (
        'For each NAME in EXPRESSION [at_once=8] [collect="variable"] [on_failure=collect] '
        '[result="variable"] (of a composite), or behind the text of a prompt, workflow or command'
    )

    place: Place
    clause: LoopClause
    action: Action | None
    """What is performed for each item; None: the inner diagram of the composite."""
    at_once: Value | None = None
    collect: str | None = None
    goes_on: bool = False
    """`on_failure=collect`."""
    result: str | None = None

    @classmethod
    def begins(cls, line: Scanner) -> bool:
        return line.text[line.at :].lstrip()[3:].lstrip().lower().startswith("each")

    @classmethod
    def parse(cls, line: Scanner) -> ForEach:
        place = line.where()
        clause = read_clause(line)
        line.loop_options = {}
        line.word("with")
        result = None
        for pair in line.pairs():
            if pair.key == "result":
                result = line.variable(pair)
            elif pair.key == "timeout":
                line.limit(pair.value)
            else:
                line.unknown(pair, ("at_once", "collect", "on_failure", "result", "timeout"))
        if not line.is_done:
            line.fail(
                f"Nothing more is expected, {line.found()}. The action comes before its list: "
                'Prompt "…" for each x in xs. `For each` alone is for a composite whose inner diagram '
                "runs for each item."
            )
        options = read_options(line)
        line.end()
        return cls(
            place=place,
            clause=clause,
            action=None,
            result=result,
            at_once=options.at_once,
            collect=options.collect,
            goes_on=options.goes_on,
        )

    @property
    def effect(self) -> str | None:  # type: ignore[override]  # that of what it performs
        return self.action.effect if self.action else None

    @property
    def repeats_inside(self) -> bool:  # type: ignore[override]  # known of the instance only
        return self.action is None

    @property
    def each(self) -> Action | None:
        return self.action

    @property
    def item_names(self) -> frozenset[str]:
        return frozenset((self.clause.name, self.clause.index_name))

    @property
    def names(self) -> frozenset[str]:
        names = self.clause.items.names | self.names_of_timeout
        return names | self.at_once.names if self.at_once else names

    @property
    def sets(self) -> frozenset[str]:
        return frozenset((self.result,)) if self.result else frozenset()

    @property
    def types(self) -> Mapping[str, Type]:
        return {self.result: list_of(ANYTHING)} if self.result else {}

    def types_in(self, workflow: Workflow) -> Mapping[str, Type]:
        kept = ANYTHING
        if self.action is not None and self.collect is None and self.result is not None:
            kept = self.action.with_result(self.result).types_in(workflow).get(self.result, ANYTHING)
        return self.types_of(kept)

    def types_of(self, kept: Type) -> Mapping[str, Type]:
        """As `types`, if it is known the kept part of each item."""
        if self.result is None:
            return {}
        if self.goes_on:
            parts = {"ok": BOOL, "value": kept, "item": ANYTHING, "error": error_type()}
            kept = Type(kinds=frozenset(("map",)), parts=parts, is_closed=True)
        return {self.result: list_of(kept)}

    def item_types(self, types: Mapping[str, Type]) -> Mapping[str, Type]:
        """What an item can be, if these are the types of variables; others may be anything."""
        whole = self.clause.items.type(types)
        item = whole.item if whole.kinds == {"list"} and whole.item is not None else ANYTHING
        item = TEXT if whole.kinds == {"map"} else item
        return {self.clause.name: item, self.clause.index_name: WHOLE}

    @property
    def what(self) -> str:
        said = f"{self.clause.name} in {self.clause.items.text}"
        return brief(f"{said}: {self.action.verb} {self.action.what}" if self.action else said)

    @property
    def doing(self) -> str:
        if self.action is None:
            return f"for each {self.what}"
        return f"{self.action.doing} for each {self.clause.name} in {self.clause.items.text}"

    @property
    def variants(self) -> tuple[Action, ...]:
        return (self,) if self.action is None else (self, *self.action.variants)

    @property
    def is_repeatable(self) -> bool:
        return self.action is None or self.action.is_repeatable

    async def perform(self, context: ActionContext) -> Outcome:
        values, at_once = await context.compute(lambda: self._filled(context))
        results = await context.run_items(
            Items(
                name=self.clause.name,
                values=values,
                at_once=at_once,
                action=self.action,
                collect=self.collect,
                variables=context.variables,
                goes_on=self.goes_on,
            )
        )
        return Outcome(
            value=results,
            sets={self.result: results} if self.result else {},
            answer=await context.compute(lambda: self._answer(results, context.workflow)),
            what=self._done(results),
        )

    def _answer(self, results: Sequence[object], workflow: Workflow) -> CommonAnswer | None:
        """What was kept of all items, if prompts were asked for them."""
        if self.action is not None:
            is_picked = isinstance(self.action, ExecutePrompt) and self.action.using.choices is not None
            asks = self.action.asks_prompt
        else:
            own = next((state.name for state, action in lists_of(workflow) if action is self), "")
            names = workflow.bodies[own].states if own in workflow.bodies else frozenset()
            is_picked = False
            asks = any(action.asks_prompt for name in names for action in workflow.states[name].actions)
        return CommonAnswer(text=to_text(results), is_picked=is_picked) if asks else None

    def _filled(self, context: ActionContext) -> tuple[Sequence[object], int]:
        values = items_of(self.clause.items.evaluate(context.variables), self.clause.items.text, self.place)
        if self.at_once is None:
            is_slow = self.action is None or self.action.asks_prompt
            return values, TOGETHER if is_slow else 1
        return values, AT_ONCE.now(self.at_once, context.variables)

    def _done(self, results: Sequence[object]) -> str:
        text = counted(len(results), "item")
        if not self.goes_on:
            return text
        failed = sum(1 for one in results if isinstance(one, Mapping) and not one["ok"])
        return f"{text}, {failed} failed"


def around(clause: LoopClause, action: Action, line: Scanner) -> ForEach:
    """An action that was read, performed for each item. Raises `FaultsError` for what cannot be."""
    options = read_options(line)
    if not action.takes_items:
        line.fail(
            f"`for each` works with prompts, workflows and commands, not with {action.verb!r}: put the "
            f"action into a "
            "composite state whose own action is `For each x in xs`.",
            0,
        )
    if isinstance(action, ExecutePrompt):
        action = replace(action, arguments=with_arguments(line, action.arguments))
    elif isinstance(action, RunWorkflow):
        action = replace(action, given=with_arguments(line, action.given))
    if options.collect is not None and not isinstance(action, RunWorkflow):
        line.note("option-value", NO_COLLECT, action.place)
    if line.faults:
        raise FaultsError(line.faults)
    result: str | None = getattr(action, "result", None)
    return ForEach(
        place=action.place,
        clause=clause,
        action=action.with_result(None),
        at_once=options.at_once,
        collect=options.collect,
        goes_on=options.goes_on,
        result=result,
    )


def lists_of(workflow: Workflow) -> Iterator[tuple[State, ForEach]]:
    """The states that do something for each item of a list."""
    for state in workflow.states.values():
        action: object = state.action
        if isinstance(action, ForEach):
            yield state, action


def items_of(value: object, text: str, place: Place) -> Sequence[object]:
    """The items of a list, or the keys of a map. Raises `ActionError` for anything else.

    `text`: how the list is written.
    """
    if isinstance(value, Mapping):
        return list(value)
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, str):
        raise ActionError(
            f"`for each` takes a list, but `{brief(text)}` is a text: write lines({text}) for its lines, or "
            f'split({text}, ",") for its parts.',
            place=place,
        )
    raise ActionError(
        f"`for each` takes a list, or a map (it goes through the keys); `{brief(text)}` is "
        f"{'null' if value is None else brief(to_text(value))}.",
        place=place,
    )
