"""Reasoning in runs of workflows: never in a value, a condition or the next turn, but always to be had."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from samovar.app import open_scripted
from samovar.events import Ending, StateLeft
from samovar.executors.base import PromptReply
from samovar.generation import FinishReason, Message, TextGenerated, TokenCounts
from samovar.running.run import Run
from samovar.running.wire import event_to_wire, run_to_wire
from tests.bench import Bench, Told
from tests.bench import text_of as bench_text
from tests.talker import make_talker
from tests.test_cli import samovar
from tests.test_cli_output import lines_of
from tests.test_live import Screen, enter
from tests.test_testing import Cases, told

ASK = '[*] --> Ask\nAsk --> Right: answer == "Paris"\nAsk --> [*]: answer == "Rome"\nRight --> [*]'
THOUGHT = "<think>\nLet me see, Paris or Rome.\n</think>\n\nParis\n"


async def run(
    bench: Bench, actions: str, script: Callable[[Sequence[Message]], str], diagram: str = ASK
) -> Run:
    async with open_scripted(script) as executor:
        return await bench.run(bench.write("w", diagram, actions), executor)


def ask(using: str = "") -> str:
    using = using and f" using {using}"
    return f'Ask: Prompt "Capital of France?" result="answer"{using}\nRight: Log "${{answer.reasoning}}"'


@pytest.mark.anyio
async def test_what_was_thought_is_no_part_of_the_value_and_a_part_of_the_record(bench: Bench) -> None:
    done = await run(bench, ask(), lambda messages: THOUGHT)
    assert done.ending is Ending.COMPLETED
    assert done.variables["answer"] == "Paris"
    assert bench.log == ["Let me see, Paris or Rome."]
    state = run_to_wire(done)["states"][0]
    assert state["reasoning"] == "Let me see, Paris or Rome."
    assert state["tokens"]["reasoning"] == 8 and state["tokens"]["generated"] == 10
    assert "reasoning" not in run_to_wire(done, with_values=False)["states"][0]
    kinds = [(event.kind, event.piece) for event in bench.events if isinstance(event, TextGenerated)]
    assert "".join(piece for kind, piece in kinds if kind == "text") == "Paris"
    left = next(event for event in bench.events if isinstance(event, StateLeft))
    assert json.loads(json.dumps(event_to_wire(left)))["figures"]["reasoning"].startswith("Let me see")


@pytest.mark.anyio
async def test_the_next_turn_of_a_conversation_does_not_hear_it(bench: Bench) -> None:
    heard: list[list[str]] = []

    def script(messages: Sequence[Message]) -> str:
        heard.append([message.content for message in messages])
        return THOUGHT

    actions = 'Ask: Prompt "One?" result="answer" using session="s"\nRight: Prompt "Two?" using session="s"'
    assert (await run(bench, actions, script)).ending is Ending.COMPLETED
    assert heard == [["One?"], ["One?", "Paris", "Two?"]]


@pytest.mark.anyio
async def test_a_limit_that_was_spent_on_reasoning_is_said_with_what_to_do(bench: Bench) -> None:
    done = await run(bench, ask("max_tokens=4"), lambda messages: THOUGHT)
    assert done.ending is Ending.STUCK
    (warning,) = bench.warnings
    assert "reasoning used all 4 tokens (max_tokens is 4)" in warning
    assert "max_tokens=" in warning and "think=off" in warning
    assert run_to_wire(done)["states"][0]["cut"] == "reasoning"


@pytest.mark.anyio
async def test_a_text_that_was_cut_says_how_much_was_thought(bench: Bench) -> None:
    await run(bench, ask("max_tokens=8"), lambda messages: "<think>a b c</think> one two three four five six")
    assert bench.warnings == [
        "The answer was cut off after 8 tokens, 3 of them its reasoning (max_tokens is 8)."
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("said", [THOUGHT, "<think>never done"])
async def test_a_choice_that_was_not_made_is_a_failure(bench: Bench, said: str) -> None:
    done = await run(bench, ask('choices="Paris|Rome" max_tokens=2'), lambda messages: said)
    assert done.ending is Ending.FAILED and done.error is not None
    assert "reasoning" in done.error.message and "think=off" in done.error.message
    assert "answer" not in done.variables


@pytest.mark.anyio
async def test_a_choice_is_made_behind_the_reasoning(bench: Bench) -> None:
    done = await run(bench, ask('choices="Rome|Paris"'), lambda messages: THOUGHT)
    assert (done.ending, done.variables["answer"]) == (Ending.COMPLETED, "Paris")


@pytest.mark.anyio
async def test_arguments_of_the_template_go_through_to_whoever_answers(bench: Bench) -> None:
    executor = Told(["Paris"] * 4)
    requests = executor.requests
    for using in ('template={"enable_thinking": false}', "think=off", "template=none", "think=on"):
        workflow = bench.write("w", ASK, ask(using), rest="## System\n\nBe kind.")
        await bench.run(workflow, executor)
    options = [request.options for request in requests]
    assert [(one.template, one.think) for one in options] == [
        ({"enable_thinking": False}, None), ({}, False), ("none", None), ({}, True),
    ]  # fmt: skip
    assert [one.raw for one in options] == [False, False, True, False]


@pytest.mark.anyio
async def test_without_a_template_the_default_system_text_is_left_out(bench: Bench) -> None:
    executor = Told(["Paris"] * 2)
    workflow = bench.write("w", ASK, ask("template=none"), front="title: T")
    (bench.folder / "system.md").write_text("Be kind.", encoding="utf-8")
    await bench.run(workflow, executor)
    assert [message.role for message in executor.requests[0].messages] == ["user"]


@pytest.mark.anyio
async def test_an_answer_is_trimmed_but_without_a_template(bench: Bench) -> None:
    said = "\n  Paris \n\n"
    diagram = "[*] --> Ask\nAsk --> [*]"
    done = await run(bench, 'Ask: Prompt "x" result="answer"', lambda messages: said, diagram)
    assert done.variables["answer"] == "  Paris"
    action = 'Ask: Prompt "x" result="answer" using template=none'
    done = await run(bench, action, lambda messages: said, diagram)
    assert done.variables["answer"] == said


def test_a_case_may_have_what_was_thought_too(tmp_path: Path) -> None:
    cases = Cases(tmp_path)
    tree = cases.write(ASK, ask('choices="Paris|Rome"'))
    right = "answers: {Ask: '<think>Hm.</think>Paris'}\nexpect: {ending: completed, log: [Hm.]}"
    assert told(cases.result(tree, right)) == []
    cut = "answers: {Ask: {text: '', finish_reason: length}}\nexpect: {ending: failed}"
    assert told(cases.result(tree, cut)) == []


# What is shown -------------------------------------------------------------------------------------------


def test_while_a_model_thinks_its_line_counts_the_tokens() -> None:
    screen = Screen()
    enter(screen.lines, 1, "Ask")
    for tokens in ((1, 2), (3,)):
        screen.lines(TextGenerated(visit=1, piece="hm", kind="reasoning", tokens=tokens))
    (line,) = screen.drawn()
    assert "thinking, 3" in line and "hm" not in line
    screen.lines(TextGenerated(visit=1, piece="Paris"))
    (line,) = screen.drawn()
    assert "Paris" in line and "thinking" not in line
    screen.lines.close()


@pytest.mark.anyio
async def test_the_lines_of_a_run_show_the_text_and_how_much_was_thought(bench: Bench) -> None:
    await run(bench, ask(), lambda messages: THOUGHT)
    shown = "\n".join(lines_of(bench.events))
    assert "10 generated (8 of them reasoning)" in shown
    assert "    Paris" in shown and "<think>" not in shown


def test_a_reply_without_parts_has_no_reasoning() -> None:
    reply = PromptReply(text="x", finish_reason=FinishReason.STOP, model="m", tokens=TokenCounts())
    assert (reply.reasoning, reply.cut) == ("", None)


def test_a_dry_run_says_at_its_state_what_the_template_would_refuse(tmp_path: Path) -> None:
    model = make_talker(tmp_path / "m.gguf", ("x",))
    path = tmp_path / "w.md"
    path.write_text(bench_text(ASK, ask("think=off")), encoding="utf-8")
    done = samovar(tmp_path, "run", "w.md", "--model", str(model), "--dry-run")
    assert done.returncode == 2
    assert "think off" in done.stdout and "cannot turn reasoning on or off" in done.stdout
    assert "w.md:" in done.stdout
