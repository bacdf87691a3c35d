"""The contract of an action: the work of a state.

Above: the runner, which performs actions and records their outcomes. Below: templates, the library, and the
waist (`executors/base.py`). An action is a frozen value, parsed before the run. It fills its templates when
it is performed, and changes no variable: what it sets is in its outcome. `log.py` is the one to read first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import anyio

from samovar.actions.asked_back import AskAside, nobody_is_asked
from samovar.actions.attempts import TellAttempt, ignore, no_time, nobody, nothing
from samovar.actions.computing import Compute, compute_at_once
from samovar.actions.defaults import PromptDefaults
from samovar.actions.file_places import Search, Target
from samovar.actions.file_system import Change, find_files, read_file, write_file
from samovar.actions.list_items import CommonAnswer, RunItems, no_items
from samovar.actions.process import Command, CommandResult, run
from samovar.actions.question import AskAction
from samovar.actions.tools import NoTools, Toolbox
from samovar.actions.workflow_calls import CallWorkflow
from samovar.config import Settings
from samovar.errors import ActionError, Fault, Place, RefusedError
from samovar.events import NOTHING, PromptFigures
from samovar.executors.base import PromptReply, PromptRequest
from samovar.generation import ToolCalled, ToolFinished
from samovar.language.names import OF_COMMAND

if TYPE_CHECKING:
    from samovar.actions.given import Value
    from samovar.actions.retries import Retries
    from samovar.actions.scanner import Scanner
    from samovar.expressions.types import Type
    from samovar.language.parsed_action import ParsedAction
    from samovar.language.template import Template
    from samovar.language.workflow import Workflow
    from samovar.library import Library


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an action gave back."""

    value: object = NOTHING
    """What becomes `result`."""
    is_new: bool = True
    """The action made it. That of a log, a wait or a set is not, and yields to a `result` set by name."""
    sets: Mapping[str, object] = field(default_factory=dict)
    """Variables to set, by name."""
    error: ActionError | None = None
    """Why the action failed, if it did and still has a value; else it raises."""
    abort: str | None = None
    """The reason for which the whole run is to end."""
    figures: PromptFigures | None = None
    """Figures of a prompt."""
    answer: CommonAnswer | None = None
    """Answer of several prompts together."""
    what: str = ""
    """What was done, with its values, in a few words; empty if what is written says enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionContext:
    """What an action may use while it is performed: for one visit of one run."""

    variables: Mapping[str, object] = field(repr=False)  # those of the run, to read
    workflow: Workflow
    library: Library
    defaults: PromptDefaults
    folder: Path
    """Where the program was started; relative paths of commands begin here."""
    settings: Settings  # every one, to read
    ask: Callable[[PromptRequest], Awaitable[PromptReply]]
    """Has a prompt answered; the runner adds the run and the visit, and passes on what happens."""
    run_workflow: CallWorkflow
    ask_user: AskAction
    """Asks a person; None: there is nobody who could answer."""
    log: Callable[[str, str], None]
    """Shows a text at a level: debug, info, warning, error."""
    warn: Callable[[str], None]
    """Reports something doubtful that was not asked for."""
    run_command: Callable[[Command], Awaitable[CommandResult]] = run
    """Runs a command to its end; raises `ShellError` if it cannot be started."""
    read_file: Callable[[Target, int], Awaitable[bytes]] = read_file
    """What a file of at most this many bytes holds; raises `FileError`."""
    write_file: Callable[[Target, Change], Awaitable[None]] = write_file
    """Makes or replaces a file, whole or not at all; raises `FileError`."""
    find_files: Callable[[Search], Awaitable[list[str]]] = find_files
    """The paths of files, in order; raises `FileError`."""
    surroundings: Mapping[str, object] = field(default_factory=dict)
    """What prompts may read besides variables, which come first."""
    allows_effects: bool = True  # False: actions that have an effect are refused
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep  # until so many seconds have passed
    move_on_after: Callable[[float], AbstractContextManager[anyio.CancelScope]] = anyio.move_on_after
    """Cancels its body when so many seconds have passed."""
    run_items: RunItems = no_items  # for each item of a list
    compute: Compute = compute_at_once
    """Fills texts and evaluates expressions; every action has it do so, for each may be long."""
    timeout_s: float | None = None
    """How long the action may take, if it ends itself in time (`keeps_time`)."""
    gone_s: float = 0.0  # of the time limit of what asks a person: since the visit began
    attempt_failed: TellAttempt = ignore
    """Records an attempt that failed, where another one follows; raises what ends the run."""
    tools: Toolbox[ActionContext] = field(default_factory=NoTools)
    """What a prompt's model may call."""
    tell: Callable[[ToolCalled | ToolFinished], None] = nobody  # raises what ends the run
    time_s: Callable[[], float] = no_time  # since the run's start
    spent_so_far: Callable[[PromptReply], None] = nobody  # by a prompt that goes on; raises the same
    asked: PromptRequest | None = None  # the prompt that is answered, while its model has tools used
    ask_aside: AskAside = nobody_is_asked
    """As `ask`, for a server that is used: nobody hears it, and what it took counts at once."""
    forget: Callable[[], Awaitable[None]] = nothing  # ends the visit's own conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Action(ABC):
    """What a state does. Members are frozen dataclasses."""

    verb: ClassVar[str]
    """The word for it in reports."""
    words: ClassVar[tuple[str, ...]] = ()
    """The words that a line of it can begin with, in small letters."""
    form: ClassVar[str] = ""
    """How it is written, for messages and for the docs."""
    effect: ClassVar[str | None]
    """What it does outside of the run, as in "runs a command" or "writes a file"; None: nothing. Every class
    says so, since it is asked about before a workflow that is not trusted runs, and refused to a run without
    effects. Only informing the user or asking a model is not an effect."""
    asks_prompt: ClassVar[bool] = False
    """It has a prompt answered."""
    runs_command: ClassVar[bool] = False
    """It runs a command, so its failure also has an exit code."""
    repeats_inside: ClassVar[bool] = False
    """It has the inner diagram of its composite performed for each item of a list."""
    is_made_of_visits: ClassVar[bool] = False
    """What it does is visits of their own, each of which a journal keeps."""
    takes_items: ClassVar[bool] = False
    """Its line may have a `for each`."""
    asks_person: ClassVar[bool] = False  # its time limit runs on while no process drives the run
    keeps_time: ClassVar[bool] = False
    """It ends itself in time and says what there was until then; else `time_limit.py` ends it."""
    place: Place
    """Where its first character is."""
    timeout: Value | None = None
    """The time it may take, as `timeout=30s` at the end of its line says; None: as long as it takes."""
    retries: Retries | None = None
    """How often it is performed again, as `retries=3 backoff=2s` there says; None: never."""

    def __init_subclass__(cls, **arguments: object) -> None:
        super(Action, cls).__init_subclass__(**arguments)  # `Action` is made again, for its slots
        if not hasattr(cls, "effect"):
            raise TypeError(f"The action {cls.__name__} does not define its `effect`: a text, or None.")

    @property
    @abstractmethod
    def names(self) -> frozenset[str]:
        """The variables it reads, as far as that is written."""

    @property
    def sets(self) -> frozenset[str]:
        """The variables it sets, besides `result` and so on."""
        return frozenset()

    @property
    def named(self) -> Mapping[str, Place]:
        """The variables it sets whose names its author chose, and where each is named."""
        names = self.sets.difference(OF_COMMAND if self.runs_command else ())
        result: str | None = getattr(self, "result", None)
        return dict.fromkeys(names | ({result} if result else set()), self.place)

    @property
    def names_of_timeout(self) -> frozenset[str]:
        """The variables that its time limit and its retries read: some of `names`."""
        names = self.timeout.names if self.timeout else frozenset[str]()
        return names | self.retries.names if self.retries else names

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that must be on this machine before the run begins."""
        return ()

    @property
    def types(self) -> Mapping[str, Type]:
        """What the variables it sets can hold, as far as that is known before the run."""
        return {}

    def types_in(self, workflow: Workflow) -> Mapping[str, Type]:
        """As `types`, in a workflow that may say more, as the schema of an answer."""
        return self.types

    def with_result(self, name: str | None) -> Self:
        """The same, whose value goes to this variable, or to none besides `result`."""
        return self

    @property
    @abstractmethod
    def what(self) -> str:
        """What it does, as written, in a few words for one line."""

    @property
    def doing(self) -> str:
        """Its effect, whole as written, for anyone who is asked to allow it."""
        return self.what

    @property
    def texts(self) -> tuple[Template, ...]:
        """The texts that it fills for people or models, not for programs: `check` warns of a `\\n` in one."""
        return ()

    @property
    def shown(self) -> Template | None:
        """The text that a dry run shows filled in, in place of `what`: the only one of `texts`."""
        return self.texts[0] if len(self.texts) == 1 else None

    @property
    def variants(self) -> tuple[Action, ...]:
        """What it can become; itself, if tags do not decide that."""
        return (self,)

    @property
    def each(self) -> Action | None:
        """What it performs for each item of a list; None if it does no such thing."""
        return None

    @property
    def item_names(self) -> frozenset[str]:
        """The variables that only what it performs for each item can read."""
        return frozenset()

    @property
    def is_repeatable(self) -> bool:
        """It may be performed again if nobody knows whether it was done, since it changes nothing outside."""
        return False

    def no_answer(self, text: str) -> str | None:
        """Why a text cannot answer what it asks a person, as far as that is known before the run."""
        return "asks nobody"

    @property
    def runs(self) -> str | None:
        """The name of the workflow that it runs; None if it runs none, or only the run knows which."""
        return None

    @classmethod
    def begins(cls, line: Scanner) -> bool:
        """Whether a line that begins with one of `words` is meant for it."""
        return True

    @classmethod
    @abstractmethod
    def parse(cls, line: Scanner) -> Self:
        """Reads the rest of a line that begins with one of `words`. Raises `FaultsError`."""

    async def act(self, context: ActionContext) -> Outcome:
        """Performs it, for its runner. Raises `RefusedError` for an effect in a run without effects."""
        if self.effect is not None and not context.allows_effects:
            raise refused(self)
        return await self.perform(context)

    @abstractmethod
    async def perform(self, context: ActionContext) -> Outcome:
        """Does it.

        Raises a `SamovarError` if it fails. Cancelled, it gives back all it holds and ends what it started
        before the cancellation continues.
        """

    def faults(self, library: Library, workflow: Workflow) -> tuple[Fault, ...]:
        """What is wrong or doubtful about it that only shows beside the other files."""
        return ()


def refused(action: ParsedAction) -> RefusedError:
    """The message about an action with an effect, in a run that may have none."""
    return RefusedError(
        f"It {action.effect}, but this run may have no effects (--no-effects).", place=action.place
    )


_LOOKED_AT = 20
"""Characters of a text for each that is shown, so that a large one is not split as a whole."""


def made_of(names: frozenset[str]) -> str:
    """What is said behind a text that only becomes whole in a run, to anyone who is to allow it."""
    return f" (put together from what sets {', '.join(sorted(names))})" if names else ""


def brief(text: str, limit: int = 60) -> str:
    """The text on one line of at most this many characters."""
    line = " ".join(text[: limit * _LOOKED_AT].split())
    return line if len(line) <= limit and len(text) <= limit * _LOOKED_AT else line[: limit - 1] + "…"
