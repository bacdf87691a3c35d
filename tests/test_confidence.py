"""How sure a model was of its choices: found while it answers, asked for in workflows, told in cases."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import samovar
from samovar.cli.checking import faults_of
from samovar.cli.testing import CasesArguments, run_tests
from samovar.engines.judging import Step, judged
from samovar.engines.llama.choosing import OneOf
from samovar.engines.llama.sampling import Sampler
from samovar.errors import FaultsError, Place
from samovar.expressions.expression import Expression
from samovar.generation import Options, Sampling
from samovar.language.schemas import read_schema
from samovar.values.certainty import ChosenValue, certain, has_choices
from tests.on_tiny import loaded
from tests.test_cli import samovar as samovar_cli
from tests.test_forms import answer, hot, schema_of

pytestmark = pytest.mark.anyio
HERE = Place(path=None, line=1, column=1)
VERDICT = "{urgent: boolean, team: billing|support|sales, why: text?}"


def step(at: int, taken: str, **allowed: float) -> Step:
    """A step at which these texts could be said with these probabilities; `_` is the end."""
    logits = [(None if text == "_" else text.encode(), math.log(share)) for text, share in allowed.items()]
    return Step(at, None if taken == "_" else taken.encode(), logits)


def of_choices(*steps: Step, raw: str, choices: Sequence[str]) -> ChosenValue:
    (found,) = judged(tuple(choices), None, raw.encode(), steps)
    return found


# What is computed.


def test_the_confidence_is_the_share_of_the_tokens_that_lead_to_what_was_chosen() -> None:
    found = of_choices(step(0, "y", y=0.3, yes=0.3, n=0.3, no=0.1), raw="yes", choices=["yes", "no"])
    assert found.confidence == pytest.approx(0.6)
    assert found.alternatives == pytest.approx({"yes": 0.6, "no": 0.4})


def test_probabilities_are_among_what_was_allowed() -> None:
    found = of_choices(step(0, "yes", yes=0.02, no=0.06), raw="yes", choices=["yes", "no"])
    assert found.confidence == pytest.approx(0.25)


def test_each_token_that_decides_is_a_factor_and_ways_of_spelling_one_choice_are_none() -> None:
    steps = (
        step(0, "bi", b=0.1, bi=0.5, s=0.4),
        step(2, "ll", ll=0.5, l=0.25, ke=0.25),
        step(4, "ing", ing=0.5, i=0.5),
    )
    found = of_choices(*steps, raw="billing", choices=["billing", "bike", "support"])
    assert found.confidence == pytest.approx(0.6 * 0.75)
    assert found.alternatives == {"billing": None, "bike": None, "support": pytest.approx(0.4)}


def test_a_token_that_may_become_either_counts_for_neither_of_them() -> None:
    found = of_choices(step(0, "sal", s=0.1, sal=0.6, sup=0.3), raw="sales", choices=["sales", "support"])
    assert found.confidence == pytest.approx(0.6)
    assert found.alternatives == pytest.approx({"sales": 0.6, "support": 0.3})


def test_an_end_decides_where_a_choice_goes_on_as_another() -> None:
    steps = (step(0, "ok", ok=0.9, no=0.1), step(2, "_", **{"_": 0.75, ", but": 0.25}))
    found = of_choices(*steps, raw="ok", choices=["ok", "ok, but", "no"])
    assert found.confidence == pytest.approx(0.9 * 0.75)


def test_what_only_one_way_leads_to_is_sure() -> None:
    assert of_choices(raw="yes", choices=["yes"]) == ChosenValue(
        value="yes", confidence=1.0, alternatives={"yes": 1.0}
    )
    found = of_choices(step(0, "y", y=0.9, yes=0.1), raw="yes", choices=["yes"])
    assert found.confidence == 1.0


def test_empty_lines_behind_reasoning_are_no_part_of_a_choice() -> None:
    steps = (step(0, "\n", **{"\n": 0.9}), step(1, "no", yes=0.25, no=0.75))
    assert of_choices(*steps, raw="\nno", choices=["yes", "no"]).confidence == pytest.approx(0.75)


def of_schema(short: str, raw: str, *steps: Step) -> dict[tuple[str | int, ...], ChosenValue]:
    return {one.path: one for one in judged((), schema_of(short), raw.encode(), steps)}


def test_fields_of_a_schema_have_their_own_also_where_a_token_begins_before_them() -> None:
    raw = '{"urgent":true,"team":"sales"}'
    steps = (
        step(10, "true", true=0.8, false=0.1, fal=0.1),
        step(21, ':"s', **{':"s': 0.25, ':"sa': 0.25, ':"b': 0.5}),
        step(24, "ales", ales=0.9, upport=0.1),
    )
    found = of_schema(VERDICT, raw, *steps)
    assert found[("urgent",)].confidence == pytest.approx(0.8)
    assert found[("team",)].confidence == pytest.approx(0.5 * 0.9)
    assert found[("team",)].alternatives == {
        "billing": 0.5,
        "support": None,
        "sales": 0.25,
    }


def test_numbers_that_begin_alike_are_parted_by_what_stands_behind_them() -> None:
    schema = json.dumps({"type": "object", "properties": {"n": {"enum": [1, 10]}}, "required": ["n"]})
    steps = (step(5, "1", **{"1": 0.5, "10": 0.5}), step(6, "}", **{"}": 0.6, "0": 0.4}))
    (found,) = judged((), schema, b'{"n":1}', steps)
    assert found.confidence == pytest.approx(0.6) and found.value == 1
    assert found.alternatives == {"1": None, "10": pytest.approx(0.5)}


def test_nothing_is_said_where_too_many_tokens_could_come() -> None:
    assert of_schema(VERDICT, '{"urgent":true,"team":"sales"}', Step(9, b":t", ()))[("team",)]
    assert ("urgent",) not in of_schema(VERDICT, '{"urgent":true,"team":"sales"}', Step(9, b":t", ()))


def test_texts_lists_and_numbers_are_no_choices_but_their_parts_may_be() -> None:
    found = certain(
        (),
        schema_of("{rows: [{kind: a|b, n: integer}], why: text}"),
        '{"rows":[{"kind":"b","n":3}],"why":"a"}',
    )
    assert [(one.path, one.value) for one in found] == [(("rows", 0, "kind"), "b")]
    assert has_choices(read_schema("{rows: [{kind: a|b}]}")) and not has_choices(read_schema("{n: integer}"))
    circular: dict[str, Any] = {"properties": {name: {"$ref": "#"} for name in "abcdef"}}
    assert not has_choices(circular)


# What an engine finds.


async def test_an_answer_of_a_model_has_its_choices_with_probabilities_that_add_up(tiny_model: Path) -> None:
    schema = schema_of("{urgent: boolean, team: billing|support, rows: [yes|no]}")
    async with loaded(tiny_model) as model:
        for seed in range(6):
            said, end = await answer(model, Options(schema=schema, sampling=hot(seed), max_tokens=300))
            value = json.loads(said)
            found = {one.path: one for one in end.chosen}
            assert [found[path].value for path in (("urgent",), ("team",))] == [
                value["urgent"],
                value["team"],
            ]
            assert [found["rows", index].value for index in range(len(value["rows"]))] == value["rows"]
            for one in end.chosen:
                shares = list(one.alternatives.values())
                assert sum(share or 0.0 for share in shares) == pytest.approx(1.0)
                key = one.value if isinstance(one.value, str) else json.dumps(one.value)
                assert one.alternatives[key] == pytest.approx(one.confidence)


async def test_how_sure_a_choice_is_does_not_depend_on_how_it_was_picked(tiny_model: Path) -> None:
    choices = ("billing", "support")
    async with loaded(tiny_model) as model:
        found = []
        for sampling in (Sampling(), *(hot(seed) for seed in range(12))):
            _, end = await answer(model, Options(choices=choices, sampling=sampling))
            found.append(end.chosen[0])
    assert {one.value for one in found} == set(choices)
    assert all(one.alternatives == pytest.approx(found[0].alternatives) for one in found)
    assert max(found, key=lambda one: one.confidence).value == found[0].value  # the greedy one


async def test_no_token_is_decoded_or_evaluated_for_it(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [Options(choices=("yes", "no", "yes, but")), Options(schema=schema_of(VERDICT), max_tokens=200)]

    async def counts() -> list[object]:
        async with loaded(tiny_model) as model:
            said = [await answer(model, one) for one in options]
            return [(text, end.tokens) for text, end in said] + [model._arenas.usage.decode_tokens]

    found = await counts()
    monkeypatch.setattr(Sampler, "_watched", Sampler._pick_held)
    assert found == await counts()


async def test_a_cut_off_answer_has_no_choices(tiny_model: Path) -> None:
    async with loaded(tiny_model) as model:
        _, end = await answer(model, Options(schema=schema_of(VERDICT), max_tokens=3))
    assert end.cut == "text" and end.chosen == ()


async def test_what_is_looked_at_before_a_token_of_a_choice_is_all_that_its_grammar_allows(
    tiny_model: Path,
) -> None:
    choices = ("yes", "yes, but", "no", "häß")
    async with loaded(tiny_model) as model:
        vocabulary = model._arenas.vocabulary
        one = OneOf(model._binding, vocabulary, choices, is_behind_reasoning=False)
        for letter in (b"y", b"e", b"s", b","):
            allowed = [token for token in range(vocabulary.size) if one.allows(token)]
            assert sorted(one.few() or ()) == allowed and allowed
            one.accept(vocabulary.by_piece[letter][0])
        one.close()


# In expressions and templates.

FLOW = """---
title: Sorting
parameters: [{{name: mail, default: My invoice is wrong}}]
---

```mermaid
stateDiagram-v2
    [*] --> Judge
    Judge --> Person: {condition}
    Judge --> Done: default
    Person --> Done
    Done --> [*]
```

## Actions

- Judge: {judge}
- Person: Log "{person}"
{more}
## Prompts

### why

How sure: {{{{ verdict.team | confidence }}}}
"""
BY_SCHEMA = f'Prompt "Sort: ${{mail}}" result="verdict" using schema="{VERDICT}"'


def flow(
    folder: Path,
    condition: str = "confidence(verdict.team) < 0.6",
    judge: str = BY_SCHEMA,
    person: str = "a person",
    more: str = "",
) -> Path:
    path = folder / "sorting.md"
    text = FLOW.format(condition=condition, judge=judge, person=person, more=more)
    path.write_text(text, encoding="utf-8")
    return path


def passes(folder: Path, text: str) -> bool:
    """Whether the cases of the workflow pass."""
    (folder / "sorting.test.yaml").write_text(f"cases:\n  - name: one\n{text}", encoding="utf-8")
    paths = (folder / "sorting.md",)
    arguments = CasesArguments(
        paths=paths, only=None, coverage_min=None, junit=None, lenient=False, as_json=False
    )
    return run_tests(arguments) == 0


def faults(path: Path) -> list[tuple[str, str]]:
    return [(one.code, one.message) for one in faults_of(path)]


@pytest.mark.parametrize(
    "condition",
    [
        "confidence(verdict.team) < 0.6",
        "confidence(verdict.urgent) < 0.6",
        'alternatives(verdict["team"]).billing > 0.2',
        'verdict.team == "sales" && confidence(verdict.team) > 0.5',
    ],
)
def test_a_choice_in_an_answer_can_be_asked(tmp_path: Path, condition: str) -> None:
    assert faults(flow(tmp_path, condition)) == []


@pytest.mark.parametrize(
    ("condition", "judge", "says"),
    [
        ("confidence(mail) < 0.6", BY_SCHEMA, "`mail` is not one"),
        ("confidence(verdict) < 0.6", BY_SCHEMA, "Write `confidence(verdict.urgent)`"),
        ("confidence(verdict.why) < 0.6", BY_SCHEMA, "`verdict.why` is not one"),
        ("confidence(verdict.taem) < 0.6", BY_SCHEMA, "'team'"),
        ("confidence(result) < 0.6", BY_SCHEMA, "`result` is not one"),
        ("confidence(verdict) < 0.6", 'Prompt "Sort" result="verdict"', "`verdict` is not one"),
        ("confidence(verdict) < 0.6", 'Prompt "Sort" result="verdict" using regex="a|b"', "is not one"),
        ("confidence(copy) < 0.6", BY_SCHEMA, "A copy does not keep it"),
        ('confidence(verdict.team) == "high"', BY_SCHEMA, "number"),
    ],
)
def test_check_refuses_what_no_model_has_chosen(
    tmp_path: Path, condition: str, judge: str, says: str
) -> None:
    path = flow(tmp_path, condition, judge)
    if "copy" in condition:
        text = path.read_text(encoding="utf-8")
        text = text.replace("    Person --> Done", "    Person --> Copy\n    Copy --> Judge: default")
        path.write_text(text.replace("## Prompts", "- Copy: Set copy := verdict.team\n\n## Prompts"))
    found = faults(path)
    assert any(says in message for _, message in found), found
    assert {code for code, _ in found} <= {"not-a-choice", "type-mismatch", "optional-field"}


@pytest.mark.parametrize(
    "text", ["confidence(1)", "confidence(a.trim())", "confidence(a, 1)", "confidence()"]
)
def test_only_a_path_can_be_asked(text: str) -> None:
    with pytest.raises(FaultsError) as raised:
        Expression.parse(text, HERE)
    assert "confidence(" in str(raised.value)


def test_a_case_tells_how_sure_an_answer_is(tmp_path: Path) -> None:
    flow(tmp_path, person="${confidence(verdict.team)} {{ verdict.team | confidence | times: 100 }}")
    told = '{text: \'{"urgent":true,"team":"sales"}\', confidence: {team: 0.25}}'
    expect = "expect: {path: [Judge, Person, Done], log: ['0.25 25.0']}"
    assert passes(tmp_path, f"    answers: {{Judge: {told}}}\n    {expect}")
    sure = '\'{"urgent":true,"team":"sales"}\''
    assert passes(tmp_path, f"    answers: {{Judge: {sure}}}\n    expect: {{path: [Judge, Done]}}")


def test_a_case_tells_it_of_a_choice_too_with_what_else_there_was(tmp_path: Path) -> None:
    judge = 'Prompt "Which?" result="v" using choices="yes|no|later"'
    person = "{{ v | confidence }} {{ v | alternatives }}"
    flow(tmp_path, "confidence(v) < 0.6 || alternatives(v).no > 0.5", judge, person)
    answers = "answers: {Judge: {text: 'yes', confidence: 0.4, alternatives: {'yes': 0.4, later: 0.5}}}"
    log = """log: ['0.4 {"yes": 0.4, "no": null, "later": 0.5}']"""
    assert passes(tmp_path, f"    {answers}\n    expect: {{path: [Judge, Person, Done], {log}}}")


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("confidence: {taem: 0.4}", "there is no choice at 'taem' in it. Did you mean 'team'?"),
        ("confidence: 0.4", "there is no choice in it"),
        ("confidence: {team: 1.4}", "`confidence` must be a probability from 0 to 1"),
        ("confidence: {team: high}", "`confidence` must be a probability from 0 to 1"),
        ("alternatives: {team: {sales: 0.4, suport: 0.6}}", "'suport' is not one of the choices"),
        ("alternatives: {team: {sales: 2}}", "must be a probability from 0 to 1, or null"),
        ("alternatives: 3", "`alternatives` must be a map"),
    ],
)
def test_what_a_case_tells_wrongly_is_said(
    tmp_path: Path, told: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flow(tmp_path)
    text = 'text: \'{"urgent":true,"team":"sales"}\''
    try:
        is_right = passes(
            tmp_path, f"    answers: {{Judge: {{{text}, {told}}}}}\n    expect: {{ending: completed}}"
        )
        shown = capsys.readouterr().out
    except FaultsError as error:
        is_right, shown = False, str(error)
    assert not is_right and says in " ".join(shown.split())


def test_it_is_in_events_and_records_to_the_last_bit_and_a_recorded_case_passes(
    tmp_path: Path, tiny_model: Path
) -> None:
    path = flow(tmp_path, person="{{ verdict.team | confidence }} {{ verdict.team | alternatives }}")
    path.write_text(path.read_text(encoding="utf-8").replace("< 0.6", "<= 1.0").replace(", why: text?", ""))
    options = ("--model", str(tiny_model), "--context", "2048", "--deterministic")
    done = samovar_cli(tmp_path, "run", "sorting.md", "--record", "sorting.test.yaml", "--json", *options)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    (chosen,) = [one["chosen"] for one in run["states"] if one.get("chosen")]
    team = next(one for one in chosen if one["path"] == ["team"])
    assert run["states"][1]["name"] == "Person" and 0 < team["confidence"] < 1
    assert repr(team["confidence"]) in (tmp_path / "sorting.test.yaml").read_text(encoding="utf-8")
    done = samovar_cli(tmp_path, "run", "sorting.md", "--events", *options)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    left = next(one for one in events if one["event"] == "state_left" and one["figures"])
    assert left["figures"]["chosen"] == chosen
    log = f"{team['confidence']} {json.dumps(team['alternatives'])}"
    assert log in [one["text"] for one in events if one["event"] == "logged"]
    done = samovar_cli(tmp_path, "test")
    assert done.returncode == 0, done.stdout


async def test_a_program_has_it_with_the_answer(tiny_model: Path) -> None:
    async with samovar.open(model=str(tiny_model), context_tokens=2048) as app, app.session() as session:
        turn = await session.ask("Which?", choices=["yes", "no"])
    (found,) = turn.chosen
    assert found.value == turn.text and found.alternatives[turn.text] == found.confidence < 1
