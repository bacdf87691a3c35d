"""Calls of tools: what is offered to a model, and the contract of how a family of models writes a call.

Above: the syntaxes of the families (`call_json.py`, `call_keywords.py`), and the engines. Below: the
generation values. Pure: a model's text in, calls out; and the grammar that holds a model to them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from samovar.errors import UnmetError
from samovar.generation import Options, ToolCall, ToolDefinition
from samovar.values import is_utf8

MOST_CALLS = 16
"""Of one answer."""
ID_CHARACTERS = 9
"""Of a call's id: as many as the templates of Mistral take."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LOOSE = frozenset(("additionalProperties", "patternProperties", "unevaluatedProperties"))


class UnenforceableError(ValueError):
    """A schema asks for what a model cannot be held to while it writes a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that may be called."""

    name: str
    schema: Mapping[str, Any]
    """Of its arguments, which are an object; a property that it does not list is none."""

    @classmethod
    def of(cls, definition: ToolDefinition) -> Tool:
        """Raises `UnmetError`, which names the tool, for a name or a schema that none can have."""
        schema: Mapping[str, Any] = _schema_of(definition)
        if not _LOOSE & schema.keys():
            schema = {**schema, "additionalProperties": False}
        return cls(name=definition.name, schema={"type": "object", **schema})


def definition_of(tool: ToolDefinition) -> dict[str, Any]:
    """A tool as chat templates get it. Raises `UnmetError` if its schema is not JSON."""
    function = {"name": tool.name, "description": tool.description, "parameters": _schema_of(tool)}
    return {"type": "function", "function": function}


def _schema_of(definition: ToolDefinition) -> dict[str, Any]:
    """The schema of its arguments, as it is written. Raises `UnmetError`, as `Tool.of` does."""
    name = definition.name
    if not _NAME.fullmatch(name):
        raise UnmetError(
            f"The tool {name!r} cannot be offered: a name has 1 to 128 letters, digits, `_`, `-` and `.`."
        )
    try:
        schema = json.loads(definition.parameters)
    except ValueError as error:
        raise UnmetError(f"The tool {name!r} cannot be offered: its schema is not JSON: {error}.") from None
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise UnmetError(f"The tool {name!r} cannot be offered: its arguments must be an object.")
    return schema


def tools_of(options: Options) -> tuple[Tool, ...]:
    """All tools that are offered. Raises `UnmetError` for those that cannot be, and for a wrong choice."""
    tools = tuple(map(Tool.of, options.tools))
    names = [tool.name for tool in tools]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UnmetError(f"Two tools are called {twice!r}: rename one of them.")
    if options.tool_choice not in ("auto", "none", "required", *names):
        listed = ", ".join(names) or "none"
        raise UnmetError(f"The tool {options.tool_choice!r} is not offered. These are: {listed}.")
    return tools


def callable_of(options: Options) -> tuple[Tool, ...]:
    """Those of the tools that this answer may call. Raises `UnmetError`, see `tools_of`."""
    tools = tools_of(options)
    if options.tool_choice in ("auto", "required"):
        return tools
    return tuple(tool for tool in tools if tool.name == options.tool_choice)


class Called(NamedTuple):
    """A call as a model wrote it."""

    name: str
    arguments: Any
    id: str | None = None
    """If the model gave it one."""


class Written(NamedTuple):
    """A piece of a call as it is written into a prompt."""

    text: str
    is_mark: bool = False
    """It is the syntax's own, so it may become control tokens; everything else is data."""


Spell = Callable[[str], str]
"""A text of a syntax as an expression of Lark, in which control tokens are named."""


class CallSyntax(Protocol):
    """How one family of models writes calls, one after the other, at the end of an answer."""

    @property
    def name(self) -> str: ...

    @property
    def trigger(self) -> str:
        """The text that begins the first call."""
        ...

    @property
    def marks(self) -> tuple[str, ...]:
        """Its texts that may be, or have, control tokens."""
        ...

    @property
    def at_head(self) -> bool:
        """The trigger counts only at the head of an answer: it is nothing but the beginning of a call."""
        ...

    @property
    def most(self) -> int:
        """Calls in one answer, at most."""
        ...

    def rest(self, rules: GrammarRules, tools: Sequence[Tool]) -> str:
        """An expression of what comes behind the trigger. Raises `UnmetError`, which names the tool."""
        ...

    def read(self, text: str, tools: Sequence[Tool]) -> list[Called]:
        """The calls in a text that begins with the trigger. Raises `ValueError` if there are none."""
        ...


class WritingSyntax(CallSyntax, Protocol):
    """One that is written here too, for templates that write no calls."""

    def written(self, calls: Sequence[ToolCall]) -> list[Written]:
        """Calls as the model would have written them."""
        ...


def quoted(text: str) -> str:
    """A text in Lark."""
    return json.dumps(text, ensure_ascii=False)


class GrammarRules:
    """The rules of one grammar. Mutable: they are added, each once."""

    def __init__(self, spell: Spell = quoted) -> None:
        self._spell = spell
        self._names: dict[str, str] = {}
        self._lines: list[str] = []

    def text(self, text: str) -> str:
        """A text of the syntax; nothing if it is empty."""
        return self._spell(text) if text else ""

    def is_tokens(self, text: str) -> bool:
        """Whether a text of the syntax is more than characters."""
        return self._spell(text) != quoted(text)

    def rule(self, body: str) -> str:
        return self._add(body, "r")

    def terminal(self, body: str) -> str:
        return self._add(body, "T")

    def json(self, schema: Mapping[str, Any], separators: tuple[str, str]) -> str:
        """JSON of a schema; `separators`: between items, and behind keys."""
        item, key = separators
        how = {"whitespace_flexible": False, "item_separator": item, "key_separator": key}
        return self.rule("%json " + json.dumps({**schema, "x-guidance": how}))

    def _add(self, body: str, kind: str) -> str:
        name = self._names.get(kind + body)
        if name is None:
            name = self._names[kind + body] = f"{kind}{len(self._names)}"
            self._lines.append(f"{name}: {body}")
        return name

    def begin(self, kind: str) -> str:
        """The name of a rule whose body comes later, by `end`."""
        return self._names.setdefault(f"later {len(self._names)}", f"{kind}{len(self._names)}")

    def end(self, name: str, body: str) -> None:
        self._lines.append(f"{name}: {body}")

    def grammar(self, start: str) -> str:
        return "\n".join([f"start: {start}", *self._lines, ""])


def without(*texts: str) -> str:
    """A terminal's expression of all that none of the texts is in."""
    return "/(?s:.*)/" + "".join(f" & ~/(?s:.*){escaped(text)}(?s:.*)/" for text in texts)


def escaped(text: str) -> str:
    """A text within a regular expression of Lark."""
    plain = str.isalnum
    return "".join(one if one.isascii() and plain(one) else f"\\u{{{ord(one):x}}}" for one in text)


def sequence(*parts: str) -> str:
    return " ".join(filter(None, parts))


def repeated(first: str, following: str, most: int) -> str:
    """`first`, and then `following` so often that there are at most `most` of both."""
    return sequence(first, f"({following}){{0,{most - 1}}}" if most > 1 else "")


def of_tool(tool: Tool, error: Exception) -> UnmetError:
    """What is wrong with a tool, which is named."""
    return UnmetError(f"The tool {tool.name!r} cannot be offered to this model: {error}")


def call_id(*of: object) -> str:
    """An id that is the same each time for the same call at the same place of a conversation."""
    number = int.from_bytes(sha256(repr(of).encode("utf-8", "replace")).digest(), "big")
    letters = []
    for _ in range(ID_CHARACTERS):
        number, letter = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[letter])
    return "".join(letters)


def json_text(value: Any) -> str:
    """A value as JSON, in characters that every encoding has if it has half of a surrogate pair."""
    text = json.dumps(value, ensure_ascii=False)
    return text if is_utf8(text) else json.dumps(value)


def calls_of(called: Sequence[Called], before: int) -> tuple[ToolCall, ...]:
    """Calls with ids that no other in the conversation has. `before`: how many there were."""
    calls: list[ToolCall] = []
    taken: set[str] = set()
    for number, one in enumerate(called, start=before):
        arguments = json_text(one.arguments)
        own = one.id if one.id and one.id not in taken else call_id(number, one.name, arguments)
        taken.add(own)
        calls.append(ToolCall(id=own, name=one.name, arguments=arguments))
    return tuple(calls)


def arguments_of(call: ToolCall) -> Any:
    """A call's arguments as a value; the text itself if it is not JSON."""
    try:
        return json.loads(call.arguments)
    except ValueError:
        return call.arguments
