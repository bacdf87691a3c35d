"""`samovar tune` on a tiny model: what it keeps, forgets, refuses and converts, and what a signal leaves."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samovar.app import open_stores
from samovar.cli.converting import name_for
from samovar.cli.tuning import TuneArguments, tune_model
from samovar.config import load_settings
from samovar.engines.llama.measuring import MeasuringEndedError, Workbench
from samovar.engines.llama.speeds import Plan
from samovar.errors import BudgetError, ModelFileError, UsageError
from samovar.models.reference import parse_reference
from tests.tiny import make_tiny


def arguments(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> TuneArguments:
    monkeypatch.setenv("SAMOVAR_CACHE_FOLDER", str(folder))
    usual: dict[str, Any] = {"settings": {}, "quick": not given.get("forget"), "as_json": True}
    return TuneArguments(model=str(path), **(usual | given))


def test_tune_keeps_its_choice(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune_model(arguments(tiny_model, tmp_path, monkeypatch, keep=True)) == 0
    said = json.loads(capsys.readouterr().out)
    assert len(said["speeds"]) == 4 and Path(said["kept"]).is_file()
    assert json.loads(Path(said["kept"]).read_text())["choice"]["threads"] == said["choice"]["threads"]
    link = tmp_path / "other-name.gguf"
    link.symlink_to(tiny_model)
    no_budget = {"budget_bytes": 1}
    for was_there in (True, False):
        assert tune_model(arguments(link, tmp_path, monkeypatch, forget=True, settings=no_budget)) == 0
        assert json.loads(capsys.readouterr().out) == {"model": str(link), "forgotten": was_there}
        assert not Path(said["kept"]).exists()


@pytest.mark.parametrize(
    "given",
    [
        {"forget": True, "quick": True},
        {"forget": True, "keep": True},
        {"forget": True, "convert": "q8_0"},
        {"convert": "q8_0", "keep": True},
    ],
)
def test_options_of_which_one_would_do_nothing_are_refused(
    given: dict[str, Any], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"leave --\w+ out"):
        tune_model(arguments(tiny_model, tmp_path, monkeypatch, **given))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [{}, {"convert": "q8_0"}])
def test_a_model_that_answers_nothing_is_refused_by_name(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_tiny(tmp_path / "vectors.gguf", "bert")
    with pytest.raises(ModelFileError, match=r"vectors\.gguf makes embeddings"):
        tune_model(arguments(path, tmp_path, monkeypatch, **given))


def test_what_was_measured_beside_others_is_not_kept(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("samovar.cli.tuning.LEAST_SHARE", 1.1)
    assert tune_model(arguments(tiny_model, tmp_path, monkeypatch)) == 1
    assert json.loads(capsys.readouterr().out)["kept"] is None
    assert not (tmp_path / "tuned").exists()


def test_a_converted_copy_has_a_name_and_its_price(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune_model(arguments(tiny_model, tmp_path, monkeypatch, convert="Q8_0")) == 0
    said = json.loads(capsys.readouterr().out)
    copy = open_stores(load_settings({})).find(parse_reference(said["model"]))
    assert copy.name == "tiny.Q8_0.gguf" and copy.stat().st_size == said["after"]["bytes"]
    assert said["after"]["bytes"] < said["before"]["bytes"] / 2
    assert abs(said["perplexity_difference"]) < 0.01
    with pytest.raises(UsageError, match="q8_0"):
        tune_model(arguments(tiny_model, tmp_path, monkeypatch, convert="q9"))


def copies(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("models/converted/*"))


def test_a_copy_is_never_written_over(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"settings": {"budget_bytes": 1 << 30}, "convert": "q8_0"}
    copy = tmp_path / "models" / "converted" / "tiny.Q8_0.gguf"
    assert tune_model(arguments(tiny_model, tmp_path, monkeypatch, **given)) == 0
    before = copy.read_bytes()
    other = make_tiny(tmp_path / "tiny-f32.gguf", seed=7)
    with pytest.raises(UsageError, match=r"samovar rm package:converted/tiny\.Q8_0\.gguf"):
        tune_model(arguments(other, tmp_path, monkeypatch, **given))
    with pytest.raises(UsageError, match="is itself the copy"):
        tune_model(arguments(copy, tmp_path, monkeypatch, **given))
    assert copy.read_bytes() == before and copies(tmp_path) == [copy.name]


def test_a_copy_that_could_not_be_measured_is_not_begun(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"settings": {"budget_bytes": 1000}, "convert": "q8_0"}
    with pytest.raises(BudgetError):
        tune_model(arguments(tiny_model, tmp_path, monkeypatch, **given))
    assert copies(tmp_path) == []


def test_a_copy_stays_where_measuring_it_is_cancelled_and_that_is_said(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(bench: Workbench, plan: Plan) -> None:
        raise MeasuringEndedError

    monkeypatch.setattr("samovar.cli.converting._speed", stopped)
    assert tune_model(arguments(tiny_model, tmp_path, monkeypatch, convert="q8_0")) == 130
    said = capsys.readouterr().err
    assert "--model package:converted/tiny.Q8_0.gguf" in said and "nothing was kept" not in said
    assert copies(tmp_path) == ["tiny.Q8_0.gguf"]


def test_a_signal_before_the_copy_is_whole_leaves_nothing(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def endless(source: Path, target: Path, name: str, *, on_progress: Callable[[float], None]) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _turn in range(1000):
            on_progress(0.5)
            threading.Event().wait(0.01)

    monkeypatch.setattr("samovar.engines.llama.convert.convert", endless)
    assert tune_model(arguments(tiny_model, tmp_path, monkeypatch, convert="q8_0")) == 130
    assert "nothing was kept" in capsys.readouterr().err


def test_a_signal_ends_the_load_of_what_is_to_be_measured(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def endless(*_: object, on_progress: Callable[[float], None], **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _turn in range(1000):
            on_progress(0.5)
            threading.Event().wait(0.01)

    monkeypatch.setattr("samovar.cli.measuring.Workbench", endless)
    assert tune_model(arguments(tiny_model, tmp_path, monkeypatch)) == 130
    assert "nothing was kept" in capsys.readouterr().err


def test_a_model_in_several_files_is_converted_and_counted_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tiny(tmp_path / "tiny.gguf", part_tensors=8)
    parts = sorted(tmp_path.glob("tiny-*.gguf"))
    assert tune_model(arguments(parts[1], tmp_path, monkeypatch, convert="q8_0")) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["model"] == "package:converted/tiny.Q8_0.gguf" and said["before"]["path"] == str(parts[0])
    assert said["before"]["bytes"] == sum(part.stat().st_size for part in parts)
    assert abs(said["perplexity_difference"]) < 0.01


@pytest.mark.parametrize(
    ("reference", "path", "name"),
    [
        ("ollama:llama3.2:1b", "blobs/sha256-12ab", "llama3.2-1b"),
        ("ollama:me/mine:7b-q4_0", "blobs/sha256-12ab", "mine-7b"),
        ("./Some-1B-Q4_K_M.gguf", "Some-1B-Q4_K_M.gguf", "Some-1B"),
        ("./Some-F16-00001-of-00003.gguf", "Some-F16-00001-of-00003.gguf", "Some"),
    ],
)
def test_a_copy_is_called_as_its_model(reference: str, path: str, name: str) -> None:
    assert name_for(parse_reference(reference), Path(path)) == name
