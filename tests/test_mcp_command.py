"""`samovar mcp` as a process of its own, and the same server over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

pytest.importorskip("mcp")
pytest.importorskip("uvicorn")

import httpx2
import mcp_types
import uvicorn
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from starlette.applications import Starlette

from samovar.config import load_settings
from samovar.serve.mcp_opening import open_server
from samovar.serve.mcp_server import http_door
from tests.mcp_project import (
    ASKING,
    ASKS,
    COUNT,
    ERAS,
    LINE,
    Opened,
    Project,
    User,
    error_of,
    project,
    value_of,
)
from tests.test_mcp_questions import WORD, answered, asked

__all__ = ["project"]
pytestmark = [pytest.mark.anyio, pytest.mark.slow]
both = pytest.mark.parametrize("era", ERAS)
COMMAND = (sys.executable, "-m", "samovar", "mcp")
MOST_S = 120.0
SLEEPS = 'A: Shell "echo $$ > pid; exec sleep 1000"'


def until(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + MOST_S
    while not is_so():
        assert time.monotonic() < end_s


def pid_in(file: Path) -> int:
    until(lambda: file.exists() and file.read_text().strip() != "")
    return int(file.read_text())


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def parameters(folder: Path, **more: str) -> StdioServerParameters:
    return StdioServerParameters(
        command=COMMAND[0], args=list(COMMAND[1:]), env={**os.environ, **more}, cwd=str(folder)
    )


@both
async def test_a_client_starts_the_command_and_speaks_with_it(project: Project, era: str) -> None:
    project.write("asks", ASKS, ASKING, WORD)
    project.write("loud", LINE, 'A: Shell "echo out; echo err >&2" result="v"', "expose: true\nreturns: v")
    user = User(True, "red")
    with anyio.fail_after(MOST_S):
        server = stdio_client(parameters(project.folder, SAMOVAR_TRUST="1"))
        async with Client(server, mode=era, cache=None, elicitation_callback=user) as client:
            names = [one.name for one in (await client.list_tools()).tools]
            assert names == ["asks", "loud", "run_status", "run_cancel"]
            assert value_of(await client.call_tool("asks", {})) == {"result": "red"}
            assert value_of(await client.call_tool("loud", {})) == {"result": "out"}


@contextmanager
def started(folder: Path, *options: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *options],
        cwd=folder,
        env={**os.environ, **more},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()


def send(process: subprocess.Popen[str], method: str, number: int | None = None, **params: Any) -> None:
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    assert process.stdin is not None
    process.stdin.write(json.dumps(message | ({} if number is None else {"id": number})) + "\n")
    process.stdin.flush()


def greet(process: subprocess.Popen[str]) -> dict[str, Any]:
    about = {"name": "test", "version": "1"}
    send(process, "initialize", 1, protocolVersion="2025-06-18", capabilities={}, clientInfo=about)
    assert process.stdout is not None
    greeting: dict[str, Any] = json.loads(process.stdout.readline())
    send(process, "notifications/initialized")
    return greeting


def test_standard_output_has_messages_of_the_protocol_alone_whatever_comes_in(project: Project) -> None:
    project.write("count", LINE, "A: Set a := n + 1", COUNT)
    with started(project.folder) as process:
        assert greet(process)["result"]["serverInfo"]["name"] == "samovar"
        assert process.stdin is not None
        process.stdin.write('nonsense\n\n{"jsonrpc": "2.0"}\n[]\n"\\ud800"\n')
        send(process, "tools/call", 2, name="count", arguments={"n": 1})
        process.stdin.close()
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        assert process.wait(MOST_S) == 0
    messages = [json.loads(line) for line in lines]
    assert all(one["jsonrpc"] == "2.0" for one in messages)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_server_its_run_and_the_commands(project: Project, number: signal.Signals) -> None:
    project.write("long", LINE, SLEEPS)
    with started(project.folder, SAMOVAR_TRUST="1") as process:
        greet(process)
        send(process, "tools/call", 2, name="long", arguments={})
        pid = pid_in(project.folder / "pid")
        process.send_signal(number)
        assert process.wait(MOST_S) == 128 + number
        until(lambda: not is_alive(pid))
        assert process.stderr is not None and "Traceback" not in process.stderr.read()


def test_a_client_that_is_killed_leaves_neither_server_nor_command(project: Project) -> None:
    project.write("long", LINE, SLEEPS)
    client = (
        "import subprocess, sys, json, time\n"
        "p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)\n"
        "open('server', 'w').write(str(p.pid))\n"
        "def say(**m): p.stdin.write(json.dumps({'jsonrpc': '2.0', **m}) + chr(10)); p.stdin.flush()\n"
        "say(id=1, method='initialize', params={'protocolVersion': '2025-06-18', 'capabilities': {},"
        " 'clientInfo': {'name': 't', 'version': '1'}})\n"
        "p.stdout.readline()\n"
        "say(method='notifications/initialized')\n"
        "say(id=2, method='tools/call', params={'name': 'long', 'arguments': {}})\n"
        "p.stdout.read()\n"
    )
    environment = {**os.environ, "SAMOVAR_TRUST": "1"}
    process = subprocess.Popen([sys.executable, "-c", client, *COMMAND], cwd=project.folder, env=environment)
    try:
        pid, server = pid_in(project.folder / "pid"), pid_in(project.folder / "server")
        assert is_alive(pid) and is_alive(server)
    finally:
        process.kill()
        process.wait()
    until(lambda: not is_alive(server) and not is_alive(pid))


async def test_a_server_that_is_killed_leaves_no_lock_and_another_one_goes_on(project: Project) -> None:
    project.write("asks", ASKS, ASKING, WORD)
    with anyio.fail_after(MOST_S):
        file = project.folder / "server"
        words = f'echo $$ > {file.name}; exec "$@"'
        command = StdioServerParameters(
            command="sh", args=["-c", words, "sh", *COMMAND], env=dict(os.environ), cwd=str(project.folder)
        )
        async with Client(stdio_client(command), cache=None, elicitation_callback=User()) as one:
            first = await asked(one, "asks")
            assert isinstance(first, mcp_types.InputRequiredResult)
            os.kill(int(file.read_text()), signal.SIGKILL)
        server = stdio_client(parameters(project.folder))
        async with Client(server, cache=None, elicitation_callback=User()) as other:
            second = await answered(other, "asks", first, Ok=False)
            assert value_of(second) == {"result": "refused"}


def test_the_folder_can_be_named_and_what_is_not_there_is_an_error(project: Project, tmp_path: Path) -> None:
    project.write("count", LINE, "A: Set a := n + 1", COUNT)
    with started(tmp_path, "--folder", project.folder.name) as process:
        greet(process)
        send(process, "tools/list", 2)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["result"]["tools"][0]["name"] == "count"
    done = subprocess.run(
        [*COMMAND, "--folder", "nowhere"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "--folder cannot be 'nowhere'" in done.stderr and not done.stdout


# Over HTTP ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def over_http(opened: Opened) -> AsyncIterator[str]:
    """The address of the server, over HTTP in this process."""
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    door = http_door(opened.server, hosts=[f"127.0.0.1:{port}"])
    web = Starlette(routes=[door.route], lifespan=lambda app: door.manager.run())
    server = uvicorn.Server(uvicorn.Config(web, log_level="critical", timeout_graceful_shutdown=5, ws="none"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [taken])
        while not server.started:
            await checkpoint()
        try:
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.should_exit = True


@both
async def test_the_same_tools_are_there_over_http(project: Project, era: str) -> None:
    project.write("count", LINE, "A: Set a := n + 1", COUNT)
    project.write("asks", ASKS, ASKING, WORD)
    user = User(True, "red")
    async with (
        project.server() as opened,
        over_http(opened) as url,
        Client(url, mode=era, cache=None, elicitation_callback=user) as client,
    ):
        assert value_of(await client.call_tool("count", {"n": 2})) == {"a": 3}
        assert error_of(await client.call_tool("count", {"n": "x"}))["code"] == "usage"
        assert value_of(await client.call_tool("asks", {})) == {"result": "red"}


async def test_a_request_for_another_host_or_from_a_page_is_refused(project: Project) -> None:
    async with project.server() as opened, over_http(opened) as url, httpx2.AsyncClient() as web:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            reply = await web.post(url, json={}, headers=headers)
            assert reply.status_code in (403, 421)


async def test_a_client_that_goes_away_stops_its_run_over_http(project: Project) -> None:
    project.write("long", LINE, SLEEPS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMOVAR_TRUST", "1")
        async with project.server() as opened, over_http(opened) as url:
            file = project.folder / "pid"

            async def call() -> None:
                async with Client(url, cache=None) as client:
                    await client.call_tool("long", {})

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                while not file.exists() or not file.read_text().strip():
                    await checkpoint()
                tasks.cancel_scope.cancel()
            pid = int(file.read_text())
            while is_alive(pid):
                await checkpoint()


async def test_two_clients_at_once_use_one_loaded_model(project: Project, tiny_model: Path) -> None:
    project.write(
        "say",
        LINE,
        'A: Prompt "Say ${n}" using max_tokens=3',
        COUNT.replace("returns: {a: {type: integer}}", ""),
    )
    settings = load_settings({"model": str(tiny_model)})
    with anyio.fail_after(MOST_S):
        async with open_server(settings) as (server, runs), over_http(Opened(server, runs)) as url:

            async def use(n: int) -> None:
                async with Client(url, cache=None) as client:
                    assert not (await client.call_tool("say", {"n": n})).is_error

            async with anyio.create_task_group() as tasks:
                for n in (1, 2, 3):
                    tasks.start_soon(use, n)
            [use_of_model] = runs.app.pool.statistics().models
            assert use_of_model.loads == 1
