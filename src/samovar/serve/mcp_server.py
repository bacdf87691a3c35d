"""The server of the Model Context Protocol: exposed workflows as tools, the library's prompts as prompts.

Above: `mcp_stdio.py` and the HTTP door, which carry it. Below: the package `mcp`, whose low-level server
speaks both eras of the protocol and leaves all checks of values to us. What an answer to a question is sent
back with is sealed by the package, with a key of the user's that outlives this process.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.routing import Route

from samovar import __version__
from samovar.app import App
from samovar.serve.mcp_prompts import LibraryPrompts
from samovar.serve.mcp_tools import ExposedTools
from samovar.serve.runs import WorkflowRuns

NAME = "samovar"
INSTRUCTIONS = (
    "Each tool runs a workflow of this project on a model of this machine, which can take minutes: progress "
    "tells how far it is. A run that waits for an answer stays: `run_status` reports it, also later."
)
ANSWERED_WITHIN_S = 30 * 24 * 3600.0
"""How long a question can be answered by a client: as long as runs are kept if nothing is set."""
PATH = "/mcp"


def make_server(app: App, runs: WorkflowRuns, key: bytes) -> Server[object]:
    """`key`: seals what a client sends back with its answers; whoever has it can answer for any run."""
    tools, prompts = ExposedTools(runs), LibraryPrompts(app, runs.folder)
    server: Server[object] = Server(
        NAME,
        version=__version__,
        instructions=INSTRUCTIONS,
        on_list_tools=tools.listed,
        on_call_tool=tools.call,
        on_list_prompts=prompts.listed,
        on_get_prompt=prompts.get,
    )
    security = RequestStateSecurity(keys=[key], ttl=ANSWERED_WITHIN_S)
    server.middleware.append(RequestStateBoundary(security, default_audience=NAME))
    return server


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpDoor:
    """The server over streamable HTTP: a route, and what has to be open while it is used."""

    route: Route
    manager: StreamableHTTPSessionManager
    """Entered for as long as the application lives: `async with manager.run()`."""


def http_door(server: Server[object], *, hosts: list[str] | None = None) -> HttpDoor:
    """`hosts`: those that a request may name, as in `127.0.0.1:*`; None: somebody above checks that."""
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=hosts is not None, allowed_hosts=hosts or [], allowed_origins=[]
    )
    manager = StreamableHTTPSessionManager(app=server, security_settings=security)
    return HttpDoor(route=Route(PATH, endpoint=StreamableHTTPASGIApp(manager)), manager=manager)
