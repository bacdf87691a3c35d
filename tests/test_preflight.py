"""The one door before a run: what is found, checked, bound and known before anything happens."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import samovar
from samovar import memory
from samovar.actions import parse_action
from samovar.checks.checking import check_workflow
from samovar.cli.checking import faults_of
from samovar.cli.dry_run import dry_run
from samovar.config import Settings, load_settings
from samovar.errors import (
    BudgetError,
    EngineError,
    FaultsError,
    ModelNotFoundError,
    NotFoundError,
    SamovarError,
    UsageError,
)
from samovar.executors import table
from samovar.executors.base import ExecutorAbilities
from samovar.language.parameters import Parameter
from samovar.library import Library
from samovar.preflight.models import needed_models
from samovar.preflight.prepare import prepare
from samovar.running.runner import RunnerSettings
from samovar.values.secrecy import Secrets
from tests.bench import text_of
from tests.test_cli import samovar as run_samovar

SOURCE = Path(__file__).parent.parent / "src" / "samovar"
LIBRARY = Library([], parse_action)
ONE = "[*] --> A\nA --> [*]"


def write(path: Path, actions: str, front: str = "", diagram: str = ONE) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_of(diagram, actions, front), encoding="utf-8")
    return str(path)


def test_a_parents_relative_model_is_the_same_file_for_a_child_elsewhere(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = write(tmp_path / "parent.md", 'A: Run workflow "sub/child"', "model: tiny.gguf")
    write(tmp_path / "sub" / "child.md", 'A: Prompt "Hi" using max_tokens=2')
    (tmp_path / "tiny.gguf").symlink_to(tiny_model)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    prepared = prepare(parent, {}, LIBRARY, load_settings({}))
    assert prepared.models == (str(tmp_path / "tiny.gguf"),)
    done = run_samovar(elsewhere, "run", parent, "--json")
    assert json.loads(done.stdout)["models"][0]["loads"] == 1, done.stderr


def test_check_names_a_missing_model_inside_tags(tmp_path: Path) -> None:
    line = 'A: {% if n %}Prompt "x" using model="gone.gguf"{% else %}Log "no"{% endif %}'
    path = write(tmp_path / "w.md", line, "parameters: [{name: n, type: boolean}]")
    (fault,) = [fault for fault in faults_of(Path(path)) if fault.code == "unknown-model"]
    assert "gone.gguf" in fault.message and fault.place.line == 14


def test_a_dollar_in_the_system_prompt_is_text_and_breaks_no_prefix(tmp_path: Path) -> None:
    fixed = "Fixed text that is long enough. " * 20
    loop = "[*] --> A\nA --> A: n < 3\nA --> [*]: default"
    for mark, broken in (("${name}", []), ("{{ name }}", ["prefix-broken"])):
        front = f'system: "{mark} {fixed}"'
        path = write(tmp_path / "w.md", 'A: Prompt "x" result="name"', front, loop)
        found = check_workflow(LIBRARY.workflow(path), LIBRARY)
        assert [fault.code for fault in found if fault.code == "prefix-broken"] == broken, mark


@pytest.mark.parametrize("option", ["choices", "stop"])
def test_a_lone_surrogate_in_an_option_is_our_own_error(option: str, tiny_model: Path) -> None:
    options: dict[str, object] = {option: ["yes", "\ud800"]}
    with (
        samovar.open_blocking(model=str(tiny_model)) as app,
        app.session() as session,
        pytest.raises(SamovarError, match="surrogate"),
    ):
        session.ask("Hi", **options)  # type: ignore[arg-type]


def test_what_cannot_be_run_is_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    path = write(tmp_path / "w.md", 'A: Prompt "x" using executor="loca"', "executor: nobody")
    with pytest.raises(FaultsError) as caught:
        prepare(path, {}, LIBRARY, Settings())
    assert [fault.code for fault in caught.value.faults] == ["unknown-executor", "unknown-executor"]
    assert "Did you mean 'local'?" in caught.value.faults[1].message


def test_variables_are_bound_and_a_missing_one_is_asked_for(tmp_path: Path) -> None:
    front = "parameters: [{name: n, type: number, required: true}, {name: m, default: x}]"
    path = write(tmp_path / "w.md", 'A: Log "${n} ${m}"', front)
    asked: list[str] = []

    def ask(parameter: Parameter) -> object:
        asked.append(parameter.name)
        return 7

    assert prepare(path, {"n": "3"}, LIBRARY, Settings(), ask=ask).variables == {"n": 3, "m": "x"}
    assert prepare(path, {}, LIBRARY, Settings(), ask=ask).variables == {"n": 7, "m": "x"}
    assert asked == ["n"]
    with pytest.raises(UsageError, match="Required parameters are missing"):
        prepare(path, {}, LIBRARY, Settings())


def unread(path: str, *names: str) -> list[str]:
    return [one.message for one in prepare(path, dict.fromkeys(names, "x"), LIBRARY, Settings()).warnings]


def test_a_variable_that_nothing_reads_is_warned_of_with_the_nearest(tmp_path: Path) -> None:
    front = "parameters: [{name: the_text, default: x}]"
    path = write(tmp_path / "w.md", 'A: Log "${the_text} ${the_tekst}"', front)
    near, far = unread(path, "the_txt", "the_tekst", "other")
    assert "no parameter 'the_txt'" in near and near.endswith("Did you mean 'the_text'?")
    assert "no parameter 'other'" in far and far.endswith("There is: the_tekst, the_text.")
    bare = write(tmp_path / "bare.md", 'A: Set topic="${subject}"')
    assert unread(bare, "subject", "topic", "result") == []
    (warning,) = unread(bare, "subjekt", "subject")
    assert warning.endswith("Did you mean 'subject'?")


def test_what_a_prompt_of_the_library_reads_is_read(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "ask.md").write_text("About {{ topic }}")
    (tmp_path / "prompts" / ".system.md").write_text("Be {{ tone }}")
    path = write(tmp_path / "w.md", 'A: Execute prompt "ask"')
    (warning,) = unread(path, "topic", "tone", "zebra")
    assert "'zebra'" in warning
    path = write(tmp_path / "w.md", 'A: Execute prompt "${which}"')
    assert unread(path, "which", "zebra") == [], "only the run knows what the prompt reads"
    assert len(unread(path, "which", "whihc")) == 1


def test_a_budget_or_a_context_that_cannot_do_is_refused_before_the_run(
    tmp_path: Path, tiny_model: Path
) -> None:
    path = write(tmp_path / "w.md", 'A: Log "first"\nB: Prompt "x"', diagram="[*] --> A\nA --> B\nB --> [*]")
    model = str(tiny_model)
    with pytest.raises(BudgetError, match="but the memory budget is 1 kB"):
        prepare(path, {}, LIBRARY, load_settings({"model": model}), budget=1000)
    with pytest.raises(EngineError, match="A context of 999999 tokens was requested"):
        prepare(path, {}, LIBRARY, load_settings({"model": model, "context_tokens": 999_999}), budget=10**9)
    assert prepare(path, {}, LIBRARY, load_settings({"model": model})).models == (model,)
    with pytest.raises(ModelNotFoundError):
        prepare(path, {}, LIBRARY, load_settings({"model": str(tmp_path / "no.gguf")}))
    done = run_samovar(tmp_path, "run", path, "--model", model, "--context", "999999")
    assert done.returncode == 2 and "first" not in done.stderr, done.stderr
    done = run_samovar(tmp_path, "run", path, "--model", model, "--budget", "1MB", "--dry-run")
    assert done.returncode == 0 and "does not fit the budget of 1.0 MB" in done.stdout, done.stderr


def test_no_model_is_looked_for_where_something_else_answers(tmp_path: Path) -> None:
    path = write(tmp_path / "w.md", 'A: Prompt "x" using model="no.gguf"')
    assert prepare(path, {}, LIBRARY, Settings(), needs_models=False).models == ()


def test_who_wins_is_the_same_for_models_and_what_needs_them(tmp_path: Path) -> None:
    path = write(tmp_path / "w.md", 'A: Prompt "x" using model="own"\nB: Prompt "y"', "model: front")
    workflow = LIBRARY.workflow(write(tmp_path / "w.md", 'A: Prompt "x" using model="own"', "model: front"))
    assert path
    for forced, expected in ((None, ["own"]), ("forced", ["forced"])):
        needs = needed_models(workflow, LIBRARY, Settings(), RunnerSettings(model=forced))
        assert [need.reference for need in needs] == expected


def test_an_executor_that_there_is_not_is_named_wherever_it_is_chosen(tmp_path: Path) -> None:
    path = write(tmp_path / "w.md", 'A: Prompt "x"')
    with pytest.raises(NotFoundError, match="There is no executor 'lokal'"):
        prepare(path, {}, LIBRARY, Settings(), RunnerSettings(executor="lokal"))
    with pytest.raises(NotFoundError, match="There is no executor 'lokal'"):
        prepare(path, {}, LIBRARY, Settings(executor="lokal"))


@pytest.mark.slow
def test_only_the_door_makes_what_the_runner_takes() -> None:
    makers = [
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Prepared"
    ]
    assert makers == ["preflight/prepare.py"]


# Found by trying -----------------------------------------------------------------------------------------


def test_a_model_that_tags_may_choose_is_not_needed_before_the_run(tmp_path: Path, tiny_model: Path) -> None:
    front = "parameters: [{name: big, type: boolean, default: false}]"
    using = f'using {{% if big %}}model="big.gguf"{{% else %}}model="{tiny_model}"{{% endif %}}'
    path = write(tmp_path / "w.md", f'A: Prompt "x" {using}', front)
    assert prepare(path, {}, LIBRARY, load_settings({}), budget=10**10).models == ()
    assert [fault.code for fault in faults_of(Path(path))] == ["unknown-model"]


def test_a_warm_app_runs_what_it_has_loaded_however_little_is_free_by_now(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "w.md", 'A: Prompt "x" using max_tokens=1')
    with samovar.open_blocking(model=str(tiny_model)) as app:
        assert str(app.run(path).ending) == "completed"
        monkeypatch.setattr(memory, "available_bytes", lambda: 1_000_000)
        assert str(app.run(path).ending) == "completed"


def test_a_parameter_called_like_an_option_is_a_variable_in_any_spelling(tmp_path: Path) -> None:
    names = "{name: model, required: true}, {name: dry_run, default: x}, {name: tone, default: y}"
    path = write(tmp_path / "w.md", 'A: Log "${model} ${dry_run} ${tone}"', f"parameters: [{names}]")
    done = run_samovar(tmp_path, "run", path, "--modle", "a")
    assert "The options of this workflow: --tone." in done.stderr
    done = run_samovar(tmp_path, "run", path, "--dry_run", "5")
    assert "There is no option --dry_run" in done.stderr
    shown = run_samovar(tmp_path, "run", path, "--help").stdout
    assert "--var model=…" in shown and "--var dry_run=…" in shown and "--tone" in shown


def test_lenient_reaches_the_workflows_that_a_workflow_runs(tmp_path: Path) -> None:
    write(tmp_path / "kid.md", 'A: Promt "x"')
    path = write(tmp_path / "top.md", 'A: Run workflow "kid"')
    with pytest.raises(FaultsError):
        prepare(path, {}, LIBRARY, Settings())
    assert prepare(path, {}, LIBRARY, Settings(), RunnerSettings(lenient=True)).workflow.is_lenient
    assert run_samovar(tmp_path, "run", path, "--lenient", "-q").returncode == 0


def test_a_dry_run_counts_no_tokens_for_an_executor_without_a_local_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(table.KINDS, "quiet", f"{__name__}:Quiet")
    path = write(tmp_path / "w.md", 'A: Prompt "x"', "executor: quiet\nmodel: no-such-file.gguf")
    settings, run = Settings(), RunnerSettings()
    prepared = prepare(path, {}, LIBRARY, settings, run, budget=1)
    assert prepared.models == ()
    assert dry_run(prepared, LIBRARY, settings, run, hidden=Secrets(), as_json=False) == 0
    shown = capsys.readouterr().out
    assert "executor quiet" in shown and "memory" not in shown and "no-such-file" not in shown


class Quiet:
    """A member of the table that says nothing."""

    name = "quiet"
    needs_local_model = False
    takes: frozenset[str] = frozenset()
    abilities = ExecutorAbilities()

    @staticmethod
    def is_remote(declared: object) -> bool:
        return False

    @staticmethod
    def objection(declared: object, model: str | None) -> None:
        """Nothing is known."""
