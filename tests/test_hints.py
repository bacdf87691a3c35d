"""What messages name can be used as it is: tables of settings, commands that install, counts of things."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import samovar
from samovar.config import DeclaredExecutor, DeclaredServer, Settings
from samovar.errors import UsageError
from samovar.errors.counting import counted
from samovar.errors.installing import install_command
from samovar.executors.table import KINDS, declared_executor

SOURCE = Path(samovar.__file__).parent


@given(st.text(min_size=1, max_size=12).filter(lambda name: name.isprintable()))
def test_a_table_is_named_as_a_file_of_settings_has_it(name: str) -> None:
    for one, shelf in ((DeclaredExecutor(name=name), "executors"), (DeclaredServer(name=name), "servers")):
        assert tomllib.loads(f"{one.table}\nx = 1") == {shelf: {name: {"x": 1}}}


def test_a_table_without_a_kind_has_a_message_with_the_kinds() -> None:
    settings = Settings(executors=(DeclaredExecutor(name="my own", url="http://127.0.0.1:1"),))
    with pytest.raises(UsageError) as caught:
        declared_executor("my own", settings)
    assert caught.value.message == (
        f'[executors."my own"] has no kind. Write kind = "…", one of: {", ".join(KINDS)}.'
    )
    named = Settings(executors=(DeclaredExecutor(name="openai", url="http://127.0.0.1:1"),))
    assert declared_executor("openai", named).kind == "openai", "a name that is a kind needs none"
    odd = Settings(executors=(DeclaredExecutor(name="a", kind="opnai"),))
    with pytest.raises(UsageError, match=r"kind of \[executors\.a\] cannot be 'opnai'.*openai"):
        declared_executor("a", odd)


def test_the_command_that_installs_is_of_the_interpreter_that_runs() -> None:
    words = shlex.split(install_command("samovar[acp]"))
    assert words == [sys.executable, "-m", "pip", "install", "samovar[acp]"]
    script = "import sys; print(sys.executable)"
    done = subprocess.run([words[0], "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == sys.executable


def test_no_message_has_another_way_to_install() -> None:
    found = [path.name for path in SOURCE.rglob("*.py") if '"pip install' in path.read_text(encoding="utf-8")]
    assert found == []


def test_counts_are_of_one_or_of_several() -> None:
    assert [counted(count, "exchange") for count in (0, 1, 2)] == ["0 exchanges", "1 exchange", "2 exchanges"]
    assert counted(1, "branch", "branches") == "1 branch" and counted(2, "fix", "fixes") == "2 fixes"
    assert counted(1000, "byte", grouped=True) == "1,000 bytes"


def test_no_message_makes_plurals_in_a_way_of_its_own() -> None:
    own = re.compile(r"""["']e?s["'] ?\* ?\(""")
    assert [str(path) for path in SOURCE.rglob("*.py") if own.search(path.read_text(encoding="utf-8"))] == []
