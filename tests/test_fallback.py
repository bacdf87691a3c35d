"""Several executors for one prompt: who is asked, when the next one is, and what leaves this machine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from samovar.actions import parse_action
from samovar.cli.checking import faults_of
from samovar.config import Settings
from samovar.config.declared import DeclaredExecutor
from samovar.errors import (
    AuthError,
    Fault,
    FaultsError,
    NotFoundError,
    OverloadedError,
    SamovarError,
    UnreachableError,
    UsageError,
)
from samovar.events import Ending
from samovar.executors.dispatch import Dispatcher, DispatchingConnection
from samovar.executors.table import Parts, chosen_executors
from samovar.generation import ExecutorFailed, PromptEvent
from samovar.library import Library
from samovar.preflight.prepare import prepare
from samovar.running.runner import RunnerSettings
from samovar.wire import run_to_wire
from tests.bench import Bench, Idle, text_of
from tests.endpoint import Behaviour, ScriptedServer, closed_port, served
from tests.executor_makers import NOTHING, request
from tests.test_cli import samovar as run_samovar
from tests.test_executor_contract import ignore, said

LIBRARY = Library([], parse_action)
ONE = "[*] --> A\nA --> [*]"
BUSY = Behaviour(status=503, body=said("busy"))


def here(name: str, port: int, **keys: Any) -> DeclaredExecutor:
    keys = {"model": "m", **keys}
    return DeclaredExecutor(name=name, kind="openai", url=f"http://127.0.0.1:{port}/v1", **keys)


def away(name: str = "cloud", **keys: Any) -> DeclaredExecutor:
    keys = {"model": "m", **keys}
    return DeclaredExecutor(name=name, kind="openai", url="https://model.example/v1", **keys)


def settings_with(*executors: DeclaredExecutor, **more: Any) -> Settings:
    return Settings(executors=executors, **more)


@asynccontextmanager
async def connected(
    *executors: DeclaredExecutor, executor: str = "one, two"
) -> AsyncIterator[tuple[Dispatcher, DispatchingConnection]]:
    settings = settings_with(*executors, executor=executor)
    dispatcher = Dispatcher(Parts(settings=settings, sessions=NOTHING, locate=NOTHING))
    with anyio.fail_after(60):
        async with dispatcher.open("run") as connection:
            yield dispatcher, connection


def asked_of(*servers: ScriptedServer) -> list[int]:
    return [len(one.received) for one in servers]


# While a run goes on -------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_next_one_answers_where_one_is_not_to_be_had() -> None:
    heard: list[PromptEvent] = []
    with served() as second:
        async with connected(here("one", closed_port()), here("two", second.port)) as (
            dispatcher,
            connection,
        ):
            reply = await connection.ask(request("x"), heard.append)
        assert reply.executor == "two"
        (failed,) = [one for one in heard if isinstance(one, ExecutorFailed)]
        assert (failed.executor, failed.next) == ("one", "two") and "cannot be reached" in failed.why
        uses = {use.name: (use.prompts, use.failed) for use in dispatcher.statistics()}
        assert uses == {"one": (1, 1), "two": (1, 0)}


@pytest.mark.anyio
async def test_the_first_one_answers_where_it_can() -> None:
    with served() as first, served() as second:
        async with connected(here("one", first.port), here("two", second.port)) as (_, connection):
            assert (await connection.ask(request("x"), ignore)).executor == "one"
        assert asked_of(first, second) == [1, 0]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (Behaviour(status=401, body=said("wrong key")), AuthError),
        (Behaviour(status=400, body=said("prompt is too long")), SamovarError),
        (Behaviour(pieces=["half an"], fault="cut"), UnreachableError),
    ],
    ids=["what has to be corrected", "too long", "an answer that has begun"],
)
async def test_other_failures_come_out(behaviour: Behaviour, kind: type[SamovarError]) -> None:
    with served() as first, served() as second:
        first.tell(behaviour)
        async with connected(here("one", first.port), here("two", second.port)) as (_, connection):
            with pytest.raises(kind):
                await connection.ask(request("x"), ignore)
        assert asked_of(first, second) == [1, 0]


@pytest.mark.anyio
async def test_where_nobody_is_to_be_had_the_last_one_says_why() -> None:
    with served() as first, served() as second:
        first.tell(BUSY)
        second.tell(Behaviour(status=503, body=said("busy too")))
        async with connected(here("one", first.port), here("two", second.port)) as (_, connection):
            with pytest.raises(OverloadedError, match=r"'two'.*busy too"):
                await connection.ask(request("x"), ignore)


@pytest.mark.anyio
async def test_a_conversation_stays_with_whoever_began_it() -> None:
    with served() as first, served() as second:
        first.tell(BUSY)
        async with connected(here("one", first.port), here("two", second.port)) as (_, connection):
            replies = [await connection.ask(request("x", session="talk"), ignore) for _ in range(2)]
            assert [one.executor for one in replies] == ["two", "two"]
            second.tell(BUSY)
            with pytest.raises(OverloadedError):
                await connection.ask(request("x", session="talk"), ignore)
            fork = await connection.ask(request("x", fork="talk"), ignore)
            assert (fork.executor, fork.text) == ("two", "5 messages")
            with pytest.raises(UsageError, match="was begun with the executor 'two'"):
                await connection.ask(request("x", session="talk", executor="one"), ignore)
        assert asked_of(first) == [1]


@pytest.mark.anyio
async def test_a_later_one_answers_with_the_model_that_it_is_declared_with() -> None:
    with served() as second:
        executors = here("one", closed_port()), here("two", second.port, model="declared")
        async with connected(*executors) as (_, connection):
            reply = await connection.ask(request("x", model="own"), ignore)
            assert reply.model == "declared"
        async with connected(*executors, executor="two") as (_, connection):
            assert (
                await connection.ask(request("x", model="of the prompt"), ignore)
            ).model == "of the prompt"


@pytest.mark.anyio
async def test_a_run_warns_and_its_record_says_who_answered(tmp_path: Path) -> None:
    with served() as second:
        bench = Bench(tmp_path)
        workflow = bench.write("w", ONE, 'A: Prompt "x" using executor=["one", "two"]')
        settings = settings_with(here("one", closed_port()), here("two", second.port))
        dispatcher = Dispatcher(Parts(settings=settings, sessions=NOTHING, locate=NOTHING))
        run = await bench.run(workflow, dispatcher)
    assert run.ending is Ending.COMPLETED
    (warning,) = bench.warnings
    assert "'two' was asked in place of 'one'" in warning
    assert run_to_wire(run)["states"][0]["executor"] == "two"


@pytest.mark.anyio
@pytest.mark.parametrize(("after", "waits"), [("40", [40.0]), ("0", [2.0]), ("9999", [])])
async def test_retries_wait_at_least_as_long_as_the_endpoint_wants(
    tmp_path: Path, after: str, waits: Sequence[float]
) -> None:
    idle = Idle()
    with served() as server:
        server.tell(Behaviour(status=429, headers={"retry-after": after}, body=said("slow")))
        bench = Bench(tmp_path)
        bench.settings = RunnerSettings(folder=tmp_path, outside=idle)
        workflow = bench.write("w", ONE, 'A: Prompt "x" retries=1 backoff=2s using executor=one')
        settings = settings_with(here("one", server.port))
        run = await bench.run(
            workflow, Dispatcher(Parts(settings=settings, sessions=NOTHING, locate=NOTHING))
        )
    assert idle.waits == list(waits)
    assert (run.ending is Ending.COMPLETED) == bool(waits)


# Before a run --------------------------------------------------------------------------------------------


def faults(tmp_path: Path, settings: Settings, action: str, front: str = "") -> list[Fault]:
    path = tmp_path / "w.md"
    path.write_text(text_of(ONE, action, front), encoding="utf-8")
    return list(faults_of(path, LIBRARY, settings))


def test_a_list_in_the_front_matter_is_one_with_commas(tmp_path: Path) -> None:
    settings = settings_with(here("one", 1), here("two", 2))
    for front in ("executor: [one, two]", "executor: one, two"):
        assert not faults(tmp_path, settings, 'A: Prompt "x"', front)
    (fault,) = faults(tmp_path, settings, 'A: Prompt "x"', "executor: [one, tow]")
    assert fault.code == "unknown-executor" and "Did you mean 'two'?" in fault.message


def test_going_away_from_this_machine_takes_a_word_of_the_user(tmp_path: Path) -> None:
    executors = here("one", 1), away()
    for text in ("local, cloud", "one, cloud"):
        (fault,) = faults(tmp_path, settings_with(*executors), f'A: Prompt "x" using executor="{text}"')
        assert fault.code == "executor-fallback" and "remote_fallback = true" in fault.message
        with pytest.raises(UsageError, match="remote_fallback"):
            chosen_executors(text, settings_with(*executors))
    allowed = settings_with(*executors, remote_fallback=True)
    assert not faults(tmp_path, allowed, 'A: Prompt "x" using executor="one, cloud"')
    back = chosen_executors("cloud, one", settings_with(*executors))
    assert [one.name for one in back] == ["cloud", "one"], "what may leave may stay"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ('regex="a+"', "cannot hold an answer to a regular expression (`regex`)"),
        ('grammar="start: /a/"', "(`grammar`)"),
        ("deterministic=true", "(`deterministic`)"),
        ("think=off", "(`think`)"),
        ('template={"x": 1}', "(`template`)"),
        ("min_p=0.5", "take notice of min_p"),
        ("top_k=5", "take notice of top_k"),
    ],
)
def test_what_an_executor_cannot_do_is_refused_before_the_run(
    tmp_path: Path, options: str, says: str
) -> None:
    settings = settings_with(here("one", 1))
    action = f'A: Prompt "x" using {options} executor=one'
    found = faults(tmp_path, settings, action)
    assert [fault.code for fault in found] == ["executor-cannot"]
    assert says in found[0].message and "local" in found[0].message
    with pytest.raises(FaultsError):
        prepare(str(tmp_path / "w.md"), {}, LIBRARY, settings)


def test_what_asks_for_nothing_more_is_not_refused(tmp_path: Path) -> None:
    options = 'deterministic=false min_p=0 top_k=0 temperature=0.5 choices="a|b" max_tokens=5'
    assert not faults(tmp_path, settings_with(here("one", 1)), f'A: Prompt "x" using {options} executor=one')


def test_an_executor_that_is_forced_is_held_against_every_prompt(tmp_path: Path) -> None:
    faults(tmp_path, Settings(), 'A: Prompt "x" using regex="a+"')
    with pytest.raises(FaultsError, match="regular expression"):
        run = RunnerSettings(executor="one")
        prepare(str(tmp_path / "w.md"), {}, LIBRARY, settings_with(here("one", 1)), run)
    with pytest.raises(NotFoundError, match=r"no executor 'oen'.*Did you mean"):
        run = RunnerSettings(executor="oen")
        prepare(str(tmp_path / "w.md"), {}, LIBRARY, settings_with(here("one", 1)), run)


def test_a_key_that_is_missing_is_found_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    settings = settings_with(away(key="env:NO_SUCH_KEY"))
    (fault,) = faults(tmp_path, settings, 'A: Prompt "x" using executor=cloud')
    assert (fault.code, fault.severity) == ("executor-not-ready", "warning")
    with pytest.raises(AuthError, match="NO_SUCH_KEY") as caught:
        prepare(str(tmp_path / "w.md"), {}, LIBRARY, settings)
    assert caught.value.exit_status == 2 and caught.value.place is not None
    with pytest.raises(AuthError, match="OPENAI_API_KEY"):
        faults(tmp_path, settings_with(), 'A: Prompt "x" using executor=openai')
        prepare(str(tmp_path / "w.md"), {}, LIBRARY, settings_with())


def test_a_file_that_nobody_trusts_names_no_endpoint(tmp_path: Path) -> None:
    (fault, *_) = faults(tmp_path, Settings(), 'A: Prompt "x" using executor="http://model.example/v1"')
    assert fault.code == "unknown-executor"


# From the command line -----------------------------------------------------------------------------------


def test_a_run_reports_who_answered_and_what_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.md"
    path.write_text(text_of(ONE, 'A: Prompt "hello" result="v"'), encoding="utf-8")
    with served() as server:
        config = tmp_path / "config" / "samovar" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(
            f'[executors.dead]\nkind = "openai"\nurl = "http://127.0.0.1:{closed_port()}/v1"\nmodel = "m"\n'
            f'[executors.there]\nkind = "openai"\nurl = "{server.url}/v1"\nmodel = "m"\nkey = "env:MY_KEY"\n'
        )
        monkeypatch.setenv("MY_KEY", "sk-a-very-secret-key")
        done = run_samovar(tmp_path, "run", str(path), "--executor", "dead,there", "--json")
        shown = run_samovar(tmp_path, "run", str(path), "--executor", "there")
    report = json.loads(done.stdout)
    assert report["status"] == "completed" and report["states"][0]["executor"] == "there"
    uses = {one["name"]: one for one in report["executors"]}
    assert (uses["dead"]["failed"], uses["there"]["failed"], uses["there"]["remote"]) == (1, 0, False)
    assert uses["there"]["sent_bytes"] == len(server.received[0].raw)
    assert report["tokens"]["generated"] == 4
    assert "'there' was asked in place of 'dead'" in done.stderr
    assert "there (127.0.0.1" in shown.stderr and "sent, on this machine" in shown.stderr
    for text in (done.stdout, done.stderr, shown.stdout, shown.stderr):
        assert "sk-a-very-secret-key" not in text
