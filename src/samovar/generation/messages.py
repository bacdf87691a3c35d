"""Messages of a conversation, their parts, and the tools that a model may call, as plain values.

Above: `__init__.py`. Below: nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Self

Role = Literal["system", "user", "assistant", "tool"]
"""`tool`: what a tool gave back."""
PartKind = Literal["text", "reasoning", "call"]
"""What a part of an answer is: what was asked for, what the model thought before it, or the calls of tools
behind it, as the model writes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePart:
    """One stretch of an answer that is all of one kind."""

    kind: PartKind = "text"
    text: str
    tokens: tuple[int, ...] = field(default=(), compare=False, repr=False)
    """The model's own numbers of the tokens it was made of, its markers and blanks among them; empty if
    anyone who answered does not tell them."""


def joined(parts: Iterable[MessagePart], kind: PartKind = "text") -> str:
    """The text of all parts of one kind."""
    return "".join(part.text for part in parts if part.kind == kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """A tool as it is offered to a model."""

    name: str
    """Letters, digits, `_`, `-` and `.`."""
    description: str
    """For the model; it is data, no matter who wrote it."""
    parameters: str
    """The JSON Schema of its arguments, which are an object, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model wants a tool to be used."""

    id: str
    """Tells calls of a conversation apart."""
    name: str
    """As in its `ToolDefinition`."""
    arguments: str
    """An object, as JSON; as the model wrote it, which may be wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation. `content` is data: no part of it becomes a control token."""

    role: Role
    content: str
    """Its text, without what was only thought."""
    parts: tuple[MessagePart, ...] = ()
    """If it is more than one text: all of it, `content` included; else empty."""
    secret: bool = False
    """While it is in a conversation, nothing that is evaluated for it is written to disk."""
    calls: tuple[ToolCall, ...] = ()
    """For an assistant: the tools that it wants to use. Their results follow, one message each."""
    call: ToolCall | None = None
    """For a tool: the call that `content` is the result of."""

    def __post_init__(self) -> None:
        if self.parts and joined(self.parts) != self.content:
            raise ValueError("the content of a message is the text of its parts")

    @classmethod
    def of_parts(cls, role: Role, parts: Iterable[MessagePart]) -> Self:
        """A message of these parts; one that is only text is a plain one. Calls are no part of it."""
        parts = tuple(part for part in parts if part.kind != "call")
        is_plain = all(part.kind == "text" for part in parts)
        return cls(role=role, content=joined(parts), parts=() if is_plain else parts)

    @property
    def reasoning(self) -> str:
        """What was thought before the text; templates get it only if they ask for it."""
        return joined(self.parts, "reasoning")
