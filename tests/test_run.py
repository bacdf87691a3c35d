"""The record of a run, and the spending and routing that a run is driven by."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from samovar.errors import Place
from samovar.events import (
    Ending,
    PromptFigures,
    RunEnded,
    RunError,
    RunStarted,
    StateEntered,
    StateLeft,
    TransitionTaken,
    VisitStatus,
    Warned,
)
from samovar.expressions.expression import Expression
from samovar.generation import FinishReason, Options, TokenCounts
from samovar.language.workflow import Limits, State, Transition, When, Workflow
from samovar.running.routing import Situation, choose, explain, states_that_only_choose
from samovar.running.run import Run
from samovar.running.spending import PastLimitError, Spending, own_limits
from samovar.running.wire import event_to_wire, run_to_wire
from samovar.values import Record
from samovar.values.secrecy import Secrets

HERE = Place(path=None, line=3)
FIGURES = PromptFigures(
    model="m",
    finish_reason=FinishReason.STOP,
    tokens=TokenCounts(evaluated=5, reused=2, generated=3),
    options=Options(),
    duration_s=0.5,
    first_token_s=0.1,
    session=None,
)


def begun() -> Run:
    return Run.begin(RunStarted(run="r1", workflow="w", path=None, started_at=0.0))


def entered(number: int, path: str = "A") -> StateEntered:
    name = path.rsplit("/", 1)[-1]
    return StateEntered(visit=number, state=name, path=path, verb="log", what="x", time_s=number)


def left(number: int, path: str = "A", figures: PromptFigures | None = None) -> StateLeft:
    return StateLeft(
        visit=number,
        path=path,
        status=VisitStatus.SUCCESS,
        duration_s=0.5,
        error=None,
        figures=figures,
        time_s=number + 0.5,
    )


def ended(**variables: object) -> RunEnded:
    return RunEnded(ending=Ending.COMPLETED, error=None, variables=variables, time_s=9.0)


def test_visits_are_in_starting_order_also_those_of_a_sub_workflow() -> None:
    run = begun()
    for event in (entered(1, "Sub"), entered(2, "Sub/A"), left(2, "Sub/A"), left(1, "Sub"), entered(3, "B")):
        run = run.after(event)
    assert [(visit.path, visit.name, str(visit.status)) for visit in run.visits] == [
        ("Sub", "Sub", "success"),
        ("Sub/A", "A", "success"),
        ("B", "B", "running"),
    ]


def test_an_earlier_record_does_not_change_when_a_later_one_is_made() -> None:
    first = begun().after(entered(1))
    second, other = first.after(left(1)), first.after(entered(2, "B"))
    assert len(first.visits) == 1
    assert first.visits[0].status is VisitStatus.RUNNING
    assert second.visits[0].status is VisitStatus.SUCCESS
    assert [visit.path for visit in other.visits] == ["A", "B"]
    assert other.visits[0].status is VisitStatus.RUNNING


def test_a_record_adds_up_tokens_and_transitions() -> None:
    taken = TransitionTaken(visit=1, source="A", target=None, label="", time_s=2)
    run = begun().after(entered(1)).after(left(1, figures=FIGURES)).after(taken)
    assert run.tokens == TokenCounts(evaluated=5, reused=2, generated=3)
    assert run.transitions == 1
    assert [one.message for one in run.after(Warned(visit=1, message="m")).warnings] == ["m"]
    assert run.warnings == ()


def test_a_run_was_for_its_named_result_else_for_the_last_answer_that_was_not_picked() -> None:
    run = begun().answered("yes", is_picked=True)
    assert run.after(ended(result="x")).result == "yes"
    run = run.answered("Some text.", is_picked=False).answered("no", is_picked=True)
    assert run.result is None  # while it goes on
    assert run.after(ended(result="x")).result == "Some text."
    assert replace(run, names_result=True).after(ended(result=["x"])).result == ["x"]
    stuck = RunEnded(ending=Ending.STUCK, error=None, variables={"result": "x"}, time_s=3)
    assert run.after(stuck).result is None


def test_a_run_ends_once() -> None:
    run = begun().after(ended())
    with pytest.raises(ValueError, match="has ended"):
        run.after(ended())
    with pytest.raises(ValueError, match="has ended"):
        run.after(entered(1))


@pytest.mark.parametrize(
    ("ending", "status"),
    [("completed", 0), ("failed", 1), ("aborted", 1), ("limited", 1), ("stuck", 3), ("cancelled", 130)],
)
def test_each_ending_has_its_exit_status(ending: str, status: int) -> None:
    assert Ending(ending).exit_status == status


def test_a_run_as_json() -> None:
    answer = Record("yes", {"content": "yes", "tokens": 3})
    run = begun().after(entered(1, "Sub")).after(entered(2, "Sub/A")).after(left(2, "Sub/A", FIGURES))
    wire = run_to_wire(run.after(ended(answer=answer, n=1, nested={"a": answer})))
    assert json.loads(json.dumps(wire)) == wire
    assert wire["status"] == "completed"
    assert wire["variables"] == {"answer": "yes", "n": 1, "nested": {"a": "yes"}}
    assert wire["records"]["answer"]["tokens"] == 3
    assert wire["tokens"] == {"evaluated": 5, "reused": 2, "generated": 3, "reasoning": 0}
    first, second = wire["states"]
    assert (first["name"], first["action"], first["status"]) == ("Sub", "log", "running")
    assert "path" not in first
    assert (second["name"], second["path"], second["model"]) == ("A", "Sub/A", "m")
    assert second["options"]["sampling"]["temperature"] == 0.0
    assert "error" not in wire


def test_secrets_are_in_no_value_of_the_json() -> None:
    secrets = ("key", "pin", "flag")
    begun = Run.begin(RunStarted(run="r1", workflow="w", path=None, started_at=0.0, secrets=secrets))
    run = replace(begun, hidden=Secrets(["hunter2", 123456, True]))
    variables: dict[str, object] = {
        "key": "hunter2",
        "pin": 123456,
        "flag": True,
        "other": True,
        "header": "Bearer hunter2",
        "nested": {"of": ["hunter2", 123456, 1234567, None]},
        "said": Record("it is hunter2", {"stdout": "it is hunter2\n", "exit_code": 0}),
    }
    wire = run_to_wire(
        run.after(RunEnded(ending=Ending.COMPLETED, error=None, variables=variables, time_s=1.0))
    )
    assert wire["variables"] == {
        "key": "***",
        "pin": "***",
        "flag": "***",
        "other": True,
        "header": "Bearer ***",
        "nested": {"of": ["***", "***", 1234567, None]},
        "said": "it is ***",
    }
    assert wire["records"]["said"]["exit_code"] == 0
    assert "hunter2" not in json.dumps(wire)


def test_errors_as_json_have_a_code_a_message_and_a_place() -> None:
    error = RunError(code="shell", message="why", state="A", place=HERE)
    event = RunEnded(ending=Ending.FAILED, error=error, variables={}, time_s=1.0)
    place = {"path": None, "line": 3, "column": 1}
    wanted = {"code": "shell", "message": "why", "place": place, "state": "A"}
    assert run_to_wire(begun().after(event))["error"] == wanted
    wire = event_to_wire(event)
    assert (wire["event"], wire["status"], wire["error"]) == ("run_ended", "failed", wanted)
    assert json.dumps(event_to_wire(left(1, figures=FIGURES)))


def transition(label: str, when: When, target: str | None = "B") -> Transition:
    condition = Expression.parse(label, HERE) if when is When.CONDITION else None
    return Transition(source="A", target=target, label=label, when=when, condition=condition, place=HERE)


def state(*transitions: Transition) -> State:
    return State(name="A", description="", action=None, transitions=transitions, place=HERE)


def label(state: State, variables: dict[str, object] | None = None, **situation: bool) -> str | None:
    flags = {"failed_here": False, "failed_last": situation.get("failed_here", False), "goes_on": False}
    choice = choose(state, variables or {}, Situation(**{**flags, **situation}))
    return choice.transition.label if choice.transition else None


ALWAYS, WRITTEN = transition("", When.ALWAYS), transition("Always", When.ALWAYS)
DEFAULT, SUCCESS = transition("default", When.DEFAULT), transition("on success", When.SUCCESS)
FAILURE, CEL = transition("on failure", When.FAILURE), transition("n > 1", When.CONDITION)
CEL_OF_ERROR = transition("error.kind == 'x'", When.CONDITION)


def test_the_first_true_transition_is_taken_in_the_order_of_the_file() -> None:
    assert label(state(FAILURE, CEL, SUCCESS, ALWAYS), {"n": 2}) == "n > 1"
    assert label(state(FAILURE, CEL, SUCCESS, ALWAYS), {"n": 1}) == "on success"
    assert label(state(ALWAYS, CEL), {"n": 2}) == ""


def test_default_is_taken_when_no_other_is_wherever_it_stands() -> None:
    assert label(state(DEFAULT, CEL), {"n": 2}) == "n > 1"
    assert label(state(DEFAULT, CEL), {"n": 1}) == "default"


@pytest.mark.parametrize(
    ("edge", "taken"),
    [
        (ALWAYS, False),
        (WRITTEN, True),
        (DEFAULT, False),
        (SUCCESS, False),
        (FAILURE, True),
        (CEL, False),
        (CEL_OF_ERROR, True),
    ],
)
def test_what_a_failure_takes(edge: Transition, taken: bool) -> None:
    variables: dict[str, object] = {"n": 2, "error": {"kind": "x"}}
    assert (label(state(edge), variables, failed_here=True) is not None) == taken
    goes_on = label(state(edge), variables, failed_here=True, goes_on=True)
    assert (goes_on is not None) == (edge is not SUCCESS)


def test_a_state_that_passes_through_looks_at_the_last_action() -> None:
    assert label(state(FAILURE, ALWAYS), failed_last=True) == "on failure"
    assert label(state(SUCCESS, ALWAYS), failed_last=True) == ""


def test_a_condition_that_cannot_be_evaluated_is_false_with_a_warning() -> None:
    edges = state(transition("nn > 1", When.CONDITION), ALWAYS)
    choice = choose(edges, {"n": 1}, Situation(failed_here=False, failed_last=False, goes_on=False))
    assert choice.transition is ALWAYS
    assert "Did you mean 'n'" in choice.warnings[0][0]


def test_being_stuck_is_explained_with_the_values_of_the_conditions() -> None:
    edges = state(CEL, transition("v", When.CONDITION), FAILURE)
    choice = choose(edges, {"n": 1, "v": ""}, Situation(failed_here=False, failed_last=False, goes_on=False))
    said = explain(edges, choice)
    assert "`n > 1` is false where n = 1" in said
    assert "`v` is empty where v = ''" in said
    assert "`on failure` the last action did not fail" in said
    assert "No transition leaves" in explain(
        state(), choose(state(), {}, Situation(failed_here=False, failed_last=False, goes_on=False))
    )


def test_a_value_in_a_reason_keeps_the_white_space_at_its_ends() -> None:
    edges = state(transition('v == "Paris"', When.CONDITION))
    situation = Situation(failed_here=False, failed_last=False, goes_on=False)
    for value, shown in (
        (" Paris\n", r"' Paris\n'"),
        ("Paris " * 9, "'Paris Paris Paris Paris Paris Paris Par…'"),
    ):
        assert f"is false where v = {shown}" in explain(edges, choose(edges, {"v": value}, situation))


def test_states_that_only_choose_have_several_ways_one_of_them_conditional() -> None:
    states = {
        "a": state(CEL, ALWAYS),
        "b": state(CEL, transition("", When.ALWAYS, None)),
        "c": state(ALWAYS, WRITTEN),
        "d": state(SUCCESS, FAILURE),
    }
    assert states_that_only_choose(states) == {"a", "d"}


def test_what_a_sub_workflow_spends_is_spent_by_the_run() -> None:
    run = Spending(Limits(transitions=3, tokens=10))
    child = Spending(Limits(transitions=2), run)
    child.spend(transitions=2, tokens=10)
    with pytest.raises(PastLimitError) as caught:
        child.spend(transitions=1)
    assert caught.value.spending is child
    run.spend(tokens=0)
    with pytest.raises(PastLimitError) as caught:
        child.spend(tokens=1)
    assert caught.value.spending is run
    assert caught.value.limit == "tokens"


def test_a_sub_workflow_has_its_own_limits_where_it_sets_them() -> None:
    def workflow(limits: Limits) -> Workflow:
        return Workflow(name="w", path=None, initial="A", states={}, diagram="", limits=limits)

    run = Limits(transitions=50, duration_s=9, tokens=7, depth=2, prompt_timeout_s=4)
    assert own_limits(workflow(Limits()), run) == Limits(depth=2, prompt_timeout_s=4), "the run's count too"
    assert own_limits(workflow(Limits(transitions=5, tokens=3, prompt_timeout_s=1)), run) == Limits(
        transitions=5, tokens=3, depth=2, prompt_timeout_s=1
    )
