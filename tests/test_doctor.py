"""`samovar doctor`: what is looked at, what each finding says to do, and that nothing strange stops it."""

from __future__ import annotations

import http.server
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from samovar.cli.checkup import Observation, look_at_all, worst
from samovar.cli.checkup_machine import programs, sqlite_finding
from samovar.cli.mcp_greeting import greet
from samovar.config import DeclaredExecutor, DeclaredServer
from samovar.errors import UsageError
from samovar.executors.probing import (
    probe_declared,
    probe_endpoint,
    probe_place,
    probe_program,
    version_of,
)
from samovar.journal.looking import look, users_of
from samovar.memory import limits_bytes
from tests.test_cli import TIMEOUT_S, environment
from tests.test_cli import samovar as run_samovar
from tests.test_cli import write as write_workflow
from tests.test_config_command import KEY, write_project, write_user
from tests.warm import warm

NONE: Mapping[str, str] = {}
ABOUT = (
    "python",
    "engine",
    "cores",
    "memory",
    "sqlite",
    "programs",
    "terminal",
    "settings",
    "trust",
    "folders",
    "journal",
    "models",
    "model",
    "executors",
    "extras",
)
SERVER = """
import json, sys
print("a stray line")
for line in sys.stdin:
    asked = json.loads(line)
    if asked["method"] == "initialize":
        result = {"protocolVersion": "1", "capabilities": {}, "serverInfo": {"name": "toy"}}
    elif asked["method"] == "tools/list":
        result = {"tools": [{"name": "a"}, {"name": "b"}]}
    else:
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    return tmp_path


def doctor(
    folder: Path, *arguments: str, variables: Mapping[str, str] = NONE
) -> subprocess.CompletedProcess[str]:
    return warm().run(
        ["doctor", *arguments],
        folder=folder,
        environment=environment(folder) | {"XDG_STATE_HOME": str(folder / "state")} | dict(variables),
        stdin="",
        timeout_s=TIMEOUT_S,
    )


def findings(folder: Path, *arguments: str, variables: Mapping[str, str] = NONE) -> list[dict[str, Any]]:
    done = doctor(folder, *arguments, "--json", variables=variables)
    told = json.loads(done.stdout)
    assert done.stderr == "" and done.returncode == (told["status"] == "wrong")
    assert set(told) == {"status", "findings", "duration_s"}
    rows: list[dict[str, Any]] = told["findings"]
    return rows


def of(rows: Iterable[Mapping[str, Any]], about: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["about"] == about]


def server(folder: Path, text: str = SERVER) -> str:
    path = folder / "server.py"
    path.write_text(text)
    return json.dumps([sys.executable, str(path)])


# The whole ---------------------------------------------------------------------------------------------


def test_everything_is_looked_at_and_each_fault_has_what_fixes_it(folder: Path, tiny_model: Path) -> None:
    rows = findings(folder, variables={"SAMOVAR_MODEL": str(tiny_model)})
    assert list(dict.fromkeys(row["about"] for row in rows))[: len(ABOUT)] == list(ABOUT)
    assert {row["verdict"] for row in rows} <= {"ok", "doubtful"}
    assert all(row["fix"] for row in rows if row["verdict"] == "wrong")
    [engine] = of(rows, "engine")
    assert "xllamacpp" in engine["what"] and "CPU features: " in engine["what"]
    [model] = of(rows, "model")
    assert model["what"].endswith("fits")
    text = doctor(folder, variables={"SAMOVAR_MODEL": str(tiny_model)}).stdout
    assert all(any(about in line.split()[:2] for line in text.splitlines()) for about in ABOUT)


def test_a_model_that_is_not_here_has_its_command(folder: Path) -> None:
    [model] = of(findings(folder), "model")
    assert (model["verdict"], model["fix"]) == ("doubtful", "samovar pull smollm2")
    done = doctor(folder, variables={"SAMOVAR_OFFLINE": "true"})
    assert done.returncode == 1 and "→ samovar pull smollm2" in done.stdout
    [model] = of(findings(folder, variables={"SAMOVAR_MODEL": "none.gguf"}), "model")
    assert model["verdict"] == "wrong"


def test_settings_that_cannot_be_read_are_one_finding_of_many(folder: Path) -> None:
    write_project(folder, "threads = 0")
    rows = findings(folder)
    [settings] = of(rows, "settings")
    assert settings["verdict"] == "wrong" and "threads cannot be 0" in settings["what"]
    assert of(rows, "engine") and of(rows, "memory")


def test_what_a_project_opens_is_shown_with_the_command(folder: Path) -> None:
    write_project(folder, 'allow = ["write:out/**"]')
    [trust] = of(findings(folder), "trust")
    assert (trust["verdict"], trust["fix"]) == ("doubtful", "samovar trust")
    [trust] = of(findings(folder, variables={"SAMOVAR_TRUST": "1"}), "trust")
    assert trust["verdict"] == "ok"


def test_too_many_threads_name_where_they_are_set(folder: Path) -> None:
    [cores] = of(findings(folder, variables={"SAMOVAR_THREADS": "1024"}), "cores")
    assert (cores["verdict"], cores["fix"]) == ("doubtful", "unset SAMOVAR_THREADS")


def test_executors_and_servers_are_looked_for_and_no_key_is_shown(folder: Path) -> None:
    write_user(
        folder,
        f'executor = "gone"\n[servers.a]\ncommand = {server(folder)}\n'
        f'[servers.b]\ncommand = ["no-such-program"]\nheaders = {{ X = "{KEY}" }}\n'
        '[servers.c]\n[servers.d]\nurl = "http://127.0.0.1:9/mcp"\nheaders = { X = "env:MY_KEY" }\n',
    )
    variables = {"MY_KEY": KEY}
    done = doctor(folder, "--json", variables=variables)
    assert done.returncode == 1 and KEY not in done.stdout
    rows = json.loads(done.stdout)["findings"]
    assert "There is no executor 'gone'" in of(rows, "executors")[0]["what"]
    said = {(row["verdict"], row["what"].partition(":")[0]) for row in of(rows, "servers")}
    assert ("ok", "a") in said and ("doubtful", "b") in said and ("doubtful", "d") in said
    assert ("wrong", "[servers.c] needs a command or a url, and not both") in said
    assert any("the key env:MY_KEY is there" in row["what"] for row in of(rows, "servers"))


def test_connect_starts_the_servers_and_counts_their_tools(folder: Path) -> None:
    write_user(folder, f"[servers.a]\ncommand = {server(folder)}")
    assert not any("greeted" in row["what"] for row in findings(folder))
    said = of(findings(folder, "--connect"), "servers")
    assert said[-1]["what"] == "a: greeted as 'toy', with 2 tools"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "ended without an answer"),
        ("raise SystemExit(3)", "ended without an answer"),
        ("import sys\nfor line in sys.stdin: print('x' * 9_000_000, flush=True)", "said too much"),
        (
            "import sys\nsys.stdin.readline()\nprint('{\"id\": 1}', flush=True)\nsys.stdin.read()",
            "refused the greeting",
        ),
    ],
)
def test_a_server_that_does_not_answer_is_ended_and_named(folder: Path, text: str, says: str) -> None:
    probe = greet(DeclaredServer(name="a", command=tuple(json.loads(server(folder, text)))))
    assert not probe.is_good and says in probe.what


def test_a_server_is_gone_after_it_was_greeted(folder: Path) -> None:
    keeper = SERVER.replace(
        "import json, sys",
        f"import json, sys, os\nopen({str(folder / 'pid')!r}, 'w').write(str(os.getpid()))",
    )
    greet(DeclaredServer(name="a", command=tuple(json.loads(server(folder, keeper)))))
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)


# Its parts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["3.7.0", "3.40.1", "3.51.2"])
def test_a_sqlite_with_the_wal_reset_bug_is_doubtful(version: str) -> None:
    found = sqlite_finding(version)
    assert found.verdict == "doubtful" and "WAL-reset bug" in found.what and found.fix


@pytest.mark.parametrize("version", ["3.6.23", "3.51.3", "3.52.0", "4.0.0"])
def test_another_sqlite_is_well(version: str) -> None:
    assert sqlite_finding(version).verdict == "ok"


def test_checks_go_on_at_once_and_a_slow_one_is_named() -> None:
    freed = threading.Event()

    def slow() -> Iterator[Observation]:
        yield Observation(about="slow", what="begun")
        freed.wait(60)

    def crashes() -> Iterator[Observation]:
        raise RecursionError("deep")

    def refuses() -> Iterator[Observation]:
        raise UsageError("That cannot be.")

    checks = {
        "slow": slow,
        "crashes": crashes,
        "refuses": refuses,
        "quick": lambda: [Observation(about="quick", what="x")],
    }
    found = look_at_all(checks, bound_s=0.2)
    freed.set()
    assert [(one.about, one.verdict) for one in found] == [
        ("slow", "ok"),
        ("slow", "doubtful"),
        ("crashes", "doubtful"),
        ("refuses", "wrong"),
        ("quick", "ok"),
    ]
    assert "no answer within 200 ms" in found[1].what and worst(found) == "wrong"


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    listening.server_close()


def test_an_endpoint_that_refuses_answers_and_one_that_is_not_there_does_not(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert probe_endpoint(f"{endpoint}/v1").is_good
    away = probe_endpoint("http://127.0.0.1:9/v1")
    assert not away.is_good and away.fix and "curl" in away.fix
    for wrong in ("ftp://x", "file:///etc/passwd", "localhost:8080", "http://"):
        assert not probe_endpoint(wrong).is_good


def test_an_endpoint_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        probe = probe_endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=0.2)
    assert not probe.is_good and "does not answer" in probe.what


def test_a_key_is_found_at_its_place_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    monkeypatch.delenv("NO_KEY", raising=False)
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o644)
    cases = {
        "env:THE_KEY": (True, None),
        "env:NO_KEY": (False, "export NO_KEY=…"),
        f"file:{file}": (False, f"chmod 600 {file}"),
        f"file:{tmp_path / 'none'}": (False, f"ls -l {tmp_path / 'none'}"),
        KEY: (False, "write env:NAME or file:PATH"),
    }
    for place, (is_good, fix) in cases.items():
        probe = probe_place(place, "key in [executors.x]")
        assert (probe.is_good, probe.fix) == (is_good, fix) and KEY not in probe.what
    file.chmod(0o600)
    assert probe_place(f"file:{file}", "key").is_good


def test_a_program_is_found_with_its_version(tmp_path: Path) -> None:
    program = tmp_path / "agent"
    program.write_text("#!/bin/sh\necho agent 1.2.3\necho more\n")
    program.chmod(0o755)
    declared = DeclaredExecutor(name="a", kind="acp", command=(str(program), "--stdio"))
    assert [probe.what for probe in probe_declared(declared)] == [f"{program} (agent 1.2.3)"]
    gone = probe_program(("no-such-program",), "command in [executors.a]")
    assert not gone.is_good and "no-such-program" in gone.what and gone.fix
    # A launcher may fetch what it is to start, and is not asked.
    assert probe_program((sys.executable,), "x", asks_version=True).what == sys.executable


def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    program = tmp_path / "hangs"
    program.write_text(f"#!/bin/sh\nsleep 1000 &\necho $! > {tmp_path}/pid\nwait\n")
    program.chmod(0o755)
    assert version_of(str(program), timeout_s=0.5) is None
    pid = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        if Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] == "Z":
            break  # ended; whoever adopted it has not looked yet
    else:
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"])
def test_the_usual_key_is_looked_for_where_none_is_declared(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    kind = variable.partition("_")[0].lower()
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv(f"{kind.upper()}_BASE_URL", raising=False)
    [probe] = probe_declared(DeclaredExecutor(name="x", kind=kind))
    assert probe.fix == f"export {variable}=…"
    monkeypatch.setenv(variable, KEY)
    [probe] = probe_declared(DeclaredExecutor(name="x", kind=kind))
    assert probe.is_good and KEY not in probe.what


def test_the_limits_of_groups_are_told(tmp_path: Path) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/a\n")
    group = tmp_path / "sys" / "fs" / "cgroup" / "a"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("1000000\n")
    (group / "memory.current").write_text("10\n")
    assert limits_bytes(tmp_path) == [1000000]


# The journal -------------------------------------------------------------------------------------------


def journal_of(folder: Path) -> Path:
    """The file of a run that was kept."""
    write_workflow(folder, "[*] --> A\nA --> [*]", '- A: Log "x"')
    (folder / "state" / "samovar").mkdir(mode=0o700, parents=True)
    done = run_samovar(folder, "run", "w.md", "--journal", "state/samovar/journal.db", "-q")
    assert done.returncode == 0, done.stderr
    return folder / "state" / "samovar" / "journal.db"


def journal_row(folder: Path, verdict: str, **variables: str) -> Mapping[str, Any]:
    [row] = [one for one in of(findings(folder, variables=variables), "journal") if one["verdict"] == verdict]
    return row


def test_the_journal_has_its_place_its_size_and_its_schema(folder: Path) -> None:
    assert journal_row(folder, "ok")["what"].endswith("journal.db: no run has been kept yet")
    file = journal_of(folder)
    before = file.read_bytes()
    what = journal_row(folder, "ok")["what"]
    assert re.fullmatch(rf"{re.escape(str(file))}: 1 run, \d+ kB of .*; schema \d+; whole", what)
    assert file.read_bytes() == before
    assert "is off" in journal_row(folder, "ok", SAMOVAR_JOURNAL="off")["what"]
    named = journal_row(folder, "ok", SAMOVAR_JOURNAL_FILE=str(folder / "other.db"))
    assert named["what"].startswith(str(folder / "other.db"))


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096 + 8 : 4096 + 400] = bytes(392)
    file.write_bytes(content)


def later(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 999")


@pytest.mark.parametrize(
    ("change", "verdict", "says", "fix"),
    [
        (damage, "wrong", "is damaged", ".recover | sqlite3 "),
        (later, "wrong", "written by a later version of Samovar", "-m pip install --upgrade samovar"),
        (lambda file: file.write_bytes(b"something else" * 500), "wrong", "not a database", "JOURNAL_FILE="),
        (lambda file: file.chmod(0o644), "doubtful", "may be read by others", "chmod 600 "),
    ],
)
def test_what_is_wrong_with_the_journal_has_what_fixes_it(
    folder: Path, change: Callable[[Path], object], verdict: str, says: str, fix: str
) -> None:
    change(journal_of(folder))
    row = journal_row(folder, verdict)
    assert says in row["what"] and fix in row["fix"]
    done = doctor(folder)
    assert done.returncode == (verdict == "wrong") and f"→ {row['fix']}" in done.stdout


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (".", "is a folder"),
        ("nowhere/j.db", "there is no folder nowhere"),
        (os.devnull, "is not a regular file"),
        ("w.md", "not a database"),
    ],
)
def test_what_is_no_journal_is_wrong_and_nobody_is_told_to_change_it(
    folder: Path, place: str, says: str
) -> None:
    write_workflow(folder, "[*] --> A\nA --> [*]", '- A: Log "x"')
    (folder / "w.md").chmod(0o644)
    found = of(findings(folder, variables={"SAMOVAR_JOURNAL_FILE": place}), "journal")
    assert [one["verdict"] for one in found] == ["wrong"] and says in found[0]["what"]
    assert "JOURNAL_FILE=" in found[0]["fix"] and not (folder / "nowhere").exists()


def test_a_look_for_damage_that_takes_too_long_is_broken_off(folder: Path) -> None:
    file = journal_of(folder)
    with closing(sqlite3.connect(file)) as connection:
        connection.executemany(
            "INSERT INTO text (digest, body) VALUES (?, ?)", ((str(one), "x" * 200) for one in range(20_000))
        )
        connection.commit()
    found = look(file, check_s=0.0)
    assert (found.is_checked, found.damage, found.runs) == (False, None, 1)
    assert look(file).is_checked


def test_who_has_the_journal_open_is_said(folder: Path) -> None:
    file = journal_of(folder)
    words = [sys.executable, "-c", "import sys; f = open(sys.argv[1]); print(flush=True); input()", str(file)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        assert [one for one in users_of(file) if f"({other.pid})" in one]
        other.communicate(b"\n", timeout=TIMEOUT_S)


@pytest.mark.parametrize(
    ("system", "verdict", "says"),
    [("linux", "ok", "ends with it"), ("darwin", "ok", "may stay"), ("win32", "doubtful", "never tried")],
)
def test_it_says_where_a_program_may_outlive_its_run(system: str, verdict: str, says: str) -> None:
    (found,) = programs(system)
    assert found.verdict == verdict and says in found.what
    assert (found.fix is None) is (verdict == "ok")
