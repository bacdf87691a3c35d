"""What a repository may do before its user has said to trust it, how that is said, and what ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.config import load_settings, settings_known
from samovar.errors import UsageError
from samovar.projects import trust
from samovar.projects.lineage import RUN_VARIABLE, is_of_run
from samovar.projects.opening import opening_of, uncounted
from tests.on_terminal import on_terminal
from tests.test_cli import TIMEOUT_S, environment
from tests.warm import warm

OPENS = 'environment = ["CANARY_KEY"]\ncache_folder = "stolen"\n'
SHELL = "[*] --> A\nA --> [*]", '- A: Shell "touch canary"'
QUIET = "[*] --> A\nA --> [*]", '- A: Log "{}"'


def flow(diagram: str, actions: str) -> str:
    return f"```mermaid\nstateDiagram-v2\n{diagram}\n```\n\n## Actions\n\n{actions}\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home folder, with nothing in it."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", trust.VARIABLE, RUN_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def clone(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that was just cloned, and entered."""
    clone = tmp_path / "clone"
    (clone / ".git").mkdir(parents=True)
    (clone / ".samovar" / "workflows").mkdir(parents=True)
    (clone / "sub" / "deep").mkdir(parents=True)
    (clone / ".samovar" / "config.toml").write_text(OPENS + "threads = 3\n")
    workflow(clone, "deploy", *SHELL)
    workflow(clone, "summarise", QUIET[0], QUIET[1].format("not yours"))
    workflow(clone, "hello", QUIET[0], QUIET[1].format("hello"))
    monkeypatch.chdir(clone)
    return clone


def workflow(folder: Path, name: str, diagram: str, actions: str) -> Path:
    path = folder / ".samovar" / "workflows" / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(flow(diagram, actions))
    return path


def variables(folder: Path) -> dict[str, str]:
    """The environment of a command in a clone: with a home folder beside it, and a key that is not its."""
    home = str(folder.parent / "home") if folder.name == "clone" else str(folder / "home")
    kept = environment(folder)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        kept.pop(name)
    return kept | {"HOME": home, "CANARY_KEY": "the key itself"}


def samovar(clone: Path, *arguments: str, within: Path | None = None, **more: str) -> tuple[int, str, str]:
    done = warm().run(
        list(arguments),
        folder=within or clone,
        environment=variables(clone) | more,
        stdin="",
        timeout_s=TIMEOUT_S,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


# Settings.


@pytest.mark.parametrize("write", [str, str.title, str.upper])
def test_what_a_projects_settings_open_does_not_count_until_it_is_trusted(
    clone: Path, write: type[str]
) -> None:
    named = OPENS.replace("environment", write("environment")).replace("cache_folder", write("cache_folder"))
    (clone / ".samovar" / "config.toml").write_text(named + "threads = 3\n")
    settings = load_settings({})
    assert (settings.environment, settings.cache_folder, settings.threads) == ((), None, 3)
    (one,) = uncounted(settings_known())
    assert (
        f"{write('environment')}, {write('cache_folder')} do not count until you trust the folder" in one.line
    )
    assert "`samovar trust` shows" in one.line
    assert load_settings({}, trusts=True).threads == 3


def test_a_folder_is_trusted_with_what_its_settings_open_and_no_longer_when_that_changes(clone: Path) -> None:
    file = clone / ".samovar" / "config.toml"
    trust.keep(clone, opening_of(clone, settings_known()).digest, {})
    assert load_settings({}).environment == ("CANARY_KEY",)
    assert load_settings({}).cache_folder == Path("stolen")
    assert uncounted(settings_known()) == []
    file.write_text("threads = 5\n" + OPENS.replace(" = ", "="))  # which opens the same
    assert load_settings({}).environment == ("CANARY_KEY",)
    file.write_text('environment = ["CANARY_KEY", "OTHER"]\n')
    assert load_settings({}).environment == ()
    (one,) = uncounted(settings_known())
    assert "environment does not count until you trust again, since they have changed" in one.line
    file.write_text("threads = 5\n" + OPENS)
    assert trust.forget(clone) and not trust.forget(clone)
    assert load_settings({}).environment == ()


@pytest.mark.parametrize(("said", "is_trusted"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_environment_trusts_every_project_or_none(
    clone: Path, monkeypatch: pytest.MonkeyPatch, said: str, is_trusted: bool
) -> None:
    monkeypatch.setenv(trust.VARIABLE, said)
    assert bool(load_settings({}).environment) == is_trusted
    assert bool(uncounted(settings_known())) != is_trusted


def test_the_environment_says_yes_or_no(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trust.VARIABLE, "perhaps")
    with pytest.raises(UsageError, match=r"SAMOVAR_TRUST cannot be 'perhaps': expected 1 "):
        load_settings({})


def test_every_setting_that_opens_something_says_so() -> None:
    assert {name for name, known in settings_known().items() if known.opens} == {
        "allow",
        "cache_folder",
        "environment",
        "executors",
        "journal_file",
        "remote_fallback",
        "servers",
    }


def test_settings_are_found_up_to_the_root_of_the_repository_the_nearest_first_for_each_key(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clone.parent / ".samovar").mkdir()
    (clone.parent / ".samovar" / "config.toml").write_text("snapshots_days = 1.0\nthreads = 1\n")
    (clone / ".samovar" / "config.toml").write_text(
        'threads = 3\nkeep_alive_s = 7\nmodel = "m.gguf"\n[aliases]\nfar = "hf:a/b"\nboth = "hf:a/far"\n'
    )
    (clone / "m.gguf").write_text("")
    (clone / "sub" / ".samovar").mkdir()
    (clone / "sub" / ".samovar" / "config.toml").write_text('threads = 4\n[aliases]\nboth = "hf:a/near"\n')
    monkeypatch.chdir(clone / "sub" / "deep")
    settings = load_settings({})
    assert (settings.threads, settings.keep_alive_s, settings.snapshots_days) == (4, 7, 14)
    assert dict(settings.aliases) == {"far": "hf:a/b", "both": "hf:a/near"}
    assert settings.model == "../../m.gguf", "a file is looked for where the settings are that name it"


def test_a_folder_that_the_settings_name_is_below_the_folder_that_they_are_for(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone / "sub")
    assert load_settings({}, trusts=True).cache_folder == Path("../stolen")


def test_settings_are_not_looked_for_above_the_home_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, written in ((tmp_path, "keep_alive_s = 1"), (home, "threads = 2")):
        (folder / ".samovar").mkdir()
        (folder / ".samovar" / "config.toml").write_text(written)
    (home / "work").mkdir()
    monkeypatch.chdir(home / "work")
    settings = load_settings({})
    assert (settings.threads, settings.keep_alive_s) == (2, 300)


def test_a_message_names_the_file_that_a_wrong_setting_is_in(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clone / ".samovar" / "config.toml").write_text("threads = 0\nthread = 1\n")
    monkeypatch.chdir(clone / "sub" / "deep")
    with pytest.raises(UsageError) as raised:
        load_settings({})
    assert "threads cannot be 0 (../../.samovar/config.toml)" in str(raised.value)
    assert "no setting 'thread' (../../.samovar/config.toml). Did you mean 'threads'?" in str(raised.value)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["keep", "forget"]), st.sampled_from("ab"))))
def test_what_is_kept_of_each_folder_is_what_was_said_last(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[int, str, str]]
) -> None:
    place, now = tmp_path_factory.mktemp("folders"), dict[Path, str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(place / "state"))
        for number, what, opens in said:
            folder = place / f"f{number}"
            if what == "keep":
                trust.keep(folder, opens, {"w.md": opens})
                now[folder] = opens
            else:
                assert trust.forget(folder) == (now.pop(folder, None) is not None)
            for one in (place / f"f{each}" for each in range(3)):
                expected = {None: "unknown", opens: "trusted"}.get(now.get(one), "changed")
                assert trust.standing(one, opens) == expected
        assert {one.folder: one.opens for one in trust.trusted_folders()} == now


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "{",
        "[]",
        '{"folder": 3}',
        *(f'{{"folder": "{{clone}}", "opens": "", "workflows": {one}, "since_s": 0}}' for one in ("3", "[]")),
        '{"folder": "/", "opens": "", "workflows": {}, "since_s": 0}',
    ],
)
def test_what_cannot_be_read_or_is_of_another_folder_is_not_trusted(clone: Path, kept: str) -> None:
    opens = opening_of(clone, settings_known()).digest
    trust.keep(clone, opens, {})
    (file,) = (clone.parent / "home/.local/state/samovar/trusted").iterdir()
    file.write_text(kept.replace("{clone}", str(clone)))
    assert trust.standing(clone, opens) == "unknown"


# Workflows by name.


def test_a_workflow_with_effects_is_not_run_by_its_name_before_the_project_is_trusted(clone: Path) -> None:
    status, stdout, stderr = samovar(clone, "run", "deploy")
    assert (status, stdout, (clone / "canary").exists()) == (2, "", False)
    assert f"You do not trust {clone} as it is now" in stderr
    assert "A runs a command: touch canary" in stderr
    for way in (
        f"samovar trust {clone}  ",
        "--trust  ",
        "SAMOVAR_TRUST=1",
        "--no-effects  ",
        "FILE in place of",
    ):
        assert way in stderr, way
    status, stdout, _ = samovar(clone, "run", "deploy", "--json", "--yes")
    assert (status, json.loads(stdout)["error"]["code"]) == (2, "untrusted")
    assert not (clone / "canary").exists()


def test_what_it_takes_from_the_environment_is_shown(clone: Path) -> None:
    path = workflow(clone, "deploy", *SHELL)
    front = "---\nparameters: [{name: key, secret: true, from_env: CANARY_KEY}]\n---\n"
    path.write_text(front + path.read_text())
    _, _, stderr = samovar(clone, "run", "deploy")
    assert "takes 'key' from the environment: CANARY_KEY" in stderr and "the key itself" not in stderr


def test_a_workflow_that_hides_a_built_in_or_a_users_own_one_is_not_run_by_its_name(clone: Path) -> None:
    status, _, stderr = samovar(clone, "run", "summarise")
    assert status == 2 and "is run in place of the built-in workflow of that name" in stderr
    assert "--no-effects" not in stderr
    own = clone.parent / "home" / ".config" / "samovar"
    workflow(own.parent, "x", *SHELL).rename(own.parent / "x.md")
    (own / "workflows").mkdir(parents=True)
    (own / "workflows" / "hello.md").write_text(flow(QUIET[0], QUIET[1].format("own")))
    status, _, stderr = samovar(clone, "run", "hello", "--no-effects")
    assert status == 2 and "is run in place of your own workflow of that name" in stderr


def test_a_workflow_that_does_nothing_outside_and_hides_none_needs_no_trust(clone: Path) -> None:
    status, stdout, stderr = samovar(clone, "run", "hello")
    assert (status, stdout) == (0, "") and "hello" in stderr
    assert stderr.count("do not count until you trust") == 1


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (["run", "deploy", "--trust"], {}),
        (["run", "deploy"], {trust.VARIABLE: "1"}),
        (["run", ".samovar/workflows/deploy.md"], {}),
    ],
)
def test_once_in_ci_or_by_its_file_it_runs(clone: Path, arguments: list[str], more: dict[str, str]) -> None:
    assert samovar(clone, *arguments, within=None, **more)[0] == 0
    assert (clone / "canary").exists()
    assert trust.standing(clone, opening_of(clone, settings_known()).digest) == "unknown"


def test_trust_shows_what_it_allows_and_holds_until_that_changes(clone: Path) -> None:
    status, stdout, stderr = samovar(clone, "trust")
    assert status == 2 and "There is no terminal to ask at" in stderr
    assert 'setting environment = ["CANARY_KEY"]' in stdout and "setting cache_folder = stolen" in stdout
    assert "workflow deploy: A runs a command: touch canary" in stdout
    assert "workflow summarise is run in place of" in stdout and "hello" not in stdout
    assert samovar(clone, "run", "deploy")[0] == 2
    status, stdout, _ = samovar(clone, "trust", "--yes", within=clone / "sub" / "deep")
    assert status == 0 and f"trusted: {clone}\n" in stdout
    assert samovar(clone, "run", "deploy")[0] == 0 and (clone / "canary").exists()
    assert samovar(clone, "trust")[:2] == (0, stdout_of_trust(clone))
    assert str(clone) in samovar(clone, "trust", "--list")[1]
    assert json.loads(samovar(clone, "trust", "--list", "--json")[1])["trusted"][0]["state"] == "trusted"
    (clone / ".samovar" / "config.toml").write_text("")
    assert samovar(clone, "run", "deploy")[0] == 2
    assert "have changed" in samovar(clone, "trust", "--list")[1]
    assert samovar(clone, "trust", "--revoke")[:2] == (0, f"no longer trusted: {clone}\n")
    assert samovar(clone, "trust", "--revoke")[0] == 2


def stdout_of_trust(clone: Path) -> str:
    """What is said of a clone that is trusted as it is."""
    day = datetime.fromtimestamp(trust.trusted_folders()[0].since_s).astimezone().strftime("%Y-%m-%d")
    hidden = Path(__file__).parents[1] / "src/samovar/builtin/workflows/summarise.md"
    return (
        f'{clone}, trusted on {day}\n  setting environment = ["CANARY_KEY"]\n'
        "  setting cache_folder = stolen\n"
        "  workflow deploy: A runs a command: touch canary\n"
        f"  workflow summarise is run in place of {hidden} (built-in)\nYou already trust this, as it is "
        f"now.\n"
    )


@pytest.mark.slow
def test_a_workflow_that_has_changed_or_was_added_since_is_asked_about_again(clone: Path) -> None:
    """As after `git pull`. What has no effect, and comes to none, needs no trust; a trusted one goes on."""
    outer = "[*] --> R\nR --> [*]", '- R: Run workflow "deploy" with folder="{}"'
    workflow(clone, "outer", outer[0], outer[1].format("."))
    assert samovar(clone, "trust", "--yes")[0] == 0
    workflow(clone, "later", *SHELL)
    status, _, said = samovar(clone, "run", "later")
    assert status == 2 and f"You do not trust {clone} as it is now" in said
    assert "'later' (" in said and ", added since you trusted the folder\n" in said and "touch canary" in said
    deploy = workflow(clone, "deploy", SHELL[0], SHELL[1].replace("canary", "other"))
    for name in ("deploy", "outer"):
        status, _, said = samovar(clone, "run", name)
        assert status == 2 and "'deploy' (" in said and ", changed since you trusted it" in said
        assert "touch other" in said and "'outer' (" not in said
    workflow(clone, "deploy", *SHELL)
    assert samovar(clone, "run", "outer")[0] == 0, "it is as it was again"
    workflow(clone, "outer", outer[0], outer[1].format("/"))
    status, _, said = samovar(clone, "run", "outer")
    assert status == 2 and "'outer' (" in said and "'deploy' (" not in said
    workflow(clone, "hello", QUIET[0], QUIET[1].format("changed"))
    assert samovar(clone, "run", "hello")[0] == samovar(clone, "run", "deploy")[0] == 0
    assert samovar(clone, "run", str(clone / ".samovar/workflows/outer.md"))[0] == 0
    deploy.unlink()
    listed = samovar(clone, "trust", "--list")[1]
    names = (".samovar/workflows/deploy.md", ".samovar/workflows/hello.md", ".samovar/workflows/outer.md")
    assert f"asked about again: {', '.join(names)}" in listed
    workflow(clone, "deploy", *SHELL)
    stdout = samovar(clone, "trust", "--yes")[1]
    assert "workflow later (added since then): A runs a command" in stdout and "trusted: " in stdout
    assert samovar(clone, "run", "outer")[0] == samovar(clone, "run", "later")[0] == 0


@pytest.mark.slow
def test_a_change_is_asked_about_once_and_the_next_run_asks_again(clone: Path) -> None:
    assert samovar(clone, "trust", "--yes")[0] == 0
    workflow(clone, "deploy", SHELL[0], SHELL[1].replace("canary", "other"))
    for _ in range(2):
        (clone / "other").unlink(missing_ok=True)
        status, said = asked(clone, "run", "deploy", typed=b"y\n")
        assert status == 0 and "changed since you trusted it" in said and (clone / "other").exists()


def test_a_workflow_that_only_the_run_names_is_refused_if_it_has_changed(clone: Path) -> None:
    workflow(clone, "any", "[*] --> N\nN --> R\nR --> [*]", '- N: Set n="deploy"\n- R: Run workflow "${n}"')
    assert samovar(clone, "trust", "--yes")[0] == 0
    assert samovar(clone, "run", "any")[0] == 0 and (clone / "canary").exists()
    workflow(clone, "deploy", SHELL[0], SHELL[1].replace("canary", "other"))
    status, _, said = samovar(clone, "run", "any")
    assert status == 1 and "changed since you trusted it" in said and not (clone / "other").exists()


def test_a_repository_within_a_trusted_one_is_trusted_for_itself(clone: Path) -> None:
    assert samovar(clone, "trust", "--yes")[0] == 0
    inner = clone / "sub"
    (inner / ".git").mkdir()
    workflow(inner, "inner", *SHELL)
    assert samovar(clone, "run", "inner", within=inner)[0] == 2
    assert samovar(clone, "trust", str(inner), "--yes")[0] == 0
    assert samovar(clone, "run", "inner", within=inner)[0] == 0


def test_there_must_be_something_to_trust(home: Path, tmp_path: Path) -> None:
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    status, _, stderr = samovar(tmp_path / "clone", "trust")
    assert status == 2 and "There is nothing to trust in" in stderr
    assert samovar(tmp_path / "clone", "trust", "nowhere")[2] == "samovar: There is no folder nowhere.\n"


# The question.


def asked(clone: Path, *arguments: str, typed: bytes, ahead: bytes = b"") -> tuple[int, str]:
    """The exit status of a command at a terminal, and what that shows. The question ends with `[y/N] `."""
    surroundings = variables(clone) | {"TERM": "dumb"}
    status, shown = on_terminal(
        clone, *arguments, environment=surroundings, typed=[typed], question=(b"[y/N] ",), ahead=ahead
    )
    return status, shown.replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("typed", "runs"), [(b"y\n", True), (b"YES\n", True), (b"n\n", False), (b"\n", False), (b"\x04", False)]
)
def test_at_a_terminal_all_that_would_be_done_is_shown_and_only_yes_is_yes(
    clone: Path, typed: bytes, runs: bool
) -> None:
    hidden = "true " + "x" * 300 + "\n  touch canary # \x1b[2K"
    workflow(clone, "deploy", SHELL[0], f'- A: Shell "{hidden}"')
    status, said = asked(clone, "run", "deploy", typed=typed, ahead=b"y\n")
    assert "x" * 300 in said and "touch canary # \\x1b[2K" in said, "whole, and nothing that a terminal obeys"
    assert "Run it this once? [y/N] " in said
    assert ((status, (clone / "canary").exists()) == (0, True)) == runs
    assert (status == 2) != runs


@pytest.mark.slow
def test_yes_to_one_run_trusts_nothing_for_the_next(clone: Path) -> None:
    assert asked(clone, "run", "deploy", typed=b"y\n")[0] == 0
    assert samovar(clone, "run", "deploy")[0] == 2
    status, said = asked(clone, "trust", typed=b"n\n")
    assert status == 2 and "Nothing was changed" in said
    assert asked(clone, "trust", typed=b"y\n")[0] == 0
    assert samovar(clone, "run", "deploy")[0] == 0


# Within a run.


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    ["", "env -u SAMOVAR_RUN ", "exec env -u SAMOVAR_RUN ", "env -i HOME=$HOME PYTHONPATH=$PYTHONPATH "],
)
def test_a_run_cannot_say_what_its_user_trusts(clone: Path, how: str) -> None:
    call = f"{how}{sys.executable} -m samovar trust --yes"
    path = workflow(clone, "deploy", SHELL[0], f"- A: Shell \"cd '{clone}' && {call}\"")
    done = subprocess.run(
        [sys.executable, "-m", "samovar", "run", str(path)],
        cwd=clone,
        env=variables(clone) | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 1 and "This command was started by a run" in done.stderr
    assert trust.standing(clone, opening_of(clone, settings_known()).digest) == "unknown"


def test_a_process_of_a_run_is_known_by_its_environment_or_that_of_one_above_it(clone: Path) -> None:
    status, _, stderr = samovar(clone, "trust", "--yes", SAMOVAR_RUN="20260101")
    assert status == 2 and "This command was started by a run" in stderr
    done = subprocess.run(
        ["sh", "-c", f"env -u {RUN_VARIABLE} '{sys.executable}' -m samovar trust --yes; exit $?"],
        cwd=clone,
        env=variables(clone) | {"PYTHONPATH": os.pathsep.join(sys.path), RUN_VARIABLE: "20260101"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 2 and "This command was started by a run" in done.stderr


@pytest.mark.parametrize(
    ("words", "is_run"),
    [
        ("/usr/bin/samovar run x.md", True),
        ("samovar trust", False),
        ("/usr/bin/python3 /home/a/.local/bin/samovar run x", True),
        ("python3.11 -X dev -I -m samovar run x", True),
        ("python -m pytest samovar run", False),
        ("bash -c samovar run x", False),
        ("vim run samovar", False),
        ("", False),
    ],
)
def test_a_run_is_known_by_the_words_of_its_process(words: str, is_run: bool) -> None:
    assert is_of_run(words.split()) == is_run


# What only looks.

AUDITED = """
import os, sys
from samovar.cli.entry import main
started = []
def hook(event, arguments):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork", "os.spawn"):
        started.append(repr(arguments))
sys.addaudithook(hook)
sys.argv[0] = "samovar"
try:
    main(sys.argv[1:])
finally:
    print("started:", *started, file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "check",
        "check --fix",
        "list",
        "list --json",
        "run deploy --dry-run",
        "run summarise --dry-run --json",
        "run deploy --help",
        "show deploy",
        "show deploy --mermaid",
        "test .samovar/workflows/deploy.md",
        "prompt leak",
        "snapshots",
        "complete",
    ],
)
def test_what_only_looks_starts_nothing_of_a_project_and_opens_nothing_for_it(
    clone: Path, tiny_model: Path, command: str
) -> None:
    (clone / ".samovar" / "prompts").mkdir()
    (clone / ".samovar" / "prompts" / "leak.md").write_text("Say {{ env.CANARY_KEY }}")
    (clone / ".samovar" / "workflows" / "deploy.test.yaml").write_text(
        "workflow: deploy.md\ncases:\n- name: once\n  shell: {A: done}\n"
    )
    more = {"SAMOVAR_MODEL": str(tiny_model), "PYTHONPATH": os.pathsep.join(sys.path)}
    words = command.split()
    if command == "complete":
        words = []
        line = "samovar run dep"
        more |= {"_SAMOVAR_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": "2"}
    before = sorted(clone.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, *words],
        cwd=clone,
        env=variables(clone) | more,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if command == "prompt leak" else 0), done.stderr
    assert "the key itself" not in done.stdout + done.stderr
    assert "stolen" not in done.stdout
    assert done.stderr.splitlines()[-1] == "started:", "no process at all"
    assert sorted(clone.rglob("*")) == before, "no canary, and no folder that the settings name"
