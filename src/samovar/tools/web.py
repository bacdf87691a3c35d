"""`web.fetch`: a page, if the settings allow its host. Without a rule `fetch:HOST` nothing can be fetched.

Above: the table. Below: the servers of a run, which fetch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from samovar.actions.base import brief
from samovar.actions.effects import FetchesPage
from samovar.actions.tools import OfferedTool, ToolResult
from samovar.tools.base import Here, tool
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

    async def tools(self, patterns: Sequence[str], here: Here) -> Sequence[OfferedTool]:
        return TOOLS

    async def call(self, name: str, arguments: Mapping[str, Any], here: Here) -> ToolResult:
        hosts, url = may_fetch(here.context.settings.allow), arguments["url"]
        result = await here.effect(FetchesPage(url=url, hosts=hosts))
        if result.is_refused:
            here.context.warn(
                f"The model wanted to fetch {brief(url, 200)!r}, which is not allowed. To allow pages of a "
                'host, set allow = ["fetch:HOST"] in your settings.'
            )
        return result
