"""`limits: {cost: …}`: a cost that nobody knows is unknown and not zero, before a run and in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from samovar.actions import parse_action
from samovar.cli.checking import faults_of
from samovar.config import DeclaredExecutor, Settings
from samovar.errors import Fault, UsageError
from samovar.library import Library
from samovar.preflight.prepare import prepare
from tests.endpoint import Behaviour, ScriptedServer, served
from tests.test_cli import folder, run_json, write_settings

__all__ = ["folder"]

FAKE = str(Path(__file__).with_name("fake_claude.py"))
LIBRARY = Library([], parse_action)
PROMPTS = """```mermaid
stateDiagram-v2
[*] --> A
A --> B
B --> [*]
```

## Actions

- A: Prompt "one"
- B: Prompt "two"
"""


def write(folder: Path, text: str = PROMPTS, *, name: str = "w.md", limit: float | None = 1.0) -> Path:
    matter = "" if limit is None else f"---\nlimits: {{cost: {limit}}}\n---\n"
    (folder / name).write_text(matter + text, encoding="utf-8")
    return folder / name


def declared(kind: str, **keys: Any) -> Settings:
    return Settings(executor="one", executors=(DeclaredExecutor(name="one", kind=kind, **keys),))


def doubts(path: Path, settings: Settings) -> list[Fault]:
    return [one for one in faults_of(path, LIBRARY, settings) if "limits: cost" in one.message]


ENDPOINT = {"url": "http://127.0.0.1:9/v1", "model": "m"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (declared("openai", **ENDPOINT), "[executors.one] an input_price and an output_price"),
        (declared("openai", **ENDPOINT, input_price=1.0), "Give [executors.one] an output_price, or take"),
        (declared("acp", command=("true",)), "those of kind acp tell nobody"),
    ],
)
def test_a_cost_that_cannot_be_known_is_an_error_before_the_run_and_a_warning_of_check(
    tmp_path: Path, settings: Settings, says: str
) -> None:
    path = write(tmp_path)
    with pytest.raises(UsageError) as caught:
        prepare(str(path), {}, LIBRARY, settings)
    assert says in caught.value.message and "costs is not known" in caught.value.message
    assert caught.value.exit_status == 2
    assert caught.value.place is not None and caught.value.place.path == path
    (fault,) = doubts(path, settings)  # once, although two prompts are asked
    assert (fault.message, fault.severity) == (caught.value.message, "warning")
    write(tmp_path, limit=None)
    prepare(str(path), {}, LIBRARY, settings)
    assert doubts(path, settings) == []


@pytest.mark.parametrize(
    "settings",
    [
        declared("openai", **ENDPOINT, input_price=0.0, output_price=0.0),
        declared("claude-code", command=(sys.executable, FAKE)),
    ],
)
def test_a_price_of_zero_is_a_price_and_a_program_that_tells_its_costs_needs_none(
    tmp_path: Path, settings: Settings
) -> None:
    path = write(tmp_path)
    prepare(str(path), {}, LIBRARY, settings)
    assert doubts(path, settings) == []


def test_a_limit_of_a_sub_workflow_asks_for_prices_of_what_is_below_it_alone(tmp_path: Path) -> None:
    write(tmp_path, name="sub.md")
    outer = write(tmp_path, PROMPTS.replace('B: Prompt "two"', 'B: Run workflow "sub.md"'), limit=None)
    priced = DeclaredExecutor(
        name="two", kind="openai", url=ENDPOINT["url"], model=ENDPOINT["model"], input_price=1, output_price=1
    )
    settings = declared("openai", **ENDPOINT)
    settings = Settings(executor="one", executors=(*settings.executors, priced))
    with pytest.raises(UsageError, match=r"sub may cost only so much.*'one'"):
        prepare(str(outer), {}, LIBRARY, settings)
    sub = write(tmp_path, PROMPTS.replace('"\n', '" using executor=two\n'), name="sub.md")
    prepare(str(outer), {}, LIBRARY, settings)
    assert doubts(sub, settings) == doubts(outer, settings) == []


def settings_file(folder: Path, text: str) -> None:
    write_settings(folder, f'executor = "one"\n[executors.one]\n{text}')


def of_server(server: ScriptedServer) -> str:
    prices = "input_price = 20_000\noutput_price = 50_000\n"
    return f'kind = "openai"\nurl = "{server.url}/v1"\nmodel = "m"\n{prices}'


@pytest.mark.parametrize(
    ("limit", "told", "ending", "cost", "says"),
    [
        (1.0, True, "completed", 0.8, None),
        (0.5, True, "limited", 0.4, "The run cost 0.8, of 0.5 (limits: cost)."),
        (1.0, False, "limited", None, "what an answer cost is not known (limits: cost)."),
        (None, False, "completed", None, None),
    ],
)
def test_what_answers_cost_is_reckoned_from_the_tokens_that_are_told(
    folder: Path, limit: float | None, told: bool, ending: str, cost: float | None, says: str | None
) -> None:
    with served() as server:
        settings_file(folder, of_server(server))
        write(folder, limit=limit)
        server.tell(Behaviour(usage=told), Behaviour(usage=told))
        _, run, _ = run_json(folder)
        asked = len(server.received)
    assert (run["status"], asked) == (ending, 1 if cost is None and limit is not None else 2)
    visits = [one for one in run["states"] if one["status"] == "success"]
    costs = [one.get("cost") for one in visits]
    assert all(one == (0.4 if told else None) for one in costs), costs
    assert says is None or says in run["error"]["message"]
    (use,) = run["executors"]
    assert use["cost"] == (0.8 if told else None)


@pytest.mark.parametrize(("knows", "ending"), [(True, "completed"), (False, "limited")])
def test_a_program_that_does_not_know_its_price_ends_a_run_with_a_limit(
    folder: Path, knows: bool, ending: str
) -> None:
    environment = "" if knows else 'environment = ["BASIS"]\n'
    command = json.dumps([sys.executable, FAKE] if knows else ["env", "BASIS=unknown", sys.executable, FAKE])
    settings_file(folder, f'kind = "claude-code"\ncommand = {command}\n{environment}')
    write(folder)
    _, run, _ = run_json(folder)
    assert run["status"] == ending
    assert knows or "is not known (limits: cost)" in run["error"]["message"]
