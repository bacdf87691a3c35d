"""Claude Code as an executor: how it is started, what is made of what it says, and how it misbehaves."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import anyio
import psutil
import pytest

from samovar.config import Settings
from samovar.config.declared import DeclaredExecutor
from samovar.errors import (
    AuthError,
    ContextError,
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
from samovar.executors.base import Deed, PromptReply, PromptRequest, Wish
from samovar.executors.claude_code import ClaudeCodeConnection, ClaudeCodeExecutor
from samovar.executors.claude_flags import usual_variables
from samovar.executors.table import Parts
from samovar.generation import FinishReason, Message, Options, PromptEvent, TextGenerated

pytestmark = pytest.mark.anyio
FAKE = Path(__file__).with_name("fake_claude.py")
KEY = "sk-a-secret-key"


@dataclass
class Place:
    """Where the fake program logs, and what it is declared as."""

    folder: Path
    declared: DeclaredExecutor
    events: list[PromptEvent] = field(default_factory=list)

    @property
    def logged(self) -> list[dict[str, Any]]:
        file = self.folder / "log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def starts(self) -> list[dict[str, Any]]:
        return [one for one in self.logged if "arguments" in one]

    @property
    def said(self) -> list[str]:
        return [one["said"] for one in self.logged if "said" in one]

    @property
    def transcripts(self) -> list[Path]:
        return list(self.folder.glob("config/projects/*/*.jsonl"))

    def leaves_nothing(self) -> None:
        numbers = [one["number"] for one in self.starts] + [
            one["spawned"] for one in self.logged if "spawned" in one
        ]
        assert [number for number in numbers if is_running(number)] == []
        assert self.transcripts == []
        folders = [Path(one["environment"]["TMPDIR"]) for one in self.starts]
        assert [folder for folder in folders if folder.exists()] == []

    @asynccontextmanager
    async def open(self, **changes: Any) -> AsyncIterator[ClaudeCodeConnection]:
        async with ClaudeCodeExecutor(parts_for(replace(self.declared, **changes))).open("run") as connection:
            yield connection

    async def ask(self, text: str, **more: Any) -> PromptReply:
        """In a connection of its own."""
        changes = {name: more.pop(name) for name in list(more) if name in DeclaredExecutor.__slots__}
        async with self.open(**changes) as connection:
            return await connection.ask(prompt(text, **more), self.events.append)


def parts_for(declared: DeclaredExecutor) -> Parts:
    """Parts of an executor that needs no model."""
    nothing = cast(Any, None)
    return Parts(settings=Settings(), sessions=nothing, locate=nothing, declared=declared)


def prompt(text: str, *, system: str | None = None, secret: bool = False, **more: Any) -> PromptRequest:
    said = (Message(role="user", content=text, secret=secret),)
    first = () if system is None else (Message(role="system", content=system),)
    return PromptRequest(messages=(*first, *said), **more)


def is_running(number: int) -> bool:
    try:
        return bool(psutil.Process(number).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def ignore(event: PromptEvent) -> None:
    pass


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    declared = DeclaredExecutor(
        name="claude",
        kind="claude-code",
        command=(sys.executable, str(FAKE)),
        environment=("FAKE_LOG", "BASIS"),
        silence_s=20.0,
    )
    return Place(tmp_path, declared)


async def test_an_answer_comes_in_pieces_with_what_it_took(place: Place) -> None:
    reply = await place.ask("Hello")
    assert reply.text == "1:Hello" and reply.finish_reason is FinishReason.STOP
    assert [one.piece for one in place.events if isinstance(one, TextGenerated)] == ["1:H", "ello"]
    assert (reply.tokens.evaluated, reply.tokens.reused, reply.tokens.generated) == (10, 3, 5)
    assert (reply.cost, reply.model, reply.executor) == (0.5, "m", "claude")
    assert reply.first_token_s is not None and 0 < reply.first_token_s <= reply.duration_s
    place.leaves_nothing()


@pytest.mark.parametrize("basis", ["unknown", ""])
async def test_a_cost_that_the_program_guesses_or_may_have_guessed_is_unknown(
    place: Place, monkeypatch: pytest.MonkeyPatch, basis: str
) -> None:
    monkeypatch.setenv("BASIS", basis)
    assert (await place.ask("Hello")).cost is None


async def test_reasoning_is_apart_from_the_text(place: Place) -> None:
    reply = await place.ask("THINK")
    assert (reply.reasoning, reply.text) == ("Hm.", "1:THINK")
    kinds = [one.kind for one in place.events if isinstance(one, TextGenerated)]
    assert kinds == ["reasoning", "text", "text"]


async def test_it_is_started_with_nothing_that_it_may_do_or_that_a_person_keeps_for_it(place: Place) -> None:
    await place.ask("Hello", system="Be brief.", options=Options(max_tokens=77, think=False), model="opus")
    (start,) = place.starts
    words = start["arguments"]
    assert words[words.index("--tools") + 1] == ""
    assert words[words.index("--permission-mode") + 1] == "dontAsk"
    assert words[words.index("--setting-sources") + 1] == ""
    assert {"--strict-mcp-config", "--disable-slash-commands", "--no-session-persistence"} <= set(words)
    assert not {word for word in words if "skip-permissions" in word or "bypass" in word}
    assert words[words.index("--model") + 1] == "opus"
    assert start["environment"]["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "77"
    assert start["environment"]["MAX_THINKING_TOKENS"] == "0"
    assert {"system": "Be brief."} in place.logged
    assert "Be brief." not in " ".join(words), "everybody on the machine can read arguments"


async def test_without_a_system_prompt_the_program_has_not_its_own_either(place: Place) -> None:
    await place.ask("Hello")
    assert {"system": ""} in place.logged


def test_a_key_goes_only_to_the_endpoint_that_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    here = DeclaredExecutor(name="c", kind="claude-code")
    other = DeclaredExecutor(name="c", kind="claude-code", url="http://127.0.0.1:9/")
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    assert "ANTHROPIC_API_KEY" in usual_variables(here)
    assert usual_variables(other) == ("CLAUDE_CONFIG_DIR",)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    assert "ANTHROPIC_API_KEY" in usual_variables(other)


async def test_it_sees_only_the_variables_that_are_allowed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMETHING_ELSE", "hidden")
    await place.ask("Hello")
    environment = place.starts[0]["environment"]
    assert "SOMETHING_ELSE" not in environment and "PYTHONPATH" not in environment
    assert environment["ANTHROPIC_API_KEY"] == KEY and environment["SAMOVAR_RUN"] == "run"
    assert environment["TMPDIR"] != os.environ.get("TMPDIR")


@pytest.mark.parametrize(
    ("own_tools", "words"),
    [
        ((), ["--tools", "", "--permission-mode", "dontAsk"]),
        (
            ("Read", "Bash(git *)"),
            ["--tools", "Read,Bash", "--allowedTools", "Read,Bash(git *)", "--permission-mode", "dontAsk"],
        ),
    ],
)
async def test_without_a_permission_it_has_the_tools_that_are_listed(
    place: Place, own_tools: tuple[str, ...], words: list[str]
) -> None:
    reply = await place.ask("TOOLS", own_tools=own_tools)
    assert " ".join(words) in " ".join(place.starts[0]["arguments"])
    assert reply.text.endswith("It was deny."), "it is not asked for what it has not"


async def test_without_effects_it_has_no_tools_whatever_is_declared(place: Place) -> None:
    reply = await place.ask("TOOLS", own_tools=("Bash",), permission="allow", allows_effects=False)
    assert place.starts[0]["arguments"][-5:-1] == ["--tools", "", "--permission-mode", "dontAsk"]
    assert reply.text.endswith("It was deny.")


@pytest.mark.parametrize("says", [True, False])
async def test_the_person_is_asked_what_it_may_do(place: Place, says: bool) -> None:
    wishes: list[Wish] = []

    async def permits(wish: Wish) -> bool:
        wishes.append(wish)
        return says

    reply = await place.ask("TOOLS", permission="ask", permits=permits)
    deeds = (Deed(kind="shell", words=("touch", "x")),)
    assert wishes == [Wish(program="claude", what="Bash", details='{"command": "touch x"}', deeds=deeds)]
    assert reply.text == ("It was allow." if says else "It was deny.")
    assert reply.reasoning == "First I look.", "what is said before a tool is used is not the answer"


async def test_nobody_to_ask_is_a_no_and_allowed_is_a_yes(place: Place) -> None:
    assert (await place.ask("TOOLS", permission="ask")).text == "It was deny."
    assert (await place.ask("TOOLS", permission="allow")).text == "It was allow."
    assert not {word for word in place.starts[1]["arguments"] if "skip-permissions" in word}


async def test_a_named_conversation_keeps_its_process(place: Place) -> None:
    async with place.open() as connection:
        replies = [await connection.ask(prompt(text, session="s"), ignore) for text in ("a", "b")]
        assert [reply.text for reply in replies] == ["1:a", "2:b"]
        assert len(place.starts) == 1 and len(place.transcripts) == 1
        assert (await connection.ask(prompt("c"), ignore)).text == "1:c"
    place.leaves_nothing()


async def test_a_named_conversation_goes_on_in_another_process_when_the_options_differ(place: Place) -> None:
    async with place.open() as connection:
        await connection.ask(prompt("a", session="s", system="One."), ignore)
        options = Options(choices=("yes", "no"))
        reply = await connection.ask(prompt("b", session="s", options=options), ignore)
        assert reply.text == "no"
        assert (await connection.ask(prompt("c", session="s"), ignore)).text == "3:c"
    systems = [one["system"] for one in place.logged if "system" in one]
    assert len(place.starts) == 3 and systems == ["One.", "One.", "One."]
    assert "--resume" in place.starts[1]["arguments"]
    place.leaves_nothing()


async def test_a_conversation_is_copied_and_both_go_on_apart(place: Place) -> None:
    async with place.open() as connection:
        await connection.ask(prompt("a", session="s"), ignore)
        assert (await connection.ask(prompt("b", fork="s"), ignore)).text == "2:b"
        assert (await connection.ask(prompt("c", fork="s", session="t"), ignore)).text == "2:c"
        assert (await connection.ask(prompt("d", session="s"), ignore)).text == "2:d"
        assert (await connection.ask(prompt("e", session="t"), ignore)).text == "3:e"
        assert (await connection.ask(prompt("f", session="t", fork="t"), ignore)).text == "4:f"
        with pytest.raises(NotFoundError, match="'u'"):
            await connection.ask(prompt("g", fork="u"), ignore)
        await connection.forget("s")
        assert (await connection.ask(prompt("h", session="s"), ignore)).text == "1:h"
    place.leaves_nothing()


async def test_processes_that_wait_are_few_and_all_conversations_go_on(place: Place) -> None:
    async with place.open() as connection:
        for number in range(10):
            await connection.ask(prompt("a", session=f"s{number}"), ignore)
        assert sum(is_running(one["number"]) for one in place.starts) == 8
        assert (await connection.ask(prompt("b", session="s0"), ignore)).text == "2:b"
    place.leaves_nothing()


async def test_a_secret_is_never_in_a_transcript(place: Place) -> None:
    async with place.open() as connection:
        await connection.ask(prompt("secret", session="s", secret=True), ignore)
        assert (await connection.ask(prompt("b", session="s"), ignore)).text == "2:b"
        assert place.transcripts == []
        with pytest.raises(ExecutorError, match="secret"):
            await connection.ask(prompt("c", fork="s"), ignore)
        await connection.ask(prompt("a", session="t"), ignore)
        with pytest.raises(ExecutorError, match="secret"):
            await connection.ask(prompt("secret", session="t", secret=True), ignore)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (Options(choices=("yes", "no")), "no"),
        (
            Options(schema='{"type": "object", "properties": {"team": {"type": "string"}}}'),
            '{"team":"billing"}',
        ),
        (
            Options(schema='{"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {}}}'),
            '["billing"]',
        ),
    ],
)
async def test_an_answer_of_a_form_is_its_own_text(place: Place, options: Options, text: str) -> None:
    reply = await place.ask("Which?", options=options)
    assert (reply.text, reply.reasoning) == (text, "I will.")
    told = [one.piece for one in place.events if isinstance(one, TextGenerated) and one.kind == "text"]
    assert told == [text]
    words = place.starts[0]["arguments"]
    schema = json.loads(words[words.index("--json-schema") + 1])
    assert schema["type"] == "object" and ("$defs" in schema) == ("$ref" in json.dumps(schema))


@pytest.mark.parametrize(
    ("word", "error", "says"),
    [
        ("NOLOGIN", AuthError, "Log in"),
        ("UNAUTHORISED", AuthError, "ANTHROPIC_API_KEY"),
        ("LIMITED", RateLimitError, "asked too much"),
        ("OVERLOADED", OverloadedError, "too much to do"),
        ("BROKEN", OverloadedError, "too much to do"),
        ("UNREACHABLE", UnreachableError, "Connection refused"),
        ("OLDER", UnreachableError, "Unable to connect"),
        ("TOOLONG", ContextError, "250000 tokens but the context holds 200000"),
        ("BADFORM", ProtocolError, "form"),
        ("ODD", ExecutorError, "something else"),
        ("SHOWN", ExecutorError, r"failed: The key \*\*\* is wrong\.$"),
        ("DECLINE", DeclinedError, "declined"),
        ("HUGE", ProtocolError, "a line of more than"),
        ("DIE", UnreachableError, "status 3, it went wrong"),
    ],
)
async def test_each_failure_is_an_error_of_the_tree(
    place: Place, word: str, error: type[SamovarError], says: str
) -> None:
    with pytest.raises(error, match=says) as raised:
        await place.ask(word)
    assert type(raised.value) is error and KEY not in str(raised.value)
    place.leaves_nothing()


async def test_what_is_not_of_the_protocol_is_passed_over(place: Place) -> None:
    assert (await place.ask("GARBAGE")).text == "1:GARBAGE"


async def test_a_program_that_stays_when_it_is_done_is_ended(place: Place) -> None:
    assert (await place.ask("STAY")).text == "1:STAY"
    place.leaves_nothing()


async def test_a_program_that_says_nothing_more_is_ended(place: Place) -> None:
    with pytest.raises(SilentError, match="nothing for 500 ms"):
        await place.ask("HANG DEAF", silence_s=0.5)
    place.leaves_nothing()


@pytest.mark.slow
@pytest.mark.parametrize("text", ["HANG", "HANG DEAF"])
async def test_a_timeout_is_an_answer_that_is_cut(place: Place, text: str) -> None:
    async with place.open() as connection:
        asked = prompt(text, session="s", options=Options(timeout_s=0.3))
        reply = await connection.ask(asked, ignore)
        assert (reply.finish_reason, reply.text, reply.cut) == (FinishReason.TIMEOUT, "Half", "text")
        assert (await connection.ask(prompt("b", session="s"), ignore)).text == "2:b"
        assert len(place.starts) == (2 if "DEAF" in text else 1), "one that hears it goes on"
    place.leaves_nothing()


async def test_the_limit_of_tokens_ends_an_answer_that_the_program_would_go_on_with(place: Place) -> None:
    reply = await place.ask("LONG")
    assert (reply.finish_reason, reply.text, reply.cut) == (FinishReason.LENGTH, "too much", "text")
    place.leaves_nothing()


@pytest.mark.parametrize("session", [None, "s"])
@pytest.mark.parametrize("text", ["HANG", "HANG DEAF"])
async def test_cancelled_it_is_stopped_first(place: Place, session: str | None, text: str) -> None:
    async with place.open() as connection:
        with anyio.CancelScope() as scope:
            await connection.ask(prompt(text, session=session), lambda event: scope.cancel())
        assert scope.cancelled_caught
        reply = await connection.ask(prompt("b", session=session), ignore)
        assert reply.text == ("1:b" if session is None else "2:b")
    place.leaves_nothing()


async def test_what_a_listener_raises_comes_out_and_ends_it(place: Place) -> None:
    def refuse(event: PromptEvent) -> None:
        raise ZeroDivisionError

    async with place.open() as connection:
        with pytest.raises(ZeroDivisionError):
            await connection.ask(prompt("HANG"), refuse)
        assert not any(is_running(one["number"]) for one in place.starts)


async def test_what_it_has_started_in_a_session_of_its_own_ends_with_the_run(place: Place) -> None:
    async with place.open() as connection:
        await connection.ask(prompt("SPAWN"), ignore)
        (spawned,) = [one["spawned"] for one in place.logged if "spawned" in one]
        assert is_running(spawned)
    place.leaves_nothing()


async def test_several_are_answered_at_the_same_time(place: Place) -> None:
    async with place.open() as connection, anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(connection.ask, prompt(str(number)), ignore)
    assert sorted(place.said) == sorted(str(number) for number in range(12))
    place.leaves_nothing()


def test_a_program_that_is_not_there_is_an_error_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for command in ((), ("no-such-program",), ("/no/such/program",)):
        declared = DeclaredExecutor(name="c", kind="claude-code", command=command)
        objection = ClaudeCodeExecutor.objection(declared, None)
        assert isinstance(objection, UsageError) and "command" in objection.message


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
