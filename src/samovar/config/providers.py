"""Whose dialects and programs executors speak, and the names by which their users know them: data.

Above: the executors themselves, and whoever looks for keys, endpoints or programs before a run. Below:
nothing, so that it costs nothing to ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who speaks a dialect first, and by which names its users know that."""

    package: str
    """The official client, a package of Python and an extra of Samovar."""
    url: str
    """The provider's own endpoint."""
    url_variable: str
    """The variable of the environment that names another one."""
    key_variable: str
    headers_variable: str
    """The variable whose lines, `NAME: VALUE`, the official client sends with each request."""
    account_headers: frozenset[str] = frozenset()
    """Headers, in small letters, that the official client fills from variables of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownProgram:
    """A program that a kind of executors starts if nobody names another one."""

    name: str
    key_variables: tuple[str, ...]
    """The variables of the environment that have its keys."""
    url_variable: str
    """The variable that says whom it asks."""
    variables: tuple[str, ...] = ()
    """Others that it may see."""


OPENAI = Provider(
    package="openai",
    url="https://api.openai.com/v1",
    url_variable="OPENAI_BASE_URL",
    key_variable="OPENAI_API_KEY",
    headers_variable="OPENAI_CUSTOM_HEADERS",
    account_headers=frozenset(("openai-organization", "openai-project")),
)
ANTHROPIC = Provider(
    package="anthropic",
    url="https://api.anthropic.com",
    url_variable="ANTHROPIC_BASE_URL",
    key_variable="ANTHROPIC_API_KEY",
    headers_variable="ANTHROPIC_CUSTOM_HEADERS",
)
CLAUDE = KnownProgram(
    name="claude",
    key_variables=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
    url_variable="ANTHROPIC_BASE_URL",
    variables=("CLAUDE_CONFIG_DIR",),
)
PROVIDERS: Mapping[str, Provider] = {"openai": OPENAI, "anthropic": ANTHROPIC}
"""By kind of executor."""
PROGRAMS: Mapping[str, KnownProgram] = {"claude-code": CLAUDE}
"""By kind of executor."""
