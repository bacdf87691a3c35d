"""Strange homes, as containers have them: no home, one that may not be read, no current folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from samovar.config import load_settings
from samovar.errors import UsageError
from tests.test_cli import TIMEOUT_S, environment, samovar

STRANGER = 54321
"""The number of a user whom the system does not know."""
FLOW = """```mermaid
stateDiagram-v2
[*] --> A
A --> [*]
```

## Actions

- A: Set result="done"
"""
COMMANDS = (
    "run w.md",
    "run w.md --json",
    "check w.md",
    "check",
    "list",
    "list --json",
    "models",
    "show w.md",
    "test",
    "test w.md",
    "snapshots",
    "snapshots --clear",
    "prompt summarise",
    "pull none.gguf",
    "pull smollm2 -q",
    "config",
    "doctor",
    "doctor --json",
    "chat hello",
)
# The imports come first: a stranger may not read where this checkout is. Without rights nothing else is lost.
CHILD = """
import os, sys
from tests.warm import import_all
import_all()
place, number = sys.argv[1], int(sys.argv[2])
os.chdir(place)
if sys.argv[3] == "deleted":
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")
if sys.argv[3] == "alone":
    import resource
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
if number:
    os.setgroups([])
    os.setgid(number)
    os.setuid(number)
from samovar.cli.entry import main
main(sys.argv[4:])
"""


def may_be_read_by_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter, with a workflow in it, and a folder in that for its owner only."""
    with TemporaryDirectory(prefix="samovar-home-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        (folder / "w.md").write_text(FLOW)
        (folder / "closed" / ".config" / "samovar").mkdir(parents=True)
        (folder / "closed").chmod(0o700)
        yield folder


def in_home(
    place: Path, command: str, home: Path | None, *, state: str = "there"
) -> subprocess.CompletedProcess[str]:
    """`samovar` as a user whom the system does not know, if this one may become another.

    `state`: the current folder is `deleted`, or the user is `alone` with as few processes as there can be.
    """
    packages = Path(sysconfig.get_path("purelib"))
    if os.geteuid() == 0 and not may_be_read_by_all(packages.resolve()):
        pytest.skip(f"another user may not read {packages}")
    variables = {name: text for name, text in environment(place).items() if not name.startswith("XDG_")}
    variables.pop("HOME")
    variables |= {"SAMOVAR_OFFLINE": "true", "PYTHONPATH": os.pathsep.join(sys.path)}
    if home is not None:
        variables["HOME"] = str(home)
    number = STRANGER if os.geteuid() == 0 else 0
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(place), str(number), state, *command.split()],
        cwd=Path(__file__).parent.parent,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def assert_works_or_says_one_line(done: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback" not in done.stderr + done.stdout
    if done.returncode and not done.stdout:
        assert done.stderr.startswith("samovar: ") and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("home", [None, "closed", "none"])
def test_every_command_works_or_says_one_line_without_a_home_of_use(
    place: Path, command: str, home: str | None
) -> None:
    done = in_home(place, command, None if home is None else place / home)
    assert_works_or_says_one_line(done)
    if command.split()[0] in ("run", "list", "models", "show", "check") and command != "check":
        assert done.returncode == 0, done.stderr


def test_a_run_needs_no_home_and_a_model_names_what_to_set(place: Path) -> None:
    done = in_home(place, "run w.md", None)
    assert (done.returncode, done.stdout) == (0, "done\n")
    done = in_home(place, "snapshots", None)
    assert done.returncode != 0 and "Set HOME, or SAMOVAR_CACHE_FOLDER" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_may_not_be_read_holds_nothing(place: Path, command: str) -> None:
    assert_works_or_says_one_line(in_home(place / "closed", command, place))


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_current_folder_that_was_deleted_is_named(place: Path, command: str) -> None:
    done = in_home(place, command, place, state="deleted")
    assert_works_or_says_one_line(done)
    if command.split()[0] not in ("models", "snapshots", "pull", "config"):
        assert "The current folder was deleted." in done.stderr + done.stdout


def test_a_user_without_room_for_a_process_gets_the_error_of_the_command(place: Path) -> None:
    (place / "w.md").write_text(FLOW.replace('Set result="done"', 'Shell "/bin/true"'))
    done = in_home(place, "run w.md -q", place, state="alone")
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "The command could not be started" in done.stderr


def test_settings_may_begin_with_the_mark_of_their_encoding(place: Path) -> None:
    settings = place / "config" / "samovar" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("\ufeffthreads = 0\n", encoding="utf-8")
    done = samovar(place, "run", "w.md")
    assert done.returncode == 2 and f"The setting threads cannot be 0 ({settings})" in done.stderr
    settings.write_text("\ufeffthreads = 1\n", encoding="utf-8")
    assert samovar(place, "run", "w.md").returncode == 0


@pytest.mark.parametrize(
    "name", ["THREADS", "OFFLINE", "CACHE_FOLDER", "BUDGET_BYTES", "ENVIRONMENT", "MODEL"]
)
def test_an_empty_variable_in_the_environment_is_not_set(place: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "samovar", "run", "w.md", "-q", "--print", "result"],
        cwd=place,
        env=environment(place) | {f"SAMOVAR_{name}": ""},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_wrong_setting_of_a_file_is_not_blamed_on_an_empty_variable(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "config"))
    monkeypatch.setenv("SAMOVAR_THREADS", "")
    (place / ".samovar").mkdir()
    (place / ".samovar" / "config.toml").write_text("threads = 0\n")
    with pytest.raises(UsageError, match=r"\.samovar/config\.toml"):
        load_settings({})
