"""`samovar serve` in real processes: one load for all of them, and nobody hangs when one of them dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from samovar import __version__
from samovar.executors.frames import MAGIC, Hello, encode
from samovar.executors.wire import tell

pytestmark = pytest.mark.slow

WAIT_S = 60.0

WORKFLOW = """---
title: Two
---

# Two

```mermaid
stateDiagram-v2
    [*] --> First
    First --> Second
    Second --> [*]
```

## Actions

- First: Prompt "Say something about {{ thing | default: 'tea' }}" using max_tokens=8
- Second: Prompt "And about coffee" result="said" using max_tokens=200
"""


@dataclass(kw_only=True)
class Place:
    """A folder with a space in its name, and a short one for the socket, for one test."""

    folder: Path
    state: Path
    model: Path
    line: str = ""
    """What the daemon said when it could be reached."""

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "XDG_STATE_HOME": str(self.state),
            "SAMOVAR_MODEL": str(self.model),
            "SAMOVAR_SNAPSHOTS_BYTES": "0",
            "SAMOVAR_CONTEXT_TOKENS": "1024",
            "SAMOVAR_THREADS": "1",
            "NO_COLOR": "1",
        }
        return {**os.environ, **own}

    @property
    def socket(self) -> Path:
        return self.state / "samovar" / "serve" / "samovar.sock"

    def start(self, *words: str, **given: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "samovar", *words],
            cwd=self.folder,
            env=self.environment | given.pop("environment", {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **given,
        )

    def run(self, *words: str, **given: Any) -> subprocess.CompletedProcess[str]:
        with self.start(*words, **given) as process:
            try:
                out, err = process.communicate(timeout=WAIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def figures(self) -> dict[str, Any]:
        async def main() -> dict[str, Any]:
            return await tell(await anyio.connect_unix(self.socket), "how")

        return anyio.run(main)

    @contextmanager
    def daemon(self, *words: str, **given: Any) -> Iterator[subprocess.Popen[str]]:
        with self.start(
            "serve", *(words if "--port" in words else ("--no-http", *words)), **given
        ) as process:
            assert process.stderr is not None
            try:
                self.line = process.stderr.readline()
                assert "socket" in self.line, self.line + process.stderr.read()
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.communicate(timeout=WAIT_S)


@pytest.fixture
def place(tmp_path: Path, tiny_model: Path) -> Iterator[Place]:
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "two.md").write_text(WORKFLOW)
    (folder / "long.md").write_text(WORKFLOW.replace("Second --> [*]", "Second --> First"))
    with tempfile.TemporaryDirectory(prefix="sv", dir="/tmp") as state:
        yield Place(folder=folder, state=Path(state), model=tiny_model)


def until(true: Callable[[], object]) -> None:
    """Waits for something that another process does."""
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def worker_of(process: subprocess.Popen[str]) -> psutil.Process | None:
    found = [one for one in psutil.Process(process.pid).children() if "samovar.serve.worker" in one.cmdline()]
    return found[0] if found else None


def test_what_is_answered_by_a_daemon_is_what_would_be_answered_here(place: Place) -> None:
    alone = place.run("run", "two.md", "--no-journal")
    with place.daemon() as daemon:
        drawn = [place.run("run", "two.md", "--no-journal") for _ in range(2)]
        own = place.run("run", "two.md", "--no-journal", "--no-daemon")
        figures = place.figures()
    assert {one.stdout for one in (*drawn, alone, own)} == {alone.stdout} and alone.stdout.strip()
    assert {one.returncode for one in (*drawn, alone, own)} == {0}
    assert all(f"samovar serve, process {daemon.pid}" in one.stderr for one in drawn)
    assert not any("samovar serve" in one.stderr for one in (alone, own))
    (model,) = figures["worker"]["models"]
    assert (model["loads"], figures["worker_starts"], figures["answering"]) == (1, 1, 0)
    assert model["tokens"]["reused"] > 0 and figures["worker"]["leases"] == 0
    sessions = figures["worker"]["sessions"]
    assert sessions["opened"] == sessions["closed"] == 4


def test_a_run_that_fails_or_is_cancelled_ends_as_it_would_here(place: Place) -> None:
    with place.daemon():
        for words in ([], ["--no-daemon"]):
            failed = place.run(
                "run", "two.md", "--no-journal", "--context", "256", "--var", "thing=" + "x " * 900, *words
            )
            assert failed.returncode == 1 and "The prompt has" in failed.stderr
        with place.start("run", "long.md", "--no-journal") as process:
            until(lambda: place.figures()["answering"])
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=WAIT_S)
            assert process.returncode == 130
        until(lambda: place.figures()["answering"] == 0)
        with place.start("run", "long.md", "--no-journal") as process:
            until(lambda: place.figures()["answering"])
            process.kill()
            process.communicate(timeout=WAIT_S)
        until(lambda: place.figures()["answering"] == 0 and place.figures()["clients"] == 0)
        sessions = place.figures()["worker"]["sessions"]
        assert sessions["opened"] == sessions["closed"]


def test_a_worker_that_is_killed_costs_the_prompts_in_flight_and_a_load(place: Place) -> None:
    with place.daemon() as daemon:
        with place.start("run", "long.md", "--no-journal") as process:
            until(lambda: place.figures()["answering"] and worker_of(daemon))
            worker = worker_of(daemon)
            assert worker is not None and os.getpgid(worker.pid) != os.getpgid(daemon.pid)
            worker.kill()
            _, err = process.communicate(timeout=WAIT_S)
        assert process.returncode == 1 and "was ended by SIGKILL" in err, err
        assert place.run("run", "two.md", "--no-journal").returncode == 0
        figures = place.figures()
        assert (figures["worker_starts"], figures["worker_crashes"]) == (2, 1)


def test_a_daemon_that_is_killed_takes_its_worker_along_and_nobody_hangs(place: Place) -> None:
    with place.daemon() as daemon, place.start("run", "long.md", "--no-journal") as process:
        until(lambda: place.figures()["answering"] and worker_of(daemon))
        worker = worker_of(daemon)
        daemon.kill()
        _, err = process.communicate(timeout=WAIT_S)
        assert process.returncode == 1 and "samovar serve could not finish the answer" in err
        assert worker is not None
        until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    assert place.socket.exists(), "nobody could remove it"
    assert place.run("run", "two.md", "--no-journal").returncode == 0
    assert place.run("serve", "--status").returncode == 1
    with place.daemon():
        status = place.run("serve", "--status", "--json")
        assert json.loads(status.stdout)["running"] and status.returncode == 0
    assert not place.socket.exists()


def test_there_is_one_daemon_and_only_its_user_may_ask_it(place: Place) -> None:
    with place.daemon() as daemon:
        second = place.run("serve")
        assert second.returncode == 2 and f"runs already (process {daemon.pid})" in second.stderr
        assert place.socket.stat().st_mode & 0o777 == 0o600
        assert place.socket.parent.stat().st_mode & 0o777 == 0o700
        assert place.run("serve", "--stop").returncode == 0
        assert daemon.wait(WAIT_S) == 0
    assert not place.socket.exists()
    stopped = place.run("serve", "--stop")
    assert stopped.returncode == 1 and "does not run" in stopped.stderr


def test_a_daemon_with_other_settings_is_not_used_and_a_line_says_so(place: Place) -> None:
    with place.daemon():
        for words, variables, says in (
            (["--budget", "3GB"], {}, "budget_bytes is 3000000000 here, and unset in"),
            (["--context", "512"], {}, "context_tokens is 512 here, and 1024 in"),
            (["--kv-type", "q8_0"], {}, "kv_type is q8_0 here, and f16 in"),
            ([], {"SAMOVAR_TUNE": "off"}, "tune is off here, and auto in"),
        ):
            ran = place.run("run", "two.md", "--no-journal", *words, environment=variables)
            assert ran.stderr.count("it is not used") == 1 and says in ran.stderr
        assert place.figures()["worker"] is None


def fake(place: Place, version: str) -> socket.socket:
    place.socket.parent.mkdir(parents=True, mode=0o700)
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(place.socket))
    made.listen()
    return made


def test_a_daemon_of_another_version_is_not_used_and_a_line_says_so(place: Place) -> None:
    with fake(place, "0.0.1") as made, place.start("run", "two.md", "--no-journal") as process:
        for _ in range(2):
            peer, _ = made.accept()
            peer.sendall(encode(Hello(version="0.0.1", pid=1)))
            assert peer.recv(4) == MAGIC
            peer.close()
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert err.count(f"version 0.0.1, this is {__version__}: it is not used") == 1


def test_an_idle_daemon_ends(place: Place) -> None:
    with place.daemon("--idle", "1s") as daemon:
        assert daemon.wait(WAIT_S) == 0
    assert not place.socket.exists()


def test_a_path_that_is_too_long_for_a_socket_is_said(place: Place) -> None:
    place.state = place.state / ("x" * 100)
    failed = place.run("serve")
    assert failed.returncode == 2 and "The path of the socket has" in failed.stderr


def test_a_run_outlives_the_daemon_that_is_told_to_end(place: Place) -> None:
    with (
        place.daemon() as daemon,
        place.start("run", "long.md", "--no-journal", "--limit-transitions", "60") as process,
    ):
        until(lambda: place.figures()["answering"])
        daemon.terminate()
        assert daemon.wait(WAIT_S) == 0
        _, err = process.communicate(timeout=WAIT_S)
        assert "limit" in err and "samovar serve could not" not in err, err
        assert "loads: 1" in err, "what was left of it was answered by the process itself"


def test_rows_and_python_draw_from_it_too(place: Place) -> None:
    (place.folder / "rows.jsonl").write_text('{"thing": "a"}\n{"thing": "b"}\n{"thing": "c"}\n')
    program = (
        "import samovar\n"
        "with samovar.open_blocking() as app:\n"
        "    assert app.run('two.md').ending == 'completed'\n"
        "    print(len(app.embed(['x', 'y']).vectors), len(app.statistics().pool.models))\n"
    )
    with place.daemon():
        rows = place.run("run", "two.md", "--each", "rows.jsonl", "--no-journal")
        assert rows.returncode == 0 and rows.stdout.count("\n") == 3, rows.stderr
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=place.folder,
            env=place.environment,
            capture_output=True,
            text=True,
        )
        assert done.stdout == "2 0\n", done.stderr
        chat = place.run("chat", "Hello", "--json")
        assert chat.returncode == 0, chat.stderr
        (model,) = place.figures()["worker"]["models"]
        assert model["loads"] == 1
