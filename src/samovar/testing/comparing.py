"""The differences between the outcome of a case and its expectations.

Above: `trial.py`. Below: cases and the record of a run. A comparison reads nothing and changes nothing.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from samovar.running.run import Run
from samovar.testing.asked import AskedCommand, SentPrompt
from samovar.testing.comparing_asked import compare_commands, compare_prompts, holds
from samovar.testing.difference import Difference
from samovar.testing.expectations import Expected
from samovar.testing.paths import Tree
from samovar.values import plain

NOT_SET = "(not set)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of a case."""

    run: Run
    sent: Mapping[str, Sequence[SentPrompt]]
    """By path, each prompt."""
    ran: Mapping[str, Sequence[AskedCommand]]
    """By path, each command."""
    files: Mapping[str, bytes]
    """By path, what each file holds."""
    log: Sequence[tuple[str, str]]
    """Level and text of each line."""
    warnings: Sequence[str]


def compare(expected: Expected, came: Came, tree: Tree) -> Iterator[Difference]:
    """Each way in which what came is not what was expected."""
    yield from _ending(expected, came.run)
    yield from _path(expected, came.run, tree)
    yield from _variables(expected, came.run)
    yield from compare_prompts(expected.prompts, came.sent)
    yield from compare_commands(expected.commands, came.ran)
    yield from _files(expected, came)
    yield from _log(expected, came)
    yield from _warnings(expected, came)


def _ending(expected: Expected, run: Run) -> Iterator[Difference]:
    error = run.error
    if run.ending is not expected.ending:
        why = f" {error.state or ''}: {error.message}" if error else ""
        message = f"The run ended as {run.ending}, not as {expected.ending}.{why}"
        yield Difference(what="ending", message=message, expected=str(expected.ending), got=str(run.ending))
    elif expected.error is not None:
        wanted = expected.error
        for key in ("code", "state", "message"):
            want, got = getattr(wanted, key), getattr(error, key, None)
            is_there = holds(want, got or "") if key == "message" and want is not None else want == got
            if want is not None and not is_there:
                how = "does not contain this" if key == "message" else "is different"
                said = f" It was: {error.message}" if error and key != "message" else ""
                message = f"The error's {key} {how}.{said}"
                yield Difference(
                    what="error", name=key, message=message, expected=want, got=got, place=wanted.place
                )


def _path(expected: Expected, run: Run, tree: Tree) -> Iterator[Difference]:
    if expected.path is None:
        return
    wanted, got = tree.in_order(expected.path), tree.in_order([visit.path for visit in run.visits])
    if wanted != got:
        yield Difference(what="path", message="The path is different.", expected=wanted, got=got)


def _variables(expected: Expected, run: Run) -> Iterator[Difference]:
    for name, value in expected.variables.items():
        got = plain(run.variables[name]) if name in run.variables else NOT_SET
        if name not in run.variables or not is_same(value, got):
            message = f"The variable {name!r} has another value."
            yield Difference(what="variable", message=message, name=name, expected=value, got=got)


def _files(expected: Expected, came: Came) -> Iterator[Difference]:
    for path, wanted in expected.files.items():
        raw = came.files.get(posixpath.normpath(path))
        got = None if raw is None else raw.decode(errors="replace")
        if isinstance(wanted, tuple) and got is not None:
            is_there = all(holds(text, got) for text in wanted)
        else:
            is_there = got == wanted
        if not is_there:
            why = "is there" if wanted is None else "is not there" if got is None else "holds something else"
            yield Difference(
                what="file", message=f"The file {path!r} {why}.", name=path, expected=wanted, got=got
            )


def _log(expected: Expected, came: Came) -> Iterator[Difference]:
    if expected.log is None:
        return
    got = [f"{level}: {text}" for level, text in came.log]
    if not expected.log and got:
        message = "The log is not empty, as expected."
        yield Difference(what="log", message=message, expected=[], got=got)
    lines = iter(came.log)
    for wanted in expected.log:
        if not any(wanted.level in (None, level) and holds(wanted.text, text) for level, text in lines):
            message = "No line of the log, after those expected before it, contains this."
            text = wanted.text if wanted.level is None else f"{wanted.level}: {wanted.text}"
            yield Difference(what="log", message=message, expected=text, got=got)
            return


def _warnings(expected: Expected, came: Came) -> Iterator[Difference]:
    if expected.warnings is None:
        return
    got = list(came.warnings)
    if not expected.warnings and got:
        message = "There are warnings, but none are expected."
        yield Difference(what="warning", message=message, expected=[], got=got)
    texts = iter(got)
    for wanted in expected.warnings:
        if not any(holds(wanted, text) for text in texts):
            message = "No warning, after those expected before it, contains this."
            yield Difference(what="warning", message=message, expected=wanted, got=got)
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
