"""Runs from programs: what they take and give, what is kept of one that was stopped, and no model."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

import samovar
from samovar.events import Ending, Logged, Warned
from samovar.language.parameters import Parameter
from tests.test_cli import TIMEOUT_S, environment
from tests.test_cli import samovar as command

DIAGRAM = "```mermaid\nstateDiagram-v2\n{}\n```\n\n## Actions\n\n"


def flow(*actions: str, front: str = "", more: str = "") -> str:
    """A workflow of states one after the other."""
    names = [action.partition(":")[0] for action in actions]
    edges = [f"{one} --> {other}" for one, other in zip(["[*]", *names], [*names, "[*]"], strict=True)]
    top = f"---\n{front}\n---\n" if front else ""
    return top + DIAGRAM.format("\n".join(edges)) + "".join(f"- {one}\n" for one in actions) + more


@pytest.fixture(autouse=True)
def nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in set(threading.enumerate()) - before if "samovar" in thread.name]
    assert not left


def shout(messages: Sequence[samovar.Message]) -> str:
    return messages[-1].content.upper()


# What is run ---------------------------------------------------------------------------------------------


def test_a_file_a_name_a_text_and_a_workflow_are_run_alike(tmp_path: Path) -> None:
    text = flow('A: Prompt "hello ${name}"', front="parameters: [{name: name, default: you}]")
    (tmp_path / "w.md").write_text(text)
    (tmp_path / ".samovar" / "workflows").mkdir(parents=True)
    (tmp_path / ".samovar" / "workflows" / "greet.md").write_text(text)
    with samovar.open_blocking(script=shout) as app:
        read = app.workflow("w.md")
        assert read.parameters[0].name == "name"
        runs = [app.run(one) for one in ("w.md", Path("w.md"), "greet", text, read, app.workflow(text))]
    assert [run.result for run in runs] == ["HELLO YOU"] * 6
    assert [run.workflow for run in runs] == ["w", "w", "greet", "text", "w", "text"]


def test_a_text_runs_a_file_by_its_path_and_its_faults_have_their_lines(tmp_path: Path) -> None:
    (tmp_path / "child.md").write_text(flow('C: Log "from the child"'))
    heard: list[object] = []
    with samovar.open_blocking(script=shout) as app:
        run = app.run(flow('A: Run workflow "./child.md"'), on_event=heard.append)
        assert run.ending == "completed", run.error
        with pytest.raises(samovar.FaultsError, match="no workflow 'child'"):  # it has nothing beside it
            app.run(flow('A: Run workflow "child"'))
        with pytest.raises(samovar.FaultsError, match=r"<text>:9:6"):
            app.run(flow('A: Lgo "x"'))
    assert [event.text for event in heard if isinstance(event, Logged)] == ["from the child"]


def test_nothing_hangs_on_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    for folder, says in ((home, "home"), (other, "other")):
        (folder / ".samovar" / "workflows").mkdir(parents=True)
        (folder / ".samovar" / "workflows" / "w.md").write_text(flow('A: Shell "pwd"', f'B: Log "{says}"'))
        (folder / ".samovar" / "config.toml").write_text(f'model = "{says}"\nenvironment = ["WHO"]\n')
        (folder / ".git").mkdir()
        (folder / "file.md").write_text(flow('A: Shell "cat data"', 'B: Prompt "{{ cwd }} {{ env.WHO }}"'))
        (folder / "data").write_text(f"data of {says}")
        (folder / "v.yaml").write_text(f"x: {says}\n")
    monkeypatch.setenv("WHO", "me")
    monkeypatch.setenv("SAMOVAR_TRUST", "1")
    monkeypatch.chdir("/")
    seen = []
    with samovar.open_blocking(folder=home, script=lambda messages: messages[-1].content) as app:
        for options in ({}, {"folder": other}, {"folder": str(other)}, {"folder": "../other"}):
            by_name = app.run("w", ["v.yaml", {"y": 1}], **options)
            by_path = app.run("file.md", **options)
            assert by_name.ending == by_path.ending == "completed", (by_name.error, by_path.error)
            seen.append((by_name.variables["x"], by_path.variables["stdout"], by_path.result))
        (use,) = app.statistics().pool.models
    assert use.reference == "home"  # as the project's settings say
    names = ["home", "other", "other", "other"]
    assert [x for x, _, _ in seen] == names
    assert [out for _, out, _ in seen] == [f"data of {name}" for name in names]
    where = [Path(str(said).removesuffix(" me")) for _, _, said in seen]
    assert all(path.samefile(tmp_path / name) for path, name in zip(where, names, strict=True))


def test_a_models_file_is_looked_for_in_the_folder(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "m.gguf").symlink_to(tiny_model)
    monkeypatch.chdir("/")
    text = flow('A: Prompt "x" using max_tokens=1')
    for settings in ({"model": "m.gguf"}, {"aliases": {"mine": "m.gguf"}, "model": "mine"}):
        with samovar.open_blocking(folder=tmp_path / "home", **settings) as app:
            assert app.run(text).ending == "completed"
            assert app.run(text, model="m.gguf").ending == "completed"
            with app.session("m.gguf", max_tokens=1) as session:
                session.ask("x")
            assert len(app.embed("x", model="m.gguf").vectors) == 1


def test_a_folder_that_is_not_there_is_named() -> None:
    with (
        pytest.raises(samovar.UsageError, match=r"there is no such folder"),
        samovar.open_blocking(folder="x"),
    ):
        pass
    says = r"folder of run\(\) cannot be 'y': there is no such"
    with samovar.open_blocking(script=shout) as app, pytest.raises(samovar.UsageError, match=says):
        app.run("w", folder="y")


# Variables -----------------------------------------------------------------------------------------------

TYPED = "parameters: [{name: n, type: int, required: true}, {name: key, secret: true, from_env: K}]"


def test_variables_come_from_mappings_files_the_environment_and_whoever_is_asked(tmp_path: Path) -> None:
    text = flow('A: Set both="${n} ${key}"', front=TYPED)
    (tmp_path / "v.yaml").write_text("n: 1\n")
    (tmp_path / "v.json").write_text('{"n": 2}')
    asked: list[str] = []

    def ask(parameter: Parameter) -> object:
        asked.append(parameter.name)
        return 5

    with samovar.open_blocking(script=shout) as app:

        def both(variables: Any = None, **options: Any) -> object:
            return app.run(text, variables, environment={"K": "k"}, **options).variables["both"]

        assert both({"n": "7"}) == "7 k"
        assert both("v.yaml") == "1 k"
        assert both([Path("v.yaml"), "v.json"]) == "2 k"
        assert both(["v.json", {"n": 3, "key": "mine"}]) == "3 mine"
        assert both(ask=ask) == "5 k"
        with pytest.raises(samovar.UsageError, match=r"Required parameters are missing"):
            both()
        with pytest.raises(samovar.UsageError, match=r"variables .*none\.yaml: there is no such file"):
            both("none.yaml")
    assert asked == ["n"]


# Limits, options -----------------------------------------------------------------------------------------


def test_limits_of_a_run_are_those_of_the_call() -> None:
    text = flow(*(f'S{number}: Log "x"' for number in range(8)))
    with samovar.open_blocking(script=shout) as app:
        assert app.run(text, limits={"transitions": 8}).ending == "completed"
        assert app.run(text, limits={"transitions": 3}).ending == "limited"
        waits = flow("A: Wait 60 seconds")
        assert app.run(waits, limits={"duration": "10ms"}).ending == "limited"
        words = flow('A: Prompt "one two three"', 'B: Prompt "one two three"')
        assert app.run(words, limits={"tokens": 4}).ending == "limited"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"workflow": 5}, r"workflow of run\(\) cannot be 5: expected a path, a name, a text"),
    ({"variables": 5}, r"variables of run\(\) cannot be 5: expected a mapping"),
    ({"variables": {1: 2}}, r"A variable of run\(\) cannot be called 1"),
    ({"variables": {"x": object}}, r"The variable 'x' of run\(\) cannot have"),
    ({"variables": {"x": [{"y": {1, 2}}]}}, r"The variable 'x' of run\(\) cannot have a value of type set"),
    ({"folder": 5}, r"folder of run\(\) cannot be 5: expected the path of a folder"),
    ({"limits": 5}, r"limits of run\(\) cannot be 5: expected a mapping"),
    (
        {"limits": {"transitions": 0}},
        r"The limit transitions of run\(\) cannot be 0: expected a whole number",
    ),
    ({"limits": {"tokens": True}}, r"The limit tokens of run\(\) cannot be True"),
    ({"limits": {"duration": "soon"}}, r"The limit duration of run\(\) cannot be 'soon': expected seconds"),
    ({"limits": {"duration": -1}}, r"The limit duration of run\(\) cannot be -1"),
    ({"model": 5}, r"model of run\(\) cannot be 5"),
    ({"executor": 5}, r"executor of run\(\) cannot be 5"),
    ({"seed": "x"}, r"seed of run\(\) cannot be 'x': expected a whole number"),
    ({"seed": -1}, r"seed of run\(\) cannot be -1"),
    ({"deterministic": "no"}, r"deterministic of run\(\) cannot be 'no': expected True or False"),
    ({"lenient": 1}, r"lenient of run\(\) cannot be 1: expected True or False"),
    ({"ask": 5}, r"ask of run\(\) cannot be 5: expected something to call"),
    ({"answer": "yes"}, r"answer of run\(\) cannot be 'yes': expected something to call"),
    ({"environment": 5}, r"environment of run\(\) cannot be of type int"),
    ({"on_event": 5}, r"on_event of run\(\) cannot be 5: expected something to call"),
    ({"handle": 5}, r"handle of run\(\) cannot be 5: expected a samovar.RunHandle"),
]


def test_what_cannot_be_is_said_with_what_was_expected() -> None:
    with samovar.open_blocking(script=shout) as app:
        run: Any = app.run
        for wrong, says in WRONG:
            with pytest.raises(samovar.UsageError, match=says):
                run(**({"workflow": flow('A: Log "x"')} | wrong))
        with pytest.raises(TypeError, match=r"run\(\) takes no option 'modle'\. Did you mean 'model'"):
            run("w", modle="x")
        with pytest.raises(TypeError, match=r"limits of run\(\) takes no option 'transition'"):
            run(flow('A: Log "x"'), limits={"transition": 3})
    with pytest.raises(samovar.UsageError, match=r"script of samovar.open\(\) cannot be 'x'"):
        samovar.open(script="x")  # type: ignore[arg-type]
    with pytest.raises(samovar.UsageError, match=r"folder of samovar.open\(\) cannot be 5"):
        samovar.open(folder=5)  # type: ignore[arg-type]


# What a run gives ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_result_is_what_the_command_line_prints(tmp_path: Path, tiny_model: Path) -> None:
    texts = {
        "named": flow('A: Prompt "x" using max_tokens=2', 'B: Set result="the end"'),
        "list": flow("A: Set result := [1, 2]"),
        "answer": flow('A: Prompt "x" using max_tokens=3', 'B: Prompt "y" using choices="yes|no"'),
        "picked": flow('A: Prompt "y" using choices="yes|no"'),
        "none": flow('A: Log "x"'),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.md").write_text(text)
    with samovar.open_blocking(model=str(tiny_model)) as app:
        results = {name: app.run(f"{name}.md").result for name in texts}
    printed = {
        name: command(tmp_path, "run", f"{name}.md", "--model", str(tiny_model)).stdout for name in texts
    }
    shown = {
        name: "" if one is None else (one if isinstance(one, str) else json.dumps(one)) + "\n"
        for name, one in results.items()
    }
    assert printed == shown
    assert results["named"] == "the end" and results["list"] == [1, 2] and results["none"] is None
    assert results["picked"] in ("yes", "no") and results["answer"] not in ("yes", "no", None)


def test_a_run_that_did_not_complete_has_no_result() -> None:
    with samovar.open_blocking(script=shout) as app:
        run = app.run(flow('A: Set result="x"', 'B: Shell "exit 3"'))
    assert (run.ending, run.result) == ("failed", None)
    assert run.error is not None and run.variables["exit_code"] == 3


def test_its_object_is_that_of_the_command_line(tmp_path: Path, tiny_model: Path) -> None:
    front = "parameters: [{name: key, secret: true, default: hunter2hunter2}]"
    (tmp_path / "w.md").write_text(flow('A: Prompt "x ${key}" using max_tokens=2', 'B: Log "x"', front=front))
    with samovar.open_blocking(model=str(tiny_model)) as app:
        run = app.run("w.md")
    ours, text = run.to_json(), json.dumps(run.to_json(), ensure_ascii=False)
    theirs = json.loads(command(tmp_path, "run", "w.md", "--json", "--model", str(tiny_model)).stdout)

    def shape(value: object) -> object:
        """The names in it; of what differs from run to run not the values."""
        if isinstance(value, dict):
            return {name: shape(one) for name, one in value.items()}
        return [shape(one) for one in value] if isinstance(value, list) else None

    assert shape(ours) == shape(theirs)
    assert ours["status"] == "completed" and ours["models"][0]["loads"] == 1
    assert ours["memory"]["end_bytes"] > 0 and "hunter2" not in text
    assert run.variables["key"] == "hunter2hunter2"
    assert "variables" not in run.to_json(with_values=False)


def test_warnings_are_in_the_record_those_of_the_check_first(tmp_path: Path) -> None:
    text = flow('A: Log "x"', 'B: Prompt "a b c" using max_tokens=1', front="titel: x")
    heard: list[object] = []
    with samovar.open_blocking(script=shout) as app:
        run = app.run(text, {}, on_event=heard.append)
    assert [one.message.partition("'")[0] for one in run.warnings] == [
        "The front matter has the unknown key ",
        "The answer was cut off after 1 token (max_tokens is 1).",
    ]
    told = [(one.message, one.place) for one in heard if isinstance(one, Warned)]
    assert [(one.message, one.place) for one in run.warnings] == told
    assert run.warnings == tuple(one for one in heard if isinstance(one, Warned))
    assert {one.run for one in run.warnings} == {run.id}
    assert all(one.number and one.time for one in run.warnings)
    assert run.warnings[0].place is not None and run.warnings[0].place.line == 2


# Runs that are stopped -----------------------------------------------------------------------------------

LONG = flow('A: Set seen="this"', "B: Wait 60 seconds", 'C: Log "never"')


@pytest.mark.anyio
async def test_a_handle_has_the_record_of_a_run_that_was_cancelled() -> None:
    handle = samovar.RunHandle()
    before = handle.run
    assert before is None
    async with samovar.open(script=shout) as app:
        waiting = anyio.Event()

        def hear(event: object) -> None:
            if getattr(event, "state", None) == "B":
                waiting.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: app.run(LONG, handle=handle, on_event=hear))
            with anyio.fail_after(TIMEOUT_S):
                await waiting.wait()
            going = handle.run
            assert going is not None and going.ending is None and going.figures is None
            assert [visit.name for visit in going.visits] == ["A", "B"]
            tasks.cancel_scope.cancel()
        kept = handle.run
        assert kept is not None and kept.ending is Ending.CANCELLED
        assert kept.variables["seen"] == "this" and kept.to_json()["status"] == "cancelled"
        assert [(visit.name, visit.status) for visit in kept.visits] == [("A", "success"), ("B", "cancelled")]
        with pytest.raises(samovar.UsageError, match=r"Make a new one for each"):
            await app.run(LONG, handle=handle)


def test_a_handle_stops_a_run_from_another_thread_and_the_call_returns() -> None:
    handle = samovar.RunHandle()

    def hear(event: object) -> None:
        if getattr(event, "state", None) == "B":
            threading.Thread(target=handle.stop).start()

    with samovar.open_blocking(script=shout) as app:
        run = app.run(LONG, handle=handle, on_event=hear)
        assert run.ending is Ending.CANCELLED and handle.run == run
        before = samovar.RunHandle()
        before.stop()
        assert app.run(LONG, handle=before).ending is Ending.CANCELLED
    handle.stop()  # of a run that has ended: nothing


def test_a_handle_has_the_record_if_the_listener_raises() -> None:
    handle = samovar.RunHandle()

    def hear(event: object) -> None:
        if isinstance(event, Logged):
            raise ValueError("enough")

    with samovar.open_blocking(script=shout) as app, pytest.raises(ValueError, match="enough"):
        app.run(flow('A: Log "x"'), handle=handle, on_event=hear)
    assert handle.run is not None and handle.run.ending is Ending.FAILED


# Without a model -----------------------------------------------------------------------------------------


def test_a_script_answers_runs_sessions_and_choices_and_no_model_is_looked_for() -> None:
    told: list[list[str]] = []

    def script(messages: Sequence[samovar.Message]) -> str:
        told.append([message.role for message in messages])
        return "<think>Well.</think>later" if "urgent" in messages[-1].content else "A long answer."

    text = flow(
        'A: Prompt "urgent?" result="when" using choices="urgent|later" model="no-such.gguf"',
        'B: Prompt "Why?" result="why" using max_tokens=2',
    )
    with samovar.open_blocking(script=script, model="nothing.gguf") as app:
        run = app.run(text)
        assert (run.variables["when"], run.variables["why"]) == ("later", "A long")
        assert run.visits[0].figures is not None and run.visits[0].figures.reasoning == "Well."
        with app.session(system="Be brief.") as session:
            assert session.ask("Hello?").text == "A long answer."
    assert told == [["user"], ["user"], ["system", "user"]]


def test_what_a_script_raises_comes_out_of_the_run() -> None:
    def script(messages: Sequence[samovar.Message]) -> str:
        raise AssertionError("no answer for " + messages[-1].content)

    with samovar.open_blocking(script=script) as app, pytest.raises(AssertionError, match="no answer for x"):
        app.run(flow('A: Prompt "x"'))


# Types ---------------------------------------------------------------------------------------------------

TYPES = """
import asyncio
from collections.abc import Sequence
from pathlib import Path

import samovar


def script(messages: Sequence[samovar.Message]) -> str:
    return messages[-1].content


async def main() -> None:
    async with samovar.open(script=script, folder=Path(".")) as app:
        workflow: samovar.Workflow = app.workflow("w.md")
        handle = samovar.RunHandle()
        limits: samovar.RunLimits = {"transitions": 5, "duration": "1h"}
        run: samovar.Run = await app.run(
            workflow, ["v.yaml", {"x": 1}], limits=limits, handle=handle, answer=lambda question: True
        )
        kept: samovar.Run | None = handle.run
        said: object = run.result
        wire: dict[str, object] = run.to_json()
        print(kept, said, wire, [warned.message for warned in run.warnings])


with samovar.open_blocking(script=script) as blocking:
    done: samovar.Run = blocking.run("w.md", seed=1, folder="x")
    blocking.run("w.md", sed=1)  # wrong
    blocking.run(5)  # wrong
    blocking.run("w.md", limits={"transitions": "x"})  # wrong
asyncio.run(main())
"""


@pytest.mark.slow
def test_types_are_seen_by_whoever_uses_the_package(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TYPES)
    checking = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "program.py"]
    done = subprocess.run(
        checking,
        cwd=tmp_path,
        env=environment(tmp_path) | {"MYPYPATH": str(Path(samovar.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    wrong = [number for number, line in enumerate(TYPES.splitlines(), start=1) if "# wrong" in line]
    found = [int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line]
    assert found == wrong, done.stdout


# Trust ---------------------------------------------------------------------------------------------------


def test_a_project_that_nobody_trusts_runs_no_command_by_name_however_it_was_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".samovar" / "workflows").mkdir(parents=True)
    (home / ".samovar" / "workflows" / "w.md").write_text(flow('A: Shell "touch canary"'))
    (home / ".git").mkdir()
    with samovar.open_blocking(folder=home, script=shout) as app:
        for named in ("w", app.workflow("w")):
            with pytest.raises(samovar.SamovarError, match="trust") as caught:
                app.run(named)
            assert caught.value.code == "untrusted"
        assert not (home / "canary").exists()
        assert app.run(".samovar/workflows/w.md").ending == "completed"  # by its file: a choice
    (home / "canary").unlink()
    with samovar.open_blocking(folder=home, script=shout, trust=True) as app:
        assert app.run(app.workflow("w")).ending == "completed"
