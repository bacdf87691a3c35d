"""The shell action: values are data, groups of processes end, and failures say what there was."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, cast

import anyio
import psutil
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.actions.base import ActionContext, Outcome
from samovar.actions.defaults import PromptDefaults
from samovar.actions.launching import record_of
from samovar.actions.process import CommandResult
from samovar.actions.quoting import VARIABLE, quote
from samovar.actions.shell_text import UnquotableError
from samovar.actions.time_limit import perform
from samovar.config import Settings
from samovar.errors import ActionError, Fault, FaultsError, Place, ShellError, TemplateError, TimedOutError
from samovar.expressions.expression import Expression
from samovar.language.template import Rules, Template
from samovar.values import Record

pytestmark = pytest.mark.anyio
HERE = Place(path=None, line=1, column=1)

PIECES = [
    "a",
    " ",
    "\n",
    "\t",
    "'",
    '"',
    "`",
    "$",
    "\\",
    ";",
    "&",
    "|",
    "<",
    ">",
    "(",
    ")",
    "{",
    "}",
    "*",
    "?",
    "~",
    "#",
    "$(id)",
    "`id`",
    "${IFS}",
    "$((1))",
    "-n",
    "--",
    "\r",
    "!",
    "=",
    "[",
    "]",
    "\x01",
    "ä",
    "\u2028",
    "{{ x }}",
    "EOF\n",
]
NASTY = (st.text() | st.lists(st.sampled_from(PIECES), max_size=12).map("".join)).filter(
    lambda text: "\0" not in text
)


def context(folder: Path | None = None, **variables: object) -> ActionContext:
    nothing = cast(Any, None)
    return ActionContext(
        variables=variables,
        workflow=nothing,
        library=nothing,
        defaults=PromptDefaults(),
        folder=folder or Path.cwd(),
        settings=Settings(),
        ask=nothing,
        run_workflow=nothing,
        ask_user=nothing,
        log=lambda level, text: None,
        warn=lambda message: None,
    )


async def shell(line: str, folder: Path | None = None, **variables: object) -> Outcome:
    with anyio.fail_after(60):
        return await perform(parse_action(line, HERE), context(folder, **variables))


def record(outcome: Outcome) -> Record:
    assert isinstance(outcome.value, Record)
    return outcome.value


SHELLS = [["sh"], *([["bash", "--posix"]] if shutil.which("bash") else [])]
"""`sh` may be either of these, and they differ."""


def run_quoted(command: str, *, by: list[str] | None = None, **values: str) -> bytes:
    """What a command writes, with these values in it, by a real shell."""
    template = Template.parse(command, HERE, Rules(shell=True))
    quoted = quote(template.hold(values))
    environment = {VARIABLE.format(n): str(held.value) for n, held in enumerate(quoted.held)}
    done = subprocess.run(
        [*(by or SHELLS[0]), "-c", quoted.command],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=tempfile.gettempdir(),
        timeout=60,
        check=False,
    )
    return done.stdout


def words(output: bytes) -> list[str]:
    return os.fsdecode(output).split("\0")[:-1]


# Words, each written as one more, with what it must become around a value VALUE.
PLACES = {
    "{{ x }}": "VALUE",
    '"{{ x }}"': "VALUE",
    "'{{ x }}'": "VALUE",
    "a{{ x }}b": "aVALUEb",
    '"a {{ x }} b"': "a VALUE b",
    "'a {{ x }} b'": "a VALUE b",
    "'it'\\''s {{ x }}'": "it's VALUE",
    '"\\"{{ x }}\\$"': '"VALUE$',
    "pre'{{ x }}'\"{{ x }}\"{{ x }}": "preVALUEVALUEVALUE",
    "${x}": "VALUE",
    '"${x}"': "VALUE",
    '"$(printf %s "{{ x }}"; printf .)"': "VALUE.",
    "\"$(printf %s {{ x }}; printf '.')\"": "VALUE.",
    "$# {{ x }}": "0|VALUE",
    '"$((1 + 2))" {{ x }}': "3|VALUE",
    '"${NO:-none}" {{ x }}': "none|VALUE",
    "{% if x %}{{ x }}{% else %}{{ x }}{% endif %}": "VALUE",
}


@settings(max_examples=60)
@given(st.sampled_from(SHELLS), st.sampled_from(sorted(PLACES)), NASTY)
def test_a_value_is_always_one_word_wherever_it_stands(by: list[str], place: str, value: str) -> None:
    expected = [word.replace("VALUE", value) for word in PLACES[place].split("|")]
    assert words(run_quoted(f"printf '%s\\0' {place} end", by=by, x=value)) == [*expected, "end"]


LITERALS = st.lists(
    st.sampled_from(
        [
            "echo",
            " ",
            "a",
            "'",
            '"',
            "\\",
            "$",
            "$(",
            "${",
            "$((",
            ")",
            "}",
            "`",
            "#",
            "\n",
            ";",
            "&&",
            "|",
            "(",
            "<<E\n",
            "\nE\n",
            "$'",
            "((",
            "case x in x)",
            ";;",
            "esac",
            "{",
            "}",
            "[",
            "=",
            "X=",
            ">/dev/null",
            "if",
            "\t",
            "then",
            "fi",
            "eval",
            "sh",
            "-c",
            "{{ x }}",
            "{{ x }}",
            "{{ x }}",
        ]
    ),
    max_size=14,
).map("".join)
CANARY = "samovar-canary"


@pytest.mark.slow
@settings(max_examples=400)
@given(st.sampled_from(SHELLS), LITERALS)
def test_no_command_lets_a_value_be_run(
    tmp_path_factory: pytest.TempPathFactory, by: list[str], command: str
) -> None:
    """Whatever quotes an author opens: a value that is a command leaves no trace, or the line is refused."""
    if "{{" not in command:
        return
    trace = tmp_path_factory.getbasetemp() / CANARY
    for value in (f"; touch {trace};", f"$(touch {trace})", f"`touch {trace}`", f"'\"`touch {trace}`",
                  f"\n touch {trace}\n", f"')\n}}\ntouch {trace} #", f"E\ntouch {trace}\nE\n"):  # fmt: skip
        try:
            run_quoted(command, by=by, x=value)
        except (UnquotableError, FaultsError, TemplateError):
            return
        except subprocess.TimeoutExpired:
            continue
        assert not trace.exists(), (command, value)


@settings(max_examples=400)
@given(st.sampled_from(SHELLS), LITERALS)
def test_a_value_with_blanks_adds_no_word(by: list[str], command: str) -> None:
    """The number of words that a command is given does not depend on the value."""
    if "{{" not in command:
        return
    probe = f"set -f; probe() {{ printf '%s\\0' $#; }}; echo() {{ probe \"$@\"; }}; probe {command}"
    try:
        counts = {run_quoted(probe, by=by, x=value) for value in ("one", "a b", "a\nb", "*", " ", "a'b c")}
    except (UnquotableError, FaultsError, TemplateError, subprocess.TimeoutExpired):
        return
    assert len(counts) == 1


@pytest.mark.parametrize(
    "command",
    [
        "echo $(( {{ x }} ))",
        "ls $(dirname {{ x }})",
        "$none eval {{ x }}",
        "test -v $none {{ x }}",
        "test -v `true` {{ x }}",
        "${none:-eval echo} {{ x }}",
        "$none\\test -v {{ x }}",
        "$(echo {{ x }})",
        "echo ${N:-$(echo {{ x }})}",
        "export X=$(echo {{ x }})",
        "echo $(( $(echo {{ x }}) ))",
        'echo $(echo "$(echo {{ x }})")',
        "(( {{ x }} ))",
        "echo `echo {{ x }}`",
        "cat <<E\n{{ x }}\nE",
        "cat <<-E\n\t{{ x }}\n\tE",
        "cat <<'E'\n{{ x }}\nE",
        "cat <<{{ x }}",
        'echo "${N:-{{ x }}}"',
        "echo ${N#{{ x }}}",
        "sh -c 'echo {{ x }}'",
        'bash -ec "echo {{ x }}"',
        "sudo sh -c {{ x }}",
        "/bin/sh -c {{ x }}",
        "'sh' -c {{ x }}",
        "$SHELL -c {{ x }}",
        "find . -exec sh -c 'echo {{ x }}' \\;",
        "su -c{{ x }}",
        "eval {{ x }}",
        'eval "echo {{ x }}"',
        "trap {{ x }} EXIT",
        "ssh host ls {{ x }}",
        "echo {{ x }} | sh",
        "(echo {{ x }}) | bash",
        "{ echo {{ x }}; } | sh -s",
        "if true; then echo {{ x }}; fi | sh",
        'sh -c "$(echo {{ x }})"',
        "echo $'{{ x }}'",
        "echo \\{{ x }}",
        "echo ${{ x }}",
        "[[ {{ x }} -eq 1 ]]",
        "let {{ x }}",
        "a[{{ x }}]=1",
        "unset {{ x }}",
        "read {{ x }}",
        "export {{ x }}",
        "[ -v {{ x }} ]",
        "printf -v {{ x }} a",
        "env -S {{ x }}",
        "echo $[{{ x }}]",
        "echo '{{ x }}",
        "echo $(case a in a) echo {{ x }};; esac)",
        "watch {{ x }}",
        "{{ x }} -c 'echo {{ x }}'",
    ],
)
def test_a_value_that_quotes_cannot_guard_is_a_fault_before_the_run(command: str) -> None:
    with pytest.raises(FaultsError) as caught:
        parse_action(f"Shell {to_quoted(command)}", HERE)
    assert [fault.code for fault in caught.value.faults] == ["shell-value"]


def to_quoted(command: str) -> str:
    return '"' + command.replace('\\"', '\\\\\\"').replace('"', '\\"').replace('\\\\\\\\"', '\\\\\\"') + '"'


@pytest.mark.parametrize(
    "command",
    [
        "sh -c 'echo \"$1\"' sh {{ x }}",
        "cat <<E\nhi\nE\necho {{ x }}",
        "echo $((1 + 2)) {{ x }}",
        "X={{ x }} env",
        "export X={{ x }}",
        "echo {{ x }} | cat",
        "echo # it's {{ x }}\necho {{ x }}",
        "case {{ x }} in a) echo {{ x }};; esac",
        "for i in {{ x }}; do :; done",
        "grep -- {{ x }} f > {{ x }} 2>&1",
        "(cd / && echo {{ x }}) | sort",
        "A=$(echo {{ x }})",
        'ls "$(dirname {{ x }})"',
        'echo "${N:-none given}" {{ x }}',
        "echo ${N:-none} $HOME {{ x }}",
        'echo "a $(echo "$(echo {{ x }})") b"',
        "echo `date` {{ x }}",
        "ssh host ls",
        'test {{ x }} = a && echo "$?"',
    ],
)
def test_other_places_are_no_fault(command: str) -> None:
    assert parse_action(f"Shell {to_quoted(command)}", HERE).verb == "shell"


def doubts(command: str) -> list[str]:
    faults: tuple[Fault, ...] = parse_action(f'Shell "{command}"', HERE).faults(
        cast(Any, None), cast(Any, None)
    )
    assert all(fault.severity == "warning" for fault in faults)
    return [fault.message for fault in faults]


def test_check_warns_of_what_is_doubtful() -> None:
    assert "option" in doubts("grep {{ x }} f")[0]
    assert "raw" in doubts("echo {{ x | raw }}")[0]
    assert "program" in doubts("sed s/a/{{ x }}/ f")[0]
    assert doubts("grep -- {{ x }} f; echo {{ x }}; ls a{{ x }}") == []


async def test_raw_makes_a_value_part_of_the_command_as_its_author_asked() -> None:
    assert record(await shell('Shell "echo {{ x | raw }}"', x="a  b; echo c")) == "a b\nc"


async def test_what_is_the_shells_own_is_written_so() -> None:
    outcome = await shell(
        'Shell "K=1; echo $HOME $${HOME} $${K} $K $${K:-z} $((K + 1)) $(echo s) ${v}"', v="$K"
    )
    home = os.environ["HOME"]
    assert record(outcome) == f"{home} {home} 1 1 1 2 s $K"


@pytest.mark.parametrize("name", ["HOME", "PATH", "nothing"])
async def test_a_value_is_never_taken_from_the_environment(name: str) -> None:
    with pytest.raises(TemplateError, match=f"no variable '{name}'"):
        await shell(f'Shell "echo ${{{name}}}"')


async def test_the_value_of_a_command_loses_only_the_line_ends_at_its_end() -> None:
    outcome = await shell("Shell \"printf ' M file\\n\\n  x \\n\\r\\n\\n'\"")
    assert record(outcome) == " M file\n\n  x "


async def test_the_parts_of_what_a_command_leaves() -> None:
    outcome = await shell("""Shell "echo '[1, 2]'; echo oops >&2" with result="v" """)
    value = record(outcome)
    assert outcome.error is None
    assert value == "[1, 2]"
    assert (value["stdout"], value["stderr"], value["exit_code"]) == ("[1, 2]\n", "oops\n", 0)
    assert (value["json"], value["lines"]) == ([1, 2], ["[1, 2]"])
    assert cast(float, value["duration_s"]) >= 0
    assert outcome.sets["v"] is value
    assert outcome.sets["exit_code"] == 0


async def test_a_status_that_is_not_zero_is_a_failure_with_its_parts() -> None:
    outcome = await shell('Shell "echo out; echo why >&2; exit 3" with result="v"')
    assert isinstance(outcome.error, ShellError)
    assert outcome.error.message == "The command ended with status 3: why"
    assert record(outcome)["exit_code"] == 3
    assert cast(Record, outcome.sets["v"])["stderr"] == "why\n"
    assert record(await shell('Shell "kill -9 $$"'))["exit_code"] == 137


async def test_folder_and_environment(tmp_path: Path) -> None:
    (tmp_path / "sub dir").mkdir()
    line = """Shell "pwd; echo $K $J" with working_dir="${d}" env={"K":"${k}", "J": 5} """
    outcome = await shell(line, tmp_path, d="sub dir", k="a b; $(id)")
    assert record(outcome)["lines"] == [str((tmp_path / "sub dir").resolve()), "a b; $(id) 5"]
    with pytest.raises(ShellError, match=r"no folder .*nowhere'"):
        await shell('Shell "pwd" with working_dir="nowhere"', tmp_path)


async def test_there_is_no_standard_input() -> None:
    assert record(await shell('Shell "cat; echo done"')) == "done"


@pytest.mark.parametrize(
    ("value", "message"),
    [("a\0b", "NUL"), ("x" * 131_072, "too large"), ("\udcff\ud800", "as text")],
)
async def test_a_value_that_a_command_cannot_be_given_fails_before_it_starts(
    tmp_path: Path, value: str, message: str
) -> None:
    with pytest.raises(ShellError, match=message):
        await shell('Shell "touch started; echo {{ x }}"', tmp_path, x=value)
    assert not (tmp_path / "started").exists()


async def test_the_largest_value_that_fits_arrives_whole() -> None:
    value = "y" * (131_072 - 100)
    assert record(await shell('Shell "printf %s {{ x }} | wc -c"', x=value)) == str(len(value))


async def test_more_than_the_system_takes_is_a_failure_that_says_so() -> None:
    line = 'Shell "echo ' + "{{ x }} " * 60 + '"'
    with pytest.raises(ShellError, match="could not be started"):
        await shell(line, x="z" * 130_000)


async def test_output_is_read_to_its_end() -> None:
    outcome = await shell('Shell "head -c 12000000 /dev/zero; echo end >&2"')
    assert len(cast(str, record(outcome)["stdout"])) == 12_000_000
    assert record(outcome)["stderr"] == "end\n"


async def test_output_that_is_no_utf8_does_not_fail() -> None:
    assert record(await shell("""Shell "printf '\\377ok'" """)) == "\ufffdok"


def alive(pids: list[int]) -> list[int]:
    return [
        pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


def read_pids(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(word) for word in path.read_text().split()] if path.exists() else []


async def two_pids(folder: Path) -> list[int]:
    with anyio.fail_after(60):
        while len(read_pids(folder)) < 2:
            await checkpoint()
    return read_pids(folder)


GROUP = (
    "(trap '' TERM; echo $(exec sh -c 'echo $PPID') >> pids; exec tail -f /dev/null) & "
    "echo $$ >> pids; wait; wait"
)


async def test_a_timeout_ends_the_whole_group_also_what_ignores_the_first_signal(tmp_path: Path) -> None:
    for timeout in ("500ms", "5s", "30s"):  # whichever this machine needs to start both processes
        outcome = await shell(f"Shell {to_quoted(GROUP)} with timeout={timeout}", tmp_path)
        assert isinstance(outcome.error, TimedOutError)
        limit = {"500ms": "500 ms"}.get(timeout, timeout.replace("s", " s"))  # not what ending it took
        assert outcome.error.message == f"The command took longer than {limit} and was stopped."
        assert alive(read_pids(tmp_path)) == []
        if len(read_pids(tmp_path)) >= 2:
            return
    raise AssertionError("the group never began")


async def test_a_cancellation_ends_the_whole_group_before_it_goes_on(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await parse_action(f"Shell {to_quoted(GROUP)}", HERE).perform(context(tmp_path))

        tasks.start_soon(run)
        pids = await two_pids(tmp_path)
        assert len(alive(pids)) == 2
        tasks.cancel_scope.cancel()
    assert alive(pids) == []


async def test_what_is_left_in_the_background_does_not_hold_the_run(tmp_path: Path) -> None:
    outcome = await shell('Shell "tail -f /dev/null & echo $! > pid; echo done"', tmp_path)
    pid = int((tmp_path / "pid").read_text())
    try:
        assert record(outcome) == "done"
    finally:
        psutil.Process(pid).kill()


async def test_a_timeout_from_a_variable_is_checked() -> None:
    with pytest.raises(ActionError, match="`timeout` must be a duration"):
        await shell('Shell "true" with timeout="${t}"', t="soon")
    assert (await shell('Shell "true" with timeout="${t}"', t="5 minutes")).error is None


def test_quoting_leaves_a_command_without_values_as_it_is() -> None:
    command = "echo $(( 1 + 1 )) `date` 'x' $'y'"
    assert quote([command]).command == command
    assert shlex.split(quote(["echo ", "a"]).command) == ["echo", "a"]


@given(st.text(alphabet="ab\r\n\v\f\x1c\x85\u2028", max_size=12))
def test_the_lines_of_a_command_are_those_of_its_value(stdout: str) -> None:
    left = CommandResult(stdout=stdout, stderr="", exit_code=0, duration_s=0.1, timed_out=False, is_cut=False)
    value = record_of(left)
    assert value.part("lines") == Expression.parse("lines(v)", HERE).evaluate({"v": value})
