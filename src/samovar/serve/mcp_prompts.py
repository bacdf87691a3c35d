"""The prompts of the library as prompts of the Model Context Protocol.

Above: `mcp_server.py`. Below: the library. A client's values are texts, and stay texts: nothing of them is a
template.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio.to_thread
import mcp_types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from samovar.app import App, surroundings
from samovar.errors import NotFoundError, SamovarError, UsageError
from samovar.language.prompt import Prompt
from samovar.preflight.prompts import preview_prompt

MOST_CHARS = 1_000_000
Context = ServerRequestContext[Any, Any]


class LibraryPrompts:
    """The prompts of one server."""

    def __init__(self, app: App, folder: Path) -> None:
        self._app, self._folder = app, folder

    async def listed(
        self, context: Context, params: mcp_types.PaginatedRequestParams | None
    ) -> mcp_types.ListPromptsResult:
        """Those that can be used, by name; what begins with a dot is for workflows alone."""
        prompts = await anyio.to_thread.run_sync(self._prompts)
        return mcp_types.ListPromptsResult(prompts=[_wire(one) for one in prompts])

    def _prompts(self) -> list[Prompt]:
        library = self._app.library
        names = (one.name for one in library.prompts() if one.fault is None)
        return [library.prompt(name) for name in names if not name.rpartition("/")[2].startswith(".")]

    async def get(
        self, context: Context, params: mcp_types.GetPromptRequestParams
    ) -> mcp_types.GetPromptResult:
        """A prompt with its values filled in. Raises `MCPError`."""
        try:
            return await anyio.to_thread.run_sync(self._filled, params.name, dict(params.arguments or {}))
        except (SamovarError, RecursionError) as error:
            message = error.message if isinstance(error, SamovarError) else "The values are too deep."
            raise MCPError(code=mcp_types.INVALID_PARAMS, message=message[:4000]) from None

    def _filled(self, name: str, given: dict[str, str]) -> mcp_types.GetPromptResult:
        known = {one.name: one for one in self._prompts()}
        if name not in known:
            raise NotFoundError("prompt", name[:200], known)
        prompt = known[name]
        own = {one.name for one in prompt.parameters if not one.secret}
        values = surroundings(self._app.settings, self._folder)
        values |= {key: text for key, text in given.items() if key in own | prompt.template.names}
        messages = preview_prompt(prompt, None, values, self._app.library)
        if len(text := messages[-1].text()) > MOST_CHARS:
            raise UsageError(f"It has {len(text):,} characters; the most is {MOST_CHARS:,}.")
        content = mcp_types.TextContent(type="text", text=text)
        return mcp_types.GetPromptResult(
            description=prompt.description,
            messages=[mcp_types.PromptMessage(role="user", content=content)],
        )


def _wire(prompt: Prompt) -> mcp_types.Prompt:
    return mcp_types.Prompt(
        name=prompt.name,
        title=prompt.title,
        description=prompt.description,
        arguments=[
            mcp_types.PromptArgument(
                name=one.name,
                description=one.description or None,
                required=one.required and one.default is None,
            )
            for one in prompt.parameters
            if not one.secret
        ],
    )
