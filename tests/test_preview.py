"""What is shown before a run: prompts as they would be sent, their tokens, the memory, missing models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from samovar.actions import parse_action
from samovar.actions.defaults import PromptDefaults
from samovar.config import Settings, load_settings
from samovar.engines.llama.counting import open_template
from samovar.errors import ModelFileError, ModelNotFoundError, Place, TemplateError
from samovar.generation import Message
from samovar.language.parameters import bind
from samovar.language.reading import parse_workflow
from samovar.language.template import Template
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.filling import fill, shown
from samovar.preflight.models import check_models, needed_models
from samovar.preflight.outlook import Counts, Outlook, shared_tokens
from samovar.preflight.preview import StatePreview, preview
from samovar.running.runner import RunnerSettings
from tests.bench import Bench
from tests.test_cli import samovar, write

PLACE = Place(path=None, line=1)
LIBRARY = Library([], parse_action)


def template(text: str) -> Template:
    return Template.parse(text, PLACE)


def filled(text: str, values: dict[str, object], *later: str) -> str:
    open_names = {name: f"${{{name}}}" for name in later}
    return shown(fill(template(text), values, open_names))


def parse(diagram: str, actions: str, rest: str = "", path: Path | None = None) -> Workflow:
    text = f"```mermaid\nstateDiagram-v2\n{diagram}\n```\n\n## Actions\n\n{actions}\n{rest}\n"
    return parse_workflow(text, name="w", path=path, parse_action=parse_action)


def states_of(workflow: Workflow, **given: object) -> dict[str, StatePreview]:
    variables = bind(workflow.parameters, given, ask=None)
    return {one.name: one for one in preview(workflow, variables, LIBRARY, PromptDefaults())}


def text_of(state: StatePreview) -> str:
    assert state.prompt is not None
    return state.prompt.messages[-1].text()


# Filling -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a ${x} b {{ y }}", "a 1 b ${y}"),
        ("{{ y.tokens }} ${y[0].z}", "${y.tokens} ${y[0].z}"),
        ("{{ y | upcase }} {{ x | plus: 1 }}", "{{ y | upcase }} 2"),
        ("{% if x == 1 %}one {{ y }}{% endif %}", "one ${y}"),
        ("{% for i in l %}{{ i }}:{{ y }} {% endfor %}", "p:${y} q:${y} "),
        ("{% for y in l %}{{ y }}{% endfor %} {{ z }}", "pq ${z}"),
        ("known {{ x }} {% if y %}{{ x }}{% endif %}", "known 1 {% if y %}{{ x }}{% endif %}"),
        ("$${y} {% raw %}{{ y }}{% endraw %}", "${y} {{ y }}"),
        ("{% assign z = y %}{{ z }}", "{% assign z = y %}{{ z }}"),
    ],
)
def test_what_only_the_run_knows_is_left_as_it_is_written(text: str, expected: str) -> None:
    assert filled(text, {"x": 1, "l": ["p", "q"]}, "y", "z") == expected


def test_values_that_look_like_what_is_open_stay_values() -> None:
    parts = fill(template("{{ x }} {{ y }}"), {"x": "${y} {{ y }}"}, {"y": "${y}"})
    assert [part if isinstance(part, str) else None for part in parts] == ["${y} {{ y }} ", None]


@pytest.mark.parametrize("text", ["${nosuch} ${y}", "{{ nosuch | upcase }} {{ y }}"])
def test_what_neither_the_run_nor_anybody_knows_is_an_error(text: str) -> None:
    with pytest.raises(TemplateError, match="nosuch"):
        filled(text, {}, "y")


# Workflows ---------------------------------------------------------------------------------------------


def test_a_variable_is_open_from_where_something_may_have_set_it() -> None:
    workflow = parse(
        "[*] --> A\nA --> B\nB --> C\nC --> [*]",
        '- A: Prompt "A {{ n }}"\n- B: Set n="2"\n- C: Prompt "C {{ n }}"',
    )
    states = states_of(workflow, n="1")
    assert list(states) == ["A", "B", "C"]
    assert text_of(states["A"]) == "A 1"
    assert text_of(states["C"]) == "C ${n}"


def test_in_a_loop_a_variable_that_is_set_later_is_open() -> None:
    workflow = parse(
        '[*] --> A\nA --> B\nB --> A: n == "1"\nB --> [*]: default',
        '- A: Prompt "{{ n }}"\n- B: Set n="2"',
    )
    assert text_of(states_of(workflow, n="1")["A"]) == "${n}"


def test_arguments_of_a_prompt_stand_in_it_as_they_are_known() -> None:
    workflow = parse(
        "[*] --> A\nA --> B\nB --> [*]",
        '- A: Prompt "x" result="s"\n'
        '- B: Execute prompt "p" with said="so: ${s}" tone="kind" using max_tokens=7 session="${s}"',
        "\n## Prompts\n\n### p\n\nBe {{ tone }} about {{ said }}.\n",
    )
    prompt = states_of(workflow)["B"].prompt
    assert prompt is not None and prompt.messages[-1].text() == "Be kind about so: ${s}."
    assert prompt.options.max_tokens == 7 and prompt.open_options == {"session": "${s}"}


def test_an_action_that_cannot_but_fail_says_why() -> None:
    state = states_of(parse("[*] --> A\nA --> [*]", '- A: Prompt "{{ nosuch }}"'))["A"]
    assert state.prompt is None and state.error is not None and "nosuch" in state.error.message


def test_a_line_with_tags_becomes_the_action_that_its_values_make_it() -> None:
    workflow = parse(
        "[*] --> A\nA --> [*]", '- A: {% if n == "1" %}Prompt "one {{ n }}"{% else %}Log "other"{% endif %}'
    )
    states = states_of(workflow, n="1")
    assert states["A"].verb == "prompt" and text_of(states["A"]) == "one 1"
    assert states_of(workflow, n="2")["A"].what == "other"


# Tokens and models ---------------------------------------------------------------------------------------


def test_tokens_are_counted_as_the_loaded_model_makes_them(tiny_model: Path) -> None:
    messages = [Message(role="user", content="hello <|im_end|> ton")]
    with open_template(tiny_model) as chat:
        tokens = chat.tokens(messages)
    text = "<|im_start|>user\nhello <|im_end|> ton<|im_end|>\n<|im_start|>assistant\n"
    # Three control tokens; the one in the content is text, byte by byte but for the merges.
    assert len(tokens) < len(text) and len(set(tokens)) > 3


def test_a_model_that_is_not_here_has_no_figures() -> None:
    with Outlook(load_settings({"cache_folder": Path("/nowhere")})) as outlook:
        look = outlook.model("smollm2")
        assert (look.path, look.cost, look.fits) == (None, None, None) and look.why is not None
        assert outlook.tokens("smollm2", [Message(role="user", content="x")]) is None


def test_prompts_share_what_they_all_begin_with() -> None:
    counts = [Counts(known_tokens=9, fixed=fixed) for fixed in [(1, 2, 3), (1, 2), (1, 2, 4, 5)]]
    assert shared_tokens(counts) == 2
    assert shared_tokens(counts[:1]) is None and shared_tokens([*counts, Counts()]) is None


def test_every_model_that_is_known_before_the_run_is_needed_once(tmp_path: Path) -> None:
    workflow = parse(
        "[*] --> A\nA --> B\nB --> C\nC --> D: on success\nC --> [*]: on failure\nD --> [*]",
        '- A: Prompt "x" using model="a.gguf"\n- B: Prompt "x"\n- C: Prompt "x" using model="c.gguf"\n'
        '- D: Prompt "x" using model="${which}"',
    )
    needed = needed_models(workflow, LIBRARY, Settings(model="default"), RunnerSettings())
    assert [one.reference for one in needed] == ["a.gguf", "default"]
    assert needed[0].place is not None and needed[0].place.line == 13
    assert [
        one.reference
        for one in needed_models(workflow, LIBRARY, Settings(model="default"), RunnerSettings(model="m"))
    ] == ["m"]


def test_a_missing_model_is_told_with_the_place_of_its_name(tmp_path: Path) -> None:
    settings = load_settings({})
    workflow = parse("[*] --> A\nA --> [*]", '- A: Prompt "x" using model="no.gguf"')
    with pytest.raises(ModelNotFoundError, match=r"no\.gguf") as error:
        check_models(workflow, LIBRARY, settings, RunnerSettings())
    assert error.value.place == Place(path=None, line=9, column=29)
    (tmp_path / "bad.gguf").write_text("no model")
    with pytest.raises(ModelFileError):
        check_models(workflow, LIBRARY, settings, RunnerSettings(model=str(tmp_path / "bad.gguf")))


# The command line ----------------------------------------------------------------------------------------


def dry(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = samovar(folder, "run", "w.md", "--dry-run", "--json", *arguments)
    return done.returncode, json.loads(done.stdout)


def test_a_dry_run_does_nothing_and_shows_all(tmp_path: Path, tiny_model: Path) -> None:
    write(
        tmp_path,
        "[*] --> A\nA --> B\nB --> C\nC --> [*]",
        '- A: Shell "touch ran"\n- B: Wait 1000 seconds\n'
        '- C: Prompt "Key {{ key }}: ${result}" using temperature=0.5 max_tokens=9',
        "parameters:\n  - name: key\n    secret: true",
    )
    status, told = dry(tmp_path, "--model", str(tiny_model), "--var", "key=s3cret-key")
    assert status == 0 and not (tmp_path / "ran").exists()
    assert [(one["name"], one["action"]) for one in told["states"]] == [
        ("A", "shell"),
        ("B", "wait"),
        ("C", "prompt"),
    ]
    prompt = told["states"][2]
    assert prompt["messages"][0]["content"] == "Key ***: ${result}"
    assert prompt["messages"][0]["parts"][-1] == {"open": "${result}"} and prompt["is_whole"] is False
    assert prompt["options"]["max_tokens"] == 9 and prompt["options"]["temperature"] == 0.5
    assert 0 < prompt["fixed_tokens"] < prompt["known_tokens"]
    assert told["models"][0]["total_bytes"] > 0 and told["models"][0]["fits"] is True
    shown_text = samovar(
        tmp_path, "run", "w.md", "--dry-run", "--model", str(tiny_model), "--key", "s3cret-key"
    )
    assert "${result}" in shown_text.stdout and "s3cret-key" not in shown_text.stdout
    assert "fits the budget" in shown_text.stdout


def test_a_dry_run_of_what_must_fail_exits_with_2(tmp_path: Path, tiny_model: Path) -> None:
    write(tmp_path, "[*] --> A\nA --> [*]", '- A: Prompt "{{ nosuch }}"')
    status, told = dry(tmp_path, "--model", str(tiny_model))
    assert status == 2 and "nosuch" in told["states"][0]["error"]["message"]


def test_a_missing_model_is_found_before_anything_is_run(tmp_path: Path) -> None:
    write(tmp_path, "[*] --> A\nA --> B\nB --> [*]", '- A: Shell "touch ran"\n- B: Prompt "x"')
    done = samovar(tmp_path, "run", "w.md", "--model", "no.gguf")
    assert done.returncode == 2 and not (tmp_path / "ran").exists()
    assert done.stderr == "samovar: There is no model file no.gguf.\n"


PROMPT = """\
---
parameters:
  - name: who
    required: true
  - name: n
    type: number
---
Hi {{ who }}, {{ n }}.
"""


def test_a_prompt_is_shown_as_it_would_be_sent(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / ".samovar/prompts").mkdir(parents=True)
    (tmp_path / ".samovar/prompts/hi.md").write_text(PROMPT)
    (tmp_path / ".samovar/prompts/.system.md").write_text("Be brief.")
    given = ("--var", "who=Ann", "--var", "n=3", "--model", str(tiny_model))
    for name in ("hi", ".samovar/prompts/hi.md"):
        done = samovar(tmp_path, "prompt", name, *given)
        assert done.returncode == 0 and done.stdout == "system:\nBe brief.\nuser:\nHi Ann, 3.\n"
    told = json.loads(samovar(tmp_path, "prompt", "hi", "--json", *given).stdout)
    assert told["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi Ann, 3."},
    ]
    with open_template(tiny_model) as chat:
        tokens = len(chat.tokens([Message(**one) for one in told["messages"]]))
    assert told["tokens"] == tokens and told["fits"] is True
    small = samovar(tmp_path, "prompt", "hi", "--json", *given[:4], "--model", "smollm2")
    assert json.loads(small.stdout)["tokens"] is None


def test_all_that_a_prompt_lacks_is_said_with_its_places(tmp_path: Path) -> None:
    (tmp_path / "hi.md").write_text(PROMPT + "\n{{ other }}\n")
    done = samovar(tmp_path, "prompt", "hi.md")
    assert done.returncode == 2 and done.stdout == ""
    assert "hi.md:3:" in done.stderr and "--var who=" in done.stderr
    assert "hi.md:10:" in done.stderr and "--var other=" in done.stderr
    done = samovar(tmp_path, "prompt", "hi.md", "--var", "whoo=x", "--var", "other=y")
    assert done.returncode == 2 and "Did you mean 'who'?" in done.stderr


def test_a_workflows_own_prompt_is_shown_in_it(tmp_path: Path, tiny_model: Path) -> None:
    path = write(tmp_path, "[*] --> A\nA --> [*]", '- A: Execute prompt "own"', 'system: "You are kind."')
    path.write_text(path.read_text() + "\n## Prompts\n\n### own\n\nSay {{ x }}\n")
    for names in (("w.md#own",), ("own", "--workflow", "w.md")):
        done = samovar(tmp_path, "prompt", *names, "--var", "x=hi", "--model", str(tiny_model))
        assert done.stdout == "system:\nYou are kind.\nuser:\nSay hi\n", done.stderr
    assert "w.md#own" in samovar(tmp_path, "prompt", "w.md").stderr


def test_a_prompt_takes_files_of_variables_and_needs_what_its_conditions_say(
    tmp_path: Path, tiny_model: Path
) -> None:
    front = (
        "parameters:\n  - {name: kind, required: true, type: choice, choices: [short, long]}\n"
        "  - {name: words, required: true, type: number, condition: kind == 'long'}\n"
    )
    (tmp_path / "ask.md").write_text(
        f"---\n{front}---\n{{{{ kind }}}} {{% if words %}}{{{{ words }}}}{{% endif %}}"
    )
    (tmp_path / "v.yaml").write_text("kind: long\nwords: 5\n", encoding="utf-8")
    arguments = ("prompt", "ask.md", "--model", str(tiny_model))
    shown_at_once = samovar(tmp_path, *arguments, "--vars", "v.yaml")
    assert (shown_at_once.returncode, "long 5" in shown_at_once.stdout) == (0, True)
    lacking = samovar(tmp_path, *arguments, "--var", "kind=long")
    assert lacking.returncode == 2
    assert "needs 'words'" in lacking.stderr
    assert samovar(tmp_path, *arguments, "--var", "kind=short").returncode == 0


def test_the_states_of_a_sub_workflow_stand_behind_the_state_that_runs_it(tmp_path: Path) -> None:
    parameters = "[{name: n, type: number, required: true}, {name: t, default: x}]"
    front = f"---\nmodel: own.gguf\nseed: 7\nparameters: {parameters}\n---\n"
    chart = "```mermaid\nstateDiagram-v2\n[*] --> A\nA --> B\nB --> [*]\n```\n## Actions\n"
    child = front + chart + '- A: Prompt "${n} ${t} ${q}"\n- B: Run workflow "again"\n'
    (tmp_path / "child.md").write_text(child)
    (tmp_path / "again.md").write_text(
        chart + '- A: Run workflow "child" with n=1\n- B: Run workflow "nowhere"\n'
    )
    actions = '- A: Prompt "q"\n- B: Run workflow "child" with n=3 q="${result}"\n- C: Run workflow "child"'
    workflow = parse("[*] --> A\nA --> B\nB --> C\nC --> [*]", actions, path=tmp_path / "w.md")
    states = states_of(workflow)
    assert list(states) == ["A", "B", "B/A", "B/B", "B/B/A", "B/B/B", "C"]
    assert text_of(states["B/A"]) == "3 x ${result}"
    prompt = states["B/A"].prompt
    assert prompt is not None
    assert (prompt.model, prompt.options.sampling.seed) == ("own.gguf", 7)
    errors = {name: str(state.error) for name, state in states.items() if state.error}
    assert errors.keys() == {"B/B/B", "C"}
    assert "nowhere" in errors["B/B/B"] and "Required parameters are missing" in errors["C"]


def test_prompts_read_the_folder_and_what_is_allowed_of_the_environment(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.md").write_text("{{ cwd }} {{ env.OTHER_TEST_A }} {{ env.OTHER_TEST_B | default: '-' }}")
    monkeypatch.setenv("OTHER_TEST_A", "a")
    monkeypatch.setenv("OTHER_TEST_B", "b")
    done = samovar(tmp_path, "prompt", "p.md", "--model", str(tiny_model))
    assert done.returncode == 2 and "The setting `environment`" in done.stderr
    (tmp_path / ".samovar").mkdir()
    (tmp_path / ".samovar/config.toml").write_text('environment = ["OTHER_TEST_A"]')
    done = samovar(tmp_path, "prompt", "p.md", "--model", str(tiny_model))
    assert done.returncode == 2 and "environment does not count until you trust the folder" in done.stderr
    assert samovar(tmp_path, "trust", "--yes").returncode == 0
    done = samovar(tmp_path, "prompt", "p.md", "--model", str(tiny_model))
    assert done.stdout.splitlines()[-1] == f"{tmp_path} a -"
    assert load_settings({"environment": "A, B"}).environment == ("A", "B")


def test_paths_of_files_are_filled_as_far_as_they_are_known() -> None:
    workflow = parse(
        "[*] --> A\nA --> B\nB --> C\nC --> [*]",
        '- A: Find "${folder}/*.txt" result="files"\n'
        '- B: Read "${folder}/{{ who }}.md" result="mail"\n'
        '- C: Write "${folder}/${files[0]}.md" with value="${mail}"',
    )
    shown = {
        one.name: one.what
        for one in preview(workflow, {"folder": "mails", "who": "Ann"}, LIBRARY, PromptDefaults())
    }
    assert shown == {"A": "mails/*.txt", "B": "mails/Ann.md", "C": "mails/${files[0]}.md"}


@pytest.mark.parametrize(
    ("front", "most", "is_too_long"),
    [("", 2, True), ("", 3, False), ("limits: {items: 2}", 9, True), ("limits: {items: 3}", 2, False)],
)
def test_a_list_of_more_items_than_the_setting_allows_is_refused(
    tmp_path: Path, front: str, most: int, is_too_long: bool
) -> None:
    bench = Bench(tmp_path)
    workflow = bench.write("w", "[*] --> A\nA --> [*]", 'A: Shell "true" for each x in [1, 2, 3]', front)
    run = RunnerSettings(settings=Settings(most_items=most))
    (state,) = preview(workflow, {}, bench.library, PromptDefaults(), run)
    assert (state.error is not None) == is_too_long
    assert state.error is None or "3 items, but one `for each` goes through at most 2" in str(state.error)
