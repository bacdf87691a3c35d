"""What is known of variables before a run: by references and alternatives of schemas, from sub-workflows, of
branches and of failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from samovar.actions.failures import error_kinds
from samovar.cli.checking import faults_of
from samovar.expressions.types import TEXT, Type
from samovar.language.schema_types import type_of_schema
from tests.bench import Bench

SCHEMA = """
$defs:
  place: {type: object, properties: {city: {enum: [Rome, Oslo]}, zip: {type: integer}}, required: [city],
    additionalProperties: false}
  node:
    type: object
    properties: {name: {type: string}, children: {type: array, items: {$ref: "#/$defs/node"}}}
    required: [name, children]
    additionalProperties: false
type: object
properties:
  home: {$ref: "#/$defs/place"}
  work: {anyOf: [{$ref: "#/$defs/place"}, {type: "null"}]}
  tree: {$ref: "#/$defs/node"}
  shape:
    oneOf:
      - {type: object, properties: {kind: {const: circle}, radius: {type: number}}, required: [kind, radius],
         additionalProperties: false}
      - {type: object, properties: {kind: {const: square}, side: {type: number}}, required: [kind, side],
         additionalProperties: false}
  size: {anyOf: [{type: integer}, {type: object, properties: {wide: {type: integer}}, required: [wide],
    additionalProperties: false}]}
  all: {allOf: [{$ref: "#/$defs/place"}]}
required: [home, work, tree, shape, size, all]
additionalProperties: false
"""
FLOW = """---
title: Sorting
---

```mermaid
stateDiagram-v2
    [*] --> Judge
    Judge --> Bill: {edge}
    Judge --> [*]: default
    Bill --> [*]
```

## Actions

- Judge: Prompt "Where?" result="v" using schema="where"
- Bill: Log "{text}"

## Schemas

### where

```yaml
{schema}```
"""


def said(folder: Path, edge: str, text: str = "b", schema: str = SCHEMA) -> list[str]:
    path = folder / "w.md"
    path.write_text(FLOW.format(edge=edge, text=text, schema=schema.lstrip()), encoding="utf-8")
    return [f"{fault.code}: {fault.message}" for fault in faults_of(path)]


@pytest.mark.parametrize(
    "edge",
    [
        'v.home.city == "Rome"',
        'v.work.city == "Oslo"',
        "v.work == null",
        'v.tree.children[0].children[0].name == "x"',
        "v.tree.children[0].children[0].children[0].nothing_is_known_here > 1",
        'v.shape.kind == "circle" && v.shape.radius > 1.5',
        'v.shape.kind == "square" && v.shape.side > 1',
        "v.size == 3",
        "v.size.wide > 3",
        'v.all.city == "Rome"',
        'confidence(v.home.city) > 0.5 && alternatives(v.home.city)["Rome"] > 0.1',
        "has(v.home.zip) && v.home.zip > 1",
    ],
)
def test_what_a_schema_allows_by_references_and_alternatives_is_right(tmp_path: Path, edge: str) -> None:
    assert said(tmp_path, edge) == []


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ('v.home.town == "Rome"', "type-mismatch: `v.home` has no part 'town'."),
        ('v.home.city == "Roma"', 'Write `v.home.city == "Rome"`.'),
        ('v.work.citi == "Rome"', "Did you mean 'city'?"),
        ('v.tree.children[0].nme == "x"', "Did you mean 'name'?"),
        ('v.tree.children[0].children[0].nme == "x"', "Did you mean 'name'?"),
        ("v.shape.radios > 1", "Did you mean 'radius'?"),
        ('v.shape.kind == "circl"', 'Write `v.shape.kind == "circle"`.'),
        ('v.shape.radius == "wide"', "is never true"),
        ("v.size.wid > 3", "Did you mean 'wide'?"),
        ('v.size.wide == "x"', "is never true"),
        ('v.all.citty == "Rome"', "Did you mean 'city'?"),
        ("v.home.zip > 1", "optional-field: `v.home.zip` may be missing from the answer"),
        ("v.hom.zip > 1", "Did you mean 'home'?"),
        ("default(v.home.zop, 1) == 1", "Did you mean 'zip'?"),
        ("has(v.home.zop)", "Did you mean 'zip'?"),
        ('v.home.city in ["Rome", "Olso"]', 'Write `v.home.city == "Oslo"`.'),
    ],
)
def test_what_it_does_not_allow_is_an_error(tmp_path: Path, edge: str, message: str) -> None:
    found = said(tmp_path, edge)
    assert len(found) == 1, found
    assert message in found[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ v.home.cty }}", "`v.home` has no part 'cty'. Did you mean 'city'?"),
        ("{{ v.home.cty | default: 'x' }}", "Did you mean 'city'?"),
        ("{% if v.shape.radios > 2 %}x{% endif %}", "Did you mean 'radius'?"),
        ("{% for one in v.tree.children %}{{ one }}{{ v.tree.children[0].nam }}{% endfor %}", "'name'?"),
        ("${v.home.city} {{ v.home.city | upcase }} {{ v.tree.children.first.name }}", None),
        ("{{ v.tree.children.size }} {{ v.home.city.size }} {{ v.tokens }}", None),
        ("{% assign v2 = v %}{% for v in v.tree.children %}{{ v.anything }}{% endfor %}{{ v2.x }}", None),
    ],
)
def test_liquid_knows_them_too(tmp_path: Path, text: str, message: str | None) -> None:
    found = said(tmp_path, 'v.home.city == "Rome"', text)
    assert len(found) == (message is not None), found
    assert all(message is not None and message in one for one in found)


@pytest.mark.parametrize(
    ("text", "offer"),
    [
        ('{% if v.home.city == \\"Roma\\" %}x{% endif %}', '"Rome"'),
        ("{% if true and v.home.city != 'Olso' %}x{% endif %}", '"Oslo"'),
        ("{% if v.home.city == 'Rome' or v.content == 'x' %}x{% endif %}", None),
        ("{% for v in v.tree.children %}{% if v.kind == 'x' %}x{% endif %}{% endfor %}", None),
    ],
)
def test_liquid_compares_with_what_can_come(tmp_path: Path, text: str, offer: str | None) -> None:
    found = said(tmp_path, 'v.home.city == "Rome"', text)
    assert len(found) == (offer is not None), found
    assert all(offer is not None and offer in one for one in found)


def test_a_prompt_compares_its_parameters_with_what_they_can_be(tmp_path: Path) -> None:
    prompt = "{% if style == 'plian' %}x{% else %}y{% endif %}"
    front = "---\nparameters:\n  - {name: style, type: choice, choices: [plain, warm], default: plain}\n---\n"
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "p.md").write_text(front + prompt, encoding="utf-8")
    Bench(tmp_path).write("w", LINE, 'A: Execute prompt "p"')
    (fault,) = faults_of(tmp_path / "w.md")
    assert "`style` is one of the texts" in fault.message and '"plain"' in fault.message


def test_an_answer_that_is_one_of_several_objects_has_the_fields_of_each(tmp_path: Path) -> None:
    both = """
anyOf:
  - {type: object, properties: {a: {type: integer}}, required: [a], additionalProperties: false}
  - {type: object, properties: {b: {type: string}}, required: [b], additionalProperties: false}
  - {type: "null"}
"""
    for edge in ("v.a == 1", 'v.b == "x"', "v == null", 'v.content == "x"'):
        assert said(tmp_path, edge, schema=both) == [], edge
    assert "has no part 'c'" in said(tmp_path, "v.c == 1", schema=both)[0]
    assert "is never true" in said(tmp_path, 'v.a == "x"', schema=both)[0]


def test_a_schema_that_refers_to_itself_everywhere_is_read_within_bounds() -> None:
    fields = {f"f{number}": {"$ref": f"#/$defs/d{number % 9}"} for number in range(30)}
    names = {f"d{number}": {"type": "object", "properties": fields} for number in range(9)}
    found = type_of_schema({"$defs": names, **names["d0"]})
    assert found.parts["f0"].parts["f1"].kinds == {"map"}
    assert type_of_schema({"$ref": "#"}) == type_of_schema({"$ref": "#/nowhere"}) == Type()


def test_a_list_with_first_items_of_their_own_has_items_of_each_kind() -> None:
    found = type_of_schema(
        {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}}
    )
    assert found.item is not None and found.item.kinds == {"text", "int"}
    alone = type_of_schema({"type": "array", "prefixItems": [{"type": "string"}], "items": False})
    assert alone.item is not None and alone.item.kinds == TEXT.kinds


# Sub-workflows.

LINE = "[*] --> A\nA --> [*]"
ASKS = 'A: Prompt "x" result="verdict" using schema="{team: billing|support, why: text}"'
CALLS = "[*] --> A\nA --> B: {edge}\nA --> [*]: default\nB --> [*]"


def of_call(folder: Path, returns: str, edge: str, child: str = ASKS, call: str = "") -> list[str]:
    bench = Bench(folder)
    bench.write("child", LINE, child, returns)
    bench.write("w", CALLS.format(edge=edge), f'A: Run workflow "child" {call} result="r"\nB: Log "x"')
    return [fault.message for fault in faults_of(folder / "w.md")]


TYPED = "returns: {n: {type: integer}, who: {type: map, fields: {name: text}, required: false}}"
SETS = 'A: Set n := 1, who := {"name": "Ann"}'


@pytest.mark.parametrize(
    ("returns", "child", "edge", "message"),
    [
        ("returns: verdict", ASKS, 'r.team == "billing"', None),
        ("returns: verdict", ASKS, 'r.team == "biling"', 'Write `r.team == "billing"`.'),
        ("returns: verdict", ASKS, 'r.taem == "billing"', "Did you mean 'team'?"),
        ("returns: [verdict]", ASKS, 'r.verdict.team == "billing"', None),
        ("returns: [verdict]", ASKS, 'r.verdit.team == "billing"', "Did you mean 'verdict'?"),
        ("returns: [verdict]", ASKS, 'r.verdict.taem == "billing"', "Did you mean 'team'?"),
        (TYPED, SETS, 'r.n > 1 && r.who.name == "Ann"', None),
        (TYPED, SETS, "r.who == null", None),
        (TYPED, SETS, 'r.n == "1"', "Write `r.n == 1`."),
        (TYPED, SETS, 'r.who.nme == "Ann"', "Did you mean 'name'?"),
        ("", ASKS, 'r.verdict.team == "billing" && r.success', None),
        ("", ASKS, 'r.verdit.team == "billing"', "Did you mean 'verdict'?"),
        ("", ASKS, 'r.verdict.team == "biling"', 'Write `r.verdict.team == "billing"`.'),
    ],
)
def test_what_a_sub_workflow_gives_is_known_to_its_caller(
    tmp_path: Path, returns: str, child: str, edge: str, message: str | None
) -> None:
    found = of_call(tmp_path, returns, edge, child)
    assert len(found) == (message is not None), found
    assert all(message is not None and message in one for one in found)


def test_a_sub_workflow_without_returns_gives_what_it_was_given_too(tmp_path: Path) -> None:
    assert of_call(tmp_path, "parameters: [{name: x}]", 'r.x == "1"', call='with x="1"') == []


def test_the_items_of_a_list_of_sub_workflows_are_known_too(tmp_path: Path) -> None:
    each = "for each i in [1, 2]"
    assert of_call(tmp_path, "returns: [verdict]", 'r[0].verdict.team == "billing"', call=each) == []
    (found,) = of_call(tmp_path, "returns: [verdict]", 'r[0].verdit.team == "billing"', call=each)
    assert "Did you mean 'verdict'?" in found
    kept = f'{each} collect="verdict"'
    (found,) = of_call(tmp_path, "returns: [verdict]", 'r[0].taem == "billing"', call=kept)
    assert "Did you mean 'team'?" in found


# Branches and failures.

FORK = """state S <<fork>>
state J <<join>>
[*] --> S
S --> Wright
S --> Other
Wright --> J
Other --> J
J --> T: {edge}
J --> [*]: default
T --> [*]"""


def of_fork(folder: Path, edge: str, text: str) -> list[str]:
    text = text or "x"
    actions = f'Wright: Set v := 1\nOther: Set o := 2\nT: Log "{text or "x"}"'
    Bench(folder).write("w", FORK.format(edge=edge), actions)
    return [fault.message for fault in faults_of(folder / "w.md")]


@pytest.mark.parametrize(
    ("edge", "text", "message"),
    [
        ("branches.Wright.v == 1 && branches.Other.cancelled", "{{ branches.Wright.v }}", None),
        ("default(branches.Wrigth.v, 0) == 1", "", "Did you mean 'Wright'?"),
        ("default(branches.Wright.w, 0) == 1", "", "`branches.Wright` has no part 'w'."),
        ("branches.Other.cancelled", "{{ branches.Wrigth }}", "Did you mean 'Wright'?"),
        ("branches.Other.cancelled", "{{ branches.Other.canceled | default: 1 }}", "'cancelled'?"),
    ],
)
def test_a_branch_is_called_by_its_name(tmp_path: Path, edge: str, text: str, message: str | None) -> None:
    found = of_fork(tmp_path, edge, text)
    assert len(found) == (message is not None), found
    assert all(message is not None and message in one for one in found)


def of_failure(folder: Path, edge: str) -> list[str]:
    diagram = f"[*] --> A\nA --> B: {edge}\nA --> [*]\nB --> [*]"
    Bench(folder).write("w", diagram, 'A: Shell "true"\nB: Log "x"')
    return [fault.message for fault in faults_of(folder / "w.md")]


def test_a_failure_has_a_kind_that_there_is(tmp_path: Path) -> None:
    for kind in ("shell", "unverified", "stuck", "limit", "cancelled", "aborted", "model-not-found"):
        assert kind in error_kinds()
        assert of_failure(tmp_path, f'error.kind == "{kind}"') == []
    (found,) = of_failure(tmp_path, 'error.kind == "unverifiied"')
    assert 'Write `error.kind == "unverified"`.' in found
    (found,) = of_failure(tmp_path, 'error.kind in ["timeout", "shel"]')
    assert 'Write `error.kind == "shell"`.' in found
    (found,) = of_failure(tmp_path, 'error.code == "shell"')
    assert "has no part 'code'" in found


def test_a_state_need_not_have_an_edge_for_each_kind_of_failure(tmp_path: Path) -> None:
    diagram = (
        '[*] --> A\nA --> B: error.kind == "shell"\nA --> C: error.kind == "timeout"\nB --> [*]\nC --> [*]'
    )
    Bench(tmp_path).write("w", diagram, 'A: Shell "true"\nB: Log "x"\nC: Log "y"')
    assert not [fault for fault in faults_of(tmp_path / "w.md") if fault.code == "value-without-edge"]
