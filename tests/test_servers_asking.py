"""Servers that ask the model or the person while one of their tools is called: refused, or answered."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from samovar.actions.asked_back import FormAsked, FormReply, NobodyAnswers, RefusedToServerError
from samovar.actions.outside import ThisMachine
from samovar.actions.question import NO, YES, Filled, Question, Reply
from samovar.config import Settings
from samovar.config.declared import DeclaredServer
from samovar.errors import EngineError
from samovar.events import Ending
from samovar.generation import FinishReason, TextGenerated
from samovar.running.run import Run
from samovar.running.runner import RunnerSettings
from samovar.tools.answering import MOST_FIELDS, MOST_TEXT_TOKENS, MOST_TEXTS, AnsweringServer
from samovar.tools.mcp_asking import AsksBack
from tests.bench import Answer, Bench, Told, reply
from tests.test_tools import LINE, calls, given

pytest.importorskip("mcp")
pytestmark = pytest.mark.anyio
PROGRAM = str(Path(__file__).with_name("asking_server.py"))
ERAS = {"newer": (sys.executable, PROGRAM), "older": (sys.executable, PROGRAM, "--legacy")}
SERVER = DeclaredServer(name="s", command=ERAS["newer"])
USES = 'A: Prompt "x" result="v" using tools="s.*"'


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(params=ERAS)
def server(request: pytest.FixtureRequest) -> DeclaredServer:
    return replace(SERVER, command=ERAS[request.param])


class Person:
    """Says what it is told to, in turn, and keeps the questions."""

    def __init__(self, *says: Reply | str | None) -> None:
        self.says = list(says)
        self.asked: list[Question] = []

    async def __call__(self, question: Question) -> Reply | None:
        self.asked.append(question)
        said = self.says.pop(0)
        return question.reply(said) if isinstance(said, str) else said


async def used(
    bench: Bench,
    server: DeclaredServer,
    tool: str,
    answers: Sequence[Answer] = (),
    person: Person | None = None,
    front: str = "",
    **arguments: object,
) -> tuple[Run, Told]:
    """A run whose model calls a tool once; `answers` come after the call."""
    settings = Settings(servers=(server,), allow=("tool:s.*",))
    outside = ThisMachine(person)
    bench.settings = RunnerSettings(
        folder=bench.folder, settings=settings, outside=outside, yes=True, answers={"A": ["yes"]}
    )
    told = Told([calls((f"s.{tool}", arguments)), *answers, "done"])
    return await bench.run(bench.write("w", LINE, USES, front), told), told


def result_of(told: Told) -> str:
    return given(told, len(told.requests) - 1)[0].partition("\n")[2]


@pytest.mark.slow
async def test_what_a_server_asks_is_refused_unless_the_settings_allow_it(
    bench: Bench, server: DeclaredServer
) -> None:
    for tool in ("fills", "writes"):
        _, told = await used(bench, server, tool)
        assert "did not declare" in result_of(told) and len(told.requests) == 2
    other = replace(server, sampling=True)
    _, told = await used(bench, other, "fills", person=Person())
    assert "did not declare" in result_of(told)


async def test_a_server_sees_the_refusal_as_an_error_of_the_protocol(bench: Bench) -> None:
    older = replace(SERVER, command=ERAS["older"])
    _, told = await used(bench, older, "asks_once")
    assert result_of(told) == "-32600: Elicitation not supported"
    _, told = await used(bench, older, "writes_often", times=1)
    assert result_of(told) == "-32600: Sampling not supported"


async def test_a_server_that_may_has_the_model_of_the_prompt_write(
    bench: Bench, server: DeclaredServer
) -> None:
    text = reply("A cup of tea STOP and more", FinishReason.STOP)
    run, told = await used(bench, replace(server, sampling=True), "writes", [text])
    assert run.ending is Ending.COMPLETED, run.error
    assert result_of(told) == "A cup of tea  (stopSequence, m.gguf)"
    asked = told.requests[1]
    assert [(one.role, one.content) for one in asked.messages] == [
        ("system", "Be brief."),
        ("user", "Write about tea."),
    ]
    assert asked.options.max_tokens == MOST_TEXT_TOKENS and asked.options.tools == ()
    assert (asked.session, asked.allows_effects, asked.is_from_server) == (None, False, True)
    assert run.variables["v"] == "done"
    # What is written for a server is neither shown nor a part of the conversation.
    assert [event.piece for event in bench.events if isinstance(event, TextGenerated)] == ["done"]
    assert told.requests[2].session == told.requests[0].session


@pytest.mark.slow
async def test_what_a_server_has_written_counts_in_the_limits_of_the_run(bench: Bench) -> None:
    sampling = replace(SERVER, sampling=True, command=ERAS["older"])
    texts = [reply("text")] * 3  # of two tokens each
    run, told = await used(bench, sampling, "writes_often", texts, front="limits: {tokens: 5}", times=3)
    assert run.ending is Ending.LIMITED and run.error is not None and "tokens" in run.error.message
    assert len(told.requests) == 4  # the third one was too much
    run, _ = await used(bench, sampling, "writes_often", texts, front="limits: {tokens: 50}", times=3)
    assert run.ending is Ending.COMPLETED, run.error


async def test_a_server_has_only_so_many_texts_written_in_one_call(bench: Bench) -> None:
    sampling = replace(SERVER, sampling=True, command=ERAS["older"])
    texts = [f"text {number}" for number in range(MOST_TEXTS)]
    run, told = await used(bench, sampling, "writes_often", texts, times=MOST_TEXTS + 2)
    assert run.ending is Ending.COMPLETED, run.error
    heard = result_of(told).split("; ")
    assert heard[:MOST_TEXTS] == texts and len(told.requests) == MOST_TEXTS + 2
    assert all(one.startswith("-32600: The model is asked at most") for one in heard[MOST_TEXTS:])


async def test_a_model_that_fails_is_an_error_for_the_server_alone(
    bench: Bench, server: DeclaredServer
) -> None:
    run, told = await used(bench, replace(server, sampling=True), "writes", [EngineError("It broke.")])
    assert run.ending is Ending.COMPLETED, run.error
    assert "It broke." in result_of(told)


async def test_a_person_fills_in_a_form_and_sees_who_asks(bench: Bench, server: DeclaredServer) -> None:
    person = Person(YES, "Ann", "many", "3", "yes")
    run, told = await used(bench, replace(server, elicitation=True), "fills", person=person)
    assert run.ending is Ending.COMPLETED, run.error
    assert result_of(told) == "Ann 3 True"
    first, name, count, again, sure = person.asked
    assert first.kind == "approve" and first.text.startswith("The server 's' asks you: Who are \x1b[31myou?")
    assert "It would get: name, count, sure" in first.text
    assert Filled("Who are \x1b[31myou?") in first.parts  # what a server says is apart, and shown escaped
    assert name.text == "s: name: Name" and "expected a number" in again.text and count.kind == "text"
    assert sure.choices == ("yes", "no") and sure.default == "no" and first.path == "A"


@pytest.mark.parametrize(("said", "becomes"), [(NO, "decline"), (None, "cancel")])
async def test_a_form_is_declined_by_the_person_and_cancelled_where_there_is_none(
    bench: Bench, said: Reply | None, becomes: str
) -> None:
    # Neither `--yes` nor an answer that was given before the run, which `used` both has, answers a server.
    older = replace(SERVER, elicitation=True, command=ERAS["older"])
    run, told = await used(bench, older, "asks_once", person=Person(said))
    assert run.ending is Ending.COMPLETED and f"action='{becomes}'" in result_of(told)
    assert ("nobody can be asked" in " ".join(bench.warnings)) is (said is None)


async def test_a_call_that_is_stopped_while_a_person_is_asked_ends_at_once(
    bench: Bench, server: DeclaredServer
) -> None:
    asked, left = anyio.Event(), anyio.Event()

    class Slow(Person):
        async def __call__(self, question: Question) -> Reply | None:
            asked.set()
            try:
                await anyio.sleep_forever()
            finally:
                left.set()
            raise AssertionError("nobody answers")

    with anyio.fail_after(60), anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                await used(bench, replace(server, elicitation=True), "fills", person=Slow())

            tasks.start_soon(run)
            await asked.wait()
            scope.cancel()
    assert scope.cancelled_caught and left.is_set()


async def test_the_time_that_a_person_takes_is_not_that_of_the_call() -> None:
    import mcp_types

    seen: list[float] = []

    class Answers(NobodyAnswers):
        async def form(self, asked: FormAsked) -> FormReply:
            seen.append(limit.deadline)
            return FormReply(action="decline", values={})

    back = AsksBack()
    schema = {"type": "object", "properties": {}}
    params = mcp_types.ElicitRequestFormParams(message="x", requested_schema=schema)
    with anyio.fail_after(60), anyio.CancelScope() as limit:
        async with back.answered(Answers(), limit, 20.0):
            assert limit.deadline < float("inf")
            assert (await back.asked(None, params)).action == "decline"
            assert seen == [float("inf")] and limit.deadline < float("inf")
    late = await back.asked(None, params)
    assert late.message == "It may ask only while one of its tools is called."


async def test_the_time_that_a_call_waits_for_another_one_is_not_its_own() -> None:
    back, limits = AsksBack(), list[anyio.CancelScope]()

    async def call() -> None:
        with anyio.move_on_after(20.0) as limit:
            limits.append(limit)
            async with back.answered(NobodyAnswers(), limit, 20.0):
                pass

    with anyio.fail_after(60), anyio.CancelScope() as first:
        async with anyio.create_task_group() as tasks, back.answered(NobodyAnswers(), first, 20.0):
            tasks.start_soon(call)
            while not limits:
                await checkpoint()
            assert limits[0].deadline == float("inf")
    assert limits[0].deadline < float("inf") and not limits[0].cancelled_caught


FORMS: dict[str, dict[str, object]] = {
    "no object": {"type": "string"},
    "nested": {"type": "object", "properties": {"a": {"type": "object"}}},
    "a list": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}},
    "too many": {
        "type": "object",
        "properties": {f"f{n}": {"type": "string"} for n in range(MOST_FIELDS + 1)},
    },
}


@pytest.mark.parametrize("schema", FORMS.values(), ids=FORMS)
async def test_a_form_that_nobody_could_fill_in_is_refused_before_anybody_is_asked(
    schema: dict[str, object],
) -> None:
    answering = AnsweringServer(replace(SERVER, elicitation=True), None)  # type: ignore[arg-type]
    with pytest.raises(RefusedToServerError):
        await answering.form(FormAsked(message="x", schema=schema))
