"""HTTP of the daemon: nobody without the token, no page of another origin, nothing too long or too slow."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from samovar.serve.http_checks import Checks
from samovar.serve.http_options import HttpOptions
from tests.test_serve import WAIT_S, Place, place, until

__all__ = ["place"]

TOKEN = "sv-" + "x" * 40


async def figures() -> dict[str, Any]:
    return {"well": True}


def asked(
    *headers: tuple[str, str], method: str = "GET", is_trusted: bool = False, body: bytes = b"", **given: Any
) -> tuple[int, dict[str, Any]]:
    """What the checks answer, with the status of an application that takes the whole body."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def main() -> None:
        pieces = [body[at : at + 10] for at in range(0, len(body), 10)] or [b""]

        async def receive() -> dict[str, Any]:
            if not pieces:
                await anyio.sleep_forever()
            piece = pieces.pop(0)
            return {
                "type": "http.request",
                "body": piece,
                "more_body": bool(pieces) or given.get("slow", False),
            }

        async def send(message: Any) -> None:
            seen.append(message)

        checks = Checks(
            application=app, token=TOKEN, hosts=HttpOptions().hosts, most_body_bytes=100, body_s=0.2
        )
        scope = {
            "type": "http",
            "method": method,
            "headers": [(name.encode(), value.encode()) for name, value in headers],
            "state": {"is_trusted": is_trusted},
        }
        with anyio.fail_after(30):
            await checks(scope, receive, send)

    anyio.run(main)
    return seen[0]["status"], json.loads(seen[1]["body"])


HOST, KEY = ("host", "127.0.0.1:8377"), ("x-api-key", TOKEN)
BEARER = ("authorization", f"Bearer {TOKEN}")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([HOST, KEY], 204),
        ([HOST, BEARER], 204),
        ([("host", "[::1]:1"), KEY], 204),
        ([("host", "localhost"), KEY, ("origin", "http://localhost")], 204),
        ([HOST], 401),
        ([HOST, ("x-api-key", TOKEN[:-1])], 401),
        ([HOST, ("authorization", f"Bearer {TOKEN}x")], 401),
        ([HOST, ("x-api-key", "\u00e9")], 401),
        ([KEY], 421),
        ([("host", "evil.example"), KEY], 421),
        ([("host", "127.0.0.1.evil.example:8377"), KEY], 421),
        ([HOST, HOST, KEY], 400),
        ([HOST, KEY, ("origin", "http://evil.example")], 403),
        ([HOST, KEY, ("origin", "null")], 403),
        ([HOST, KEY, ("sec-fetch-site", "cross-site")], 403),
        ([HOST, KEY, ("content-length", "101")], 413),
    ],
)
def test_who_may_ask(headers: list[tuple[str, str]], status: int) -> None:
    got, body = asked(*headers)
    assert got == status
    assert status == 204 or (body["error"]["message"] and TOKEN not in json.dumps(body))


def test_over_the_socket_no_token_is_needed_but_a_page_of_another_origin_is_refused() -> None:
    assert asked(is_trusted=True)[0] == 204
    assert asked(("origin", "http://evil.example"), is_trusted=True)[0] == 403


def test_a_body_that_is_too_long_or_too_slow_ends_the_request() -> None:
    assert asked(HOST, KEY, body=b"x" * 100)[0] == 204
    assert asked(HOST, KEY, body=b"x" * 101)[0] == 413
    assert asked(HOST, KEY, body=b"x", slow=True)[0] == 408


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["host", "x-api-key", "authorization", "origin", "content-length"]),
            st.text(max_size=40),
        )
    )
)
def test_no_other_headers_get_in(headers: list[tuple[str, str]]) -> None:
    assert asked(*headers)[0] in (400, 401, 421)


@pytest.mark.slow
def test_a_daemon_speaks_http_over_both_ways_to_those_who_may(place: Place) -> None:
    with place.daemon("--port", "0") as process:
        url = place.line.rsplit(" ", 1)[1].strip()
        token = place.run("serve", "--token").stdout.strip()
        path = place.socket.with_name("token")
        assert path.read_text().strip() == token and path.stat().st_mode & 0o777 == 0o600
        with httpx2.Client(base_url=url, timeout=WAIT_S) as client:
            assert client.get("/status").status_code == 401
            for _ in range(3):
                found = client.get("/status", headers={"x-api-key": token})
                assert found.json()["process"] == process.pid
            assert client.get("/none", headers={"authorization": f"Bearer {token}"}).status_code == 404
            assert (
                client.get("/status", headers={"x-api-key": token, "host": "evil.example"}).status_code == 421
            )
            assert "access-control-allow-origin" not in found.headers and "server" not in found.headers
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(place.socket)), timeout=WAIT_S) as client:
            assert client.get("http://samovar/status").json()["process"] == process.pid
        host, port = url.removeprefix("http://").split(":")
        for raw in (
            b"\0" * 1000,
            b"GET / HTTP/9\r\n\r\n",
            b"GET /status HTTP/1.1\r\n" + b"a: b\r\n" * 10_000,
        ):
            with socket.create_connection((host, int(port)), timeout=WAIT_S) as peer:
                peer.sendall(raw)
                assert b"200" not in peer.recv(100)
        until(lambda: place.figures()["clients"] == 0)
    assert place.run("run", "two.md", "--no-journal").returncode == 0


@pytest.mark.slow
def test_other_machines_need_tls_or_a_word(place: Place) -> None:
    failed = place.run("serve", "--host", "0.0.0.0")
    assert failed.returncode == 2 and "--insecure" in failed.stderr
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        cwd=place.folder, capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl is not here")
    assert place.run("serve", "--tls", "cert.pem", "none.pem").returncode == 2
    with place.daemon("--host", "0.0.0.0", "--port", "0", "--tls", "cert.pem", "key.pem"):
        port = place.line.strip().rpartition(":")[2]
        context = ssl.create_default_context(cafile=str(place.folder / "cert.pem"))
        with httpx2.Client(verify=context, timeout=WAIT_S) as client:
            assert client.get(f"https://localhost:{port}/status").status_code == 401
            token = place.run("serve", "--token").stdout.strip()
            assert (
                client.get(f"https://localhost:{port}/status", headers={"x-api-key": token}).status_code
                == 200
            )


@pytest.mark.slow
def test_a_token_that_others_may_read_is_refused(place: Place) -> None:
    token = place.run("serve", "--token").stdout
    assert place.run("serve", "--token").stdout == token
    place.socket.with_name("token").chmod(0o644)
    failed = place.run("serve", "--token")
    assert failed.returncode == 2 and "Others may read" in failed.stderr


@pytest.mark.slow
def test_a_service_is_written_and_not_turned_on(place: Place) -> None:
    home = {"XDG_CONFIG_HOME": str(place.folder / "config")}
    for _ in range(2):
        done = place.run("serve", "--install", environment=home)
        assert done.returncode == 0 and "systemctl --user enable --now samovar" in done.stdout
    (unit,) = (place.folder / "config").rglob("*.service")
    assert f'ExecStart="{sys.executable}" -P -m samovar serve' in unit.read_text()
    unit.write_text("mine")
    assert place.run("serve", "--install", environment=home).returncode == 2
    assert unit.read_text() == "mine"


@pytest.mark.slow
def test_the_model_api_and_runs_share_one_load(place: Place) -> None:
    with place.daemon("--port", "0"):
        url = place.line.rsplit(" ", 1)[1].strip()
        headers = {"x-api-key": place.run("serve", "--token").stdout.strip()}
        said: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
        with httpx2.Client(base_url=url, timeout=WAIT_S, headers=headers) as client:
            nothing = client.get("/v1/nothing")
            assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "not_found_error")
            assert client.get("/v1/chat/completions").status_code == 405
            (model,) = client.get("/v1/models").json()["data"]
            said["model"] = model["id"]
            answer = client.post("/v1/chat/completions", json=said)
            assert answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] > 0, answer.text
            counted = client.post(
                "/v1/messages/count_tokens",
                json={name: said[name] for name in ("model", "messages")},
                headers={"anthropic-version": "2023-06-01"},
            )
            assert counted.json()["input_tokens"] == answer.json()["usage"]["prompt_tokens"], counted.text
            assert client.post("/v1/embeddings", json={"model": model["id"], "input": "x"}).status_code == 200
        assert place.run("run", "two.md", "--no-journal").returncode == 0
        (loaded,) = place.figures()["worker"]["models"]
        assert loaded["loads"] == 1


EXPOSED = """---
expose: true
description: Says something about a thing.
parameters: [{name: thing, type: string, required: true, description: What it is about.}]
returns: {said: {type: string}}
---
```mermaid
stateDiagram-v2
    [*] --> Say
    Say --> [*]
```

## Actions

- Say: Prompt "Say something about {{ thing }}" result="said" using max_tokens=8
"""


@pytest.mark.slow
def test_the_exposed_workflows_of_its_folder_are_tools_and_models_of_the_same_load(place: Place) -> None:
    workflows = place.folder / ".samovar" / "workflows"
    workflows.mkdir(parents=True)
    (workflows / "about.md").write_text(EXPOSED)
    (workflows / "hidden.md").write_text(EXPOSED.replace("expose: true", "expose: false"))
    with place.daemon("--port", "0"):
        url = place.line.rsplit(" ", 1)[1].strip()
        headers = {"x-api-key": place.run("serve", "--token").stdout.strip()}
        said = {"model": "workflow/about", "messages": [{"role": "user", "content": "tea"}]}
        with httpx2.Client(base_url=url, timeout=WAIT_S, headers=headers) as client:
            names = [one["id"] for one in client.get("/v1/models").json()["data"]]
            assert names[1:] == ["workflow/about"]
            answer = client.post("/v1/chat/completions", json=said)
            assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"], (
                answer.text
            )
        called = anyio.run(call_about, url, headers)
        assert called.structured_content == json.loads(answer.json()["choices"][0]["message"]["content"])
        with pytest.raises(ExceptionGroup):  # nobody without the token
            anyio.run(call_about, url, {})
        (loaded,) = place.figures()["worker"]["models"]
        assert loaded["loads"] == 1
    assert "completed" in place.run("runs").stdout


async def call_about(url: str, headers: dict[str, str]) -> Any:
    with anyio.fail_after(WAIT_S):
        async with (
            httpx2.AsyncClient(headers=headers, timeout=WAIT_S) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
        ):
            return await client.call_tool("about", {"thing": "tea"})


@pytest.mark.slow
def test_a_place_that_cannot_keep_runs_costs_the_workflows_and_not_the_models(place: Place) -> None:
    (place.folder / "no folder").write_text("x")
    journal = str(place.folder / "no folder" / "below" / "j.db")
    with place.daemon("--port", "0", environment={"SAMOVAR_JOURNAL_FILE": journal}):
        url = place.line.rsplit(" ", 1)[1].strip()
        headers = {"x-api-key": place.run("serve", "--token").stdout.strip()}
        with httpx2.Client(base_url=url, timeout=WAIT_S, headers=headers) as client:
            assert client.get("/v1/models").status_code == 200
            refused = client.post("/mcp", json={})
            assert refused.status_code == 503 and "no folder" in refused.json()["error"]["message"]
