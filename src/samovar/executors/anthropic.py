"""Answers prompts by any endpoint that speaks Anthropic's Messages API.

Above: `table.py`, which names it. Below: `endpoint_executor.py`, which does the rest; the dialect, in
`anthropic_messages.py`; the official client, imported when a run first asks.
"""

from __future__ import annotations

from typing import Any, ClassVar

from samovar.config.declared import DeclaredExecutor
from samovar.config.providers import ANTHROPIC, Provider
from samovar.errors import SamovarError
from samovar.executors.anthropic_messages import MessagesDialect
from samovar.executors.base import ExecutorAbilities
from samovar.executors.endpoint import Endpoint
from samovar.executors.endpoint_asking import EndpointDialect
from samovar.executors.endpoint_client import NO_KEY
from samovar.executors.endpoint_executor import EndpointExecutor


class AnthropicExecutor(EndpointExecutor):
    """See `executors.base.Executor`."""

    provider: ClassVar[Provider] = ANTHROPIC
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
    def objection(cls, declared: DeclaredExecutor, model: str | None) -> SamovarError | None:
        """See `table.Member`."""
        if model is None and declared.model is None:
            return MessagesDialect.needs_model(declared)
        return super().objection(declared, model)

    def dialect(self, endpoint: Endpoint, http: Any) -> EndpointDialect:
        import anthropic

        client = anthropic.AsyncAnthropic(
            api_key=endpoint.key or NO_KEY, base_url=endpoint.url, max_retries=0, http_client=http
        )
        return MessagesDialect(client, self._parts.declared)
