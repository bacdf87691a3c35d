"""Where an endpoint is and what opens it: from the user's settings and environment, and shown to nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from samovar.config.declared import DeclaredExecutor
from samovar.config.providers import ANTHROPIC, OPENAI
from samovar.errors import AuthError, SamovarError, UnreachableError, UsageError
from samovar.executors import endpoint
from samovar.executors.endpoint import endpoint_of, is_this_machine
from samovar.executors.endpoint_forms import ToolNames
from samovar.generation import Message, TokenCounts
from tests.endpoint import Behaviour, closed_port, served
from tests.executor_makers import KEY, endpoint_rig, llama_server, request, url_for
from tests.test_executor_contract import TOOLS, ignore


def declared(**keys: Any) -> DeclaredExecutor:
    return DeclaredExecutor(name="cloud", kind="openai", **keys)


def test_the_usual_variables_of_the_environment_are_enough() -> None:
    one = endpoint_of(declared(), OPENAI, {"OPENAI_API_KEY": KEY})
    assert (one.url, one.key, one.is_remote) == ("https://api.openai.com/v1", KEY, True)
    environment = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "http://127.0.0.1:8080/"}
    two = endpoint_of(declared(), ANTHROPIC, environment)
    assert (two.url, two.key, two.is_remote) == ("http://127.0.0.1:8080", KEY, False)


def test_the_usual_key_is_for_the_provider_and_for_whom_the_environment_names() -> None:
    elsewhere = endpoint_of(declared(url="http://model.example/v1"), OPENAI, {"OPENAI_API_KEY": KEY})
    assert elsewhere.key is None
    named = declared(url="http://model.example/v1", key="env:OPENAI_API_KEY")
    assert endpoint_of(named, OPENAI, {"OPENAI_API_KEY": KEY}).key == KEY
    own = declared(url="https://api.openai.com/v1/")
    assert endpoint_of(own, OPENAI, {"OPENAI_API_KEY": KEY}).key == KEY


def test_a_key_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f" {KEY}\n")
    assert endpoint_of(declared(key=f"file:{path}"), OPENAI, {}).key == KEY
    assert endpoint_of(declared(key="env:MINE"), OPENAI, {"MINE": KEY}).key == KEY


@pytest.mark.parametrize(
    ("keys", "environment", "kind", "says"),
    [
        ({}, {}, AuthError, "OPENAI_API_KEY"),
        ({}, {"OPENAI_API_KEY": "  "}, AuthError, "needs a key"),
        ({"key": KEY}, {}, UsageError, 'as "env:NAME" or "file:PATH"'),
        ({"key": f"key:{KEY}"}, {}, UsageError, "never written into a file"),
        ({"key": "env:MINE"}, {}, AuthError, "the variable MINE is not set"),
        ({"key": "env:MINE"}, {"MINE": f"{KEY}\nx: y"}, AuthError, "characters that no key has"),
        ({"key": "file:/no/such/file"}, {}, AuthError, "cannot be read: No such file"),
        ({"key": "file:/dev/zero"}, {}, AuthError, "the file /dev/zero is not a regular file"),
        ({"url": "localhost:8080"}, {}, UsageError, "expected an address"),
        ({"url": "http://x:99999/v1"}, {}, UsageError, "expected an address"),
        ({"url": "ftp://x/v1"}, {}, UsageError, "expected an address"),
        ({"url": f"http://me:{KEY}@x/v1"}, {}, UsageError, "a name or a password in it"),
        ({}, {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "x"}, UsageError, "OPENAI_BASE_URL cannot be 'x'"),
    ],
)
def test_what_cannot_be_says_what_to_do_and_shows_no_key(
    keys: dict[str, str], environment: dict[str, str], kind: type[SamovarError], says: str
) -> None:
    with pytest.raises(kind) as caught:
        endpoint_of(declared(**keys), OPENAI, environment)
    assert says in caught.value.message and KEY not in repr(caught.value)


def test_an_endpoint_shows_no_key() -> None:
    one = endpoint_of(declared(), OPENAI, {"OPENAI_API_KEY": KEY})
    assert KEY not in repr(one)
    assert one.masked(f"wrong key {KEY}!") == "wrong key ***!"


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("models.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("0.0.0.0", True),
        ("192.168.1.5", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_what_is_on_this_machine_is_told_by_the_host(host: str, here: bool) -> None:
    assert is_this_machine(host) is here


def test_a_socket_is_on_this_machine() -> None:
    one = endpoint_of(declared(url="unix:///run/model.sock"), OPENAI, {})
    assert (one.socket, one.is_remote, one.host) == ("/run/model.sock", False, "unix:/run/model.sock")
    assert one.url.endswith("/v1")


def test_a_package_that_is_missing_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'samovar\[openai\]'"):
        endpoint_of(declared(), OPENAI, {"OPENAI_API_KEY": KEY})


def test_names_of_tools_go_out_without_dots_and_come_back_as_they_were() -> None:
    names = ["files.read", "files_read", "files__read", "a.b.c", "a._b", "a_.b", "x" * 100, "x" * 99 + ".y"]
    known = ToolNames(names)
    encoded = [known.encoded(name) for name in names]
    assert len(set(encoded)) == len(names)
    assert all(len(one) <= 64 and "." not in one for one in encoded)
    assert [known.decoded(one) for one in encoded] == names
    assert [ToolNames().encoded(name) for name in names] == encoded, "the same, whatever else is offered"
    assert known.decoded("nobody.offered") == "nobody.offered"


def test_answers_without_counts_add_up_to_how_many_there_were() -> None:
    both = TokenCounts(untold=1) + TokenCounts(evaluated=3, generated=2) + TokenCounts(untold=1)
    assert (both.untold, both.evaluated, both.generated) == (2, 3, 2)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_nobody_there_is_said_with_where(kind: str) -> None:
    port = closed_port()
    rig = endpoint_rig(kind, url_for(kind, f"http://127.0.0.1:{port}"))
    with anyio.fail_after(60):
        async with rig.dispatcher.open("run") as connection:
            with pytest.raises(UnreachableError, match=rf"127\.0\.0\.1:{port}.*Is it running") as caught:
                await connection.ask(request("x"), ignore)
    assert caught.value.retryable


@pytest.mark.anyio
async def test_the_only_model_of_an_endpoint_answers_where_none_is_named() -> None:
    with served() as server, anyio.fail_after(60):
        rig = endpoint_rig("openai", server.url + "/v1", server=server, model=None)
        async with rig.dispatcher.open("run") as connection:
            assert (await connection.ask(request("x"), ignore)).model == "only"
        server.models = ["a", "b"]
        rig = endpoint_rig("openai", server.url + "/v1", server=server, model=None)
        async with rig.dispatcher.open("run") as connection:
            with pytest.raises(UsageError, match="which model is meant: there is a, b"):
                await connection.ask(request("x"), ignore)
            assert (await connection.ask(request("x", model="b"), ignore)).model == "b"


@pytest.mark.anyio
async def test_a_key_goes_where_it_belongs_and_redirects_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    with served() as server, served() as other, anyio.fail_after(60):
        for kind in ("openai", "anthropic"):
            key = f"file:{tmp_path / 'key'}"
            rig = endpoint_rig(kind, url_for(kind, server.url), server=server, key=key)
            server.tell(Behaviour(status=307, body={}, headers={"location": other.url}))
            async with rig.dispatcher.open("run") as connection:
                with pytest.raises(SamovarError, match="is elsewhere"):
                    await connection.ask(request("x"), ignore)
        sent = [one.headers for one in server.received]
        assert sent[0]["authorization"] == f"Bearer {KEY}" and KEY in (
            sent[1].get("x-api-key"),
            sent[1].get("authorization", "")[7:],
        )
        assert not other.received


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_what_the_environment_has_for_the_provider_goes_nowhere_else(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("a-key-of-this-endpoint")
    name = kind.upper()
    lines = f"X-Gateway: {KEY}\nauthorization: Bearer {KEY}\nX-Api-Key: {KEY}"
    monkeypatch.setenv(f"{name}_CUSTOM_HEADERS", lines)
    for variable in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", f"{name}_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(variable, KEY)
    with served() as server, anyio.fail_after(60):
        for keys in ({}, {"key": f"file:{tmp_path / 'key'}"}):
            rig = endpoint_rig(kind, url_for(kind, server.url), server=server, **keys)
            async with rig.dispatcher.open("run") as connection:
                await connection.ask(request("x"), ignore)
        assert KEY not in repr([one.headers for one in server.received])
        assert server.received[1].headers["authorization"] == "Bearer a-key-of-this-endpoint"
        monkeypatch.setenv(f"{name}_BASE_URL", url_for(kind, server.url))
        rig = endpoint_rig(kind, None, server=server)
        async with rig.dispatcher.open("run") as connection:
            await connection.ask(request("x"), ignore)
        assert server.received[2].headers["x-gateway"] == KEY, "the environment names this one itself"


@pytest.mark.anyio
async def test_think_is_asked_for_and_what_it_needs_is_said() -> None:
    with served() as server, anyio.fail_after(60):
        rig = endpoint_rig("anthropic", server.url, server=server)
        async with rig.dispatcher.open("run") as connection:
            with pytest.raises(UsageError, match="needs more than 1024 tokens"):
                await connection.ask(request("x", think=True), ignore)
            await connection.ask(request("x", think=True, max_tokens=4000), ignore)
        body = server.received[0].body
        assert body["thinking"] == {"type": "enabled", "budget_tokens": 2000} and "temperature" not in body


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_form_beside_tools_is_one_more_tool() -> None:
    with served() as server, anyio.fail_after(60):
        rig = endpoint_rig("anthropic", server.url, server=server)
        async with rig.dispatcher.open("run") as connection:
            asked = request("x", choices=("yes", "no"), tools=TOOLS)
            reply = await connection.ask(asked, ignore)
        assert reply.text == "no"
        assert server.received[0].body["tool_choice"] == {"type": "any"}


@pytest.mark.anyio
async def test_an_assistant_that_said_nothing_is_left_out_of_messages() -> None:
    with served() as server, anyio.fail_after(60):
        rig = endpoint_rig("anthropic", server.url, server=server)
        messages = (
            Message(role="user", content="a"),
            Message(role="assistant", content=" "),
            Message(role="user", content="b"),
        )
        async with rig.dispatcher.open("run") as connection:
            await connection.ask(replace(request(""), messages=messages), ignore)
        assert [one["role"] for one in server.received[0].messages] == ["user", "user"]


@pytest.mark.real
@pytest.mark.anyio
async def test_a_real_model_on_a_real_server_holds_to_choices_and_goes_on_talking(real_model: Path) -> None:
    with anyio.fail_after(300), llama_server(real_model) as url:
        for kind in ("openai", "anthropic"):
            rig = endpoint_rig(kind, url_for(kind, url), model="smollm2")
            async with rig.dispatcher.open("run") as connection:
                first = await connection.ask(request("Say hello.", session="talk", max_tokens=16), ignore)
                again = await connection.ask(request("And again.", session="talk", max_tokens=16), ignore)
                assert first.text and again.text and again.tokens.reused > 0
                if kind == "openai":
                    asked = request("Is the sky blue?", choices=("yes", "no"), max_tokens=32)
                    assert (await connection.ask(asked, ignore)).text in ("yes", "no")
