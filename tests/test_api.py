"""The Python API: what the docs show works, everything is given back, and wrong calls say what is right."""

from __future__ import annotations

import os
import re
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import anyio
import pytest

import samovar
from samovar import AnswerOptions, OpenSettings
from samovar.config import settings_known
from samovar.generation import Options, Sampling

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = [found[2] for found in re.finditer(r"^(`{3,})python\n(.*?)^\1$", PAGE, re.S | re.M)]
WORKFLOW = """
# Hello

```mermaid
stateDiagram-v2
    [*] --> Greet
    Greet --> [*]
```

## Actions

- Greet: Prompt "Greet ${name}." result="answer" using max_tokens=5
"""


@pytest.fixture(autouse=True)
def only_the_tiny_model(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings are those of the test, and the default model is a tiny one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("SAMOVAR_MODEL", str(tiny_model))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in set(threading.enumerate()) - before if "samovar" in thread.name]
    assert not left


# The docs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=[str(number) for number in range(len(EXAMPLES))])
def test_every_example_of_the_page_runs(example: str, tiny_model: Path) -> None:
    Path("hello.md").write_text(WORKFLOW, encoding="utf-8")
    script = Path("example.py")
    script.write_text(example.replace('"smollm2"', repr(str(tiny_model))), encoding="utf-8")
    runpy.run_path(str(script))


def test_every_option_and_setting_is_in_the_signatures_and_on_the_page() -> None:
    options = {field.name for field in (*fields(Options), *fields(Sampling))} - {"sampling"}
    options.add("secret")  # which goes with the messages
    options -= {"tools", "tool_choice"}  # which only an `Options` has
    assert set(get_type_hints(AnswerOptions)) == options
    assert set(get_type_hints(OpenSettings)) == set(settings_known())
    table = PAGE[PAGE.index("## Options") : PAGE.index("## Streams")]
    assert options == set(re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.M))))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "argument"), [("chat.py", None), ("aspects.py", "examples/reports.txt")])
def test_the_examples_run(name: str, argument: str | None) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", f"examples/{name}", *([argument] if argument else [])],
        cwd=ROOT,
        input="Hello!\nAnd you?\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "tokens" in done.stdout


# Names ---------------------------------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_else() -> None:
    code = (
        "import samovar, sys; print([n for n in sys.modules if n.startswith(('samovar.', 'anyio', 'pyd'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in samovar.__all__:
        assert getattr(samovar, name) is not None
        assert name in dir(samovar)
    with pytest.raises(AttributeError, match="has no attribute 'opne'"):
        _ = samovar.opne
    homes = {name for names in samovar._HOMES.values() for name in names}
    assert homes == set(samovar.__all__) - {"__version__"}


def test_wrong_names_are_type_errors_that_say_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"'modle'.* Did you mean 'model'"):
        samovar.open(modle="x")  # type: ignore[call-arg]
    with samovar.open_blocking() as app:
        with pytest.raises(TypeError, match=r"'temprature'.* Did you mean 'temperature'"):
            app.session(temprature=1)  # type: ignore[call-arg]
        with app.session() as session:
            with pytest.raises(TypeError, match=r"ask\(\) takes no option 'stops'"):
                session.ask("x", stops="y")  # type: ignore[call-arg]
            with pytest.raises(TypeError, match="stream"):
                session.stream("x", max_token=5)  # type: ignore[call-arg]
            assert session.messages == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"temperature": 3},
        {"seed": -1},
        {"stop": [""]},
        {"choices": [1]},
        {"timeout_s": 0},
        {"overflow": "forget"},
        {"choices": ["a"], "stop": "b"},
    ],
    ids=str,
)
def test_wrong_values_are_refused_before_anything_is_loaded(wrong: AnswerOptions) -> None:
    with samovar.open_blocking() as app, app.session() as session:
        with pytest.raises(samovar.UsageError):
            session.ask("x", **wrong)
        assert app.statistics().pool.models == ()


def test_wrong_settings_and_missing_models_say_what_is_wrong() -> None:
    with pytest.raises(samovar.UsageError, match="context_tokens"), samovar.open_blocking(context_tokens=1):
        pass
    with samovar.open_blocking() as app:
        with pytest.raises(samovar.ModelError, match=r"no-such\.gguf"):
            app.session("no-such.gguf")
        with pytest.raises(samovar.NotFoundError, match="no-such-workflow"):
            app.run("no-such-workflow")
        Path("faulty.md").write_text(WORKFLOW.replace("max_tokens=5", "max_tokens=0"))
        with pytest.raises(samovar.FaultsError):
            app.run("faulty.md")
        with app.session() as session, pytest.raises(samovar.UsageError, match="nothing to answer"):
            session.ask([])


# Sessions ------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_options_of_the_session_hold_until_a_question_has_its_own() -> None:
    async with samovar.open() as app, app.session(max_tokens=3, system="Be brief.") as session:
        assert (await session.ask("one")).tokens.generated <= 3
        assert (await session.ask("two", choices=["a long choice"], system="New.")).text == "a long choice"
        assert session.messages[0].content == "New."
        async with session.fork() as fork:
            assert (await fork.ask("three")).tokens.generated <= 3


@pytest.mark.anyio
async def test_what_is_said_in_secret_stays_so_with_its_answer_and_in_forks() -> None:
    async with samovar.open() as app, app.session(system="Be brief.", max_tokens=2) as session:
        await session.ask("one")
        assert not any(message.secret for message in session.messages)
        await session.ask("two", secret=True)
        assert [message.secret for message in session.messages] == [False, False, False, True, True]
        async with session.fork() as fork:
            await fork.ask("three")
            assert [message.secret for message in fork.messages[-2:]] == [False, True], "as is its answer"
        async with app.session(system="Be brief.", secret=True, max_tokens=2) as other:
            await other.ask("one")
            assert all(message.secret for message in other.messages)


@pytest.mark.anyio
async def test_a_model_is_loaded_once_and_kept_while_a_session_is_open() -> None:
    async with samovar.open(keep_alive_s=0) as app:
        async with app.session() as session:
            for text in ("one", "two", "three"):
                await session.ask(text, max_tokens=2)
            fork = session.fork()
        await fork.ask("four", max_tokens=2)
        (use,) = app.statistics().pool.models
        assert use.loads == 1
        assert use.tokens.reused > 0
        await fork.close()
        await fork.close()
        app.check()


@pytest.mark.anyio
async def test_closing_the_app_closes_what_is_open_and_says_so() -> None:
    async with samovar.open() as app:
        session = await app.open_session()
        fork = session.fork()
        pieces = fork.stream("x", max_tokens=1000)
        await anext(pieces)
    statistics = app.statistics().sessions
    assert (statistics.opened, statistics.closed, statistics.forked) == (2, 2, 1)
    with pytest.raises(samovar.ClosedError):
        await session.ask("x")
    with pytest.raises(samovar.ClosedError):
        await anext(pieces)
    with pytest.raises(samovar.ClosedError, match=r"samovar\.open"):
        await app.open_session()
    with pytest.raises(samovar.ClosedError):
        await app.run("hello.md")
    await session.close()
    await pieces.aclose()


@pytest.mark.anyio
async def test_a_caller_that_vanishes_stops_its_generation() -> None:
    async with samovar.open() as app, app.session() as session:

        async def consume(begun: anyio.Event) -> None:
            async for _ in session.stream("x", max_tokens=3000):
                begun.set()

        for _ in range(3):
            begun = anyio.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(consume, begun)
                await begun.wait()
                tasks.cancel_scope.cancel()
        await session.ask("y", max_tokens=2)
        (use,) = app.statistics().pool.models
        assert use.statistics is not None and use.statistics.sequences_running == 0
        assert app.statistics().pool.leases == 0
        assert len(session.messages) == 2


# Blocking ------------------------------------------------------------------------------------------------


def test_a_run_hears_its_events_and_takes_a_model(tiny_model: Path) -> None:
    Path("hello.md").write_text(WORKFLOW)
    heard: list[object] = []
    with samovar.open_blocking(model="none.gguf") as app:
        run = app.run("hello.md", {"name": "Ada"}, model=str(tiny_model), seed=7, on_event=heard.append)
    assert run.ending == "completed"
    assert len(heard) > 3


def test_closing_in_any_order_is_safe() -> None:
    with samovar.open_blocking() as app:
        session = app.session()
        fork = session.fork()
        session.close()
        pieces = fork.stream("x", max_tokens=1000)
        next(pieces)
        waiting = fork.stream("y")
    for one in (fork, session, pieces, waiting, fork):
        one.close()
    with pytest.raises(samovar.ClosedError):
        next(pieces)
    with pytest.raises(samovar.ClosedError):
        app.session()
    assert app.statistics().sessions.closed == 2


def test_ones_own_open_stream_is_refused_not_waited_for() -> None:
    with samovar.open_blocking() as app, app.session(max_tokens=50) as session:
        pieces = session.stream("x")
        next(pieces)
        with pytest.raises(samovar.UsageError, match="still open in this thread"):
            session.ask("y")
        pieces.close()
        for _ in session.stream("x"):
            break
        session.ask("y")


def test_several_threads_may_ask_at_once() -> None:
    texts: list[str] = []
    with samovar.open_blocking() as app, app.session() as session:
        session.ask("x", max_tokens=2)

        def ask() -> None:
            with session.fork() as fork:
                texts.append(fork.ask("y", choices=["a", "b"]).text)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(texts) == 4 and len(set(texts)) == 1
        assert len(session.messages) == 2


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_stops_the_generation_and_the_session_goes_on() -> None:
    main = threading.main_thread().ident
    assert main is not None
    with samovar.open_blocking() as app, app.session() as session:
        session.ask("x", max_tokens=2)

        def interrupt() -> None:
            while not app.statistics().pool.leases:
                pass
            signal.pthread_kill(main, signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            for _ in session.stream("x", max_tokens=3500):
                signal.pthread_kill(main, signal.SIGINT)
        thread = threading.Thread(target=interrupt)
        with pytest.raises(KeyboardInterrupt):
            session.ask("x", max_tokens=2)
            thread.start()
            while True:
                with session.fork() as fork:
                    fork.ask("x", max_tokens=3500)
        thread.join()
        assert session.ask("y", max_tokens=2).tokens.generated <= 2
        assert app.statistics().pool.leases == 0


# What it costs -------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_fork_of_a_long_conversation_takes_no_cells_and_evaluates_only_what_is_new() -> None:
    async with samovar.open(context_tokens=4096) as app, app.session(max_tokens=4) as session:
        long = await session.ask("word " * 600)
        assert long.tokens.evaluated > 2000
        cells = app.statistics().pool.models[0].statistics
        forks = [session.fork() for _ in range(100)]
        assert app.statistics().pool.models[0].statistics == cells
        assert all(fork.messages is session.messages for fork in forks)
        for fork in forks[:3]:
            turn = await fork.ask("And?")
            assert turn.tokens.reused > long.tokens.evaluated - 8
            assert turn.tokens.evaluated < 60
        for fork in forks:
            await fork.close()


LEFT_OPEN = """
import asyncio, logging, samovar

logging.getLogger("asyncio").setLevel(logging.ERROR)  # not of callbacks that were slow on a busy machine

async def main():
    async with samovar.open() as app:
        async with app.session() as s:
            async for piece in s.stream("x", max_tokens=1000):
                break
        left = await app.open_session()
        async for piece in left.stream("x", max_tokens=1000):
            break
        kept = left.fork().stream("x", max_tokens=1000)
        await anext(kept)

asyncio.run(main())
with samovar.open_blocking() as app:
    s = app.session()
    for piece in s.stream("x", max_tokens=1000):
        break
    kept = s.fork().stream("x", max_tokens=1000)
    next(kept)
"""


def test_what_is_left_open_is_closed_without_a_word() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", LEFT_OPEN],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


@pytest.mark.parametrize(
    "said", [None, 5, b"x", {"role": "user"}, ["a"], [{"role": "user", "content": "x"}], []]
)
def test_what_is_neither_a_text_nor_messages_is_a_usage_error(said: object) -> None:
    with samovar.open_blocking() as app, app.session() as session:
        for call in (session.ask, session.stream):
            with pytest.raises(samovar.UsageError, match=r"a text|at least one message"):
                call(said)  # type: ignore[arg-type]


def test_values_of_other_kinds_are_usage_errors_that_name_what_was_expected() -> None:
    with samovar.open_blocking() as app, app.session() as session:
        with pytest.raises(samovar.UsageError, match=r"system of ask\(\) cannot be 5: expected a text"):
            session.ask("x", system=5)  # type: ignore[arg-type]
        with pytest.raises(samovar.UsageError, match="the role 'bot'"):
            session.ask([samovar.Message(role="bot", content="x")])  # type: ignore[arg-type]
        with pytest.raises(
            samovar.UsageError, match=r"stop of .* cannot be 5: expected a text that is not empty"
        ):
            session.ask("x", stop=5)  # type: ignore[arg-type]
        with pytest.raises(samovar.UsageError, match="cannot be nan: expected a number above 0, at most 1"):
            session.ask("x", top_p=float("nan"))
        with pytest.raises(samovar.UsageError, match=r"deterministic of .*: expected True or False"):
            session.ask("x", deterministic="no")  # type: ignore[arg-type]
        with pytest.raises(samovar.UsageError, match=r"model of .*\(\) cannot be 5"):
            app.session(5)  # type: ignore[arg-type]
        with pytest.raises(samovar.UsageError, match=r"workflow of run\(\) cannot be None"):
            app.run(None)  # type: ignore[arg-type]
        with pytest.raises(samovar.UsageError, match=r"variables of run\(\)"):
            app.run("x", 5)  # type: ignore[arg-type]
        with pytest.raises(samovar.UsageError, match=r"on_event of run\(\)"):
            app.run("x", on_event=5)  # type: ignore[arg-type]


async def forget_to_enter() -> None:
    opening: Any = samovar.open()
    with pytest.raises(samovar.UsageError, match=r"`async with samovar.open\(\) as app`, then `.session`"):
        opening.session()
    with pytest.raises(samovar.UsageError, match=r"For `with` there is samovar.open_blocking\(\)"), opening:
        pass
    async with samovar.open() as app:
        session: Any = app.session()
        with pytest.raises(samovar.UsageError, match=r"`async with app.session\(\) as session`, then `.ask`"):
            session.ask("x")
    blocking: Any = samovar.open_blocking()
    with pytest.raises(samovar.UsageError, match=r"For `async with` there is samovar.open\(\)"):
        async with blocking:
            pass


def test_what_was_not_entered_says_so() -> None:
    anyio.run(forget_to_enter)
    opening: Any = samovar.open_blocking()
    with pytest.raises(samovar.UsageError, match=r"`with samovar.open_blocking\(\) as app`, then `.session`"):
        opening.session()
    with pytest.raises(AttributeError):
        opening.nosuch  # noqa: B018


def test_a_run_whose_model_is_missing_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "w.md").write_text(WORKFLOW)
    with samovar.open_blocking() as app, pytest.raises(samovar.ModelError, match=r"no\.gguf"):
        app.run("w.md", {"name": "Ann"}, model="no.gguf")
