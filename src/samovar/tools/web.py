"""`web.fetch`: a page, if the settings allow its host. Without a rule `fetch:HOST` nothing can be fetched.

Above: the table. Below: the servers of a run, which fetch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from samovar.actions.effects import FetchesPage
from samovar.actions.tools import Tool, ToolResult, refused
from samovar.tools.base import Here, tool
from samovar.tools.pages import host_of, is_among
from samovar.tools.permission import may_fetch

TOOLS = (
    tool(
        "web.fetch",
        "Fetches a page of the web as text.",
        {"url": {"type": "string", "minLength": 8, "maxLength": 2000}},
        is_read=True,
    ),
)


class WebTools:
    """See `base.Source`."""

    async def tools(self, patterns: Sequence[str], here: Here) -> Sequence[Tool]:
        return TOOLS

    async def call(self, name: str, arguments: Mapping[str, Any], here: Here) -> ToolResult:
        hosts, url = may_fetch(here.context.settings.allow), arguments["url"]
        host = host_of(url)
        if host is None:
            return refused("Only http:// and https:// addresses, without a name and a password, are fetched.")
        if not is_among(host, hosts):
            here.context.warn(
                f"The model wanted to fetch a page of {host[:100]!r}, which is not allowed. To allow it, set "
                f'allow = ["fetch:{host[:100]}"] in your settings.'
            )
            return refused(f"Pages of {host[:100]!r} are not allowed. Do without them.")
        return await here.effect(FetchesPage(url=url, hosts=hosts))
