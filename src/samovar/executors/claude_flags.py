"""How the program Claude Code is started: its arguments and variables, explicit and safe unless allowed more.

Above: `claude_code.py`. Below: the waist's values. Pure. What a person keeps for the program (settings,
hooks, servers, commands, notes in CLAUDE.md) does not count here: a run means the same on each machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from samovar.config.declared import DeclaredExecutor
from samovar.config.providers import CLAUDE
from samovar.executors.base import PromptRequest
from samovar.executors.claude_messages import Unwrap
from samovar.executors.programs import system_of
from samovar.generation import Options

ANSWER = "answer"
"""The key of an answer within the object that it is wrapped in."""
SYSTEM_FILE = "system.txt"
"""The system prompt is handed over in a file: everybody on the machine can read arguments."""
ALWAYS = (
    *("-p", "--input-format", "stream-json", "--output-format", "stream-json"),
    *("--verbose", "--include-partial-messages"),
    *("--setting-sources", "", "--strict-mcp-config", "--disable-slash-commands"),
)


def usual_variables(declared: DeclaredExecutor) -> tuple[str, ...]:
    """The variables of the environment that the program may see, besides those that the settings name."""
    url = declared.url and declared.url.rstrip("/")
    if url and url != os.environ.get(CLAUDE.url_variable, "").rstrip("/"):
        return CLAUDE.variables  # a key goes only to the endpoint that it is for
    return (*CLAUDE.key_variables, CLAUDE.url_variable, *CLAUDE.variables)


QUIET: Mapping[str, str] = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_MAX_RETRIES": "0",  # what is tried again, and when, the run says
    "DISABLE_AUTOUPDATER": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaudeFlags:
    """What one process is started with, and cannot be told later."""

    model: str | None
    system: str | None
    """None: none, not even the program's own."""
    schema: str | None
    """Of an object, as JSON."""
    max_tokens: int
    thinks: bool
    may_act: bool
    """Its own tools count."""

    @classmethod
    def of(cls, request: PromptRequest, declared: DeclaredExecutor, *, system: str | None) -> ClaudeFlags:
        """Those of a prompt. `system`: what the conversation has, if the prompt says nothing else."""
        said = system_of(request.messages)
        return cls(
            model=request.model or declared.model,
            system=system if said is None else said,
            schema=schema_for(request.options),
            max_tokens=request.options.max_tokens,
            thinks=request.options.think is not False,
            may_act=request.allows_effects and (declared.permission != "deny" or bool(declared.own_tools)),
        )

    def words(self, declared: DeclaredExecutor) -> tuple[str, ...]:
        """Its arguments, but those that say which conversation it is."""
        model = ("--model", self.model) if self.model else ()
        system = ("--system-prompt-file", f"{{{SYSTEM_FILE}}}") if self.system else ("--system-prompt", "")
        schema = ("--json-schema", self.schema) if self.schema else ()
        return (*ALWAYS, *model, *system, *schema, *self._permission(declared))

    def _permission(self, declared: DeclaredExecutor) -> tuple[str, ...]:
        if not self.may_act:
            return ("--tools", "", "--permission-mode", "dontAsk")
        # `Bash(git *)` is the tool `Bash`, allowed for some commands.
        tools = ",".join(dict.fromkeys(tool.partition("(")[0] for tool in declared.own_tools))
        listed = ("--allowedTools", ",".join(declared.own_tools)) if declared.own_tools else ()
        if declared.permission == "deny":
            return ("--tools", tools, *listed, "--permission-mode", "dontAsk")
        return ("--tools", "default", *listed, "--permission-prompt-tool", "stdio")

    def variables(self, declared: DeclaredExecutor) -> dict[str, str]:
        """What its environment has besides what it is allowed to see."""
        url = {CLAUDE.url_variable: declared.url} if declared.url else {}
        thinks = {} if self.thinks else {"MAX_THINKING_TOKENS": "0"}
        return {**QUIET, **url, **thinks, "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(self.max_tokens)}

    def files(self) -> dict[str, str]:
        """What it finds in files."""
        return {SYSTEM_FILE: self.system} if self.system else {}


def schema_for(options: Options) -> str | None:
    """The schema that its answer has, which is always that of an object; None: it may be any text."""
    if options.choices:
        return _wrapped({"enum": list(options.choices)})
    if options.schema is None:
        return None
    schema = json.loads(options.schema)
    return options.schema if _is_of_object(schema) else _wrapped(schema)


def unwrap_for(options: Options) -> Unwrap | None:
    """How its answer is taken out of what it hands over; None: it says it as text."""
    if not options.choices and options.schema is None:
        return None
    is_wrapped = bool(options.choices) or not _is_of_object(json.loads(options.schema or "true"))

    def unwrap(value: object) -> str | None:
        if is_wrapped:
            if not isinstance(value, dict) or ANSWER not in value:
                return None
            value = value[ANSWER]
        if options.choices:
            return value if isinstance(value, str) and value in options.choices else None
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    return unwrap


def _is_of_object(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "object"


def _wrapped(schema: Any) -> str:
    names = ("$defs", "definitions")
    lifted = {name: schema[name] for name in names if isinstance(schema, dict) and name in schema}
    inner = {key: value for key, value in schema.items() if key not in names} if lifted else schema
    whole = {"type": "object", "properties": {ANSWER: inner}, "required": [ANSWER]}
    return json.dumps({**whole, "additionalProperties": False, **lifted}, ensure_ascii=False)
