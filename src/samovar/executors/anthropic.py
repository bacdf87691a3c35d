"""Answers prompts by any endpoint that speaks Anthropic's Messages API.

Above: `table.py`, which names it. Below: `endpoint_asking.py`, which does the asking; the dialect, in
`anthropic_messages.py`; the official client, imported when a run first asks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from samovar.config.declared import DeclaredExecutor
from samovar.errors import SamovarError
from samovar.executors.anthropic_messages import MessagesDialect
from samovar.executors.base import ExecutorAbilities
from samovar.executors.endpoint import (
    Provider,
    endpoint_of,
    host_of,
    is_remote_endpoint,
    objection_to,
)
from samovar.executors.endpoint_asking import EndpointConnection
from samovar.executors.endpoint_client import NO_KEY, http_client
from samovar.executors.table import Parts

PROVIDER = Provider(
    package="anthropic",
    url="https://api.anthropic.com",
    url_variable="ANTHROPIC_BASE_URL",
    key_variable="ANTHROPIC_API_KEY",
    headers_variable="ANTHROPIC_CUSTOM_HEADERS",
)


class AnthropicExecutor:
    """See `executors.base.Executor`."""

    needs_local_model: ClassVar[bool] = False
    takes: ClassVar[frozenset[str]] = frozenset(
        ("url", "model", "key", "silence_s", "input_price", "output_price")
    )
    abilities: ClassVar[ExecutorAbilities] = ExecutorAbilities(
        choices=True,
        schema=True,
        tools=True,
        sessions=True,
        fork=True,
        sampling=frozenset(("temperature", "top_p", "top_k")),
        stop=True,
        think=True,
        usage=True,
    )

    @classmethod
    def is_remote(cls, declared: DeclaredExecutor) -> bool:
        """See `table.Member`."""
        return is_remote_endpoint(declared, PROVIDER)

    @classmethod
    def where(cls, declared: DeclaredExecutor) -> str:
        """See `table.Member`."""
        return host_of(declared, PROVIDER)

    @classmethod
    def objection(cls, declared: DeclaredExecutor, model: str | None) -> SamovarError | None:
        """See `table.Member`."""
        if model is None and declared.model is None:
            return MessagesDialect.needs_model(declared)
        return objection_to(declared, PROVIDER)

    @classmethod
    def make(cls, parts: Parts) -> AnthropicExecutor:
        """See `table.Member`."""
        return cls(parts)

    def __init__(self, parts: Parts) -> None:
        self.name = parts.declared.name
        self._parts = parts

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[EndpointConnection]:
        declared = self._parts.declared
        endpoint = endpoint_of(declared, PROVIDER)
        import anthropic

        async with http_client(endpoint, self._parts.on_sent) as http:
            client = anthropic.AsyncAnthropic(
                api_key=endpoint.key or NO_KEY, base_url=endpoint.url, max_retries=0, http_client=http
            )
            most_chars = int(self._parts.settings.value_bytes)
            connection = EndpointConnection(MessagesDialect(client, declared), endpoint, declared, most_chars)
            try:
                yield connection
            finally:
                connection.close()
