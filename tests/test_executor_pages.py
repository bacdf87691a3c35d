"""The pages about tools, executors and chat are true: what they show as examples is done here."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from samovar import errors
from samovar.actions.file_places import Target
from samovar.cli import app
from samovar.cli.chat_commands import COMMANDS, is_command, perform
from samovar.config import Settings, load_settings
from samovar.errors import SamovarError
from samovar.events import Ending
from samovar.executors.table import KINDS, declared_executor, member
from samovar.tools.files import TOOLS as FILE_TOOLS
from samovar.tools.permission import check_rules, host_is_allowed, may_call, may_run, may_write
from samovar.tools.shell import TOOLS as SHELL_TOOLS
from samovar.tools.web import TOOLS as WEB_TOOLS
from tests.bench import Bench, Told
from tests.doc_page import DocPage, assert_cases_pass, codes
from tests.endpoint import Behaviour, ScriptedServer, served
from tests.test_chat_command import answered, desk
from tests.test_cli import TIMEOUT_S, environment
from tests.test_tools import LINE, calls, finished_of
from tests.warm import warm

pytestmark = pytest.mark.anyio
TOOLS, CHAT = DocPage("tools"), DocPage("chat")
EXECUTORS, PROGRAMS = DocPage("executors"), DocPage("executors-programs")
PAGES = (TOOLS, CHAT, EXECUTORS, PROGRAMS)
CALLED: dict[str, dict[str, object]] = {
    "files.read": {"path": "a.txt"},
    "files.list": {"pattern": "*"},
    "files.search": {"text": "held"},
    "files.write": {"path": "out/b.txt", "content": "x"},
    "files.edit": {"path": "a.txt", "old": "held", "new": "new"},
    "shell.run": {"command": ["git", "log"]},
    "web.fetch": {"url": "https://docs.example.org/"},
    "workflow.child": {"x": 2},
}
"""A call of each tool that is built in."""


# Tools ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workflow", "case"), TOOLS.workflows(), ids=lambda text: text[:20])
def test_every_workflow_does_what_its_case_says(
    workflow: str, case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_cases_pass(workflow, case, tmp_path, capsys)


def test_the_case_of_the_tools_page_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (case,) = [one for one in TOOLS.blocks("yaml") if "tools:" in one]
    reviews = '- Review: Prompt "x" using tools="git.log, files.read"'
    workflow = re.sub("- Review: .*", reviews, TOOLS.blocks("markdown")[0])
    assert_cases_pass(workflow, case, tmp_path, capsys)


@pytest.mark.parametrize(("name", "_", "asks"), TOOLS.rows("tool | what it does | asks first"))
async def test_a_tool_asks_first_as_the_page_says(name: str, _: str, asks: str, bench: Bench) -> None:
    (bench.folder / "a.txt").write_text("held")
    bench.write("child", "[*] --> D\nD --> [*]", "D: Set d := x", "parameters: [{name: x, type: number}]")
    tool = codes(name)[0].replace("NAME", "child")
    workflow = bench.write("w", LINE, f'A: Prompt "x" using tools="{tool}"')
    run = await bench.run(workflow, Told([calls((tool, CALLED[tool])), "done"]))
    (told,) = finished_of(bench)
    assert run.ending is Ending.COMPLETED
    assert told.status == ("ok" if asks == "no" else "refused"), told.text
    for rule in codes(asks):
        kind = rule.partition(":")[0]
        assert f"{kind}:" in bench.warnings[0], bench.warnings
    assert len(bench.warnings) == (asks != "no")


def test_every_tool_that_is_built_in_is_on_the_page() -> None:
    named = {codes(row[0])[0] for row in TOOLS.rows("tool | what it does | asks first")}
    assert named == {"workflow.NAME", *(one.name for one in (*FILE_TOOLS, *SHELL_TOOLS, *WEB_TOOLS))}


def is_allowed(rules: list[str], done: str) -> bool:
    """`done`: what is done, written as a rule: `KIND:WHAT`."""
    kind, _, what = done.partition(":")
    check_rules(rules)
    if kind == "write":
        return may_write(rules, Target(folder=Path(), below=tuple(what.split("/")), shown=what))
    if kind == "shell":
        return may_run(rules, shlex.split(what))
    return host_is_allowed(rules, what) if kind == "fetch" else may_call(rules, what)


@pytest.mark.parametrize(("rule", "_", "such", "other"), TOOLS.rows("rule | allows | such as | asks about"))
def test_a_rule_allows_what_the_page_says(rule: str, _: str, such: str, other: str) -> None:
    rules = codes(rule)
    assert [done for done in codes(such) if not is_allowed(rules, done)] == []
    assert [done for done in codes(other) if is_allowed(rules, done)] == []
    assert codes(other)


# Settings ------------------------------------------------------------------------------------------------


def settings_blocks() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for number, block in enumerate(page.blocks("toml")):
            yield f"{page.name} {number}", block


def read(block: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What a file of settings says."""
    file = folder / "config" / "samovar" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(block, encoding="utf-8")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    return load_settings({}, folder)


@pytest.mark.parametrize(("_", "block"), list(settings_blocks()))
def test_every_block_of_settings_is_read_and_means_something(
    _: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read(block, tmp_path, monkeypatch)
    assert settings != Settings()
    check_rules(settings.allow)
    for one in settings.executors:
        assert declared_executor(one.name, settings).kind in KINDS
    for server in settings.servers:
        assert bool(server.command) != bool(server.url)


@pytest.mark.parametrize(
    ("page", "head", "kinds"),
    [
        (EXECUTORS, "key of an endpoint |", ("openai", "anthropic")),
        (PROGRAMS, "key of a program |", ("claude-code", "acp")),
    ],
)
def test_every_key_of_an_executor_is_in_its_table(page: DocPage, head: str, kinds: tuple[str, ...]) -> None:
    named = {key for row in page.rows(head) for key in codes(row[0])}
    assert named - {"kind"} == {key for kind in kinds for key in member(kind, Settings()).takes}


def all_errors(base: type[SamovarError]) -> Iterator[type[SamovarError]]:
    yield base
    for one in base.__subclasses__():
        yield from all_errors(one)


@pytest.mark.parametrize(("_", "said"), PROGRAMS.rows("what happens | error"))
def test_an_error_of_a_program_can_be_tried_again_if_the_page_says_so(_: str, said: str) -> None:
    (code,) = codes(said)
    (error,) = [one for one in all_errors(errors.SamovarError) if one.code == code]
    assert error.retryable is ("can be tried again" in said)


# Chat and the command line -------------------------------------------------------------------------------


def commands() -> list[str]:
    shown = [line for page in PAGES for block in page.blocks("console") for line in block.splitlines()]
    lines = [line[2:].partition("#")[0].strip() for line in shown if line.startswith("$ ")]
    return lines + [codes(row[0])[0] for row in CHAT.rows("command | what it does")]


@pytest.mark.parametrize("line", commands())
def test_every_command_that_a_page_shows_is_one_of_ours(line: str) -> None:
    program, *words = shlex.split(line.partition("<")[0])
    root: Any = typer.main.get_command(app)
    assert program == "samovar"
    root.commands[words[0]].make_context(words[0], words[1:])


def test_every_command_of_a_conversation_is_on_its_page() -> None:
    named = [codes(row[0])[0] for row in CHAT.rows("command |") if codes(row[0])[0].startswith("/")]
    assert named == [f"/{name} {one.takes}".rstrip() for name, one in COMMANDS.items()]


def test_the_conversation_of_the_page_goes_as_it_says() -> None:
    at = desk()
    said = 0
    for line in CHAT.blocks("console")[0].splitlines()[1:]:
        prompt, _, text = line.partition("> ")
        if not text:
            assert line == "…", line
            continue
        assert at.conversation.branch.name == (prompt or "main")
        if is_command(text):
            perform(at, text)
        else:
            answered(at.conversation, text)
            said += 1
    assert said == 3 and len(at.conversation.branch.exchanges) == 2


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with served() as one:
        yield one


def test_an_answer_for_a_script_has_the_keys_of_the_page(tmp_path: Path, server: ScriptedServer) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "a.txt").write_text("held")
    settings = tmp_path / "config" / "samovar" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'[executors.far]\nkind = "openai"\nurl = "{server.url}/v1"\nmodel = "m"\n')
    read_it = Behaviour(pieces=(), calls=[("files__read", '{"path": "a.txt"}')])
    server.tell(read_it, Behaviour(pieces=["It is held."]))
    done = warm().run(
        ["chat", "--executor", "far", "--tools", "files.read", "--json", "What is in it?"],
        folder=tmp_path,
        environment=environment(tmp_path),
        stdin="",
        timeout_s=TIMEOUT_S,
    )
    answer = json.loads(done.stdout)
    text = CHAT.text.partition("With `--json` each answer is one line:")[2].partition("a command gives")[0]
    named = set(codes(text)) - {"stop", "length", "timeout"}
    assert named == {*answer, *answer["tools"][0], *answer["tokens"]}
    assert answer["cost"] is None, "which is not 0: no price is known"
