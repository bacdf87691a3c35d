"""The requests of a run in a case, for comparison with the expectations.

Above: the stage, which keeps these; `comparing.py`, which compares them. Below: the waist, commands, and the
options of prompts. Each part has the key that it has in a case.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from samovar.actions.process import Command
from samovar.executors.base import PromptRequest
from samovar.generation import Message, Sampling
from samovar.language.model_names import beside

NOT_ASKED = "(the model was not asked)"


@dataclass(slots=True, kw_only=True)
class SentPrompt:
    """One prompt. Mutable: `history`, which is known when the model is asked."""

    path: str
    """Path of the state."""
    request: PromptRequest
    folder: Path | None
    """Folder of the workflow's file."""
    history: tuple[Message, ...] | None = None
    """What the conversation had before; None: the model was not asked."""

    @property
    def text(self) -> str:
        """All that the prompt itself sends."""
        return "\n\n".join(message.content for message in self.request.messages)

    def part(self, key: str) -> object:
        """The part of a key other than `options`; None if there is none."""
        messages = self.request.messages
        if key == "exact":
            return messages[-1].content
        if key == "system":
            return messages[0].content if messages[0].role == "system" else None
        if key == "history" and self.history is not None:
            return tuple(message.content for message in self.history if message.role != "system")
        return NOT_ASKED if key == "history" else self.text

    def option(self, name: str) -> object:
        """The value in force of an option; None if there is none."""
        request, options = self.request, self.request.options
        if name == "session" and request.is_own:
            return None
        if name in ("session", "fork"):
            return self._own(getattr(request, name))
        if name in ("model", "executor"):
            return getattr(request, name)
        if name == "system":
            return self.part("system")
        if name == "timeout":
            return options.timeout_s
        source = options.sampling if name in {field.name for field in fields(Sampling)} else options
        value: object = getattr(source, name)
        return None if value in ((), {}) else value

    def read_option(self, name: str, value: object) -> object:
        """What an expected option is in this prompt."""
        return beside(self.folder, value) if name == "model" and isinstance(value, str) else value

    def _own(self, session: str | None) -> str | None:
        """The name of a conversation as the workflow has it: those of a sub-workflow are its own."""
        *above, _ = self.path.split("/")
        rounds = "".join(rf"{re.escape(name)}(?:#\d+)?(?:\(\d+\))?/" for name in above)
        return session if session is None else re.sub(f"^{rounds}", "", session)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCommand:
    """One command."""

    command: Command
    folder: Path
    """In which the run was started."""

    @property
    def text(self) -> str:
        """As written, with its values in it."""
        return self.command.shown or self.command.text

    def part(self, key: str) -> object:
        """The part of a key; None if there is none."""
        command = self.command
        parts: Mapping[str, Callable[[], object]] = {
            "working_dir": lambda: os.path.relpath(command.folder, self.folder),
            "env": lambda: dict(command.adds),
            "stdin": lambda: command.stdin,
            "timeout": lambda: command.timeout_s,
            "words": lambda: command.words,
        }
        return parts[key]() if key in parts else self.text
