"""What all executors of endpoints have in common: where they ask, what a run opens, what they take.

Above: `openai.py` and `anthropic.py`, each with its provider and its dialect. Below: `endpoint.py`, which
finds the endpoint and its key; `endpoint_asking.py`, which asks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self

from samovar.config.declared import DeclaredExecutor
from samovar.config.providers import Provider
from samovar.errors import SamovarError
from samovar.executors.endpoint import (
    Endpoint,
    endpoint_of,
    host_of,
    is_remote_endpoint,
    objection_to,
)
from samovar.executors.endpoint_asking import EndpointConnection, EndpointDialect
from samovar.executors.endpoint_client import http_client
from samovar.executors.table import Parts


class EndpointExecutor(ABC):
    """See `executors.base.Executor`; its class is a `table.Member` once it has `abilities`."""

    provider: ClassVar[Provider]
    needs_local_model: ClassVar[bool] = False
    takes: ClassVar[frozenset[str]] = frozenset(
        ("url", "model", "key", "silence_s", "input_price", "output_price")
    )

    @classmethod
    def is_remote(cls, declared: DeclaredExecutor) -> bool:
        """See `table.Member`."""
        return is_remote_endpoint(declared, cls.provider)

    @classmethod
    def where(cls, declared: DeclaredExecutor) -> str:
        """See `table.Member`."""
        return host_of(declared, cls.provider)

    @classmethod
    def objection(cls, declared: DeclaredExecutor, model: str | None) -> SamovarError | None:
        """See `table.Member`."""
        return objection_to(declared, cls.provider)

    @classmethod
    def make(cls, parts: Parts) -> Self:
        """See `table.Member`."""
        return cls(parts)

    def __init__(self, parts: Parts) -> None:
        self.name = parts.declared.name
        self._parts = parts

    @abstractmethod
    def dialect(self, endpoint: Endpoint, http: Any) -> EndpointDialect:
        """How it is spoken to, with the official client on top of `http`: the package is imported here."""

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[EndpointConnection]:
        declared = self._parts.declared
        endpoint = endpoint_of(declared, self.provider)
        async with http_client(endpoint, self._parts.on_sent) as http:
            most_chars = self._parts.settings.value_bytes
            connection = EndpointConnection(self.dialect(endpoint, http), endpoint, declared, most_chars)
            try:
                yield connection
            finally:
                connection.close()
