"""The values of a recorded case: answers, arguments, requests and outcomes.

Above: `recording.py`. Below: the values of runs, the waist and commands. What every run has by default is
left out, and so are secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

from samovar.actions.process import CommandResult
from samovar.actions.question import YES, Question, Reply
from samovar.checks.parts import parts_of
from samovar.errors import SamovarError
from samovar.executors.base import PromptReply
from samovar.expressions.functions import SURENESS
from samovar.generation import FinishReason
from samovar.language.names import BUILT_IN, OLD_CONTEXT
from samovar.language.workflow import Workflow
from samovar.running.run import Run
from samovar.testing.asked import AskedCommand
from samovar.testing.case_checks import known_variables
from samovar.testing.cases import TIMEOUT
from samovar.testing.paths import Tree
from samovar.testing.told_confidence import recorded_choices
from samovar.testing.told_tools import call_values
from samovar.testing.told_values import FOREVER
from samovar.values import plain
from samovar.values.secrecy import Secrets

T = TypeVar("T")
NOT_RECORDED = BUILT_IN - OLD_CONTEXT
"""Variables that every action leaves behind."""
ENDLESS = {"takes": FOREVER}
"""The entry for an answer or a command that did not end."""


class Heard(Generic[T]):
    """What was said in each visit, once or several times. Mutable: it grows, and what began ends."""

    def __init__(self) -> None:
        self._by_visit: dict[int, list[T]] = {}

    def begin(self, visit: int, value: T) -> Callable[[T], None]:
        """Keeps a value as the next of the visit, and gives what puts another in its place."""
        values = self._by_visit.setdefault(visit, [])
        number = len(values)
        values.append(value)
        return partial(values.__setitem__, number)

    def by_visit(self) -> Iterator[tuple[int, Sequence[T]]]:
        """The values of each visit, in the order of the visits."""
        return iter(sorted(self._by_visit.items()))


def reply_value(question: Question, reply: Reply | None) -> object:
    """What a person said, as a case has it."""
    if reply is None:
        return False
    if question.kind != "go_on":
        return reply.text
    return True if reply == YES else "no"


def answer_values(told: PromptReply | SamovarError | None, *, counts: bool, is_asked: bool = False) -> object:
    """As a case has it. `counts`: how many tokens it has matters; `is_asked`: so does how sure it was."""
    if told is None:
        return ENDLESS
    if isinstance(told, SamovarError):
        return {"error": told.code, "message": told.message}
    if told.finish_reason is FinishReason.CANCELLED:
        return {"error": "action", "message": "The answer was cancelled."}
    values: dict[str, object] = {"text": told.text}
    if told.finish_reason is FinishReason.TIMEOUT:
        values["error"] = TIMEOUT
    elif told.calls:
        values["calls"] = call_values(told.calls)
        if not told.text:
            del values["text"]
    elif told.finish_reason is not FinishReason.STOP:
        values["finish_reason"] = str(told.finish_reason)
    if counts:
        values["tokens"] = told.tokens.generated
    if is_asked:
        values |= recorded_choices(told.chosen)
    return told.text if list(values) == ["text"] else values


def asks_confidence(workflow: Workflow) -> bool:
    """Whether something in a workflow depends on how sure a choice was."""
    parts = [part for _, action in workflow.actions() for part in parts_of(action)]
    parts += [condition for _, condition in workflow.conditions()]
    parts += [prompt.template for prompt in workflow.prompts.values()]
    return any(name in part.text for part in parts for name in SURENESS)


def command_values(finished: CommandResult) -> object:
    if not finished.stderr and not finished.exit_code and not finished.timed_out:
        return finished.stdout
    values: dict[str, object] = {"stdout": finished.stdout, "stderr": finished.stderr}
    values["exit_code"] = finished.exit_code
    if finished.timed_out:
        values["error"] = TIMEOUT
    return values


def wanted_command(asked: AskedCommand) -> object:
    """What a case expects of it."""
    nothing: dict[str, object] = {"working_dir": ".", "env": {}, "stdin": None}
    parts = {key: asked.part(key) for key in ("exact", *nothing)}
    return {key: value for key, value in parts.items() if key == "exact" or value != nothing[key]}


def wanted_error(run: Run) -> object:
    """What a case expects of the error; None if there was none."""
    error = run.error
    if error is None:
        return None
    return {key: getattr(error, key) for key in ("code", "state") if getattr(error, key) is not None}


def given_values(tree: Tree, variables: Mapping[str, object], secrets: set[str]) -> dict[str, object]:
    """The variables that are not their default, and that mean something to the workflow."""
    workflow, known = tree.workflow, known_variables(tree)
    defaults = {one.name: one.default for one in workflow.parameters if one.default is not None}
    return {
        name: plain(value)
        for name, value in variables.items()
        if name not in secrets
        and not (name in defaults and defaults[name] == value)
        and (known is None or name in known)
    }


def changed_values(variables: Mapping[str, object], begun: Mapping[str, object]) -> dict[str, object]:
    """Those that are not as they were when the run began."""
    return {name: value for name, value in variables.items() if name not in begun or begun[name] != value}


def left_values(variables: Mapping[str, object], secrets: set[str], hidden: Secrets) -> dict[str, object]:
    """The variables at the end that a case can expect: none with a secret in it."""
    left = _without({name: plain(value) for name, value in variables.items()}, NOT_RECORDED | secrets)
    assert isinstance(left, dict)
    return {
        name: value
        for name, value in left.items()
        if not name.startswith("_") and hidden.copy(value) == value
    }


def _without(value: object, names: set[str] | frozenset[str]) -> object:
    """The value without keys of these names, at any depth."""
    if isinstance(value, Mapping):
        return {name: _without(item, names) for name, item in value.items() if name not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value
