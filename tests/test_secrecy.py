"""Secrets are shown to nobody: not live, not later, not in part."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samovar.events import Event, StateLeft
from samovar.executors.base import OnPromptEvent, PromptReply, PromptRequest
from samovar.generation import TextGenerated
from samovar.running.runner import RunnerSettings
from samovar.running.wire import event_to_wire, run_to_wire
from samovar.testing.paths import Tree
from samovar.testing.recording import Recording
from samovar.values import Record
from samovar.values.secrecy import HIDDEN, LEAST_CHARS, Secrets, Stream
from tests.bench import Bench, Told, reply, unchecked
from tests.test_cli import folder, run_json, samovar, write

__all__ = ["folder"]
pytestmark = pytest.mark.anyio

LETTERS = st.characters(codec="utf-8", exclude_characters="\0…*")
SECRETS = st.text(LETTERS, min_size=LEAST_CHARS, max_size=300).filter(
    lambda text: len(text.strip()) >= LEAST_CHARS
)


@given(st.text(LETTERS), SECRETS, st.text(LETTERS))
def test_a_whole_secret_is_hidden_wherever_it_stands(before: str, secret: str, after: str) -> None:
    secrets, value = Secrets([secret]), secret.strip()
    assert value not in secrets.mask(before + secret + after)
    assert json.dumps(value)[1:-1] not in secrets.mask(json.dumps({"in": [before + secret + after]}))
    hidden = secrets.copy({"a": [before + secret], "b": Record(secret + after, {"part": secret})})
    assert value not in str(hidden["a"]) and value not in str(hidden["b"])
    assert secrets.mask("nothing") == "nothing" or value in "nothing"


@given(SECRETS, st.integers(1, 300))
def test_what_is_left_of_a_secret_where_a_text_was_cut_is_hidden_too(secret: str, at: int) -> None:
    value = secret.strip()
    secrets, at = Secrets([value]), min(at, len(value) - 1)
    for cut in (f"x {value[:at]}…", f"…{value[at:]} x"):
        shown = secrets.mask(cut)
        assert all(value[start : start + 8] not in shown for start in range(len(value) - 7))


@given(st.text(LETTERS), SECRETS.filter(lambda text: len(text.split()) == 1), st.text(LETTERS), st.data())
def test_what_is_left_of_a_secret_that_was_cut_at_both_ends_is_hidden_too(
    before: str, secret: str, after: str, data: st.DataObject
) -> None:
    secret = secret.strip()
    start = data.draw(st.integers(0, len(secret) - 5))
    end = data.draw(st.integers(start + 5, len(secret)))
    masked = Secrets([secret]).mask(f"{before}…{secret[start:end]}…{after}")
    assert masked.split("…")[1] == HIDDEN


@given(st.lists(st.sampled_from(["abcabcabd", "abcab", "c", "abd", "x", "abcabcabcabd"])))
def test_pieces_say_what_the_whole_text_says(pieces: list[str]) -> None:
    secrets = Secrets(["abcabcabd", "bdxxbd"])
    stream = Stream(secrets)
    assert "".join([*map(stream.next, pieces), stream.rest()]) == secrets.mask("".join(pieces))


def test_a_piece_that_begins_no_secret_is_shown_at_once() -> None:
    stream = Stream(Secrets(["hunter2hunter2"]))
    assert [stream.next(piece) for piece in ("Use ", "h", "ello")] == ["Use ", "", "hello"]


async def test_a_text_that_ends_like_the_beginning_of_a_secret_is_told_whole(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    front = "parameters: [{name: key, secret: true, required: true}]"
    workflow = bench.write("w", "[*] --> A\nA --> [*]", 'A: Prompt "x"', front=front)
    await bench.run(workflow, Told(["it is hunt"]), key="hunter2hunter2")
    assert "".join(one.piece for one in bench.events if isinstance(one, TextGenerated)) == "it is hunt"
    assert [type(one).__name__ for one in bench.events][-4:-2] == ["TextGenerated", "StateLeft"]


def test_a_line_of_a_secret_is_hidden_where_both_kinds_of_quotes_are_escaped() -> None:
    value = "first line\n\tz'zYYYY98765"
    assert "zYYYY98765" not in Secrets([value]).mask(repr(f'say "{value}"'))


def test_a_short_secret_is_hidden_where_it_is_all_of_a_text() -> None:
    secrets = Secrets(["abc", 17])
    assert secrets.mask_whole("abc\n") == HIDDEN and secrets.mask_whole("abcd") == "abcd"
    assert secrets.copy_value({"xabc": ["abc", 17, "x abc"]}) == {"xabc": [HIDDEN, HIDDEN, "x abc"]}


def test_keys_of_maps_are_hidden_like_values_and_none_is_lost() -> None:
    secrets = Secrets([{"hunter2hunter2": {"hunter3hunter3": "x"}, "id": "y"}, "abc"])
    assert secrets.mask("hunter3hunter3 id") == f"{HIDDEN} id"
    found = {"hunter2hunter2": 1, "hunter3hunter3": 2, "***": 3, "abc": 4, "id": 5}
    assert secrets.copy_value(found) == {"*** (2)": 1, "*** (3)": 2, "***": 3, "*** (4)": 4, "id": 5}


async def test_a_map_with_a_secret_for_a_key_is_told_without_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    front = "parameters: [{name: key, secret: true}, {name: keys, secret: true}]"
    actions = 'A: Set m := {key: 1, "x" + key: {key: 2}}, abc="x"\nB: Log "${m} ${keys} ${m == keys}"'
    workflow = bench.write("w", "[*] --> A\nA --> B\nB --> [*]", actions, front=front)
    run = await bench.run(workflow, key="hunter2hunter2", keys={"the-other-secret": "abc"})
    shown = [json.dumps(event_to_wire(event)) for event in bench.events] + [json.dumps(run_to_wire(run))]
    assert not any("hunter2" in text or "other-secret" in text for text in shown)
    assert run_to_wire(run)["variables"]["m"] == {HIDDEN: 1, f"x{HIDDEN}": {HIDDEN: 2}}
    left = next(event for event in bench.events if isinstance(event, StateLeft))
    assert set(left.sets) == {"m", "abc"}  # names of variables, whatever is called like them


SHORT_SECRET = """---
parameters: [{name: token, secret: true}]
---
```mermaid
stateDiagram-v2
[*] --> A
A --> B
B --> [*]
```
## Actions
- A: Set copy="${token}"
- B: Log "${token}"
"""


@pytest.mark.parametrize(("token", "warns"), [("abc", 1), ("abcdef", 0)])
def test_a_run_hides_short_secrets_that_are_whole_texts_and_warns_once(
    folder: Path, token: str, warns: int
) -> None:
    (folder / "short.md").write_text(SHORT_SECRET)
    (folder / "token").write_text(token)
    stdout = samovar(folder, "run", "short.md", "--events", "--var", "token=@token").stdout
    assert f'"{token}"' not in stdout
    assert stdout.count("fewer than 6 characters") == warns


async def test_the_repr_of_a_run_has_no_secret(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    front = "parameters: [{name: token, secret: true}]"
    workflow = bench.write("w", "[*] --> A\nA --> [*]", 'A: Set copy="x ${token}"', front)
    run = await bench.run(workflow, token="hunter2hunter2")
    assert run.variables["copy"] == "x hunter2hunter2" and "hunter2" not in repr(run)


def test_a_difference_of_a_case_shows_no_secret(folder: Path) -> None:
    (folder / "s.md").write_text(SHORT_SECRET)
    (folder / "s.test.yaml").write_text(
        "cases:\n  - name: one\n    variables: {token: hunter2hunter2}\n"
        "    expect: {variables: {token: q, copy: q}}\n"
    )
    ended = samovar(folder, "test", "s.md")
    assert ended.stdout.count(HIDDEN) >= 2 and "hunter2" not in ended.stdout + ended.stderr


def test_a_difference_of_a_case_that_stops_early_shows_no_secret(folder: Path) -> None:
    """An answer that is none of the choices, and a command that the case does not know of."""
    write(folder, "[*] --> A\nA --> [*]", '- A: Prompt "x" using choices="${token}|no"',
          "parameters: [{name: token, secret: true}]")  # fmt: skip
    (folder / "s.md").write_text((folder / "w.md").read_text().replace(
        'Prompt "x" using choices="${token}|no"', 'Shell "echo ${token}"'))  # fmt: skip
    case = "cases:\n  - name: one\n    variables: {token: hunter2hunter2}\n"
    (folder / "w.test.yaml").write_text(case + "    answers: {A: hunter2hunter}\n")
    (folder / "s.test.yaml").write_text(case)
    for name in ("w", "s"):
        ended = samovar(folder, "test", f"{name}.md", "--json")
        assert ended.returncode == 1 and HIDDEN in ended.stdout
        assert "hunter2hunter2" not in ended.stdout + ended.stderr


def test_short_values_and_words_are_left_alone_but_known() -> None:
    secrets = Secrets(["abc", True, None, 17])
    assert secrets.mask("abc true None 17") == "abc true None 17"
    assert secrets.is_in("xabcx") and not secrets.is_in("true")


# Runs ----------------------------------------------------------------------------------------------------

CHILD = """---
parameters:
  - {name: password, secret: true, required: true}
---
```mermaid
stateDiagram-v2
[*] --> I
I --> J
J --> [*]
```

## Actions

- I: Set x="${password}"
- J: Shell "printf '%s' ${password} >&2; exit 3"
"""
PARENT = """
[*] --> A
A --> B
B --> C
C --> D: failure
D --> E
E --> F: failure
F --> G
G --> H: failure
H --> K
K --> [*]: token == "right"
"""
ACTIONS = """
A: Set copy="${token}", map={"a": "${token}"}
B: Log "it is ${token}, or ${copy} ${map}"
C: Shell "printf '%s and then' ${token} >&2; exit 1"
D: Prompt "${token}" result="said"
E: Run workflow "child" with password="${other}"
F: Set token="changed-${other}-secret"
G: Shell "printf 'x%sx' ${token} >&2; exit 2"
H: Set copy="gone", token="gone"
K: Log "${said} ${error.message}"
"""
FRONT = """parameters:
  - {name: token, secret: true, required: true}
  - {name: other, secret: true, required: true}"""


class Piecewise(Told):
    """Says its one answer three characters at a time."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        for start in range(0, len(self.text), 3):
            on_event(TextGenerated(piece=self.text[start : start + 3]))
        return reply(self.text)


def shown_texts(secret: str) -> list[str]:
    """Each row of 8 characters of a secret, those of its lines too."""
    found = {" ".join(secret.split()), secret.strip(), *(line.strip() for line in secret.splitlines())}
    return [
        text[start : start + 8] for text in found for start in range(max(1, len(text) - 7)) if len(text) >= 8
    ]


def everything_of(folder: Path, secrets: dict[str, str]) -> list[str]:
    """What is shown, kept and told of a run that does all sorts of things with its secrets."""
    (folder / "child.md").write_text(CHILD)
    bench = Bench(folder)
    workflow = bench.write("w", PARENT, ACTIONS, front=FRONT)
    events: list[Event] = []
    recording = Recording(Piecewise(f"The key is {secrets['token']}."), events.append)
    bench.settings = RunnerSettings(folder=folder, outside=recording)

    async def run() -> list[str]:
        runner = bench.runner(recording, recording)
        done = await runner.run(unchecked(workflow, secrets))
        recorded = recording.values(Tree(workflow, bench.library), dict(secrets), done)
        shown = [json.dumps(event_to_wire(event), ensure_ascii=False) for event in events]
        shown += [str(getattr(event, "text", "")) + str(getattr(event, "what", "")) for event in events]
        shown.append("".join(event.piece for event in events if isinstance(event, TextGenerated)))
        shown.append(json.dumps(run_to_wire(done), ensure_ascii=False))
        shown.append(json.dumps(recorded, ensure_ascii=False))
        shown += [repr(visit) for visit in done.visits] + [repr(done.error)]
        return shown

    return anyio.run(run)


@pytest.mark.parametrize(
    "token",
    [
        "sk-proj-" + "ABCDEFGHIJ" * 9,
        "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA7\nzYx+/w9876543210==\n-----END KEY-----\n",
        "".join(chr(33 + (7 * number) % 90) for number in range(4000)).replace("*", "+"),
        'it\'s "quoted" \\ and ${not} {{ filled }} $(here)',
        "hünter2-漢字-秘密-😀😀",
    ],
)
def test_no_secret_is_shown_or_kept(tmp_path: Path, token: str) -> None:
    secrets = {"token": token, "other": "the-other-0123456789-abcdef"}
    whole = everything_of(tmp_path, secrets)
    for secret in secrets.values():
        for part in shown_texts(secret):
            for text in whole:
                assert part not in text, (part, text[:300])
    assert any(HIDDEN in text for text in whole)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(token=SECRETS.filter(lambda text: len(text) >= 12 and text.isprintable()))
def test_no_generated_secret_is_shown_or_kept(tmp_path_factory: pytest.TempPathFactory, token: str) -> None:
    folder = tmp_path_factory.mktemp("run")
    whole = everything_of(folder, {"token": token, "other": "the-other-0123456789-abcdef"})
    assert not any(token.strip() in text for text in whole)


@pytest.mark.parametrize("how", [(), ("--events",), ("--json",), ("-v",), ("-q",), ("--print", "copy")])
def test_no_way_of_running_shows_one(folder: Path, how: tuple[str, ...]) -> None:
    (folder / "key").write_text("sk-proj-" + "ABCDEFGHIJ" * 9)
    actions = '- A: Set copy="${key}"\n- B: Log "${copy}"'
    write(folder, "[*] --> A\nA --> B\nB --> [*]", actions, FRONT.replace("token", "key"))
    done = samovar(folder, "run", "w.md", "--var", "key=@key", "--var", "other=abcdef", *how)
    assert done.returncode == 0
    assert "ABCDEFGH" not in done.stdout + done.stderr


def test_a_secret_on_the_command_line_is_warned_of(folder: Path) -> None:
    write(folder, "[*] --> A\nA --> [*]", '- A: Log "x"', "parameters: [{name: key, secret: true}]")
    _, _, said = run_json(folder, "--key", "hunter2-hunter2")
    assert "others can read 'key' in the list of processes" in said
    (folder / "key").write_text("hunter2-hunter2")
    _, _, said = run_json(folder, "--var", "key=@key")
    assert "others can read" not in said


def test_a_secret_comes_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "hunter2-hunter2")
    write(folder, "[*] --> A\nA --> [*]", '- A: Shell "test ${key} = hunter2-hunter2"',
          "parameters: [{name: key, secret: true, required: true, from_env: THE_KEY}]")  # fmt: skip
    assert samovar(folder, "run", "w.md").returncode == 0
    monkeypatch.delenv("THE_KEY")
    done = samovar(folder, "run", "w.md")
    assert done.returncode == 2 and "THE_KEY" in done.stderr


def test_a_line_of_a_secret_is_hidden_as_what_is_shown_in_brief_has_it() -> None:
    secrets = Secrets(["the first\nabcdefg  hijk\tlmnop\nlast one"])
    for text in ("abcdefg  hijk\tlmnop", "abcdefg hijk lmnop"):
        assert secrets.mask(f"status 1: {text}!") == f"status 1: {HIDDEN}!"


def test_a_secret_is_hidden_as_the_path_that_is_made_of_it() -> None:
    secrets = Secrets(["ab//cdefg/./hij/"])
    assert secrets.mask(f"no folder {str(Path('/x') / 'ab//cdefg/./hij/')!r}") == f"no folder '/x/{HIDDEN}'"


@pytest.mark.parametrize("as_json", [(), ("--json",)])
@pytest.mark.parametrize(
    "action",
    [
        'Run workflow "${key}"',
        'Execute prompt "${key}"',
        'Prompt "x" using model="${key}"',
        'Prompt "x" using executor="${key}"',
        'Prompt "x" using max_tokens="${key}"',
        'Prompt "x" using temperature="${key}"',
        'Prompt "x" using choices="${key}|no"',
        'Prompt "x" using stop="${key}"',
        'Prompt "x" using session="${key}"',
        'Prompt "${key}"',
        'Log "${key}"',
        'Abort "${key}"',
    ],
)
def test_a_dry_run_shows_no_secret_whatever_it_is_given_to(
    folder: Path, action: str, as_json: tuple[str, ...]
) -> None:
    (folder / "key").write_text("sk-proj-ABCDEFGHIJ")
    write(folder, "[*] --> A\nA --> [*]", f"- A: {action}", "parameters: [{name: key, secret: true}]")
    done = samovar(folder, "run", "w.md", "--var", "key=@key", "--dry-run", *as_json)
    assert "ABCDEFGH" not in done.stdout + done.stderr and "Traceback" not in done.stderr
    assert HIDDEN in done.stdout + done.stderr


def test_a_dry_run_knows_the_secrets_of_the_workflows_that_are_run(folder: Path) -> None:
    (folder / "child.md").write_text(CHILD)
    write(folder, "[*] --> A\nA --> B\nB --> [*]",
          '- A: Log "${open}"\n- B: Run workflow "child" with password="${open}"',
          "parameters: [{name: open, default: sk-proj-ABCDEFGHIJ}]")  # fmt: skip
    done = samovar(folder, "run", "w.md", "--dry-run")
    assert done.returncode == 0 and "ABCDEFGH" not in done.stdout and HIDDEN in done.stdout


def test_names_of_an_object_stay_where_a_secret_is_called_like_one() -> None:
    secrets = Secrets(["messages"])
    assert secrets.copy_values({"messages": ["messages", 3]}) == {"messages": [HIDDEN, 3]}
