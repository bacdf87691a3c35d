"""All that the program writes about a run full of secrets, on a terminal and into files: none of a secret."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path

import pytest

import samovar
from samovar.events import Event, RunEnded
from samovar.generation import TextGenerated
from samovar.running.wire import event_to_wire
from tests.on_terminal import on_terminal
from tests.test_cli import environment, folder

__all__ = ["folder"]

ROW_CHARS = 8
"""So many characters of a secret in a row are shown nowhere."""
FRONT = """---
limits: {{transitions: 40}}
parameters:
  - {{name: key, secret: true, from_env: THE_KEY}}
  - {{name: token, secret: true, from_env: THE_TOKEN}}
---
```mermaid
stateDiagram-v2
{diagram}
```

## Actions

{actions}
"""
INNER = FRONT.format(
    diagram="[*] --> I\nI --> J\nJ --> K: failure\nK --> L\nL --> [*]",
    actions="""- I: Set copy="${key}", pair="${token}:${key}", both={"k": "${key}"}
- J: Shell "printf '%s' ${key} >&2; exit 3"
- K: Log warning "inner: ${error.message} ${both} ${copy}"
- L: Shell "printf '%s' ${token} | tee /dev/stderr; exit 4"
""",
)
LOOPS = FRONT.format(
    diagram="[*] --> A\nA --> A: failure",
    actions="""- A: Shell "printf 'x%sx' ${pair} >&2; false"
""",
).replace("parameters:", "parameters:\n  - {name: pair}")
ACTIONS = """- A: Set n := 0, copy="${token}", list := [token, key], text := "key=" + key
- B: Log "it is ${token} or ${list} ${text}"
- C: Run workflow "inner" with key="${key}" token="${token}"
- D: Log error "${error.message}"
- E: Shell "cat ${token} /${token}"
- R: Set n := n + 1
- F: Prompt "Say ${token} and ${key}" result="said" using max_tokens=4
- G: Shell "echo ${key}" with env={"K": "${key}"} working_dir="${token}"
- H: Run workflow "loops" with key="${key}" token="${token}" pair="${token}${key}"
- K: Set last="${error.message}", token="changed-${n}-${token}", key="gone"
- L: Log "${copy} ${last}"
- M: Abort "because of ${copy}, ${token}"
"""
DIAGRAM = """[*] --> A
A --> B
B --> C
C --> D: failure
D --> E
E --> R: failure
R --> E: n < 3
R --> F: default
F --> G
F --> G: failure
G --> H: failure
H --> K: failure
K --> L
"""
ENDINGS = {
    "stuck": "L --> [*]: token == copy",
    "aborted": "L --> M\nM --> [*]",
    "failed": "L --> E2\nE2 --> [*]",
    "limited": "L --> L2\nL2 --> L",
}
MORE = {"failed": '- E2: Shell "echo ${copy}; exit 9"\n', "limited": '- L2: Log "${copy}"\n'}


def secrets_of(seed: int) -> dict[str, str]:
    """A key of 4 kB in lines, and a token on one line."""
    chance = random.Random(seed)

    def line(length: int) -> str:
        return "".join(chance.choice(string.ascii_letters + string.digits + "+/=") for _ in range(length))

    key = "-----BEGIN KEY-----\n" + "\n".join(line(64) for _ in range(63)) + "\n-----END KEY-----\n"
    return {"THE_KEY": key, "THE_TOKEN": "sk-" + line(90) + '"\\' + line(20)}


def rows_of(secret: str) -> set[str]:
    """Each row of characters of a secret that nobody may see; the frame of a key is no secret."""
    lines = [line for line in (*secret.splitlines(), " ".join(secret.split())) if "-----" not in line]
    return {line[start : start + ROW_CHARS] for line in lines for start in range(len(line) - ROW_CHARS + 1)}


def around(text: str, row: str) -> str:
    """Where a row is, with a piece before it and behind."""
    start = text.find(row)
    return text[max(start - 200, 0) : start + 200]


def write_workflows(folder: Path, ending: str) -> None:
    """The workflow that comes to this ending, and those that it runs."""
    text = FRONT.format(diagram=DIAGRAM + ENDINGS[ending], actions=ACTIONS + MORE.get(ending, ""))
    if ending != "aborted":
        text = "\n".join(line for line in text.splitlines() if not line.startswith("- M:"))
    files = {
        "w.md": text.replace("transitions: 40", "transitions: 200"),
        "inner.md": INNER,
        "loops.md": LOOPS,
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "how"),
    [
        ("stuck", []),
        ("aborted", ["-v"]),
        ("failed", ["--json"]),
        ("limited", ["--events"]),
        ("stuck", ["--record", "w.test.yaml", "-q"]),
        ("failed", ["-vv"]),
    ],
)
def test_nothing_that_is_written_has_a_row_of_a_secret(
    folder: Path, tiny_model: Path, ending: str, how: list[str]
) -> None:
    secrets = secrets_of(len(ending) + len(how))
    write_workflows(folder, ending)
    surroundings = environment(folder) | {"TERM": "xterm", "COLUMNS": "100"} | secrets
    command = ("run", "w.md", "--model", str(tiny_model), *how)
    status, shown = on_terminal(folder, *command, environment=surroundings, typed=None)
    assert status == {"stuck": 3}.get(ending, 1), shown[-2000:]
    assert "***" in shown or "-q" in how
    written = {path: path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*")
               if path.is_file() and path != tiny_model}  # fmt: skip
    if "--record" in how:
        assert folder / "w.test.yaml" in written
    written[Path("the terminal")] = shown
    plain = {path: text.replace("\r\n", "").replace("\n", "") for path, text in written.items()}
    for rows in map(rows_of, secrets.values()):
        for row in rows:
            seen = [path for path in written if row in written[path] or row in plain[path]]
            assert not seen, "\n".join(around(written[path], row) for path in seen)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_what_a_program_hears_and_keeps_of_runs_has_no_row_of_a_secret(
    folder: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Live, by `on_event`; later, of a run that failed and of another try with the values of the first."""
    monkeypatch.chdir(folder)
    secrets = secrets_of(len(ending))
    write_workflows(folder, ending)
    heard: list[Event] = []
    kept: list[object] = []
    with samovar.open_blocking(script=lambda messages: messages[-1].content) as app:
        for given in ({}, {"key": secrets["THE_KEY"], "token": secrets["THE_TOKEN"]}):
            handle = samovar.RunHandle()
            run = app.run("w.md", given, environment=secrets, on_event=heard.append, handle=handle)
            assert run.ending == ending
            kept += [
                run,
                run.error,
                *run.visits,
                *run.warnings,
                handle.run,
                handle.run and handle.run.to_json(),
            ]
            kept += [run.to_json(), vars(handle), event_to_wire(heard[-1])]
        with pytest.raises(samovar.UsageError) as raised:
            app.run("w.md", {"key": secrets["THE_KEY"], "token": [{1: secrets["THE_TOKEN"]}]})
        with pytest.raises(samovar.UsageError) as also:
            app.run("w.md", environment=list(secrets.items()))  # type: ignore[arg-type]
        kept += [raised.value, also.value]
    shown = [json.dumps(event_to_wire(event), ensure_ascii=False) for event in heard]
    shown += [repr(event) for event in heard if not isinstance(event, RunEnded)]
    shown += [repr(one) if not isinstance(one, dict) else str(one) for one in kept]
    shown.append("".join(event.piece for event in heard if isinstance(event, TextGenerated)))
    assert any("***" in text for text in shown)
    for rows in map(rows_of, secrets.values()):
        for row in rows:
            assert not [around(text, row) for text in shown if row in text]
