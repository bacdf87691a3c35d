"""Keys of executors and servers come back in answers, results, errors and commands: nobody is shown one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from samovar.config import DeclaredExecutor, DeclaredServer, Settings
from samovar.config.known_keys import keys_of
from samovar.values.secrecy import HIDDEN
from tests.endpoint import Behaviour, ScriptedServer, served
from tests.test_cli import TIMEOUT_S, environment, folder, write_settings
from tests.warm import warm

__all__ = ["folder"]

FAKE = Path(__file__).with_name("fake_claude.py")
TOOLS = Path(__file__).with_name("tool_server.py")
KEYS = {
    "file": "abc-endpoint-Wq3x7Rk2Lm9-in-a-file",
    "OPENAI_API_KEY": "sk-usual-9f8e7d6c5b4a-of-nobody",
    "ANTHROPIC_API_KEY": "plain words as a key",
    "TOOLS_TOKEN": 'with"quotes\\and-0123456789',
    "CLAUDE_CODE_OAUTH_TOKEN": "oauthoauth/oauth+oauth==",
    "HTTPS_PROXY": "http://me:pass-word-of-the-proxy@127.0.0.1:9",
}
SEARCHED = {**KEYS, "HTTPS_PROXY": "pass-word-of-the-proxy"}
WORKFLOW = """---
executor: there
---
```mermaid
stateDiagram-v2
[*] --> Echo
Echo --> Tool
Tool --> Command
Command --> Said
Said --> Fails
Fails --> Program: failure
Program --> End: failure
End --> [*]
```

## Actions

- Echo: Prompt "What were you sent?" result="echo"
- Tool: Prompt "Which variables are there?" result="tool" using tools="t.everything" tool_choice=required
- Command: Shell "env" result="all"
- Said: Log "${echo} ${tool} ${all}"
- Fails: Shell "echo $OPENAI_API_KEY >&2; echo $TOOLS_TOKEN; exit 3"
- Program: Prompt "SHOWN" using executor=claude
- End: Log error "${error.message} ${all}"
"""


def write_project(folder: Path, server: ScriptedServer) -> Path:
    """Its settings."""
    (folder / "w.md").write_text(WORKFLOW, encoding="utf-8")
    (folder / "key").write_text(KEYS["file"] + "\n", encoding="utf-8")
    (folder / "key").chmod(0o600)
    words = {name: json.dumps([sys.executable, str(path)]) for name, path in (("c", FAKE), ("t", TOOLS))}
    return write_settings(
        folder,
        f"""journal = "full"
allow = ["tool:t.*"]

[executors.there]
kind = "openai"
url = "{server.url}/v1"
model = "m"
key = "file:{folder / "key"}"

[executors.claude]
kind = "claude-code"
command = {words["c"]}

[servers.t]
command = {words["t"]}
environment = ["TOOLS_TOKEN"]
""",
    )


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = environment(folder) | {name: key for name, key in KEYS.items() if name != "file"}
    variables |= {"XDG_STATE_HOME": str(folder / "state"), "SAMOVAR_JOURNAL": "full"}
    return warm().run(list(arguments), folder=folder, environment=variables, stdin="", timeout_s=TIMEOUT_S)


def seen_in(text: str) -> list[str]:
    """The keys that are in a text, as they are or as JSON has them."""
    plain = {name: {key, json.dumps(key)[1:-1]} for name, key in SEARCHED.items()}
    return [name for name, forms in plain.items() if any(form in text for form in forms)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [["-v"], ["--json"], ["--events"], ["--record", "w.test.yaml", "-q"], ["-vv"]],
    ids=lambda how: how[0],
)
def test_no_key_is_in_anything_that_a_run_leaves(folder: Path, how: list[str]) -> None:
    pytest.importorskip("mcp")
    with served() as server:
        write_project(folder, server)
        file = folder / "processes"
        call = ("t__everything", json.dumps({"file": str(file)}))
        echo = Behaviour(echoes=True)
        server.tell(echo, Behaviour(calls=[call]), echo)
        done = run(folder, "run", "w.md", *how)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Bearer " + KEYS["file"] == server.received[0].headers["authorization"]
        told = server.received[2].messages[-1]["content"]
        assert "TOOLS_TOKEN=" in told and "OPENAI_API_KEY" not in told
    kept = run(folder, "runs", "--json")
    written = {
        path: path.read_bytes().decode("utf-8", "replace")
        for path in folder.rglob("*")
        if path.is_file() and path != folder / "key"
    }
    assert file in written and any(path.suffix == ".db" for path in written)
    if "--record" in how:
        assert HIDDEN in written[folder / "w.test.yaml"]
    else:
        assert HIDDEN in done.stdout + done.stderr
    written |= {Path(name): text for name, text in (("out", done.stdout), ("err", done.stderr))}
    written[Path("runs")] = kept.stdout
    assert {str(path): seen for path, text in written.items() if (seen := seen_in(text))} == {}


@pytest.mark.parametrize("arguments", [["config"], ["config", "executors"], ["doctor"]], ids=" ".join)
def test_no_key_is_in_what_is_shown_of_settings(folder: Path, arguments: list[str]) -> None:
    with served() as server:
        settings = write_project(folder, server)
        # Where nobody should write it: a name that is nothing but a key.
        settings.write_text(f'aliases = {{fast = "{KEYS["file"]}.gguf"}}\n' + settings.read_text())
        for how in ([], ["--json"]):
            done = run(folder, *arguments, *how)
            assert seen_in(done.stdout + done.stderr) == []


@pytest.mark.parametrize("how", [[], ["--json"]])
def test_no_key_is_in_what_a_chat_shows(folder: Path, how: list[str]) -> None:
    with served() as server:
        write_project(folder, server)
        server.tell(Behaviour(echoes=True))
        done = run(folder, "chat", "hello", "--executor", "there", *how)
    assert done.returncode == 0 and HIDDEN in done.stdout
    assert seen_in(done.stdout + done.stderr) == []


def test_words_that_stand_for_no_key_are_hidden_nowhere(tmp_path: Path) -> None:
    settings = Settings(
        environment=("PLAIN", "MY_SECRET"),
        executors=(DeclaredExecutor(name="a", kind="openai", key=f"file:{tmp_path / 'key'}"),),
        servers=(DeclaredServer(name="s", url="http://x", headers={"Authorization": "env:BEARER"}),),
    )
    (tmp_path / "key").write_text(" from-a-file \n")
    found = keys_of(
        settings,
        {
            "OPENAI_API_KEY": "ollama",
            "ANTHROPIC_API_KEY": "short",
            "PLAIN": "not hidden",
            "MY_SECRET": "my secret",
            "BEARER": "Bearer of-a-header",
            "OPENAI_CUSTOM_HEADERS": "X-One: first-header\nX-Two: b",
            "https_proxy": "http://me:pass%20word@proxy:1",
        },
    )
    assert sorted(found.values()) == [
        *("Bearer of-a-header", "first-header", "from-a-file", "my secret"),
        *("of-a-header", "pass word", "pass%20word"),
    ]


def test_what_follows_a_scheme_has_a_name_that_no_other_variable_has() -> None:
    environment = {"A_KEY": "Bearer the-first-one", "A_KEY1": "the-second-one"}
    environment["OPENAI_CUSTOM_HEADERS"] = "\n".join(f"X: Bearer header-{number:02}" for number in range(12))
    keys = set(keys_of(Settings(environment=("A_KEY", "A_KEY1")), environment).values())
    assert {"the-first-one", "the-second-one", *(f"header-{number:02}" for number in range(12))} <= keys


def test_a_pipe_is_no_place_of_a_key(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    declared = DeclaredExecutor(name="a", kind="openai", key=f"file:{tmp_path / 'pipe'}")
    assert keys_of(Settings(executors=(declared,)), {}) == {}
