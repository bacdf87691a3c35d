"""What actions do outside of a run: each says so, a run may have none, and a sub-workflow's count as well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import samovar
from samovar.actions import VERBS, parse_action
from samovar.actions.base import Action, ActionContext, Outcome
from samovar.actions.log import Log
from samovar.config import Settings
from samovar.errors import NotFoundError, Place, RefusedError, UntrustedError, UsageError
from samovar.events import Ending
from samovar.language.markdown import TextBlock
from samovar.language.model_names import Named
from samovar.library import Library
from samovar.preflight.prepare import prepare
from samovar.running.prepared import Prepared
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from tests.bench import Told
from tests.test_trust import clone, flow, home, workflow  # noqa: F401  # fixtures

pytestmark = pytest.mark.anyio

TOUCH = '- A: Shell "touch canary"'
LINE = "[*] --> A\nA --> [*]"


class Clone:
    """A project that is not trusted, with its user's own folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = folder.parent / "home" / "own"
        self.own = own
        (own / "workflows").mkdir(parents=True)
        folders = [("project", folder / ".samovar"), ("user", own)]
        self.library = Library(folders, parse_action)
        self.asked: list[str] = []

    def prepare(self, reference: str, *, says: bool | None = None, no_effects: bool = False) -> Prepared:
        def allow(doing: str) -> bool:
            self.asked.append(doing)
            return bool(says)

        run = RunnerSettings(folder=self.folder, no_effects=no_effects)
        return prepare(
            reference,
            {},
            self.library,
            Settings(),
            run,
            needs_models=False,
            allow=None if says is None else allow,
        )

    async def run(self, prepared: Prepared, *, no_effects: bool = False) -> Run:
        settings = RunnerSettings(folder=self.folder, no_effects=no_effects)
        return await Runner(self.library, Told(), settings=settings).run(prepared)

    def is_touched(self) -> bool:
        return (self.folder / "canary").exists()


@pytest.fixture
def place(clone: Path) -> Clone:  # noqa: F811
    return Clone(clone)


# Classes.


def test_every_action_says_whether_it_has_an_effect() -> None:
    # That of `for each` is the effect of what it performs.
    assert {verb.verb: verb.effect for verb in VERBS if isinstance(verb.effect, str)} == {
        "shell": "runs a command",
        "command": "runs a command",
        "read": "reads a file",
        "write": "writes a file",
        "find": "looks for files",
    }


def test_an_action_that_does_not_say_its_effect_is_no_class() -> None:
    with pytest.raises(TypeError, match="The action Quiet does not define its `effect`"):

        class Quiet(Action):
            pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sly(Log):
    """Says that it has no effect, and runs a command."""

    async def perform(self, context: ActionContext) -> Outcome:
        shell = parse_action('Shell "touch canary"', self.place)
        assert isinstance(shell, Action)
        return await shell.perform(context)


async def test_an_action_that_says_it_has_no_effect_gets_no_command(place: Clone) -> None:
    log = parse_action('Log "x"', Place(path=None, line=1))
    assert isinstance(log, Log)

    def parse(
        text: str,
        place: Place,
        *,
        is_old: bool = False,
        block: TextBlock | None = None,
        tools: Named | None = None,
    ) -> Action:
        return Sly(place=place, level=log.level, text=log.text)

    place.library = Library([("project", place.folder / ".samovar")], parse)
    run = await place.run(place.prepare(str(workflow(place.folder, "sly", LINE, '- A: Log "x"'))))
    assert run.error is not None and "says it has no effect" in run.error.message
    assert not place.is_touched()


@pytest.mark.parametrize(
    "line",
    [
        '{% if a %}Log{% else %}Shell{% endif %} {% if b %}"touch canary"{% else %}x{% endif %}',
        '{% for x in xs %}{% if forloop.first %}Shell "touch canary"{% endif %}{% else %}Log "x"{% endfor %}',
    ],
)
async def test_tags_cannot_make_a_command_of_a_line_that_nobody_could_see(place: Clone, line: str) -> None:
    path = workflow(place.folder, "tags", LINE, f"- A: {line}")
    parameters = (
        "---\nparameters: [{name: a, type: bool, default: false}, {name: b, type: bool, default: true}, "
    )
    parameters += "{name: xs, type: multi_choice, choices: [q], default: [q]}]\n---\n"
    path.write_text(parameters + path.read_text())
    read = place.library.workflow(str(path))
    if read.states["A"].action is not None and read.states["A"].action.effect is not None:
        return  # it is seen
    run = await place.run(place.prepare(str(path)))
    assert run.ending is Ending.FAILED and run.error is not None
    assert "which cannot be seen before the run" in run.error.message
    assert not place.is_touched()


# Runs without effects.


def test_what_every_run_comes_to_is_refused_before_the_run(place: Clone) -> None:
    path = workflow(place.folder, "sure", "[*] --> S\nS --> A\nA --> [*]", f'- S: Log "x"\n{TOUCH}')
    with pytest.raises(RefusedError, match="It runs a command, but this run may have no effects") as raised:
        place.prepare(str(path), no_effects=True)
    assert raised.value.exit_status == 2
    assert raised.value.place is not None and raised.value.place.path == path
    workflow(place.folder, "outer", "[*] --> R\nR --> [*]", '- R: Run workflow "sure"')
    with pytest.raises(RefusedError):
        place.prepare("outer", no_effects=True)


async def test_what_only_some_runs_come_to_is_refused_at_its_state_and_its_failure_can_be_taken(
    place: Clone,
) -> None:
    diagram = (
        '[*] --> S\nS --> A: x == "1"\nS --> [*]: default\nA --> [*]: success\nA --> F: failure\nF --> [*]'
    )
    actions = f'- S: Set x="1"\n{TOUCH}\n- F: Log "${{error.kind}}"'
    path = workflow(place.folder, "maybe", diagram, actions)
    run = await place.run(place.prepare(str(path), no_effects=True), no_effects=True)
    assert [visit.path for visit in run.visits] == ["S", "A", "F"]
    assert run.visits[1].error is not None and run.visits[1].error.code == "refused"
    assert run.ending is Ending.COMPLETED and not place.is_touched()
    run = await place.run(place.prepare(str(path)))
    assert [visit.path for visit in run.visits] == ["S", "A"] and place.is_touched()


@pytest.mark.parametrize(("late", "ends"), [("true", Ending.FAILED), ("false", Ending.COMPLETED)])
async def test_a_line_with_tags_is_refused_only_if_it_becomes_a_command(
    place: Clone, late: str, ends: Ending
) -> None:
    line = f'{{% if late == "{late}" %}}Shell "touch canary"{{% else %}}Log "x"{{% endif %}}'
    path = workflow(place.folder, "tags", LINE, f"- A: {line}")
    path.write_text("---\nparameters: [{name: late, default: 'true'}]\n---\n" + path.read_text())
    run = await place.run(place.prepare(str(path), no_effects=True), no_effects=True)
    assert run.ending is ends and not place.is_touched()


# What others run.


@pytest.mark.parametrize("reference", ["mine", "FILE"])
def test_a_sub_workflow_of_a_project_counts_with_the_one_that_runs_it(place: Clone, reference: str) -> None:
    path = place.own / "workflows" / "mine.md"
    path.write_text(flow("[*] --> R\nR --> [*]", '- R: Run workflow "deploy"'))
    reference = str(path) if reference == "FILE" else reference
    with pytest.raises(UntrustedError, match="A runs a command: touch canary"):
        place.prepare(reference)
    with pytest.raises(UntrustedError, match="Nothing was run"):
        place.prepare(reference, says=False)
    assert place.prepare(reference, says=True).gate.allowed
    assert len(place.asked) == 2


def test_a_prompt_whose_answer_a_command_verifies_is_asked_about(place: Clone) -> None:
    workflow(place.folder, "mine", LINE, '- A: Prompt "x" using verify="touch canary"')
    with pytest.raises(UntrustedError, match=r"A runs a command: touch canary \(for each answer\)"):
        place.prepare("mine")
    with pytest.raises(RefusedError, match="this run may have no effects"):
        place.prepare("mine", no_effects=True)


def test_a_file_of_the_project_is_the_users_choice_with_all_that_the_project_has_for_it(place: Clone) -> None:
    workflow(place.folder, "outer", "[*] --> R\nR --> [*]", '- R: Run workflow "deploy"')
    assert place.prepare(str(place.folder / ".samovar/workflows/outer.md")).gate.closed == ()
    with pytest.raises(UntrustedError):
        place.prepare("outer")


async def test_a_sub_workflow_that_only_the_run_names_is_refused_at_its_state(place: Clone) -> None:
    path = place.own / "workflows" / "mine.md"
    path.write_text(
        flow("[*] --> N\nN --> R\nR --> [*]", '- N: Set name="deploy"\n- R: Run workflow "${name}"')
    )
    run = await place.run(place.prepare("mine"))
    assert run.ending is Ending.FAILED and run.error is not None
    assert run.error.code == "untrusted" and "touch canary" in run.error.message
    assert not place.is_touched()
    path.write_text(path.read_text().replace("deploy", "hello"))
    assert (await place.run(place.prepare("mine"))).ending is Ending.COMPLETED


async def test_what_was_allowed_is_what_is_run_and_nothing_that_was_put_there_since(place: Clone) -> None:
    path = place.own / "workflows" / "mine.md"
    path.write_text(flow("[*] --> R\nR --> [*]", '- R: Run workflow "deploy"'))
    prepared = place.prepare("mine", says=True)
    workflow(place.folder, "deploy", LINE, '- A: Shell "touch other; touch canary"')
    run = await place.run(prepared)
    assert run.error is not None and run.error.code == "untrusted" and not place.is_touched()
    workflow(place.folder, "deploy", LINE, TOUCH)
    assert (await place.run(prepared)).ending is Ending.COMPLETED and place.is_touched()


def test_a_name_that_only_the_project_was_meant_by_hides_nothing(place: Clone) -> None:
    (place.own / "workflows" / "hello.md").write_text(flow(LINE, '- A: Log "own"'))
    workflow(place.folder, "outer", "[*] --> R\nR --> [*]", '- R: Run workflow "hello"')
    assert place.prepare("outer").gate.closed == (place.folder,)
    (place.own / "workflows" / "mine.md").write_text(
        flow("[*] --> R\nR --> [*]", '- R: Run workflow "summarise"')
    )
    (place.own / "workflows" / "summarise.md").unlink(missing_ok=True)
    assert place.prepare("mine").gate.allowed == frozenset()


# Python.


async def test_a_program_is_told_of_a_project_that_is_not_trusted(
    place: Clone, tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = str(tiny_model)
    async with samovar.open(model=model, snapshots_bytes=0) as app:
        assert "environment, cache_folder do not count" in caplog.text
        with pytest.raises(samovar.UntrustedError, match="touch canary"):
            await app.run("deploy")
        assert (await app.run("hello")).ending is Ending.COMPLETED
    assert not place.is_touched()
    async with samovar.open(trust=True, model=model, snapshots_bytes=0) as app:
        assert (await app.run("deploy")).ending is Ending.COMPLETED
    assert place.is_touched()
    with pytest.raises(samovar.UsageError, match=r"trust of .* cannot be 1: expected True or False"):
        samovar.open(trust=1)  # type: ignore[arg-type]


# What a name may stand for.


@pytest.mark.parametrize("name", ["git/review", "v1.2"])
def test_a_file_of_a_clone_never_takes_the_place_of_a_name(
    place: Clone, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    own = place.own / "workflows" / f"{name}.md"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(flow("[*] --> A\nA --> [*]", '- A: Log "mine"'))
    assert place.prepare(name).workflow.path == own
    there = place.folder / name
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text(flow(LINE, TOUCH))
    with pytest.raises(UsageError, match=rf"Write \./{name} for the file"):
        place.prepare(name)
    assert place.prepare(f"./{name}").workflow.path != own
    assert place.prepare(str(own)).workflow.path == own


def test_a_text_runs_what_the_library_has_and_not_what_lies_in_the_current_folder(
    place: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    text = place.library.read(flow("[*] --> R\nR --> [*]", '- R: Run workflow "helper"'), None)
    for lies in ("helper", "helper.md", "workflows/helper.md"):
        (place.folder / lies).parent.mkdir(exist_ok=True)
        (place.folder / lies).write_text(flow(LINE, TOUCH))
    with pytest.raises(NotFoundError, match="no workflow 'helper'"):
        place.library.child(text, "helper")
    assert place.library.child(text, "./helper.md").path == Path("helper.md")
    own = place.own / "workflows" / "helper.md"
    own.write_text(flow("[*] --> A\nA --> [*]", '- A: Log "mine"'))
    assert place.library.child(text, "helper").path == own
    workflow(place.folder, "helper", LINE, TOUCH)
    with pytest.raises(UntrustedError, match="touch canary"):
        prepare(text, {}, place.library, Settings(), needs_models=False)


def test_who_is_asked_sees_the_shell_of_a_command_and_that_variables_make_it(place: Clone) -> None:
    actions = '- A: Set p="touch canary"\n- B: Shell "echo ${p}" with shell="bash"'
    workflow(place.folder, "made", "[*] --> A\nA --> B\nB --> [*]", actions)
    with pytest.raises(UntrustedError, match=r"shell=bash \(put together from what sets p\)"):
        place.prepare("made")
