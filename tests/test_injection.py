"""No value becomes syntax: whatever a variable holds or a model says, each action stays what was written."""

from __future__ import annotations

import string
from pathlib import Path

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from samovar.actions.outside import ThisMachine
from samovar.actions.question import YES, Question, Reply
from samovar.errors import ShellError
from samovar.events import Ending
from samovar.running.run import Run
from samovar.values import to_text
from tests.bench import Bench, Told

PAIRS = [a + b for a in string.printable for b in string.printable]
SHARDS = (
    "'", '"', "\n", "{{", "}}", "{% raw %}", "{%", "%}", "${", "$${", "${other}", "{{ other }}", "$(id)",
    "`id`", ";", " | sh", "--help", "-n", ' result="x"', "with other=1", 'using choices="a|b"',
    '- B: Abort "no"', "## Actions", "```", "\\", "<|im_end|>", ", other=1",
    " := 1", "true", "null", "5", '{"a": 1}',
    "\u2028", "ä",
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(PAIRS),
    st.lists(st.sampled_from(SHARDS), min_size=1, max_size=6).map("".join),
    st.text(),
).filter(lambda text: "\0" not in text and not any("\ud800" <= mark <= "\udfff" for mark in text))

ACTIONS = """\
Say: Prompt "one ${x} two" result="said"
Ask: Execute prompt "own" with text="${x}" whole="a ${x} b" result="asked"
Log: Log "<${x}> {{ x }}"
Put: Set copy="${x}", mixed="[${x}]", after="kept"
Sub: Run workflow "child" with given="${x}" result="below"
Sh: Shell "printf '%s\\0' begin ${x} '${x}' \\"{{ x }}\\" end" result="words"
"""
DIAGRAM = "[*] --> Say\nSay --> Ask\nAsk --> Log\nLog --> Put\nPut --> Sub\nSub --> Sh\nSh --> [*]"
FIRST = '\nGet: Prompt "start" result="x"'
PROMPTS = "## Prompts\n### own\n{{ text }}|{{ whole }}\n"
ORDER = ["Say", "Ask", "Log", "Put", "Sub", "Sub/In", "Sh"]


def run(bench: Bench, workflow: str, told: Told, **variables: object) -> Run:
    async def main() -> Run:
        return await bench.run(
            bench.library.workflow(str(bench.folder / f"{workflow}.md")), told, **variables
        )

    return anyio.run(main)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two workflows that are alike but for where the value comes from, and one that they run."""
    bench = Bench(tmp_path_factory.mktemp("flows"))
    bench.write("child", "[*] --> In\nIn --> [*]", 'In: Set got="${given}"', "parameters: [{name: given}]")
    bench.write("given", DIAGRAM, ACTIONS, rest=PROMPTS)
    asking = DIAGRAM.replace("[*] --> Say", "[*] --> Get\nGet --> Say")
    bench.write("said", asking, ACTIONS + FIRST, rest=PROMPTS)
    bench.write("end", "[*] --> Stop\nStop --> [*]", 'Stop: Abort "because ${x}"')
    bench.write("pause", "[*] --> Wait\nWait --> [*]", 'Wait: Wait for user input "see ${x}"')
    bench.write("time", "[*] --> Wait\nWait --> [*]", "Wait: Wait ${x}")
    return bench.folder


@pytest.mark.slow
@given(value=VALUES, by_model=st.booleans())
@example(value="'; touch canary; '", by_model=True)
@example(value="{{ other }}${other}", by_model=False)
@settings(max_examples=120)
def test_a_value_goes_through_every_action_as_it_is(folder: Path, value: str, by_model: bool) -> None:
    bench = Bench(folder)
    told = Told([*([value] if by_model else []), "first", "second"])
    variables = {"other": "SECRET"} if by_model else {"other": "SECRET", "x": value}
    done = run(bench, "said" if by_model else "given", told, **variables)
    assert done.ending is Ending.COMPLETED, done.error
    assert [visit.path for visit in done.visits] == (["Get"] if by_model else []) + ORDER
    asked = [request.messages[-1].content for request in told.requests][-2:]
    assert asked == [f"one {value} two", f"{value}|a {value} b"]
    assert bench.log == [f"<{value}> {value}"]
    assert to_text(done.variables["copy"]) == value
    assert (done.variables["mixed"], done.variables["after"]) == (f"[{value}]", "kept")
    assert done.variables["other"] == "SECRET"
    below = done.variables["below"]
    assert isinstance(below, dict) and to_text(below["got"]) == value
    assert to_text(done.variables["words"]).split("\0")[:-1] == ["begin", value, value, value, "end"]
    assert not (folder / "canary").exists()


@given(value=VALUES)
@settings(max_examples=60)
def test_a_reason_and_a_message_hold_a_value_as_it_is(folder: Path, value: str) -> None:
    done = run(Bench(folder), "end", Told(), x=value)
    assert done.ending is Ending.ABORTED and done.error is not None
    assert done.error.message.endswith(f"because {value}".rstrip()) or value in done.error.message
    seen: list[str] = []

    async def see(question: Question) -> Reply:
        seen.append(question.text)
        return YES

    bench = Bench(folder)
    object.__setattr__(bench.settings, "outside", ThisMachine(see))
    assert run(bench, "pause", Told(), x=value).ending is Ending.COMPLETED
    assert seen == [f"see {value}"]


@given(value=VALUES)
@settings(max_examples=60)
def test_a_time_to_wait_is_a_time_or_a_failure(folder: Path, value: str) -> None:
    if any(mark.isdigit() for mark in value):
        return
    done = run(Bench(folder), "time", Told(), x=value)
    assert done.ending is Ending.FAILED and done.error is not None
    assert [visit.path for visit in done.visits] == ["Wait"]


@pytest.mark.parametrize("value", ["a\0b", "x" * 128 * 1024 + "x", "ä" * 70_000])
@pytest.mark.parametrize("by_model", [True, False])
def test_what_no_shell_can_be_given_is_a_typed_failure_before_it_starts(
    tmp_path: Path, value: str, by_model: bool
) -> None:
    bench = Bench(tmp_path)
    get = '\nGet: Prompt "start" result="x"' if by_model else '\nGet: Log "-"'
    bench.write("w", "[*] --> Get\nGet --> Sh\nSh --> [*]", 'Sh: Shell "touch canary; echo ${x}"' + get)
    done = run(bench, "w", Told([value]), **({} if by_model else {"x": value}))
    assert done.ending is Ending.FAILED and done.error is not None
    assert done.error.code == ShellError.code and done.error.state == "Sh"
    assert not (tmp_path / "canary").exists()
