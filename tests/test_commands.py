"""Commands without a shell, what commands read, which shell runs them, and the time limit of every action."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.actions.base import Outcome
from samovar.actions.command import RunProgram
from samovar.actions.defaults import PromptDefaults
from samovar.actions.time_limit import perform
from samovar.errors import FaultsError, Place, ShellError, TimedOutError, UsageError
from samovar.events import Ending
from samovar.preflight.prepare import prepare
from samovar.preflight.preview import preview
from samovar.values import Record
from tests.bench import Bench, Told
from tests.test_shell import NASTY, context, record, shell, words

pytestmark = pytest.mark.anyio
HERE = Place(path=None, line=1, column=1)


async def performed(line: str, folder: Path | None = None, **variables: object) -> Outcome:
    with anyio.fail_after(60):
        return await perform(parse_action(line, HERE), context(folder, **variables))


def faults(line: str) -> list[str]:
    try:
        found = parse_action(line, HERE).faults(cast(Any, None), cast(Any, None))
    except FaultsError as error:
        return [f"{fault.code}: {fault.message}" for fault in error.faults]
    return [f"{fault.code}: {fault.message}" for fault in found]


@settings(max_examples=30)
@given(value=NASTY, several=st.lists(NASTY, max_size=3))
def test_each_item_is_one_word_and_a_list_one_for_each_element(value: str, several: list[str]) -> None:
    line = r"""Command ["printf", "%s\0", '${x}', "a ${x} b", '${l}', "end"] result="v" """
    outcome = anyio.run(lambda: performed(line, x=value, l=several))
    stdout = cast(str, record(outcome)["stdout"])
    assert words(stdout.encode("utf-8", "surrogateescape")) == [value, f"a {value} b", *several, "end"]


async def test_only_a_list_that_stands_alone_as_an_expression_is_several_words() -> None:
    line = r"""Command ["printf", "%s|", "${l}", "${l.map(i, i + 1)}", "{{ l }}", "a${l}"]"""
    outcome = await performed(line, l=[1, 2])
    assert outcome.sets["stdout"] == "1|2|2|3|[1, 2]|a[1, 2]|"


async def test_what_is_given_to_a_command_holds_expressions(tmp_path: Path) -> None:
    (tmp_path / "d2").mkdir()
    line = (
        'Shell "cat; echo -$A-; basename $PWD" stdin="${n * 2}" working_dir="d${n}" env={"A":"${n + 1}"} '
        'timeout="${n * 30}"'
    )
    assert faults(line) == []
    outcome = await performed(line, tmp_path, n=2)
    assert outcome.sets["stdout"] == "4-3-\nd2\n"


async def test_no_shell_reads_the_words(tmp_path: Path) -> None:
    await performed('Command ["touch", "--", "$HOME", "a; touch b", "*"]', tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["$HOME", "*", "a; touch b"]


async def test_the_parts_and_the_failures_are_those_of_a_shell_command(tmp_path: Path) -> None:
    outcome = await performed('Command ["ls", "${d}"] result="v" working_dir="."', tmp_path, d="nowhere")
    assert isinstance(outcome.error, ShellError) and "nowhere" in outcome.error.message
    assert cast(Record, outcome.sets["v"])["exit_code"] == outcome.sets["exit_code"] != 0
    with pytest.raises(ShellError, match="no program 'no-such-program'"):
        await performed('Command ["no-such-program"]')


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('Command ["${x}", "a"]', "shell-value: The program must be written out"),
        (
            'Command ["sh", "-c", "echo ${x}"]',
            "shell-value: A value cannot be used here: it is in the text",
        ),
        ('Command ["sudo", "-u", "bob", "bash", "-ec", "${x}"]', "nested shell"),
        ('Command ["python3", "-c", "print(${x})"]', "text of a program for `python3`"),
        ('Command ["sh", "${x}", "${y}"]', "option"),
        ('Command ["env", "-S", "${x}"]', "env -S"),
        ('Command ["ssh", "host", "ls ${x}"]', "nested shell"),
        ('Command ["find", ".", "-exec", "sh", "-c", "${x}", ";"]', "nested shell"),
        ('Command ["sh"] stdin="${x}"', "the input of `sh`"),
        ('Command ["env", "BASH_ENV=${x}", "bash", "a.sh"]', "what `BASH_ENV` holds is read as code"),
        ('Command ["nice", "${x}"]', "it names the program"),
        ('Command ["nice", "-n", "${x}", "ls"]', "it may be a list"),
        ('Command ["timeout", "${x}", "ls"]', "it may be a list"),
        ('Command ["find", ".", "-exec", "${x}", ";"]', "it names the program"),
        ('Command ["xargs", "env"] stdin="${x}"', "it names the program"),
        ('Command ["bash", "a.sh"] env={"BASH_ENV":"${x}"}', "BASH_ENV"),
        (
            'Command ["git", "show", "${x}"]',
            "shell-option: `git` may read the value as an option; put --end-of",
        ),
        ("Command []", "action-syntax: The list is empty"),
        ('Command ["a" "b"]', "A comma or the end of the list"),
        ('Command "git show"', "A list of words is expected"),
        ('Command ["a", b]', "Each word in quotes"),
        ('Command ["a"] shell="bash"', "unknown-option: There is no option 'shell'"),
    ],
)
def test_what_is_wrong_with_a_command_is_said(line: str, said: str) -> None:
    assert said in " ".join(faults(line))


@pytest.mark.parametrize(
    "line",
    [
        'Command ["git", "show", "--end-of-options", "${sha}"]',
        'Command ["sh", "-c", "echo $1", "sh", "${x}"]',
        'Command ["timeout", "${t}s", "env", "FOO=${x}", "make", "${l}"]',
        'Command ["docker", "run", "--rm", "image", "cat", "${x}"]',
        'Command ["tee", "--", "${f}"] with stdin="${x}" detach=true retry_safe=true timeout=5s',
    ],
)
def test_other_words_are_no_fault(line: str) -> None:
    assert faults(line) == []


def test_a_sentence_that_begins_with_the_word_is_no_command() -> None:
    (said,) = faults("Command the fleet to sail")
    assert "'Command' is not an action in this form. The form is: Command [" in said


@pytest.mark.parametrize("line", ['Command ["cat"] stdin="${x}"', 'Shell "cat" stdin="${x}"'])
async def test_a_command_reads_a_value_of_any_size(line: str) -> None:
    value = "a\0ä$(id)\n" * 200_000
    assert record(await performed(line, x=value))["stdout"] == value


@pytest.mark.parametrize("line", ['Command ["true"] stdin="${x}"', 'Shell "head -c 1" stdin="${x}"'])
async def test_a_command_need_not_read_all_that_it_is_given(line: str) -> None:
    assert (await performed(line, x="y" * 1_000_000)).error is None


async def test_what_is_no_text_is_a_failure_before_the_command_starts(tmp_path: Path) -> None:
    with pytest.raises(ShellError, match="as text"):
        await performed('Command ["touch", "started"] stdin="${x}"', tmp_path, x="\ud800")
    assert list(tmp_path.iterdir()) == []


async def test_without_stdin_there_is_nothing_to_read() -> None:
    assert record(await performed('Command ["cat"]')) == ""


async def test_bash_runs_the_command_if_it_is_asked_for() -> None:
    line = 'Shell "set -o pipefail; cat ./missing 2>&1 | head -n 1; echo $BASH_VERSION" shell="bash"'
    assert record(await shell(line))["lines"] != []
    outcome = await shell('Shell "set -o pipefail; false | true" shell="bash"')
    assert outcome.error is not None
    assert "`shell` must be sh or bash" in " ".join(faults('Shell "x" shell="fish"'))


def test_a_shell_that_is_not_there_is_said_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    workflow = bench.write("w", "[*] --> A\nA --> [*]", 'A: Shell "touch started" shell="bash"')
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UsageError, match=r"w\.md:\d+:\d+: The command needs bash, which is not on this machine"
    ):
        prepare(workflow, {}, bench.library, bench.settings.settings, bench.settings)
    assert not (tmp_path / "started").exists()


LIMITED = [
    'Log "x" timeout=5s',
    'Log "x" with timeout="${t}"',
    "Set a := 1 + 1 timeout=5s",
    'Set a="x", b="y" timeout=5s',
    "Wait 0 s timeout=5s",
    'Wait for user input "Go?" timeout=1h',
    "Wait for user input timeout=1h",
    'Prompt "x" timeout=5min',
    'Execute prompt "p" with a=1 timeout=5min using temperature=1',
    'Run workflow "w" with timeout=5s',
    'Shell "true" timeout=5s',
    'Command ["true"] timeout=5s',
    'Abort "x" timeout=5s',
]


@pytest.mark.parametrize("line", LIMITED)
def test_every_action_takes_a_time_limit(line: str) -> None:
    action = parse_action(line, HERE)
    assert action.timeout is not None
    assert action.names == (frozenset("t") if "${t}" in line else frozenset())
    assert "duration above 0" in " ".join(
        faults(line.replace("${t}", "soon").replace("=5", "=x").replace("=1h", "=x"))
    )


def test_a_variable_may_still_be_called_timeout() -> None:
    assert parse_action("Set timeout=5, a := timeout == 5", HERE).timeout is None


@pytest.mark.parametrize("line", ["Wait 1h timeout=10ms", "{% if n %}Wait 1h timeout=10ms{% endif %}"])
async def test_an_action_that_takes_longer_is_ended_and_fails(line: str) -> None:
    with pytest.raises(TimedOutError, match=r"longer than 10 ms"):
        await performed(line, n=True)


async def test_a_command_that_takes_longer_has_what_it_wrote_until_then() -> None:
    outcome = await performed('Command ["sh", "-c", "echo begun; exec tail -f /dev/null"] timeout=500ms')
    assert isinstance(outcome.error, TimedOutError)
    assert "500 ms" in outcome.error.message


async def test_a_failure_edge_takes_a_time_limit(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    diagram = "[*] --> A\nA --> B: failure\nA --> [*]\nB --> [*]"
    workflow = bench.write("w", diagram, 'A: Wait 1h timeout=10ms\nB: Log "${error.kind}"')
    run = await bench.run(workflow, Told())
    assert (run.ending, bench.log) == (Ending.COMPLETED, ["timeout"])


def test_a_dry_run_shows_the_words_of_a_command(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    workflow = bench.write(
        "w", "[*] --> A\nA --> [*]", 'A: Command ["git", "show", "${sha}"] retry_safe=true'
    )
    (state,) = preview(workflow, {"sha": "HEAD"}, bench.library, PromptDefaults())
    assert (state.verb, state.what, state.is_repeatable) == ("command", "git show ${sha}", True)


def test_the_words_are_kept_as_they_are_written() -> None:
    action = cast(RunProgram, parse_action('Command ["a", \'b "c"\', "d\\n"]', HERE))
    assert [item.given for item in action.items] == ["a", 'b "c"', "d\\n"]
