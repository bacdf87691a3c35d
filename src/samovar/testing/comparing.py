"""How what came of a case differs from what it expected.

Above: `trial.py`. Below: cases and the record of a run. A comparison reads nothing and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from samovar.running.run import Run
from samovar.testing.cases import Expected
from samovar.testing.paths import Tree
from samovar.values import plain

NOT_SET = "(not set)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One way in which a case did not come as expected."""

    what: str
    """`ending`, `path`, `variable`, `prompt`, `log`, `answer`, `shell` or `input`."""
    message: str
    """For a person: what was not as expected, and what to do where that is known."""
    name: str | None = None
    """Of the variable, or the path of the state."""
    expected: object = None
    got: object = None
    """Plain values; both None where there is nothing to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of a case."""

    run: Run
    sent: Mapping[str, Sequence[str]]
    """By path, the text of each prompt."""
    log: Sequence[str]


def compare(expected: Expected, came: Came, tree: Tree) -> Iterator[Difference]:
    """Each way in which what came is not what was expected."""
    run = came.run
    if run.ending is not expected.ending:
        why = f" {run.error.state or ''}: {run.error.message}" if run.error else ""
        message = f"The run ended as {run.ending}, not as {expected.ending}.{why}"
        yield Difference(what="ending", message=message, expected=str(expected.ending), got=str(run.ending))
    yield from _path(expected, run, tree)
    for name, value in expected.variables.items():
        got = plain(run.variables[name]) if name in run.variables else NOT_SET
        if name not in run.variables or not is_same(value, got):
            message = f"The variable {name!r} is another."
            yield Difference(what="variable", message=message, name=name, expected=value, got=got)
    yield from _prompts(expected, came)
    yield from _log(expected, came)


def _path(expected: Expected, run: Run, tree: Tree) -> Iterator[Difference]:
    if expected.path is None:
        return
    wanted, got = tree.in_order(expected.path), tree.in_order([visit.path for visit in run.visits])
    if wanted != got:
        yield Difference(what="path", message="The path is another.", expected=wanted, got=got)


def _prompts(expected: Expected, came: Came) -> Iterator[Difference]:
    for path, told in expected.prompts.items():
        sent = came.sent.get(path, ())
        wanted = len(told.values) if told.is_list else max(1, len(sent))
        for number in range(1, wanted + 1):
            text = told.at(number)
            if number > len(sent):
                message = f"{path!r} asked {len(sent)} prompts; number {number} was to hold this."
                yield Difference(what="prompt", message=message, name=path, expected=text, got=None)
                break
            if text is not None and text not in sent[number - 1]:
                message = f"Prompt {number} of {path!r} does not hold this."
                yield Difference(
                    what="prompt", message=message, name=path, expected=text, got=sent[number - 1]
                )


def _log(expected: Expected, came: Came) -> Iterator[Difference]:
    lines = iter(came.log)
    for text in expected.log:
        if not any(text in line for line in lines):
            message = "No line of the log, after those expected before it, holds this."
            yield Difference(what="log", message=message, expected=text, got=list(came.log))
            return


def is_same(expected: object, got: object) -> bool:
    """Whether a plain value is as expected, also in type; of maps at any depth, some keys may be expected.

    A number is one with or without a fraction.
    """
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        return all(key in got and is_same(value, got[key]) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(is_same, expected, got))
    return expected == got
