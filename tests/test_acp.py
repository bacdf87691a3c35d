"""Programs that speak the Agent Client Protocol as executors: what is asked, heard, allowed and given up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from samovar.config.declared import DeclaredExecutor
from samovar.errors import (
    AuthError,
    DeclinedError,
    ExecutorError,
    NotFoundError,
    OverloadedError,
    ProtocolError,
    RateLimitError,
    SamovarError,
    SilentError,
    UnreachableError,
    UsageError,
)
from samovar.executors.acp import AcpConnection, AcpExecutor
from samovar.executors.base import PromptReply, Wish
from samovar.generation import FinishReason, Message, Options, PromptEvent, TextGenerated
from tests.test_claude_code import ignore, is_running, parts_for, prompt

pytestmark = pytest.mark.anyio
PROGRAM = Path(__file__).with_name("acp_agent_program.py")


class Place:
    """Where the agent logs, and what it is declared as."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.events = folder, list[PromptEvent]()
        self.declared = DeclaredExecutor(
            name="agent",
            kind="acp",
            command=(sys.executable, str(PROGRAM)),
            environment=("FAKE_LOG",),
            silence_s=30.0,
        )

    @property
    def logged(self) -> list[dict[str, Any]]:
        file = self.folder / "log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def said(self) -> list[str]:
        return [one["said"] for one in self.logged if "said" in one]

    def leaves_nothing(self) -> None:
        starts = [one for one in self.logged if "number" in one]
        assert [one["number"] for one in starts if is_running(one["number"])] == []
        assert [one for one in starts if Path(one["environment"]["TMPDIR"]).exists()] == []

    @asynccontextmanager
    async def open(self, *words: str, **changes: Any) -> AsyncIterator[AcpConnection]:
        declared = replace(self.declared, command=(*self.declared.command, *words), **changes)
        async with AcpExecutor(parts_for(declared)).open("run") as connection:
            yield connection

    async def ask(self, text: str, *words: str, **more: Any) -> PromptReply:
        changes = {name: more.pop(name) for name in list(more) if name in DeclaredExecutor.__slots__}
        async with self.open(*words, **changes) as connection:
            return await connection.ask(prompt(text, **more), self.events.append)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    return Place(tmp_path)


async def test_an_answer_comes_in_pieces_with_its_reasoning_and_what_it_took(place: Place) -> None:
    reply = await place.ask("THINK")
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("1:THINK", "Hm.", FinishReason.STOP)
    told = [(one.piece, one.kind) for one in place.events if isinstance(one, TextGenerated)]
    assert told == [("Hm.", "reasoning"), ("1:", "text"), ("THINK", "text")]
    assert (reply.tokens.evaluated, reply.tokens.reused, reply.tokens.generated) == (10, 3, 5)
    assert (reply.cost, reply.executor) == (None, "agent")
    place.leaves_nothing()


async def test_it_is_offered_no_files_and_no_terminal_and_gets_none(place: Place) -> None:
    assert (await place.ask("READS")).text == "Method not found"
    (start,) = [one for one in place.logged if "can" in one]
    can = start["can"]
    assert can["fs"] == {"readTextFile": False, "writeTextFile": False} and not can.get("terminal")


async def test_it_sees_only_the_variables_that_are_allowed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hidden")
    await place.ask("a")
    environment = next(one["environment"] for one in place.logged if "environment" in one)
    assert "OPENAI_API_KEY" not in environment and environment["SAMOVAR_RUN"] == "run"
    assert environment["TMPDIR"] != os.environ.get("TMPDIR")


@pytest.mark.slow
@pytest.mark.parametrize(("permission", "says"), [("deny", "no"), ("ask", "no"), ("allow", "yes")])
async def test_what_it_may_do_is_what_the_settings_say_and_only_once(
    place: Place, permission: str, says: str
) -> None:
    assert (await place.ask("TOOLS", permission=permission)).text == f"It was {says}."
    assert (await place.ask("TOOLS", permission=permission, allows_effects=False)).text == "It was no."


@pytest.mark.parametrize("says", [True, False])
async def test_the_person_is_asked_what_it_may_do(place: Place, says: bool) -> None:
    wishes: list[Wish] = []

    async def permits(wish: Wish) -> bool:
        wishes.append(wish)
        return says

    reply = await place.ask("TOOLS", permission="ask", permits=permits)
    assert wishes == [Wish(program="agent", what="touch x", details="{'command': 'touch x'}")]
    assert reply.text == f"It was {'yes' if says else 'no'}."


async def test_what_goes_wrong_while_the_person_is_asked_ends_the_answer_at_once(place: Place) -> None:
    async def permits(wish: Wish) -> bool:
        raise ZeroDivisionError

    with anyio.fail_after(60), pytest.raises(ZeroDivisionError):
        await place.ask("TOOLS ENDLESS", permission="ask", permits=permits)


@pytest.mark.parametrize("words", [(), ("forks",)])
async def test_conversations_go_on_and_are_copied_whether_the_agent_can_copy_or_not(
    place: Place, words: tuple[str, ...]
) -> None:
    async with place.open(*words) as connection:
        await connection.ask(prompt("a", session="s", system="Be brief."), ignore)
        assert (await connection.ask(prompt("b", session="s"), ignore)).text == "2:b"
        await connection.ask(prompt("c", fork="s"), ignore)
        await connection.ask(prompt("d", fork="s", session="t"), ignore)
        await connection.ask(prompt("e", session="t"), ignore)
        await connection.ask(prompt("f", session="s"), ignore)
        await connection.forget("t")
        with pytest.raises(NotFoundError, match="'u'"):
            await connection.ask(prompt("g", fork="u"), ignore)
    first, b, c, d, e, f = place.said
    assert (first, b, e, f) == ("Be brief.\n\na", "b", "e", "f")
    if words:
        assert (c, d) == ("c", "d")
    else:
        for text, last in ((c, "c"), (d, "d")):
            assert text.startswith("Be brief.\n\n") and text.endswith(f"Now answer this:\n\n{last}")
            assert "User: a\n\nYou: 1:Be brief.\n\na\n\nUser: b\n\nYou: 2:b" in text
    assert len([one for one in place.logged if "closed" in one]) == 2
    place.leaves_nothing()


@pytest.mark.parametrize(
    ("word", "words", "error", "says"),
    [
        ("a", ("login",), AuthError, "Log in with the program itself"),
        ("LIMITED", (), RateLimitError, "Rate limit"),
        ("BROKEN", (), OverloadedError, r"Internal error\.$"),
        ("SENTENCE", (), OverloadedError, r"It is down\.$"),
        ("DECLINE", (), DeclinedError, "declined"),
        ("DIE", (), UnreachableError, "status 3, it went wrong"),
        ("a", ("newer",), ProtocolError, "version 99"),
    ],
)
async def test_each_failure_is_an_error_of_the_tree(
    place: Place, word: str, words: tuple[str, ...], error: type[SamovarError], says: str
) -> None:
    with pytest.raises(error, match=says) as raised:
        await place.ask(word, *words)
    assert type(raised.value) is error
    place.leaves_nothing()


async def test_what_is_not_of_the_protocol_is_passed_over(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    assert (await place.ask("GARBAGE")).text == "1:GARBAGE"
    assert capfd.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize(("text", "words"), [("a", ("NOTHING",)), ("HANG", ()), ("HANG DEAF", ())])
async def test_a_program_that_says_nothing_more_is_ended(
    place: Place, text: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(SilentError, match="said nothing"):
        await place.ask(text, *words, silence_s=4.0)
    place.leaves_nothing()


@pytest.mark.slow
@pytest.mark.parametrize("text", ["HANG", "HANG DEAF"])
async def test_a_timeout_is_an_answer_that_is_cut_and_the_conversation_goes_on(
    place: Place, text: str
) -> None:
    async with place.open() as connection:
        await connection.ask(prompt("a", session="s"), ignore)
        reply = await connection.ask(prompt(text, session="s", options=Options(timeout_s=0.3)), ignore)
        assert (reply.finish_reason, reply.text, reply.cut) == (FinishReason.TIMEOUT, "Half", "text")
        reply = await connection.ask(prompt("b", session="s"), ignore)
        if "DEAF" in text:
            assert "User: a\n\nYou: 1:a\n\nUser: HANG DEAF\n\nYou: Half" in place.said[-1]
        else:
            assert reply.text == "3:b"
    place.leaves_nothing()


async def test_the_limit_of_tokens_is_told(place: Place) -> None:
    reply = await place.ask("LONG")
    assert (reply.finish_reason, reply.text, reply.cut) == (FinishReason.LENGTH, "too much", "text")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["HANG", "HANG DEAF"])
async def test_cancelled_it_is_stopped_first(place: Place, text: str) -> None:
    async with place.open() as connection:
        with anyio.CancelScope() as scope:
            await connection.ask(prompt(text), lambda event: scope.cancel())
        assert scope.cancelled_caught
        assert (await connection.ask(prompt("b"), ignore)).text == "1:b"
    assert len([one for one in place.logged if "number" in one]) == (2 if "DEAF" in text else 1)
    place.leaves_nothing()


async def test_what_a_listener_raises_comes_out(place: Place) -> None:
    def refuse(event: PromptEvent) -> None:
        raise ZeroDivisionError

    async with place.open() as connection:
        with pytest.raises(ZeroDivisionError):
            await connection.ask(prompt("HANG"), refuse)
    place.leaves_nothing()


async def test_a_model_that_nobody_can_choose_is_refused(place: Place) -> None:
    with pytest.raises(ExecutorError, match="Leave out model"):
        await place.ask("a", model="opus")


async def test_several_are_answered_at_the_same_time_by_one_process(place: Place) -> None:
    async with place.open() as connection, anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(connection.ask, prompt(str(number)), ignore)
    assert sorted(place.said) == sorted(str(number) for number in range(12))
    assert len([one for one in place.logged if "number" in one]) == 1


def test_a_program_that_is_not_there_is_an_error_before_the_run() -> None:
    for command in ((), ("no-such-program",)):
        objection = AcpExecutor.objection(DeclaredExecutor(name="c", kind="acp", command=command), None)
        assert isinstance(objection, UsageError) and "command" in objection.message


def test_the_package_of_the_protocol_is_imported_only_when_it_is_needed() -> None:
    code = "import sys, samovar.executors.acp; print('acp' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False")


async def test_what_was_said_in_another_process_is_told_with_the_first_prompt(place: Place) -> None:
    history = (
        Message(role="system", content="Be brief."),
        Message(role="user", content="a"),
        Message(role="assistant", content="A"),
    )
    several: tuple[dict[str, Any], ...] = ({"session": "s"}, {"session": "s"}, {"fork": "t"})
    async with place.open() as connection:
        for given in several:
            is_known = given == {"session": "s"} and bool(place.said)
            asked = replace(prompt("b"), **given, history=() if is_known else history)
            await connection.ask(asked, ignore)
    first, second, third = place.said
    assert first == third and first.endswith("User: a\n\nYou: A\n\nNow answer this:\n\nb") and second == "b"
