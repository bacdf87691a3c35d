"""`finally: STATE`: performs the action of that state after every ending of a workflow.

Above: the runner and the loop, which drive workflows through `finished`. Below: frames and the recorder. How
the state is performed is passed in. What goes wrong in it is a warning: the ending of the workflow stays.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio

from samovar.actions.clock import Clock
from samovar.errors import SamovarError
from samovar.errors.durations import lasting
from samovar.events import Ending, RunError
from samovar.expressions.absent import declared
from samovar.language.workflow import State
from samovar.running.abort_files import AbortedError
from samovar.running.ends import End
from samovar.running.frame import Frame
from samovar.running.recorder import Recorder
from samovar.running.spending import PastLimitError

MOST_S = 30.0
"""The most that the action may take if its line has no `timeout=`."""

Perform = Callable[[Frame, State], Awaitable[RunError | None]]
"""Performs the action of a state, records it, and gives why it failed."""


async def finished(
    frame: Frame, drive: Callable[[], Awaitable[End]], perform: Perform, recorder: Recorder, clock: Clock
) -> End:
    """What `drive` gives or raises, once the action for the end of the workflow was performed.

    A cancellation waits for that. What is not an ending of a workflow (a defect, or an exception of anyone
    who listens) continues at once.
    """
    if frame.workflow.at_end is None:
        return await drive()
    try:
        end = await drive()
    except BaseException as why:
        ended = _end_by(why)
        if ended is not None and recorder.broken is None:
            await _perform(frame, ended, perform, recorder, clock)
        raise
    await _perform(frame, end, perform, recorder, clock)
    return end


def _end_by(why: BaseException) -> End | None:
    """How an exception ends a workflow; None for one that is not an ending."""
    if isinstance(why, anyio.get_cancelled_exc_class()):
        error = RunError(code="cancelled", message="It was cancelled.")
        return End(ending=Ending.CANCELLED, error=error)
    if isinstance(why, AbortedError):
        return End(ending=Ending.ABORTED, error=why.error)
    if isinstance(why, PastLimitError):
        return End(ending=Ending.LIMITED, error=RunError.of(why))
    return End(ending=Ending.FAILED, error=RunError.of(why)) if isinstance(why, SamovarError) else None


async def _perform(frame: Frame, end: End, perform: Perform, recorder: Recorder, clock: Clock) -> None:
    state = frame.workflow.states[frame.workflow.at_end or ""]
    assert state.action is not None
    limit_s = MOST_S if state.action.timeout is None else None
    error: RunError | None = None
    before = recorder.record
    with clock.shielded():
        try:
            names = (parameter.name for parameter in frame.workflow.parameters)
            with declared(names), clock.move_on_after(limit_s) as limit:
                own = frame.at_end(end.ending, end.error)
                own.strand = replace(own.strand, is_at_cancel=end.ending is Ending.CANCELLED)
                error = await perform(own, state)
            if limit.cancelled_caught:
                message = f"It took longer than {lasting(MOST_S)} and was stopped (`timeout=` allows more)."
                error = RunError(code="timeout", message=message)
        except AbortedError as aborted:
            error = aborted.error
        except PastLimitError as past:
            error = RunError.of(past)
    record = recorder.record
    recorder.record = replace(record, answer=before.answer, is_answer_picked=before.is_answer_picked)
    if error is not None:
        message = f"The state {frame.prefix + state.name!r} of `finally` failed: {error.message}"
        recorder.warn(message, error.place or state.action.place)
