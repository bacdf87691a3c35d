"""`samovar check` on tools: servers that nobody declared, and rules that can never allow anything."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from samovar.cli.checking import faults_of
from samovar.config import Settings
from samovar.config.declared import DeclaredServer
from samovar.generation import ToolDefinition
from samovar.tools import pinned
from samovar.tools.rules import why_never
from tests.bench import text_of
from tests.test_cli import TIMEOUT_S, environment, write_settings
from tests.warm import warm

GIT = DeclaredServer(name="git", command=("git-server",))
LINE = "[*] --> A\nA --> [*]"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm().run(
        ["check", *arguments], folder=folder, environment=environment(folder), stdin="", timeout_s=TIMEOUT_S
    )


def test_a_server_that_nobody_declared_is_a_warning_with_the_nearest_name_and_its_place(folder: Path) -> None:
    path = folder / "w.md"
    path.write_text(text_of(LINE, 'A: Prompt "x" using tools="gti.log, files.read, gti.show"'))
    (fault,) = faults_of(path, settings=Settings(servers=(GIT,)))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), start=1) if "gti" in text)
    column = path.read_text().splitlines()[line - 1].index('"gti') + 1
    assert (fault.code, fault.severity) == ("unknown-server", "warning")
    assert (fault.place.line, fault.place.column) == (line, column)
    assert "no server 'gti'. Did you mean 'git'?" in fault.message and "[servers.gti]" in fault.message
    path.write_text(text_of(LINE, 'A: Prompt "x" using tools="git.*"'))
    assert faults_of(path, settings=Settings(servers=(GIT,))) == ()


def test_a_server_in_the_front_matter_is_reported_once_and_where_it_is_named(folder: Path) -> None:
    path = folder / "w.md"
    actions = 'A: Prompt "x"\nB: Prompt "y"\nC: Prompt "z" using tools=none'
    diagram = "[*] --> A\nA --> B\nB --> C\nC --> [*]"
    path.write_text(text_of(diagram, actions, front='tools: "gti.*"'))
    (fault,) = faults_of(path, settings=Settings(servers=(GIT,)))
    assert (fault.code, fault.place.line) == ("unknown-server", 2)


NEVER = {
    "read:a.txt": "begins with one of",
    "wirte:a.txt": "Did you mean 'write'?",
    "write": "begins with one of",
    "write:": "Nothing follows",
    "write:/etc/**": "below the folder of the run",
    "write:~/notes/*": "below the folder of the run",
    "write:../other/**": "has `..` in it",
    "write:out//a.txt": "no empty name",
    "write:out/": "no empty name",
    "write:out/./a": "no `.` in it",
    "shell:*": "names a program",
    "shell:sh **": "takes code",
    "shell:python3 -c *": "takes code",
    "fetch:https://example.org/": "a host",
    "tool:files.write": "allowed by write:PATTERN",
    "tool:gti.log": "Did you mean 'git'?",
    "tool:git": "with its server",
    "tool:git.lgo": "Did you mean 'log'?",
}


@pytest.mark.parametrize("rule", NEVER)
def test_a_rule_that_allows_nothing_says_why(rule: str, folder: Path) -> None:
    pinned.keep(GIT, [ToolDefinition(name="log", description="", parameters="{}")])
    assert NEVER[rule] in (why_never(rule, Settings(servers=(GIT,))) or "")


@pytest.mark.parametrize(
    "rule",
    [
        "write:out/**",
        "write:./a.txt",
        "write:*",
        "shell:git log *",
        "shell:git status",
        "shell:sh run.sh",
        "fetch:*.example.org",
        "fetch:localhost:8080",
        "tool:git.*",
        "tool:git.log",
        "tool:*",
        "tool:g*.log",
    ],
)
def test_a_rule_that_may_allow_something_is_let_be(rule: str, folder: Path) -> None:
    pinned.keep(GIT, [ToolDefinition(name="log", description="", parameters="{}")])
    assert why_never(rule, Settings(servers=(GIT,))) is None
    # Of a server that was never used, nobody knows which tools it has.
    other = replace(GIT, name="other")
    assert why_never("tool:other.anything", Settings(servers=(other,))) is None


def test_rules_are_reported_where_they_are_written_if_a_workflow_has_tools(folder: Path) -> None:
    path = write_settings(folder, '# settings\nallow = ["write:out/**",\n  "wirte:a", "tool:git.*"]\n')
    (folder / "w.md").write_text(text_of(LINE, 'A: Prompt "x" using tools="files.*"'))
    done = check(folder, "w.md")
    assert done.returncode == 0, done.stdout
    assert f"{path}:3:3: warning: The rule 'wirte:a' in `allow` allows nothing." in done.stdout
    assert f"{path}:3:14: warning: The rule 'tool:git.*'" in done.stdout and "declare none" in done.stdout
    assert check(folder, "w.md", "--strict").returncode == 1
    (folder / "w.md").write_text(text_of(LINE, 'A: Log "x"'))
    assert check(folder, "w.md", "--strict").returncode == 0
