"""`verify` of a prompt: a command looks at each answer, and the model repairs what does not pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from samovar.actions.outside import ThisMachine, VisitOf
from samovar.actions.process import Command, CommandResult
from samovar.actions.verifying import SHOWN_CHARS
from samovar.events import AttemptFailed, Ending
from samovar.executors.base import PromptReply
from samovar.generation import FinishReason
from samovar.running.runner import RunnerSettings
from samovar.wire import event_to_wire, run_to_wire
from tests.bench import Bench, Told, statuses

pytestmark = pytest.mark.anyio
LINE = "[*] --> A\nA --> [*]"


class Commands(ThisMachine):
    """This machine, but for its commands: each leaves what it is told. Keeps what was run."""

    def __init__(self, *results: tuple[int, str, str] | CommandResult) -> None:
        super().__init__()
        self.results, self.ran = iter(results), list[Command]()

    async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
        self.ran.append(command)
        told = next(self.results)
        if isinstance(told, CommandResult):
            return told
        code, stdout, stderr = told
        return CommandResult(
            stdout=stdout, stderr=stderr, exit_code=code, duration_s=0.0, timed_out=False, is_cut=False
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def on(bench: Bench, *results: tuple[int, str, str] | CommandResult) -> Commands:
    commands = Commands(*results)
    bench.settings = RunnerSettings(folder=bench.folder, outside=commands)
    return commands


OK = (0, "", "")


async def test_an_answer_that_passes_is_asked_for_once(bench: Bench) -> None:
    commands, told = on(bench, (0, "fine", "")), Told(["good"])
    run = await bench.run(bench.write("w", LINE, 'A: Prompt "x" result="v" using verify=\'make test\''), told)
    assert (run.ending, run.variables["v"], len(told.requests)) == (Ending.COMPLETED, "good", 1)
    assert commands.ran[0].words == ("sh", "-c", "make test")
    assert (run.variables["stdout"], run.variables["exit_code"]) == ("fine", 0)
    assert run.visits[0].attempts == ()


async def test_the_command_reads_the_answer_and_finds_it_in_a_file_that_is_gone_afterwards(
    bench: Bench,
) -> None:
    verify = 'cat > read && cat \\"$ANSWER_FILE\\" > file && echo \\"$ANSWER_FILE\\" > name'
    workflow = bench.write("w", LINE, f'A: Prompt "x" using verify="{verify}"')
    run = await bench.run(workflow, Told(["  ä\n$(touch canary)\n"]))
    assert run.ending is Ending.COMPLETED, run.error
    assert {name: (bench.folder / name).read_text() for name in ("read", "file")} == dict.fromkeys(
        ("read", "file"), "  ä\n$(touch canary)\n"
    )
    path = Path((bench.folder / "name").read_text().strip())
    assert path.name == "answer.txt" and not path.parent.exists()
    assert not (bench.folder / "canary").exists()


async def test_a_failure_is_told_to_the_model_in_the_same_conversation(bench: Bench) -> None:
    on(bench, (1, "1 failed\n", "E: no\n"), OK)
    told = Told(["bad", "good"])
    run = await bench.run(bench.write("w", LINE, 'A: Prompt "x" result="v" using verify="t"'), told)
    assert (run.ending, run.variables["v"]) == (Ending.COMPLETED, "good")
    first, second = told.requests
    assert first.session == second.session is not None and first.is_own and second.is_own
    assert [message.role for message in second.messages] == ["user"]
    assert second.messages[0].content == (
        "Your answer was checked by a command, which ended with status 1. It wrote:\n\n1 failed\nE: no\n\n"
        "Correct the answer, and give all of it again."
    )


async def test_after_the_last_repair_the_state_fails_with_the_answer_and_the_output(bench: Bench) -> None:
    commands = on(bench, *[(3, "", f"no {n}") for n in range(3)])
    diagram = '[*] --> A\nA --> [*]: success\nA --> B: error.kind == "unverified"\nB --> [*]'
    told = Told(["one", "two", "three"])
    actions = 'A: Prompt "x" result="v" using verify="t"\nB: Log "${exit_code} ${v} ${error.message}"'
    run = await bench.run(bench.write("w", diagram, actions), told)
    assert statuses(run) == ["A failure", "B success"]
    message = (
        "The answer did not pass `t` after 2 repairs: the command ended with status 3: no 2. "
        "The answer was: three"
    )
    assert bench.log == [f"3 three {message}"]
    assert run.variables["stderr"] == "no 2" and len(commands.ran) == 3
    visit = run.visits[0]
    assert visit.error is not None and (visit.error.code, visit.error.message) == ("unverified", message)


@pytest.mark.parametrize(("repairs", "asked"), [("0", 1), ('"1"', 2), ('"${n}"', 4)])
async def test_there_are_as_many_repairs_as_it_says(bench: Bench, repairs: str, asked: int) -> None:
    on(bench, *[(1, "", "")] * 9)
    told = Told(["x"] * 9)
    actions = f'A: Prompt "x" using verify="t" repairs={repairs}'
    run = await bench.run(bench.write("w", LINE, actions, "parameters: [{name: n}]"), told, n=3)
    assert (run.ending, len(told.requests)) == (Ending.FAILED, asked)


@pytest.mark.parametrize("repairs", ["-1", "101", "many", "1.5"])
async def test_repairs_that_are_no_number_fail_when_they_are_known(bench: Bench, repairs: str) -> None:
    on(bench)
    actions = 'A: Prompt "x" using verify="t" repairs="${n}"'
    run = await bench.run(bench.write("w", LINE, actions, "parameters: [{name: n}]"), Told(), n=repairs)
    assert run.error is not None
    assert run.error.message == f"`repairs` is a whole number from 0 to 100, not '{repairs}'."


async def test_what_failed_is_in_the_events_the_record_and_json_and_its_tokens_count(bench: Bench) -> None:
    on(bench, (1, "", "no"), OK)
    run = await bench.run(bench.write("w", LINE, 'A: Prompt "x" using verify="t"'), Told(["bad", "good"]))
    (event,) = bench.told(AttemptFailed)
    assert isinstance(event, AttemptFailed) and event.wait_s is None and event.path == "A"
    assert event.error.message == (
        "The answer did not pass `t`: the command ended with status 1: no. The answer was: bad"
    )
    assert run.visits[0].attempts == (event,) or run.visits[0].attempts[0].error == event.error
    assert run.tokens.generated == 4  # two for each answer
    assert event_to_wire(event)["event"] == "attempt_failed"
    state = run_to_wire(run)["states"][0]
    assert [(one["error"]["code"], one["tokens"]["generated"]) for one in state["attempts"]] == [
        ("unverified", 2)
    ]


async def test_answers_that_did_not_pass_count_for_the_limit_of_tokens(bench: Bench) -> None:
    on(bench, *[(1, "", "")] * 3)
    told = Told(["x"] * 3)
    run = await bench.run(
        bench.write("w", LINE, 'A: Prompt "x" using verify="t"', "limits: {tokens: 3}"), told
    )
    assert (run.ending, len(told.requests)) == (Ending.LIMITED, 2)


async def test_a_long_output_is_shown_to_the_model_by_its_beginning_and_its_end(bench: Bench) -> None:
    on(bench, (1, "first" + "x" * 1_000_000 + "last", ""), OK)
    told = Told(["bad", "good"])
    await bench.run(bench.write("w", LINE, 'A: Prompt "x" using verify="t"'), told)
    text = told.requests[1].messages[0].content
    assert "first" in text and "last" in text and "996009 characters are left out" in text
    assert len(text) < SHOWN_CHARS + 300


async def test_a_command_that_takes_too_long_or_writes_too_much_did_not_pass(bench: Bench) -> None:
    slow = CommandResult(stdout="", stderr="", exit_code=143, duration_s=9, timed_out=True, is_cut=False)
    loud = CommandResult(stdout="x", stderr="", exit_code=143, duration_s=9, timed_out=False, is_cut=True)
    commands, told = on(bench, slow, loud, OK), Told(["1", "2", "3"])
    actions = 'A: Prompt "x" using verify="t" verify_timeout=2s'
    run = await bench.run(bench.write("w", LINE, actions), told)
    assert run.ending is Ending.COMPLETED
    assert [command.timeout_s for command in commands.ran] == [2, 2, 2]
    assert "took longer than 2 s and was stopped. It wrote nothing." in told.requests[1].messages[0].content
    assert "wrote more than a value may have" in told.requests[2].messages[0].content


async def test_a_command_of_this_machine_is_ended_after_its_time(bench: Bench) -> None:
    actions = 'A: Prompt "x" using verify="exec sleep 600" verify_timeout=10ms repairs=0'
    run = await bench.run(bench.write("w", LINE, actions), Told(["x"]))
    assert run.error is not None and "took longer than 0.01 s" in run.error.message


async def test_values_in_the_command_are_words_of_it_and_result_is_the_answer(bench: Bench) -> None:
    actions = 'A: Prompt "x" using verify="printf \'<%s>\' ${n} ${code(result)} > out"'
    workflow = bench.write("w", LINE, actions, "parameters: [{name: n}]")
    run = await bench.run(
        workflow, Told(["Here:\n```sh\n$(touch canary); a b\n```\n"]), n="'; touch canary '"
    )
    assert run.ending is Ending.COMPLETED, run.error
    assert (bench.folder / "out").read_text() == "<'; touch canary '><$(touch canary); a b>"
    assert not (bench.folder / "canary").exists()


async def test_an_answer_that_is_cut_off_from_its_form_fails_before_the_command(bench: Bench) -> None:
    commands = on(bench)
    cut = PromptReply(text='{"a":', finish_reason=FinishReason.LENGTH, model="m", cut="text")
    actions = 'A: Prompt "x" using verify="t" schema="{a: text}"'
    run = await bench.run(bench.write("w", LINE, actions), Told([cut]))
    assert run.error is not None and run.error.code == "cut-off" and commands.ran == []


async def test_the_value_of_an_answer_by_a_schema_is_typed_in_the_command(bench: Bench) -> None:
    commands = on(bench, OK)
    actions = 'A: Prompt "x" result="v" using verify="t ${result.a[0] + 1}" schema="{a: [integer]}"'
    run = await bench.run(bench.write("w", LINE, actions), Told(['{"a":[1]}']))
    assert run.ending is Ending.COMPLETED, run.error
    assert commands.ran[0].shown == "t 2" and commands.ran[0].stdin == '{"a":[1]}'


async def test_only_the_own_conversation_ends_with_the_state(bench: Bench) -> None:
    class Forgetful(Told):
        def __init__(self, answers: list[str]) -> None:
            super().__init__(answers)
            self.forgotten: list[str] = []

        async def forget(self, session: str) -> None:
            self.forgotten.append(session)

        @asynccontextmanager
        async def open(self, run: str) -> AsyncIterator[Forgetful]:
            yield self

    on(bench, (1, "", ""), OK, OK)
    told = Forgetful(["a", "b", "c"])
    diagram = "[*] --> A\nA --> B\nB --> [*]"
    actions = 'A: Prompt "x" using verify="t" fork="talk"\nB: Prompt "y" using verify="t" session="talk"'
    await bench.run(bench.write("w", diagram, actions), told)
    sessions = [(request.session, request.fork) for request in told.requests]
    assert sessions == [("\0" + "1", "talk"), ("\0" + "1", None), ("talk", None)]
    assert told.forgotten == ["\0" + "1"]


async def test_cancelling_ends_the_command_and_the_conversation(bench: Bench) -> None:
    started = anyio.Event()

    class Endless(Commands):
        ended = False

        async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
            started.set()
            try:
                await anyio.sleep_forever()
            finally:
                self.ended = True
            raise AssertionError

    endless = Endless()
    bench.settings = RunnerSettings(folder=bench.folder, outside=endless)
    workflow = bench.write("w", LINE, 'A: Prompt "x" using verify="t"')
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.run, workflow, Told(["a"]))
        with anyio.fail_after(60):
            await started.wait()
        tasks.cancel_scope.cancel()
    assert endless.ended


async def test_the_time_limit_of_the_action_ends_command_and_repairs(bench: Bench) -> None:
    actions = 'A: Prompt "x" timeout=20ms using verify="exec sleep 600"'
    run = await bench.run(bench.write("w", LINE, actions), Told(["x"]))
    assert run.error is not None
    assert (run.error.code, run.error.message) == ("timeout", "It took longer than 0.02 s and was stopped.")
