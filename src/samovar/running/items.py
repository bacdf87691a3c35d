"""Performs the items of a list: each with a copy of the variables, several at once.

Above: `loop.py`, which performs what there is to do for one item. Below: frames, the recorder. As many tasks
as items are worked on together take one item after the other, so that what is held does not grow with the
list, but for the kept part of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import anyio
from anyio.lowlevel import checkpoint

from samovar.actions.base import Outcome, brief
from samovar.actions.list_items import Items, too_many
from samovar.errors import ActionError, ChildError
from samovar.events import NOTHING, Ending, ItemsProgressed, RunError
from samovar.language.workflow import Body, State
from samovar.running.branches import Claims
from samovar.running.ends import End
from samovar.running.frame import Frame
from samovar.running.last_failure import error_of
from samovar.running.recorder import Recorder
from samovar.running.services import Services
from samovar.running.spending import PastLimitError
from samovar.running.strand import Strand
from samovar.running.visit_context import VisitContext
from samovar.running.waiting import ForkedTasks
from samovar.values import to_text, within

STEPS = 200
"""How often at most it is reported how far a list has come, but for failures."""
_SHOWN_CHARS = 40


class OneItem(Protocol):
    """What there is to do for one item; the loop has it."""

    async def item(self, frame: Frame, state: State) -> tuple[Outcome, RunError | None]:
        """Performs the state's action as a visit of its own."""
        ...

    async def inside(self, frame: Frame, body: Body) -> End:
        """Drives the inner diagram of a composite."""
        ...


@dataclass(slots=True, kw_only=True)
class _List:
    """One list while it is gone through. Mutable: what came of its items so far."""

    context: VisitContext
    items: Items
    claims: Claims | None
    results: list[object]
    """In the order of the items; None for those that are not over."""
    waiting: Iterator[tuple[int, object]]
    """Those that are not begun, each with its number."""
    next_look: int = 8
    """After this many items it is looked at what the results take together, then after twice as many."""
    done: int = 0
    failed: int = 0
    running: int = 0
    strands: dict[int, Strand] = field(default_factory=dict)
    """By the number of the item, those on which something was done."""
    stops: list[BaseException] = field(default_factory=list)
    """Why the others are given up."""


class ItemRunner:
    """Goes through the lists of one run."""

    def __init__(self, services: Services, recorder: Recorder, one: OneItem) -> None:
        self._services, self._recorder, self._one = services, recorder, one

    async def run(self, context: VisitContext, items: Items) -> list[object]:
        """See `actions.base.RunItems`."""
        self._check_count(context, items)
        count = min(items.at_once, len(items.values))
        if not count:
            return []
        frame = context.frame
        around = (frame.claims, frame.branch) if frame.claims and frame.branch else None
        whole = _List(
            context=context,
            items=items,
            claims=Claims(outer=around) if count > 1 else None,
            results=[None] * len(items.values),
            waiting=iter(enumerate(items.values)),
        )
        with self._services.waiting.forked(count) as fork:
            await self._all(whole, count, fork)
        frame.strand.follow(whole.strands[number] for number in sorted(whole.strands))
        if whole.stops:
            raise whole.stops[0]
        return whole.results

    async def _all(self, whole: _List, count: int, fork: ForkedTasks) -> None:
        async with anyio.create_task_group() as tasks:
            branches = self._services.outside.clock.branches(count, tasks.cancel_scope)

            async def work() -> None:
                with branches.one(), fork.one():
                    await self._work(whole)
                    if whole.stops:
                        branches.cancel()

            for number in range(count):
                tasks.start_soon(work, name=f"items of {whole.context.state.name} ({number})")

    def _check_count(self, context: VisitContext, items: Items) -> None:
        most = context.frame.spending.limits.items
        if wrong := too_many(len(items.values), most, self._services.settings.most_items):
            raise ActionError(wrong)

    async def _work(self, whole: _List) -> None:
        """Takes one item after the other, until none is left or something ends them all."""
        for number, value in whole.waiting:
            try:
                await self._one_of(whole, number, value)
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as stop:  # handed on: it is raised when the others are given up
                whole.stops.append(stop)
                return
            await checkpoint()

    async def _one_of(self, whole: _List, number: int, value: object) -> None:
        whole.running += 1
        try:
            self._tell(whole)
            kept, error = await self._do(whole, number, value)
        finally:
            whole.running -= 1
            self._came_back(whole, number)
        if error is not None:
            error = self._named(whole, number, value, error)
            if not whole.items.goes_on:
                raise ChildError(error)
        self._keep(whole, number, (value, kept), error)
        whole.done += 1
        whole.failed += error is not None
        self._tell(whole, failed=error is not None)

    async def _do(self, whole: _List, number: int, value: object) -> tuple[object, RunError | None]:
        """The kept part of an item, or why it failed."""
        context, items = whole.context, whole.items
        state, action = context.state, items.action
        secret = self._secret_names(context)
        own = {"result": None, items.name: value, f"{items.name}_index": number}
        name, begun = f"{state.name}[{number}]", {**items.variables, **own}
        frame = context.frame.item_off(name, begun, whole.claims, context.spending, secret)
        frame.strand = context.frame.strand.item(context.key, number, is_diagram=action is None)
        whole.strands[number] = frame.strand
        if secret:
            self._recorder.learn(frame.secret_values)
        try:
            if action is None:
                frame.prefix += f"{name}/"
                return await self._inside(frame, state, items.collect)
            here = replace(state, name=name, action=action)
            outcome, error = await self._one.item(frame, here)
        except PastLimitError as past:
            if past.spending is not frame.spending:
                raise
            return None, RunError.of(past, context.frame.prefix + name, state.place)
        if error is not None:
            return None, error
        kept = None if outcome.value is NOTHING else outcome.value
        if items.collect is None:
            return kept, None
        return kept.get(items.collect) if isinstance(kept, Mapping) else kept, None

    async def _inside(
        self, frame: Frame, state: State, collect: str | None
    ) -> tuple[object, RunError | None]:
        end = await self._one.inside(frame, frame.workflow.bodies[state.name])
        if end.ending is not Ending.COMPLETED:
            path = frame.prefix.removesuffix("/")
            why = RunError(code=str(end.ending), message=f"It was {end.ending}.", state=path)
            return None, end.error or why
        if collect is None:
            return frame.variables["result"], None
        return frame.variables[collect] if collect in frame.changed else None, None

    def _came_back(self, whole: _List, number: int) -> None:
        """An item is over. Where each follows the other, the next one depends on it."""
        above, own = whole.context.frame.strand, whole.strands.get(number)
        if own is None:
            return
        if whole.claims is None:
            above.follow((own,))
        if whole.claims is None or (own.done == above.done and own.is_past == above.is_past):
            del whole.strands[number]

    def _secret_names(self, context: VisitContext) -> frozenset[str]:
        """The variables of the items, if a secret is in the list."""
        frame, action = context.frame, context.state.action
        if action is None or frame.secret_names.isdisjoint(action.names):
            return frozenset()
        return action.item_names

    def _named(self, whole: _List, number: int, value: object, error: RunError) -> RunError:
        shown = brief(to_text(value), _SHOWN_CHARS)
        item = f"{whole.context.state.name}[{number}]" + (f" ({shown})" if shown else "")
        return replace(error, message=f"{item}: {error.message}")

    def _keep(self, whole: _List, number: int, done: tuple[object, object], error: RunError | None) -> None:
        """Raises `TooLargeError` before the results together take more than twice what a value may.

        `done`: the item, and the kept part of it.
        """
        item, kept = done
        if whole.items.goes_on:
            failed = None if error is None else error_of(error, error.state)
            record = {"ok": False, "item": item, "error": failed}
            kept = {"ok": True, "value": kept} if failed is None else record
        whole.results[number] = kept
        if whole.done >= whole.next_look:
            whole.next_look = 2 * whole.done
            within(whole.results, "The values kept from all items", self._services.settings.value_bytes)

    def _tell(self, whole: _List, *, failed: bool = False) -> None:
        total = len(whole.items.values)
        step = max(1, total // STEPS)
        if not failed and whole.done % step and whole.done != total:
            return
        self._recorder.tell(
            ItemsProgressed(
                visit=whole.context.number,
                total=total,
                done=whole.done,
                failed=whole.failed,
                running=whole.running,
                time_s=self._recorder.time_s(),
            )
        )
