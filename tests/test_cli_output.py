"""What a person sees of a run, of models and of wrong settings, on screens of any width and in pipes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from samovar.cli.live import Lines
from samovar.cli.report import show_report
from samovar.config import load_settings
from samovar.errors import UsageError
from samovar.events import Event, Logged, PromptFigures, StateEntered, StateLeft, VisitStatus
from samovar.generation import FinishReason, Options, TextGenerated, TokenCounts
from tests.test_cli import TIMEOUT_S, environment, samovar, write

TWO_PROMPTS = (
    "[*] --> A\nA --> B\nB --> [*]",
    '- A: Prompt "Go?" result="a" using max_tokens=3\n- B: Prompt "Now?" result="b" using choices="yes|no"',
)


def answered(visit: int, text: str, options: Options) -> list[Event]:
    figures = PromptFigures(
        model="m",
        finish_reason=FinishReason.STOP,
        tokens=TokenCounts(evaluated=1, reused=2, generated=3),
        options=options,
        duration_s=1.0,
        first_token_s=None,
        session=None,
    )
    return [
        StateEntered(visit=visit, state="S", path="S", verb="prompt", what="asked", branch=None, time_s=0.0),
        *(TextGenerated(visit=visit, piece=piece) for piece in (text[:3], text[3:])),
        left(visit, figures=figures),
    ]


def left(visit: int, *, what: str = "", figures: PromptFigures | None = None) -> StateLeft:
    return StateLeft(
        visit=visit,
        path="S",
        status=VisitStatus.SUCCESS,
        duration_s=0.001,
        error=None,
        figures=figures,
        time_s=1.0,
        what=what,
    )


def lines_of(events: list[Event], *, verbose: int = 0) -> list[str]:
    console = Console(width=200, highlight=False, soft_wrap=True)
    with console.capture() as shown:
        show = Lines(console, verbose)
        for event in events:
            show(event)
    return shown.get().splitlines()


# A run -------------------------------------------------------------------------------------------------


def test_the_result_of_a_run_is_all_there_is_on_standard_output(tmp_path: Path, tiny_model: Path) -> None:
    write(tmp_path, *TWO_PROMPTS)
    asked = samovar(tmp_path, "run", "w.md", "--model", str(tiny_model), "--print", "a").stdout
    done = samovar(tmp_path, "run", "w.md", "--model", str(tiny_model))
    assert done.returncode == 0 and done.stdout == asked
    assert "✓ A" in done.stderr and "w: completed" in done.stderr


def test_a_result_that_the_workflow_names_is_the_runs(tmp_path: Path) -> None:
    write(tmp_path, "[*] --> A\nA --> [*]", '- A: Set result="the end"')
    assert samovar(tmp_path, "run", "w.md").stdout == "the end\n"
    assert samovar(tmp_path, "run", "w.md", "-q").stdout == ""


def test_an_answer_stands_below_its_state_and_whole_with_v() -> None:
    answer = "one\ntwo " + "x" * 500
    short, whole = (
        lines_of(answered(1, answer, Options())),
        lines_of(answered(1, answer, Options()), verbose=1),
    )
    assert short[0].startswith("✓ S  prompt") and "asked" not in short[0]
    assert short[1].startswith("    one two xxx") and short[1].endswith("…") and len(short) == 2
    assert whole[1:] == ["    one", "    two " + "x" * 500]


def test_a_state_tells_its_values_not_its_template_and_nothing_twice() -> None:
    set_ = StateEntered(visit=1, state="S", path="S", verb="set", what="x = ${y}", branch=None, time_s=0.0)
    assert lines_of([set_, left(1, what="x = 5")]) == ["✓ S  set  x = 5"]
    log = StateEntered(visit=1, state="S", path="S", verb="log", what="${y}", branch=None, time_s=0.0)
    said = Logged(visit=1, level="info", text="five")
    assert lines_of([log, said, left(1, what="five")]) == ["  five", "✓ S  log"]


def test_live_lines_of_a_run_have_filled_texts(tmp_path: Path) -> None:
    write(
        tmp_path,
        "[*] --> A\nA --> B\nB --> C\nC --> [*]",
        '- A: Set n="5"\n- B: Set m="${n} apples", l := [1, 2]\n- C: Log "m is ${m}"',
    )
    done = samovar(tmp_path, "run", "w.md")
    said = re.sub(r"  \d+\.\d s(?=  |\n)", "", done.stderr)  # of a state that took long on a busy machine
    assert "✓ A  set  n = 5\n" in said
    assert "✓ B  set  m = 5 apples, l = 2 items\n" in said
    assert "  m is 5 apples\n✓ C  log\n" in said


def test_print_takes_the_part_of_a_value(tmp_path: Path, tiny_model: Path) -> None:
    write(tmp_path, *TWO_PROMPTS)
    done = samovar(tmp_path, "run", "w.md", "--model", str(tiny_model), "--print", "b.finish_reason")
    assert (done.returncode, done.stdout) == (0, "stop\n")


@pytest.mark.parametrize(
    "asked, said",
    [("nosuch", "There is no variable 'nosuch'"), ("a b", "--print takes a variable or a part of one")],
)
def test_print_of_what_nothing_can_set_is_refused_before_the_run(
    tmp_path: Path, asked: str, said: str
) -> None:
    write(tmp_path, "[*] --> A\nA --> [*]", '- A: Shell "touch ran"')
    done = samovar(tmp_path, "run", "w.md", "--print", asked)
    assert done.returncode == 2 and said in done.stderr and not (tmp_path / "ran").exists()


def test_print_of_what_the_run_did_not_set_says_so(tmp_path: Path) -> None:
    write(
        tmp_path,
        "[*] --> A\nA --> [*]: on success\nA --> B: on failure\nB --> [*]",
        '- A: Log "x"\n- B: Set y="1"',
    )
    done = samovar(tmp_path, "run", "w.md", "--print", "y")
    assert done.returncode == 1 and "without setting 'y'" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("width", [20, 40, 59])
def test_a_narrow_report_has_every_figure(width: int) -> None:
    console = Console(width=width, highlight=False)
    report = {
        "workflow": "w",
        "status": "completed",
        "duration_s": 1.0,
        "states": [
            {
                "name": "Judge",
                "action": "prompt",
                "status": "success",
                "duration_s": 0.72,
                "tokens": {"evaluated": 33, "reused": 24, "generated": 1, "reasoning": 0},
            }
        ],
        "models": [],
        "executors": [],
        "tokens": {"evaluated": 33, "reused": 24, "generated": 1, "reasoning": 0},
        "sessions": {"opened": 1, "closed": 1},
        "memory": {f"{name}_bytes": 1 for name in ("ready", "end", "peak", "closed")},
    }
    with console.capture() as shown:
        show_report(console, report)
    words = " ".join(shown.get().split())
    assert "Judge prompt 720 ms 33 evaluated, 24 reused, 1 generated" in words
    assert "720\n" not in shown.get()


# Models ------------------------------------------------------------------------------------------------


def test_a_bad_model_file_is_an_exit_status_and_one_line(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "text.gguf").write_text("this is no model at all, it is text")
    done = samovar(tmp_path, "models", "text.gguf", "missing.gguf", str(tiny_model))
    assert done.returncode == 2 and "fits" in done.stdout and "text.gguf" not in done.stdout
    bad, missing = done.stderr.splitlines()
    assert bad.startswith("samovar: text.gguf is not a GGUF model file")
    assert missing.startswith("samovar: There is no model file missing.gguf")
    done = samovar(tmp_path, "models", "--json", "text.gguf")
    assert done.returncode == 2 and json.loads(done.stdout)["models"][0]["fault"]


def test_on_a_narrow_screen_a_models_figures_stand_below_each_other(tmp_path: Path, tiny_model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "samovar", "models", str(tiny_model)],
        cwd=tmp_path,
        env=environment(tmp_path) | {"COLUMNS": "40"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    weights = next(line for line in done.stdout.splitlines() if line.startswith("  weights"))
    assert weights.endswith(("kB", "MB")) and "  fits      yes" in done.stdout.splitlines()


def test_a_model_that_is_here_is_pulled_from_nowhere(tmp_path: Path, tiny_model: Path) -> None:
    cache = tmp_path / "cache"
    path = cache / "models" / "some-package==1.0" / "m.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(tiny_model.read_bytes())
    cache.chmod(0o500)
    path.parent.parent.chmod(0o500)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "samovar", "pull", "package:some-package==1.0/m.gguf"],
            cwd=tmp_path,
            env=environment(tmp_path)
            | {"SAMOVAR_CACHE_FOLDER": str(cache), "PIP_INDEX_URL": "http://[::1]:9"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    finally:
        cache.chmod(0o700)
        path.parent.parent.chmod(0o700)
    assert done.returncode == 0 and done.stderr == f"package:some-package==1.0/m.gguf is here: {path}\n"


# Settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option, value, said",
    [
        (
            "--gpu-layers",
            "foo",
            "gpu_layers cannot be 'foo' (--gpu-layers): expected auto, or a whole number",
        ),
        (
            "--budget",
            "lots",
            "budget_bytes cannot be 'lots' (--budget): expected a number of bytes, as in 4GB",
        ),
    ],
)
def test_a_wrong_option_is_one_line_that_says_what_it_takes(
    tmp_path: Path, option: str, value: str, said: str
) -> None:
    write(tmp_path, "[*] --> A\nA --> [*]", '- A: Log "x"')
    done = samovar(tmp_path, "run", "w.md", option, value)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_wrong_setting_says_where_it_was_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    file = Path(".samovar/config.toml")
    file.parent.mkdir()
    file.write_text('modle = "x"\nthreads = "many"\n')
    with pytest.raises(UsageError) as error:
        load_settings({})
    assert set(error.value.message.splitlines()) == {
        f"The setting threads cannot be 'many' ({file}): expected a whole number from 1 to 1024.",
        f"There is no setting 'modle' ({file}). Did you mean 'model'?",
    }
    file.write_text("threads = 2\n")
    monkeypatch.setenv("SAMOVAR_THREADS", "few")
    with pytest.raises(UsageError, match=r"'few' \(SAMOVAR_THREADS\): expected"):
        load_settings({})
    file.write_text("threads = \n")
    with pytest.raises(UsageError, match=r"The settings in \.samovar/config\.toml cannot be read: "):
        load_settings({})


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read_is_a_fault_like_others(tmp_path: Path) -> None:
    write(tmp_path, "[*] --> A\nA --> [*]", '- A: Log "x"')
    bad = tmp_path / "bad.md"
    bad.write_text("x")
    bad.chmod(0)
    done = samovar(tmp_path, "check", "bad.md", "w.md")
    assert done.returncode == 2 and "bad.md:1:1: error:" in done.stdout and "2 files, 1 error" in done.stdout
