"""The `agent` block of the older tool's files, as settings: what is taken over, and under whose trust."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.config import load_settings, settings_known
from samovar.config.origins import read_origins
from samovar.errors import UsageError
from samovar.projects.older_files import read_older
from samovar.projects.opening import opening_of, uncounted
from samovar.projects.trust import keep

HUGGING = """
agent:
  quiet: false
  executor:
    type: llama-agent
    config:
      model:
        source: {HuggingFace: {repo: unsloth/Qwen3-4B-GGUF, filename: Qwen3-4B-Q4_K_M.gguf}}
        batch_size: 256
      mcp_server: {port: 0, timeout_seconds: 900}
      repetition_detection: {enabled: true}
"""
CLAUDE = """
agent:
  executor:
    type: claude-code
    config:
      claude_path: /opt/claude
      args: ["--dangerously-skip-permissions", "--verbose"]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.delenv("SAMOVAR_TRUST", raising=False)
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    (folder / ".swissarmyhammer").mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(project: Path, text: str, name: str = "sah.yaml") -> Path:
    path = project / ".swissarmyhammer" / name
    path.write_text(text)
    return path


def trust(project: Path) -> None:
    keep(project, opening_of(project, settings_known()).digest, {})


def test_a_model_of_the_hub_is_the_model(project: Path) -> None:
    path = write(project, HUGGING)
    settings = load_settings({})
    assert settings.executor == "local"
    assert settings.model == "hf:unsloth/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf"
    origins = read_origins()
    assert origins.of("model") == str(path.relative_to(project))
    assert [note.partition(": ")[2] for note in origins.notes] == [
        "mcp_server: not taken over",
        "repetition_detection: not taken over",
        "model.batch_size: not taken over",
    ]


@pytest.mark.parametrize(
    ("source", "model"),
    [
        ("{HuggingFace: {repo: a/b}}", "hf:a/b"),
        ("{HuggingFace: {repo: a/b, folder: Q4_K_M}}", "hf:a/b:Q4_K_M"),
        (
            "{HuggingFace: {repo: a/b, folder: Q8, filename: m-00001-of-00002.gguf}}",
            "hf:a/b/Q8/m-00001-of-00002.gguf",
        ),
        ("{Local: {filename: m.gguf}}", "m.gguf"),
        ("{Local: {folder: /models, filename: m.gguf}}", "/models/m.gguf"),
    ],
)
def test_each_kind_of_source_has_its_reference(project: Path, source: str, model: str) -> None:
    path = write(
        project, f"agent: {{executor: {{type: llama-agent, config: {{model: {{source: {source}}}}}}}}}"
    )
    assert read_older(path).values == {"executor": "local", "model": model}


def test_the_projects_own_file_comes_before_it_and_the_users_after(project: Path, tmp_path: Path) -> None:
    write(project, HUGGING)
    user = tmp_path / "xdg_config_home" / "samovar" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text('model = "of-user.gguf"')
    assert load_settings({}).model.startswith("hf:unsloth/")
    (project / ".samovar").mkdir()
    (project / ".samovar" / "config.toml").write_text('model = "own.gguf"')
    assert load_settings({}).model == "own.gguf"
    inner = project / "inner"
    (inner / ".swissarmyhammer").mkdir(parents=True)
    (inner / ".swissarmyhammer" / "sah.yaml").write_text(HUGGING)
    assert load_settings({}, inner).model == "own.gguf"


def test_a_program_counts_only_when_the_folder_is_trusted(project: Path) -> None:
    write(project, CLAUDE)
    settings = load_settings({})
    assert settings.executor == "claude-code" and settings.executors == ()
    [closed] = uncounted(settings_known())
    assert closed.file.is_older and list(closed.values) == ["executors"]
    trust(project)
    [declared] = load_settings({}).executors
    assert (declared.name, declared.command) == ("claude-code", ("/opt/claude", "--verbose"))
    assert not uncounted(settings_known())
    write(project, CLAUDE.replace("/opt/claude", "/tmp/evil"))
    assert load_settings({}).executors == () and uncounted(settings_known())


def test_both_files_of_a_folder_are_trusted_together(project: Path) -> None:
    write(project, CLAUDE)
    (project / ".samovar").mkdir()
    own = project / ".samovar" / "config.toml"
    own.write_text('allow = ["write:out/**"]')
    assert {name for one in uncounted(settings_known()) for name in one.values} == {"executors", "allow"}
    trust(project)
    settings = load_settings({})
    assert settings.allow == ("write:out/**",) and len(settings.executors) == 1
    own.write_text('allow = ["write:**"]')
    settings = load_settings({})
    assert settings.allow == () and settings.executors == ()


def test_every_name_and_form_of_the_file_is_read_and_the_later_wins(project: Path) -> None:
    block = {"agent": {"executor": {"type": "llama-agent", "config": {}}}}
    write(project, json.dumps(block), "swissarmyhammer.json")
    write(project, CLAUDE, "sah.yml")
    assert load_settings({}).executor == "local"
    (project / ".swissarmyhammer" / "swissarmyhammer.json").unlink()
    assert load_settings({}).executor == "claude-code"
    write(project, '[agent.executor]\ntype = "llama-agent"\n[agent.executor.config]', "swissarmyhammer.toml")
    assert load_settings({}).executor == "local"


def test_a_file_without_an_agent_says_nothing(project: Path) -> None:
    for text in ("", "name: x", "- a list", "agent: {quiet: true}"):
        write(project, text)
        assert load_settings({}).executor == "local" and not read_origins().notes


def test_the_environment_is_not_put_into_a_model_of_a_projects_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_THING", "abcdef")
    write(project, HUGGING.replace("Qwen3-4B-Q4_K_M.gguf", '"${SECRET_THING}.gguf"'))
    assert load_settings({}).model == "smollm2"
    assert any("${SECRET_THING}" in note for note in read_origins().notes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("agent: {executor: {type: gpt}}", "claude-code or llama-agent"),
        ("agent: {executor: llama-agent}", "a type and a config"),
        ("agent: {executor: {type: llama-agent, config: {model: {}}}}", "has a source"),
        (
            "agent: {executor: {type: llama-agent, config: {model: {source: {Ftp: {}}}}}}",
            "HuggingFace or Local",
        ),
        ("agent: {executor: {type: claude-code, config: {args: 3}}}", "a list of texts"),
        ("agent: [", "sah.yaml"),
    ],
)
def test_what_cannot_be_is_said_with_the_file(project: Path, text: str, says: str) -> None:
    write(project, text)
    with pytest.raises(UsageError, match=r"sah\.yaml cannot be read") as caught:
        load_settings({})
    assert says in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            st.sampled_from(["agent", "executor", "type", "config", "model", "source", "Local", "args", "x"]),
            inside,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(said=JSON)
def test_whatever_the_file_says_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, said: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "sah.json"
    path.write_text(json.dumps(said))
    try:
        values = read_older(path).values
    except ValueError:
        return
    assert set(values) <= {"executor", "executors", "model"}
