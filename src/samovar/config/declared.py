"""Executors and servers of tools that settings declare in their own tables.

Above: `settings.py`, whose fields these are; the shelves that make executors and tools of them. Below:
nothing. Keys are named here, never written: anyone who shows a setting shows no secret.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Permission = Literal["deny", "ask", "allow"]
"""What happens when a program that answers prompts wants to do something itself: it may not, the person is
asked, it may."""


def table_of(shelf: str, name: str) -> str:
    """A table as a file of settings has it: `[executors.mine]`, `[executors."my own"]`."""
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
    return f"[{shelf}.{key}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredExecutor:
    """An executor, as `[executors.NAME]` declares it. Which of the keys a kind takes, its class says."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str
    """What workflows call it."""
    kind: str = ""
    """Kind from `executors/table.py`; empty: its name is the kind."""
    url: str | None = None
    """Where an endpoint is; None: what the environment says, else the provider's own."""
    model: str | None = None
    """What answers prompts that name no model; None: what the endpoint or the program chooses."""
    key: str | None = None
    """Where the key is: `env:NAME` or `file:PATH`; None: the kind's usual variable of the environment."""
    command: tuple[str, ...] = ()
    """The program and its arguments; empty: the kind's own program, found on PATH."""
    environment: tuple[str, ...] = ()
    """Names of variables that the program gets, besides those that every program needs."""
    permission: Permission = "deny"
    """What the program may do itself."""
    own_tools: tuple[str, ...] = ()
    """The program's own tools that it may use, by its own names."""
    silence_s: float = 120.0
    """Given up when nothing came for this long, in seconds."""
    input_price: float | None = None
    """For a million tokens of prompts, in any currency; None: unknown, which is not zero."""
    output_price: float | None = None
    """For a million tokens of answers."""

    @property
    def table(self) -> str:
        """What a message calls it."""
        return table_of("executors", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredServer:
    """A server of tools, as `[servers.NAME]` declares it: a program or a URL."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str
    """Stands before the names of its tools, as in `git.log`."""
    command: tuple[str, ...] = ()
    """The program and its arguments, which is spoken to by its standard input and output."""
    url: str | None = None
    """Where it is spoken to by streamable HTTP."""
    folder: str | None = None
    """Where the program is started; None: where the run is."""
    environment: tuple[str, ...] = ()
    """Names of variables that the program gets, besides those that every program needs."""
    headers: dict[str, str] = field(default_factory=dict, hash=False)
    """Sent with each request, by name: each value is `env:NAME` or `file:PATH`, never the text itself."""
    timeout_s: float = 60.0
    """How long one call may take, in seconds."""
    sampling: bool = False
    """While one of its tools is called, the server may have the run's model write texts."""
    elicitation: bool = False
    """While one of its tools is called, the server may ask the person questions."""

    @property
    def table(self) -> str:
        """What a message calls it."""
        return table_of("servers", self.name)
