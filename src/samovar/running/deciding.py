"""What a visit is performed with: the first thing that it wants of what is outside, as a digest.

Above: the contexts of visits, which say what they want; `visiting.py`, which keeps the digest and asks an
earlier run for the same one. Below: what a run does outside of itself, digests, strands. What a visit wants
next follows from what came back, and so from the first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from samovar.actions.base import Action
from samovar.actions.effects import LetsTimePass, OutsideIntent, RunsCommand, WritesFile
from samovar.actions.question import Question
from samovar.actions.set import Set
from samovar.config import Settings
from samovar.errors import SamovarError
from samovar.executors.base import PromptRequest
from samovar.executors.table import chosen_executors
from samovar.expressions.expression import Expression
from samovar.journal.inputs import digest_of_text, written
from samovar.running.references import References
from samovar.running.strand import Strand


class FoundOut(BaseException):
    """In place of the first thing that is wanted, if a visit is only asked what that is."""


@dataclass(slots=True, kw_only=True)
class Deciding:
    """Of one visit. Mutable: what was found out."""

    strand: Strand
    references: References
    settings: Settings
    key: Callable[[], bytes]
    """For what has a secret in it."""
    only_asks: bool = False
    """Nothing is to be done: `FoundOut` is raised where it would be."""
    digest: str = ""
    """Empty: it wanted nothing, or what it wanted has no digest."""
    touches: bool = False
    """What it wanted changes what is outside, or may do so."""
    has_stamp: bool = True
    """What came back was of that one time: not of what is only computed."""
    is_decided: bool = False
    """It wanted something."""
    wanted: object = None
    """What that was, if the visit is only asked: an intent, a question or a request; None: not known."""

    def of_effect(self, intent: OutsideIntent[object]) -> None:
        """It wants this. Raises `FoundOut`."""
        self._note(intent)
        if isinstance(intent, RunsCommand):
            self._decide(lambda: _of_command(intent), touches=True)
        elif isinstance(intent, WritesFile):
            change, target = intent.change, str(intent.target.path)
            self._decide(lambda: ("write", target, change.make(None), change.most_bytes), touches=True)
        elif isinstance(intent, LetsTimePass):
            self._decide(lambda: ("wait", intent.duration_s))

    def of_question(self, question: Question | None) -> None:
        """It asks a person: again, if anything was done anew before. None: what cannot be compared."""
        if question is None:
            self._decide(None)
            return
        self._note(question)
        what = (question.kind, question.parts, question.choices, question.default)
        self._decide(lambda: ("ask", what, self.strand.done))

    def of_prompt(self, request: PromptRequest, said: str) -> None:
        """It asks a model. `said`: names what its conversation has said before."""
        if self.is_decided:
            return
        self._note(request)
        try:
            executors = chosen_executors(request.executor or self.settings.executor, self.settings)
        except SamovarError:  # it is raised again, when it is performed
            self._decide(None)
            return
        does_itself = request.allows_effects and any(
            one.permission != "deny" or one.own_tools for one in executors
        )
        model = request.model or executors[0].model or self.settings.model
        who = [(one.name, one.kind, one.model, one.url, one.command) for one in executors]
        options = replace(request.options, timeout_s=None)
        what = ("prompt", request.messages, options, who, model, _stamp_of(model), said)
        self._decide(lambda: what, touches=bool(request.options.tools) or does_itself)

    def of_set(self, action: Action, variables: dict[str, object]) -> None:
        """It computes values, and wants nothing else."""
        if self.is_decided or not isinstance(action, Set):
            return
        texts = [
            (one.name, one.value.text)
            if isinstance(one.value, Expression)
            else (one.name, one.value.template.text, one.value.quoted, one.value.given)
            for one in action.assignments
        ]
        self.has_stamp = False
        read = {name: variables[name] for name in action.names if name in variables}
        self._decide(lambda: ("set", texts, read))

    def _note(self, wanted: object) -> None:
        if self.only_asks and not self.is_decided:
            self.wanted = wanted

    def _decide(self, what: Callable[[], object] | None, *, touches: bool = False) -> None:
        if self.is_decided:
            return
        self.is_decided, self.touches = True, touches
        if what is not None:
            with suppress(SamovarError, TypeError, ValueError):  # then it has none, and is performed
                found = what()
                self.digest = self._digest((found, self.strand.touched) if touches else found)
        if self.only_asks:
            raise FoundOut

    def _digest(self, what: object) -> str:
        text = written(what)
        return digest_of_text(text, self.key() if self.references.has_secret(text) else None)


def _of_command(intent: RunsCommand) -> object:
    command, own = intent.command, os.environ
    environment = {name: text for name, text in command.environment.items() if own.get(name) != text}
    return (
        "command",
        command.words,
        command.folder,
        command.stdin,
        command.detach,
        command.files,
        {**environment, **command.adds},
    )


def _stamp_of(model: str) -> object:
    """What a model that is a file is told from another by; None: its name says which it is."""
    path = Path(model)
    with suppress(OSError, ValueError):
        if path.suffix and path.is_file():
            found = path.stat()
            return (found.st_size, found.st_mtime_ns)
    return None
