"""Variables from the command line: `--var`, a workflow's own switches, and questions on a terminal.

Above: `run.py`. Below: `variable_files.py`, `parameters.py`. What is typed here is text;
`parameters.bind` gives it its type.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from samovar.cli.terminal import say
from samovar.errors import UsageError, nearest
from samovar.expressions.names import normal
from samovar.language.parameters import Parameter
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.variable_files import read_file, read_input

TRIES = 5
"""How often a person is asked for one value."""
STANDARD_INPUT = ("@/dev/stdin", "@/dev/fd/0")
"""Its files, which a socket cannot be opened by."""


def read_answers(given: Sequence[str], workflow: Workflow, library: Library) -> dict[str, list[str]]:
    """`STATE=VALUE`: by the path of a state, the answers to its questions.

    Raises `UsageError`, and `NotFoundError` for a state that is not there.
    """
    answers: dict[str, list[str]] = {}
    if not given:
        return answers
    from samovar.testing.paths import Tree  # few runs are given any

    tree = Tree(workflow, library)
    for one in given:
        path, equals, text = one.partition("=")
        path = path.strip()
        if not equals or not path:
            raise UsageError(f"--answer takes STATE=VALUE, not {one!r}.")
        state = tree.find(path)
        wrong = [action.no_answer(text) for action in state.actions] if state else [None]
        if all(wrong):
            raise UsageError(f"--answer {one}: the state {path!r} {wrong[0] if wrong else 'asks nobody'}.")
        answers.setdefault(path, []).append(text)
    return answers


def read_assignments(assignments: Sequence[str], parameters: Sequence[Parameter] = ()) -> dict[str, str]:
    """`K=V`, `K=@FILE`, `K=-` (standard input, once), and `K=@@V` for a value that begins with @.

    A name may be given once, or several times if it takes several choices. Raises `UsageError`.
    """
    values: dict[str, str] = {}
    stdin_taken_by = None
    several, known = _several(parameters), {parameter.name for parameter in parameters}
    secret = {parameter.name for parameter in parameters if parameter.secret}
    for number, assignment in enumerate(assignments, start=1):
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals or not name:  # it may be a secret: nobody is shown more of it than a name that is known
            lacks = f"no `=` and no value for {name!r}" if name in known else "no `=`" if name else "no name"
            raise UsageError(f"--var takes NAME=VALUE; number {number} has {lacks}.")
        if text in ("-", *STANDARD_INPUT):
            if stdin_taken_by:
                raise UsageError(
                    f"Standard input can be the value of only one variable: {stdin_taken_by} or {name}."
                )
            stdin_taken_by = name
            text = read_input()
        elif text.startswith("@@"):
            text = text[1:]
        elif text.startswith("@"):
            # A secret that begins with @ and was typed in the place of a file's name is shown to nobody.
            shown = "…" if normal(name) in secret else text[1:]
            hint = " For a text that begins with @, write @@ instead of @."
            text = read_file(Path(text[1:]), f"--var {name}=@{shown}", hint)
        _put(values, name, text, "--var " + name, several)
    return values


def _several(parameters: Sequence[Parameter]) -> frozenset[str]:
    return frozenset(parameter.name for parameter in parameters if parameter.type == "multi_choice")


def _put(values: dict[str, str], name: str, text: str, written: str, several: frozenset[str]) -> None:
    if name not in values:
        values[name] = text
    elif name in several:
        values[name] += "," + text
    else:
        raise UsageError(f"{written} is given twice. It takes one value.")


def read_switches(
    switches: Sequence[str], parameters: Sequence[Parameter], options: Sequence[str]
) -> dict[str, str]:
    """The workflow's parameters as options: `--person-name X`, `--person-name=X`, `--urgent`, `--no-urgent`.

    `options` are those of the command itself. A parameter called like one of them is given by --var only, in
    any spelling. Raises `UsageError`.
    """
    known = {
        name: parameter
        for parameter in parameters
        if f"--{(name := parameter.name.replace('_', '-'))}" not in options
    }
    several = _several(parameters)
    values: dict[str, str] = {}
    rest = list(switches)
    while rest:
        switch = rest.pop(0)
        name, equals, text = switch.removeprefix("--").partition("=")
        parameter = known.get(name.replace("_", "-"))
        negated = known.get(name.removeprefix("no-").replace("_", "-"))
        if not switch.startswith("--") or (parameter is None and negated is None):
            _refuse(switch, options, list(known))
        if parameter is None:
            assert negated is not None
            if negated.type != "boolean" or equals:
                _refuse(switch, options, list(known))
            parameter, text = negated, "false"
        elif equals:
            pass
        elif parameter.type == "boolean" and not (rest and rest[0].lower() in ("true", "false")):
            text = "true"
        elif rest:
            text = rest.pop(0)
        else:
            raise UsageError(f"{switch} needs a value.")
        _put(values, parameter.name, text, "--" + name.replace("_", "-"), several)
    return values


def _refuse(switch: str, options: Sequence[str], own: Sequence[str]) -> None:
    if not switch.startswith("-"):
        raise UsageError(
            f"{switch!r} is one argument too many: only one workflow is run. Set variables with --var "
            f"NAME=VALUE."
        )
    written = switch.partition("=")[0]
    theirs = [f"--{name}" for name in own]
    hint = nearest(written, [*options, *theirs])
    if theirs:
        hint += f" The options of this workflow: {', '.join(theirs)}."
    raise UsageError(f"There is no option {written}.{hint}")


def asker() -> Callable[[Parameter], object] | None:
    """Asks for a missing parameter on a terminal; None if there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    shown: list[str | None] = [None]

    def ask(parameter: Parameter) -> object:
        if parameter.group != shown[-1]:
            shown.append(parameter.group)
            say(f"\n{parameter.group}" if parameter.group else "")
        if parameter.description:
            say(parameter.description)
        for _ in range(TRIES):
            say(f"{parameter.name}{_expected(parameter)}: ", end="")
            line = _read_secret() if parameter.secret else sys.stdin.readline()
            if not line:
                break
            try:
                if not line.strip():
                    raise UsageError(f"The parameter {parameter.name!r} is required.")
                return parameter.parse(line.rstrip("\n"))
            except UsageError as error:
                say(str(error))
        raise UsageError(f"The parameter {parameter.name!r} was not given.")

    return ask


def _expected(parameter: Parameter) -> str:
    if parameter.choices:
        between = ", with commas between" if parameter.type == "multi_choice" else ""
        return f" ({', '.join(parameter.choices)}{between})"
    if parameter.type in ("list", "map"):
        return ' (as JSON: ["a", "b"])' if parameter.type == "list" else ' (as JSON: {"a": 1})'
    return " (true or false)" if parameter.type == "boolean" else ""


def _read_secret() -> str:
    import getpass

    return getpass.getpass("", stream=sys.stderr) + "\n"
