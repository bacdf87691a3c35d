"""What every executor must do: one suite over all of them, with faults where one can be told to have them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

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
from samovar.executors.base import PromptReply, forget
from samovar.generation import (
    FinishReason,
    Message,
    PromptEvent,
    Sampling,
    TextGenerated,
    ToolCall,
    ToolDefinition,
)
from tests.endpoint import WAIT_S, Behaviour
from tests.executor_makers import KEY, MAKERS, Rig, endpoint_rig, request, url_for

pytestmark = pytest.mark.anyio


@pytest.fixture(params=MAKERS)
async def rig(request: pytest.FixtureRequest, tiny_model: Path) -> AsyncIterator[Rig]:
    with anyio.fail_after(120):
        async with MAKERS[request.param](tiny_model) as made:
            yield made


def ignore(event: PromptEvent) -> None:
    """Nobody listens."""


def needs(rig: Rig, *abilities: str) -> None:
    for name in abilities:
        if not getattr(rig.abilities, name):
            pytest.skip(f"it cannot: {name}")


def told(rig: Rig, *behaviours: Behaviour) -> None:
    if rig.server is None:
        pytest.skip("it cannot be told what to do")
    rig.tell(*behaviours)


async def ask(
    rig: Rig, text: str = "Hello", heard: list[PromptEvent] | None = None, **given: Any
) -> PromptReply:
    async with rig.dispatcher.open("run") as connection:
        return await connection.ask(request(text, **given), ignore if heard is None else heard.append)


def text_of(heard: list[PromptEvent], kind: str = "text") -> str:
    return "".join(one.piece for one in heard if isinstance(one, TextGenerated) and one.kind == kind)


# Answers -------------------------------------------------------------------------------------------------


async def test_pieces_add_up_to_the_reply(rig: Rig) -> None:
    heard: list[PromptEvent] = []
    reply = await ask(rig, heard=heard)
    assert reply.text == text_of(heard)
    assert reply.reasoning == text_of(heard, "reasoning")
    assert reply.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)


async def test_a_reply_says_who_answered_and_how_long_it_took(rig: Rig) -> None:
    reply = await ask(rig)
    assert reply.executor == rig.name and reply.model
    assert reply.first_token_s is not None and 0 <= reply.first_token_s <= reply.duration_s


async def test_tokens_are_told_and_counted_once(rig: Rig) -> None:
    needs(rig, "usage")
    reply = await ask(rig)
    assert reply.tokens.untold == 0
    assert reply.tokens.evaluated + reply.tokens.reused > 0 and reply.tokens.generated > 0


async def test_tokens_that_are_not_told_are_not_made_up(rig: Rig) -> None:
    told(rig, Behaviour(usage=False))
    reply = await ask(rig)
    assert (reply.tokens.untold, reply.tokens.evaluated, reply.tokens.generated) == (1, 0, 0)
    assert reply.cost is None


async def test_tokens_that_were_there_already_are_told_apart(rig: Rig) -> None:
    told(rig, Behaviour(cached=6))
    reply = await ask(rig)
    assert (reply.tokens.evaluated, reply.tokens.reused, reply.tokens.generated) == (4, 6, 4)


async def test_the_cost_is_that_of_the_declared_prices(rig: Rig) -> None:
    told(rig, Behaviour())
    assert (await ask(rig)).cost == pytest.approx((10 * 1.0 + 4 * 10.0) / 1e6)


async def test_an_answer_that_is_cut_off_says_so(rig: Rig) -> None:
    if not rig.has_limit:
        pytest.skip("its protocol has no limit of tokens")
    if rig.server is not None:
        assert rig.words is not None
        rig.tell(Behaviour(pieces=["a b"], finish=rig.words["length"]))
    reply = await ask(rig, max_tokens=2)
    assert (reply.finish_reason, reply.cut) == (FinishReason.LENGTH, "text")


async def test_an_empty_answer_is_an_answer(rig: Rig) -> None:
    told(rig, Behaviour(pieces=[]))
    assert ((reply := await ask(rig)).text, reply.finish_reason) == ("", FinishReason.STOP)


async def test_white_space_around_an_answer_is_not_in_it(rig: Rig) -> None:
    told(rig, Behaviour(pieces=["\n\n", " yes", " sir \n", "\n"]))
    heard: list[PromptEvent] = []
    reply = await ask(rig, heard=heard)
    assert reply.text == text_of(heard) == " yes sir"


async def test_an_answer_ends_before_a_stop_text_that_comes_in_pieces(rig: Rig) -> None:
    told(rig, Behaviour(pieces=["one E", "N", "D two"]))
    heard: list[PromptEvent] = []
    reply = await ask(rig, heard=heard, stop=("END",))
    assert reply.text == text_of(heard) == "one" and reply.finish_reason is FinishReason.STOP


async def test_what_was_only_thought_is_not_in_the_text(rig: Rig) -> None:
    told(rig, Behaviour(thoughts=["I ", "wonder"], pieces=["yes"]))
    heard: list[PromptEvent] = []
    reply = await ask(rig, heard=heard)
    assert (reply.text, reply.reasoning) == ("yes", "I wonder")
    assert [part.kind for part in reply.parts] == ["reasoning", "text"]
    assert text_of(heard, "reasoning") == "I wonder"


async def test_an_answer_that_did_not_get_beyond_its_reasoning_is_cut_there(rig: Rig) -> None:
    told(rig, Behaviour(thoughts=["hm"], pieces=[]))
    assert (await ask(rig)).cut == "reasoning"


# Forms ---------------------------------------------------------------------------------------------------


async def test_an_answer_is_one_of_the_choices(rig: Rig) -> None:
    needs(rig, "choices")
    heard: list[PromptEvent] = []
    reply = await ask(rig, heard=heard, choices=("yes", "no"), max_tokens=64)
    assert reply.text in ("yes", "no") and text_of(heard) == reply.text


SHAPE = {
    "type": "object",
    "properties": {"n": {"type": "integer", "enum": [1, 7]}},
    "required": ["n"],
    "additionalProperties": False,
}


async def test_an_answer_has_its_schema_without_blanks(rig: Rig) -> None:
    needs(rig, "schema")
    reply = await ask(rig, schema=json.dumps(SHAPE), max_tokens=64)
    assert reply.text in ('{"n":1}', '{"n":7}')


async def test_a_schema_need_not_be_an_object(rig: Rig) -> None:
    needs(rig, "schema")
    schema = {"$ref": "#/$defs/list", "$defs": {"list": {"enum": ["a", "b"]}}}
    if rig.server is not None:
        schema = {"type": "array", "items": {"enum": ["a"]}}
    reply = await ask(rig, schema=json.dumps(schema), max_tokens=64)
    assert json.loads(reply.text) in ("a", "b", ["a"])


@pytest.mark.parametrize("option", ["choices", "schema"])
async def test_an_answer_that_does_not_hold_to_its_form_is_an_error(rig: Rig, option: str) -> None:
    needs(rig, option)
    told(rig, Behaviour(pieces=['{"other": 1']))
    given: dict[str, Any] = (
        {"choices": ("yes", "no")} if option == "choices" else {"schema": json.dumps(SHAPE)}
    )
    with pytest.raises(ProtocolError, match="form"):
        await ask(rig, **given)


@pytest.mark.parametrize("option", ["regex", "grammar", "deterministic", "template", "think", "min_p"])
async def test_what_it_cannot_do_is_refused_and_nothing_is_sent(rig: Rig, option: str) -> None:
    values: dict[str, Any] = {
        "regex": "a+",
        "grammar": 'start: "a"',
        "deterministic": True,
        "template": {"x": 1},
        "think": True,
    }
    given = {"sampling": Sampling(min_p=0.5)} if option == "min_p" else {option: values[option]}
    able = option in rig.abilities.sampling if option == "min_p" else getattr(rig.abilities, option)
    if able:
        pytest.skip("it can")
    with pytest.raises(UsageError, match=option):
        await ask(rig, **given)
    assert rig.server is None or not rig.server.received


# Conversations -------------------------------------------------------------------------------------------


def sent(rig: Rig) -> list[int]:
    """How many messages each request had."""
    return [len(one.messages) for one in rig.scripted.received]


async def test_without_a_session_each_prompt_begins_anew(rig: Rig) -> None:
    async with rig.dispatcher.open("run") as connection:
        for _ in range(3):
            await connection.ask(request("x"), ignore)
    if rig.server is not None:
        assert sent(rig) == [1, 1, 1]


async def test_a_named_session_goes_on_until_the_run_ends_and_no_further(rig: Rig) -> None:
    needs(rig, "sessions")
    tokens = []
    for run in ("one", "two"):
        async with rig.dispatcher.open(run) as connection:
            for _ in range(2):
                reply = await connection.ask(request("x", session="talk"), ignore)
                tokens.append(reply.tokens.evaluated + reply.tokens.reused)
    if rig.server is not None:
        assert sent(rig) == [1, 3, 1, 3]
    else:
        assert tokens[1] > tokens[0] and tokens[2] == tokens[0]


async def test_a_session_that_is_forgotten_begins_anew(rig: Rig) -> None:
    needs(rig, "sessions")
    async with rig.dispatcher.open("run") as connection:
        for _ in range(2):
            await connection.ask(request("x", session="mine"), ignore)
            await connection.ask(request("x", session="mine"), ignore)
            await forget(connection, "mine")
            await forget(connection, "nobody's")
    if rig.server is not None:
        assert sent(rig) == [1, 3, 1, 3]


async def test_a_fork_goes_on_from_a_conversation_which_stays_as_it_was(rig: Rig) -> None:
    needs(rig, "sessions", "fork")
    tokens = []
    async with rig.dispatcher.open("run") as connection:
        await connection.ask(request("x", session="talk"), ignore)
        for fork in ("talk", "talk"):
            reply = await connection.ask(request("y", fork=fork), ignore)
            tokens.append(reply.tokens.evaluated + reply.tokens.reused)
        await connection.ask(request("x", session="talk"), ignore)
    assert tokens[0] == tokens[1]
    if rig.server is not None:
        assert sent(rig) == [1, 3, 3, 3]


async def test_a_session_begins_anew_as_a_fork(rig: Rig) -> None:
    needs(rig, "sessions", "fork")
    async with rig.dispatcher.open("run") as connection:
        for given in ({"session": "a"}, {"session": "a"}, {"session": "b", "fork": "a"}, {"session": "b"}):
            await connection.ask(request("x", **given), ignore)
        await connection.ask(request("x", session="a", fork="a"), ignore)
    if rig.server is not None:
        assert sent(rig) == [1, 3, 5, 7, 5]


async def test_what_was_said_in_another_process_comes_before(rig: Rig) -> None:
    needs(rig, "sessions", "fork")
    history = (Message(role="user", content="a"), Message(role="assistant", content="b"))
    async with rig.dispatcher.open("run") as connection:
        await connection.ask(request("x", session="talk", history=history), ignore)
        await connection.ask(request("x", session="talk"), ignore)
        await connection.ask(request("x", fork="gone", history=history), ignore)
    if rig.server is not None:
        assert sent(rig) == [3, 5, 3]


async def test_forking_what_there_is_not_names_what_there_is(rig: Rig) -> None:
    needs(rig, "sessions", "fork")
    async with rig.dispatcher.open("run") as connection:
        await connection.ask(request("x", session="talk"), ignore)
        with pytest.raises(NotFoundError, match=r"no session 'tlak'\. Did you mean 'talk'\?"):
            await connection.ask(request("y", fork="tlak"), ignore)


async def test_those_who_ask_in_one_conversation_at_once_wait_for_each_other(rig: Rig) -> None:
    needs(rig, "sessions")
    async with rig.dispatcher.open("run") as connection, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(connection.ask, request("x", session="talk"), ignore)
    if rig.server is not None:
        assert sent(rig) == [1, 3, 5]


async def test_several_conversations_are_answered_at_once(rig: Rig) -> None:
    replies: list[PromptReply] = []
    async with rig.dispatcher.open("run") as connection, anyio.create_task_group() as tasks:

        async def one(text: str) -> None:
            replies.append(await connection.ask(request(text), ignore))

        for number in range(4):
            tasks.start_soon(one, f"number {number}")
    assert len(replies) == 4


async def test_a_system_message_replaces_the_one_before(rig: Rig) -> None:
    told(rig)
    async with rig.dispatcher.open("run") as connection:
        for system in ("first", "second"):
            asked = request("x", session="talk")
            messages = (Message(role="system", content=system), *asked.messages)
            await connection.ask(replace(asked, messages=messages), ignore)
    body = rig.scripted.received[-1].body
    texts = json.dumps([body.get("system"), body["messages"]])
    assert "second" in texts and "first" not in texts


# Ending early --------------------------------------------------------------------------------------------


async def gone(rig: Rig) -> None:
    """Returns when a client has left the server while it was being answered."""
    if rig.server is not None:
        left = rig.server.left
        assert await anyio.to_thread.run_sync(lambda: left.acquire(timeout=WAIT_S))


async def test_what_a_listener_raises_comes_out_and_the_next_prompt_is_answered(rig: Rig) -> None:
    def deaf(event: PromptEvent) -> None:
        if isinstance(event, TextGenerated):
            raise ZeroDivisionError

    if rig.server is not None:
        rig.tell(Behaviour(pieces=["piece"], fault="silence"))
    async with rig.dispatcher.open("run") as connection:
        with pytest.raises(ZeroDivisionError):
            await connection.ask(request("x", session="talk"), deaf)
        await gone(rig)
        assert (await connection.ask(request("x", session="talk"), ignore)).executor == rig.name
    if rig.server is not None:
        assert sent(rig) == [1, 1]


async def test_a_cancelled_prompt_gives_everything_back(rig: Rig) -> None:
    if rig.server is not None:
        rig.tell(Behaviour(pieces=["piece"], fault="silence"))
    async with rig.dispatcher.open("run") as connection:
        with anyio.CancelScope() as scope:
            await connection.ask(request("x", session="talk", max_tokens=200), lambda event: scope.cancel())
        assert scope.cancelled_caught
        await gone(rig)
        await connection.ask(request("x", session="talk"), ignore)
    if rig.server is not None:
        assert sent(rig) == [1, 1]


@pytest.mark.parametrize("fault", ["silence", "steady"])
async def test_a_timeout_is_a_reason_with_what_came_until_then(rig: Rig, fault: Any) -> None:
    told(rig, Behaviour(pieces=["so far"], fault=fault))
    heard: list[PromptEvent] = []
    async with rig.dispatcher.open("run") as connection:
        timeout_s = 0.3 if fault == "silence" else 0.05  # a steady one ends 20 times as late
        reply = await connection.ask(request("x", session="talk", timeout_s=timeout_s), heard.append)
        assert reply.finish_reason is FinishReason.TIMEOUT and reply.text == text_of(heard)
        await gone(rig)
        await connection.ask(request("x", session="talk"), ignore)
    assert sent(rig) == [1, 1]


async def test_a_timeout_holds_before_anything_has_come(rig: Rig) -> None:
    told(rig, Behaviour(fault="before"))
    reply = await ask(rig, timeout_s=0.05)
    assert (reply.finish_reason, reply.text, reply.first_token_s) == (FinishReason.TIMEOUT, "", None)


async def test_an_endpoint_that_says_nothing_any_more_is_given_up(rig: Rig) -> None:
    told(rig, Behaviour(pieces=["so far"], fault="silence"))
    url = url_for(rig.kind, rig.scripted.url)
    impatient = endpoint_rig(rig.kind, url, server=rig.server, silence_s=0.05)
    with pytest.raises(SilentError, match=r"said nothing for 50 ms"):
        await ask(impatient)
    await gone(rig)


# What goes wrong -----------------------------------------------------------------------------------------


async def failure(rig: Rig, *behaviours: Behaviour, **given: Any) -> SamovarError:
    """What such behaviour comes to. The key is in no part of it."""
    told(rig, *behaviours)
    with pytest.raises(SamovarError) as caught:
        await ask(rig, **given)
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__
    return caught.value


def said(message: str, **more: object) -> dict[str, object]:
    """The body of an error, of either dialect."""
    return {"type": "error", "error": {"message": message, **more}}


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (401, AuthError, False),
        (403, AuthError, False),
        (429, RateLimitError, True),
        (500, OverloadedError, True),
        (502, OverloadedError, True),
        (503, OverloadedError, True),
        (529, OverloadedError, True),
        (404, ExecutorError, False),
        (400, ExecutorError, False),
        (307, ExecutorError, False),
    ],
)
async def test_a_status_is_an_error_of_the_tree(
    rig: Rig, status: int, kind: type[SamovarError], retryable: bool
) -> None:
    body = said(f"No, not with {KEY}.")
    error = await failure(
        rig, Behaviour(status=status, body=body, headers={"location": "http://127.0.0.1:1/"})
    )
    assert type(error) is kind and error.retryable is retryable
    assert "'there'" in error.message and "127.0.0.1" in error.message
    assert len(rig.scripted.received) == 1, "nothing is tried again, and no redirect is followed"


async def test_a_body_that_is_no_json_is_an_error_of_its_status(rig: Rig) -> None:
    assert type(await failure(rig, Behaviour(status=502, body="<html>Bad gateway</html>"))) is OverloadedError


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "7"}, 7, 7),
        ({"retry-after-ms": "1500"}, 1.5, 1.5),
        ({"retry-after": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)}, 0, 3601),
    ],
)
async def test_when_to_ask_again_is_told(
    rig: Rig, headers: dict[str, str], least: float, most: float
) -> None:
    error = await failure(rig, Behaviour(status=429, headers=headers, body=said("slow")))
    assert isinstance(error, RateLimitError) and error.retry_after_s is not None
    assert least <= error.retry_after_s <= most


async def test_no_money_left_is_not_a_matter_of_waiting(rig: Rig) -> None:
    body = said("You exceeded your quota", code="insufficient_quota", type="insufficient_quota")
    assert type(await failure(rig, Behaviour(status=429, body=body))) is AuthError


@pytest.mark.parametrize(
    "body",
    [
        said(
            "This model's maximum context length is 100 tokens, but you sent 300.",
            code="context_length_exceeded",
        ),
        said("prompt is too long: 300 tokens > 100 maximum", type="invalid_request_error"),
        said(
            "request (300 tokens) exceeds the available context size (100 tokens)",
            type="exceed_context_size_error",
            n_prompt_tokens=300,
            n_ctx=100,
        ),
    ],
)
async def test_a_prompt_that_is_too_long_is_the_error_that_it_is_everywhere(
    rig: Rig, body: dict[str, object]
) -> None:
    error = await failure(rig, Behaviour(status=400, body=body))
    assert isinstance(error, ContextError)
    assert (error.prompt_tokens, error.context_tokens) == (300, 100)


async def test_the_oldest_messages_go_where_they_may(rig: Rig) -> None:
    told(
        rig,
        Behaviour(),
        Behaviour(),
        Behaviour(status=400, body=said("prompt is too long: 9 tokens > 8 maximum")),
    )
    async with rig.dispatcher.open("run") as connection:
        for _ in range(3):
            reply = await connection.ask(request("x", session="talk", overflow="drop_oldest"), ignore)
    assert sent(rig) == [1, 3, 5, 3] and reply.dropped_messages == 2


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (Behaviour(pieces=["so far"], fault="cut"), UnreachableError),
        (Behaviour(pieces=["so far"], fault="garbage"), ProtocolError),
        (Behaviour(pieces=["so far"], fault="in_stream"), OverloadedError),
        (Behaviour(fault="html"), ProtocolError),
        (Behaviour(pieces=[], fault="huge"), ProtocolError),
    ],
    ids=["cut", "garbage", "error in the stream", "another type", "without an end"],
)
async def test_a_stream_that_is_none_is_an_error(
    rig: Rig, behaviour: Behaviour, kind: type[SamovarError]
) -> None:
    assert type(await failure(rig, behaviour)) is kind


async def test_an_answer_that_failed_is_no_part_of_its_conversation(rig: Rig) -> None:
    told(rig, Behaviour(), Behaviour(pieces=["half"], fault="cut"))
    async with rig.dispatcher.open("run") as connection:
        await connection.ask(request("x", session="talk"), ignore)
        with pytest.raises(UnreachableError):
            await connection.ask(request("y", session="talk"), ignore)
        await connection.ask(request("z", session="talk"), ignore)
    assert sent(rig) == [1, 3, 3]


async def test_a_model_that_declines_is_an_error(rig: Rig) -> None:
    finish = "refusal" if rig.words and rig.words["length"] == "max_tokens" else "content_filter"
    assert type(await failure(rig, Behaviour(pieces=[], finish=finish))) is DeclinedError


async def test_what_an_endpoint_cannot_take_is_left_out_once_it_said_so(rig: Rig) -> None:
    body = said("Unsupported parameter: 'temperature'", param="temperature", code="unsupported_parameter")
    told(rig, Behaviour(status=400, body=body))
    async with rig.dispatcher.open("run") as connection:
        for _ in range(2):
            await connection.ask(request("x"), ignore)
    assert ["temperature" in one.body for one in rig.scripted.received] == [True, False, False]


async def test_the_books_say_what_was_asked_and_what_went_out(rig: Rig) -> None:
    told(rig, Behaviour(), Behaviour(status=500, body=said("no")))
    async with rig.dispatcher.open("run") as connection:
        await connection.ask(request("x"), ignore)
        with pytest.raises(OverloadedError):
            await connection.ask(request("x"), ignore)
    (use,) = rig.dispatcher.statistics()
    assert (use.prompts, use.failed, use.is_remote) == (2, 1, False)
    assert use.sent_bytes == sum(len(one.raw) for one in rig.scripted.received)
    assert use.tokens.generated == 4 and use.cost == pytest.approx(50e-6)


# Tools ---------------------------------------------------------------------------------------------------

TOOLS = tuple(
    ToolDefinition(name=name, description=name, parameters='{"type":"object"}')
    for name in ("files.read", "files_read", "git.log")
)


async def test_calls_come_back_with_the_names_that_were_offered(rig: Rig) -> None:
    needs(rig, "tools")
    told(rig, Behaviour())
    await ask(rig, tools=TOOLS)
    body = rig.scripted.received[0].body
    names = [one.get("function", one)["name"] for one in body["tools"]]
    assert len(set(names)) == 3 and not any("." in name for name in names)
    rig.tell(Behaviour(calls=[(names[0], '{"path": "a"}'), (names[2], "{}")]))
    reply = await ask(rig, tools=TOOLS)
    assert reply.finish_reason is FinishReason.CALLS and reply.cut is None
    assert [(one.name, json.loads(one.arguments)) for one in reply.calls] == [
        ("files.read", {"path": "a"}),
        ("git.log", {}),
    ]


async def test_what_tools_gave_back_goes_on_in_the_conversation(rig: Rig) -> None:
    needs(rig, "tools")
    told(rig, Behaviour(thoughts=["hm"], calls=[("files__read", '{"path": "a"}'), ("git__log", "{}")]))
    async with rig.dispatcher.open("run") as connection:
        first = await connection.ask(request("x", session="talk", tools=TOOLS), ignore)
        results = tuple(Message(role="tool", content=f"<{one.name}>", call=one) for one in first.calls)
        await connection.ask(replace(request("", session="talk", tools=TOOLS), messages=results), ignore)
    messages = rig.scripted.received[1].messages
    text = json.dumps(messages)
    assert "<files.read>" in text and "<git.log>" in text and "id0" in text and "id1" in text
    assert "files__read" in text
    if messages[-1]["role"] == "user":  # of the Messages API: one message with both results
        kinds = [one["type"] for one in messages[-1]["content"]]
        assert kinds == ["tool_result", "tool_result"]
        assert messages[-2]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "signed"}
    else:
        assert [one["role"] for one in messages] == ["user", "assistant", "tool", "tool"]


@pytest.mark.parametrize("choice", ["auto", "none", "required", "git.log"])
async def test_the_choice_of_tools_is_put_into_the_words_of_the_dialect(rig: Rig, choice: str) -> None:
    needs(rig, "tools")
    told(rig, Behaviour())
    await ask(rig, tools=TOOLS, tool_choice=choice)
    given = rig.scripted.received[0].body["tool_choice"]
    word = given if isinstance(given, str) else given["type"]
    words = {"required": ("required", "any"), "git.log": ("function", "tool")}
    assert word in words.get(choice, (choice,))
    assert choice != "git.log" or "git__log" in json.dumps(given)


async def test_a_call_with_arguments_that_are_no_object_goes_back_all_the_same(rig: Rig) -> None:
    needs(rig, "tools")
    told(rig)
    call = ToolCall(id="c1", name="git.log", arguments="not json")
    messages = (
        Message(role="user", content="x"),
        Message(role="assistant", content="", calls=(call,)),
        Message(role="tool", content="failed", call=call),
    )
    async with rig.dispatcher.open("run") as connection:
        reply = await connection.ask(replace(request("", tools=TOOLS), messages=messages), ignore)
    assert reply.text == "3 messages"
