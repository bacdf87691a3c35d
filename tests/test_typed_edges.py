"""Conditions over the schema of an answer: mistakes in them are found, and what is right is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.typed_edges import LEAST_SHARE, MISSING, MISTAKES, RIGHT, faults, fields, made

from samovar.cli.checking import faults_of
from tests.test_form_workflows import flow

COUNT = 100


@pytest.mark.slow
def test_mistakes_in_conditions_over_schemas_are_found(tmp_path: Path) -> None:
    missed, kinds = [], set()
    for edges in made(COUNT, seed=13):
        kinds.add(edges.kind)
        assert faults(edges, edges.right, tmp_path) == (), edges.right
        if not faults(edges, edges.wrong, tmp_path):
            missed.append(f"{edges.kind}: {edges.wrong}")
    assert kinds == {*MISTAKES, MISSING}
    assert len(missed) <= (1 - LEAST_SHARE) * COUNT, missed


def codes(folder: Path, edge: str, more: str = "") -> list[str]:
    edges = f"    Judge --> Bill: {edge}\n    Judge --> Help: default\n    Bill --> [*]\n    Help --> [*]"
    actions = f'- Bill: Log "b"\n- Help: Log "{more or "h"}"'
    return [fault.code for fault in faults_of(flow(folder, edges=edges, actions=actions))]


@pytest.mark.parametrize(
    "edge",
    [
        'has(verdict.reason) && verdict.reason == "x"',
        '!has(verdict.reason) || verdict.reason == "x"',
        'has(verdict.reason) ? verdict.reason == "x" : verdict.urgent',
        'has(verdict.reason) ? size(verdict["reason"]) > 1 : false',
        'default(verdict.reason, "") == "x"',
        '!(!has(verdict.reason)) && verdict.reason == "x"',
        'verdict.urgent && (has(verdict.reason) && verdict.reason.contains("x"))',
        "has(verdict.reason) && verdict.lines.exists(n, n > size(verdict.reason))",
    ],
)
def test_a_field_that_may_be_left_out_is_read_behind_a_guard(tmp_path: Path, edge: str) -> None:
    assert codes(tmp_path, edge) == []


@pytest.mark.parametrize(
    "edge",
    [
        'verdict.reason == "x"',
        'verdict["reason"] == "x"',
        'verdict.reason == "x" && has(verdict.reason)',
        'has(verdict.reason) || verdict.reason == "x"',
        '!has(verdict.reason) && verdict.reason == "x"',
        'has(verdict.reason) ? verdict.urgent : verdict.reason == "x"',
        "verdict.lines.exists(n, n > size(verdict.reason))",
        'default(verdict.urgent, true) && verdict.reason == "x"',
    ],
)
def test_without_a_guard_it_is_an_error(tmp_path: Path, edge: str) -> None:
    assert codes(tmp_path, edge) == ["optional-field"]


def test_a_text_that_fills_it_in_needs_a_condition_that_asks(tmp_path: Path) -> None:
    assert codes(tmp_path, "verdict.urgent", "${verdict.reason}") == ["optional-field"]
    assert codes(tmp_path, "has(verdict.reason)", "${verdict.reason}") == []
    assert codes(tmp_path, "verdict.urgent", "{{ verdict.reason | default: 'none' }}") == []


def test_every_kind_of_field_has_a_right_condition() -> None:
    import random

    assert {field.kind for field in fields(random.Random(1))} == set(RIGHT)
