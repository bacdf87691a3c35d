"""What programs that answer prompts may do themselves by the user's `allow` rules; all else is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.executors.base import Deed
from samovar.executors.deeds import deeds_of_acp, deeds_of_claude, words_of
from samovar.tools.deeds import are_allowed
from tests.test_cli import folder, run_json, write, write_settings

__all__ = ["folder"]

FAKE = str(Path(__file__).with_name("fake_claude.py"))
AGENT = str(Path(__file__).with_name("acp_agent_program.py"))


def is_allowed(folder: Path, rules: list[str], deeds: tuple[Deed, ...]) -> bool:
    return are_allowed(rules, deeds, folder)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("git log", "shell:git log"),
        ("git log HEAD", "shell:git log *"),
        ('git log "a file; rm x"', "shell:git log *"),
        ("git log -n 3", "shell:git log **"),
        ("/usr/bin/env", "shell:/usr/bin/env"),
    ],
)
def test_a_command_that_a_shell_reads_as_nothing_but_words_follows_the_rules(
    tmp_path: Path, line: str, rule: str
) -> None:
    deeds = deeds_of_claude("Bash", {"command": line, "description": "x"})
    assert is_allowed(tmp_path, [rule], deeds)
    assert not is_allowed(tmp_path, ["shell:git status", "write:**", "tool:*"], deeds)
    call = SimpleNamespace(kind="execute", raw_input={"command": line})
    assert deeds_of_acp(call) == deeds


@pytest.mark.parametrize(
    "line",
    [
        *("git log; rm -rf /", "git log && x", "git log | sh", "git log > x", "git log $(x)", "git log `x`"),
        *("git log $HOME", 'git log "$(x)"', 'git log "`x`"', "git log {a,b}", "git log *", "git log ~"),
        *(
            "git log \\\n x",
            "git log\nrm x",
            "git log #x",
            "git log !x",
            "git log <(x)",
            "git log &",
            "",
            " ",
        ),
        *("X=1 git log", "cd git log", "eval git log", ". git", "git log 'x", "./git log", "sub/git log"),
        *(
            "git log =ls",
            "git log\0",
            "git log ?x",
            "git log [a]",
            "git log\tx",
            "git\u00a0log",
            "exec git log",
        ),
    ],
)
def test_a_command_that_a_shell_would_make_more_of_is_asked_about(tmp_path: Path, line: str) -> None:
    rules = ["shell:git log **", "shell:git **", f"shell:{line}", "shell:cd **", "shell:eval **"]
    assert words_of(line) is None
    assert not is_allowed(tmp_path, rules, deeds_of_claude("Bash", {"command": line}))


@given(st.text(alphabet="gitlo \"'$`;|&<>(){}*?~#!\\=\n-x./", max_size=30))
def test_the_words_of_a_line_are_those_that_a_shell_makes_of_it(line: str) -> None:
    words = words_of(line)
    if words is None:
        return
    script = f"printf '%s\\0' {line}"  # which runs nothing but `printf`
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert tuple(done.stdout.split("\0")[:-1]) == words


@pytest.mark.parametrize(
    ("tool", "given_more"),
    [
        ("Bash", {"run_in_background": True}),
        ("Bash", {"dangerouslyDisableSandbox": True}),
        ("Bash", {"command": ["git", "log"], "cwd": "/"}),
        ("BashOutput", {}),
        ("Task", {}),
    ],
)
def test_a_tool_or_an_option_that_is_not_known_is_asked_about(
    tmp_path: Path, tool: str, given_more: dict[str, Any]
) -> None:
    deeds = deeds_of_claude(tool, {"command": "git log"} | given_more)
    assert not is_allowed(tmp_path, ["shell:git log"], deeds)


@pytest.mark.parametrize("tool", ["Write", "Edit", "MultiEdit"])
def test_a_file_below_a_rule_may_be_written_and_no_other(tmp_path: Path, tool: str) -> None:
    inside, outside = tmp_path / "run", tmp_path / "outside"
    (inside / "out").mkdir(parents=True)
    outside.mkdir()
    (inside / "out" / "link").symlink_to(outside)
    (inside / "out" / "file-link").symlink_to(outside / "x")
    (outside / "two-names").write_text("x")
    os.link(outside / "two-names", inside / "out" / "two-names")
    (inside / "alias").symlink_to(inside / "out")
    rules = ["write:out/**"]

    def may(path: str) -> bool:
        return is_allowed(inside, rules, deeds_of_claude(tool, {"file_path": path}))

    good = [f"{inside}/out/a.txt", f"{inside}/out/new/deep/a.txt", f"{inside}/./out/a.txt"]
    assert [path for path in good if not may(path)] == []
    bad = [
        *(f"{inside}/a.txt", f"{inside}/out", f"{inside}/out/.hidden", f"{outside}/x", "out/a.txt", "", "/"),
        *(f"{inside}/out/../a.txt", f"{inside}/out/link/x", f"{inside}/out/file-link", f"{inside}/alias/x"),
        *(f"{inside}/out/two-names", f"{inside}/out/a\0b", f"{inside}/OUT/a.txt", f"{inside}", "/dev/null"),
        *(f"{inside}/out/a.txt/", f"{inside}/out/" + "x" * 300),
    ]
    assert [path for path in bad if may(path)] == [f"{inside}/out/a.txt/"], "it is the same file"


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://docs.example.org/x", True),
        ("http://a.example.org/", True),
        ("https://docs.example.org@evil.example/", False),
        ("https://evil.example/docs.example.org", False),
        ("https://docs.example.org:444/", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_a_page_of_a_host_that_a_rule_names_may_be_fetched(tmp_path: Path, url: str, is_good: bool) -> None:
    rules = ["fetch:docs.example.org", "fetch:a.example.org"]
    deeds = deeds_of_claude("WebFetch", {"url": url, "prompt": "x"})
    assert is_allowed(tmp_path, rules, deeds) == is_good
    assert deeds_of_acp(SimpleNamespace(kind="fetch", raw_input={"url": url})) == deeds


def test_all_that_a_program_names_of_an_edit_must_be_allowed(tmp_path: Path) -> None:
    def call(*paths: str, diff: str | None = None, **raw: object) -> tuple[Deed, ...]:
        content = [SimpleNamespace(type="diff", path=diff)] if diff else None
        locations = [SimpleNamespace(path=path) for path in paths]
        return deeds_of_acp(
            SimpleNamespace(kind="edit", locations=locations, content=content, raw_input=raw or None)
        )

    rules, good, bad = ["write:out/*"], f"{tmp_path}/out/a", f"{tmp_path}/b"
    assert is_allowed(tmp_path, rules, call(good, diff=good, file_path=good))
    for deeds in (call(), call(good, bad), call(good, diff=bad), call(good, path=bad), call(good, path=7)):
        assert not is_allowed(tmp_path, rules, deeds)
    for kind in ("delete", "move", "other", "read", None):
        one = SimpleNamespace(kind=kind, locations=[SimpleNamespace(path=good)], content=None, raw_input={})
        assert not is_allowed(tmp_path, rules, deeds_of_acp(one))


EDIT = {"file_path": "{folder}/out/a.txt", "content": "x"}
CASES = [
    ("USES Bash " + json.dumps({"command": "git log"}), True),
    ("USES Bash " + json.dumps({"command": "git log; id"}), False),
    ("USES Write " + json.dumps(EDIT), True),
    ("USES Write " + json.dumps(EDIT | {"file_path": "{folder}/a.txt"}), False),
]
ACP_CASES = [
    ("USES " + json.dumps({"kind": "execute", "raw_input": {"command": "git log"}}), True),
    ("USES " + json.dumps({"kind": "execute", "raw_input": {"command": "git log; id"}}), False),
    ("USES " + json.dumps({"kind": "edit", "locations": [{"path": "{folder}/out/a"}]}), True),
]


@pytest.mark.slow
@pytest.mark.parametrize("permission", ["ask", "deny"])
@pytest.mark.parametrize(
    ("kind", "program", "says", "is_allowed"),
    [*(("claude-code", FAKE, *one) for one in CASES), *(("acp", AGENT, *one) for one in ACP_CASES)],
)
def test_the_rules_of_the_settings_hold_for_programs_that_ask(
    folder: Path, kind: str, program: str, says: str, is_allowed: bool, permission: str
) -> None:
    if kind == "acp":
        pytest.importorskip("acp")
    command = json.dumps([sys.executable, program])
    rules = 'executor = "one"\nallow = ["shell:git log *", "write:out/**"]\n'
    table = f'[executors.one]\nkind = "{kind}"\ncommand = {command}\npermission = "{permission}"\n'
    write_settings(folder, rules + table)
    (folder / "said.txt").write_text(says.replace("{folder}", str(folder)), encoding="utf-8")
    write(
        folder,
        "[*] --> Look\nLook --> A\nA --> [*]",
        '- Look: Read "said.txt" result="said"\n- A: Prompt "${said}" result="it"',
    )
    status, run, said = run_json(folder)
    assert status == 0, said
    is_yes = is_allowed and permission == "ask"
    expected = {"claude-code": ("allow", "deny"), "acp": ("yes", "no")}[kind][0 if is_yes else 1]
    assert run["variables"]["it"].endswith(f"It was {expected}.")


def test_without_a_rule_a_person_is_asked_and_yes_is_an_answer(folder: Path) -> None:
    command = json.dumps([sys.executable, FAKE])
    table = (
        f'executor = "one"\n[executors.one]\nkind = "claude-code"\ncommand = {command}\npermission = "ask"\n'
    )
    write_settings(folder, table)
    write(folder, "[*] --> A\nA --> [*]", '- A: Prompt "TOOLS" result="it"')
    for more, expected in (([], "deny"), (["--yes"], "allow"), (["--answer", "A=no"], "deny")):
        _, run, _ = run_json(folder, *more)
        assert run["variables"]["it"].endswith(f"It was {expected}.")
