"""Completions for a shell, and additions to `run NAME --help`: names, and a workflow's own options.

Above: `__init__.py`, which names these functions. Below: the library. It never fails: if something is
wrong there is nothing to offer, and the command itself will say it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samovar.cli.commands import QuickCommand

if TYPE_CHECKING:
    from samovar.language.parameters import Parameter
    from samovar.language.workflow import Workflow
    from samovar.library import Library

Offers = list[tuple[str, str]]
"""Each with its help."""
SUFFIXES = (".md", ".markdown", ".mermaid", ".liquid")


def _library() -> Library:
    from samovar.app import open_library
    from samovar.folders import current_folder

    return open_library(current_folder())


def complete_workflow(incomplete: str) -> Offers:
    """Names of the library's workflows, and workflow files below what is typed."""
    return _safely(lambda: list(_names("workflows", incomplete))) + complete_path(incomplete)


def complete_prompt(incomplete: str) -> Offers:
    """Names of the library's prompts."""
    return _safely(lambda: list(_names("prompts", incomplete)))


def complete_path(incomplete: str) -> Offers:
    """Workflow files and folders."""
    return _safely(lambda: list(_paths(incomplete)))


def complete_variable(ctx: Any, incomplete: str) -> Offers:
    """`--var`: a parameter's name and `=`, and after that its choices."""
    return _safely(lambda: list(_assignments(_workflow_of(ctx), incomplete)))


def complete_setting(incomplete: str) -> Offers:
    def offers() -> Offers:
        from samovar.config import settings_known

        return [
            (name, known.description)
            for name, known in settings_known().items()
            if name.startswith(incomplete)
        ]

    return _safely(offers)


def _safely(offer: Callable[[], Offers]) -> Offers:
    try:
        return offer()
    except Exception:  # The shell waits with a half-typed line: whatever is wrong is not for it.
        return []


def _names(kind: str, incomplete: str) -> Iterator[tuple[str, str]]:
    from samovar.folders import current_folder, files_by_name, library_folders

    for name, files in files_by_name(library_folders(current_folder()), kind).items():
        if name.startswith(incomplete) and (about := _description(files[0][1])) is not None:
            yield name, about


def _description(path: Path) -> str | None:
    """What a file says of itself in its front matter, which alone is read; None for a partial."""
    from samovar.errors import SamovarError
    from samovar.files import read_text
    from samovar.language.yaml_document import read_front_matter

    try:
        lines = read_text(path).removeprefix("\ufeff").splitlines()
        matter = read_front_matter(lines or [""], 1, path)
    except SamovarError:
        return "cannot be read"
    rest = lines[matter.end_line :] if matter else lines
    if next((line for line in rest if line.strip()), "").replace(" ", "").startswith("{%partial%}"):
        return None
    if matter is None:
        return ""
    key = "description" if matter.values.get("description") else "title"
    return matter.source(key) or str(matter.values.get(key) or "")


def _paths(incomplete: str) -> Iterator[tuple[str, str]]:
    written, _, begin = incomplete.rpartition("/")
    folder = written + "/" if "/" in incomplete else ""
    for path in sorted(Path(folder or ".").iterdir()):
        if not path.name.startswith(begin) or (path.name.startswith(".") and not begin.startswith(".")):
            continue
        if path.is_dir():
            yield f"{folder}{path.name}/", ""
        elif path.suffix in SUFFIXES:
            yield f"{folder}{path.name}", ""


def _written_name(ctx: Any) -> str | None:
    """The workflow's name, as written; the last argument may be an option without its value."""
    written = list(ctx.meta.get("samovar.written", ()))
    if written and written[-1].startswith("-"):
        written.pop()
    read, _, _ = ctx.command.make_parser(ctx).parse_args(written)
    name = read.get("workflow")
    return name if isinstance(name, str) else None


def _workflow_of(ctx: Any) -> Workflow | None:
    """The workflow that was written so far; None if there is none yet."""
    name = _written_name(ctx)
    return None if name is None else _library().workflow(name, lenient=True)


def _assignments(workflow: Workflow | None, incomplete: str) -> Iterator[tuple[str, str]]:
    name, equals, begin = incomplete.partition("=")
    for parameter in workflow.parameters if workflow else ():
        if not equals and parameter.name.startswith(name):
            yield f"{parameter.name}=", parameter.description
        elif equals and parameter.name == name:
            for value in _values(parameter):
                if value.startswith(begin):
                    yield f"{name}={value}", ""


def _values(parameter: Parameter) -> tuple[str, ...]:
    return ("true", "false") if parameter.type == "boolean" else parameter.choices


def switch_of(parameter: Parameter) -> str:
    """A parameter as an option."""
    return "--" + parameter.name.replace("_", "-")


class RunCommand(QuickCommand):
    """A command whose options are also the parameters of the workflow that it is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # Help is shown before the arguments are known, so what was written is kept.
        ctx.meta["samovar.written"] = list(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The command's help, and that of the workflow's own options if one was named."""
        super().format_help(ctx, formatter)
        try:
            name = _written_name(ctx)
        except Exception:  # Mistakes in the other arguments matter when they are used.
            return
        if name is not None:
            show_parameters(_library().workflow(name), options_of(ctx))

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The command's own options, the workflow's, and the choices of its parameters."""
        from typer._click.shell_completion import CompletionItem

        found = super().shell_complete(ctx, incomplete)
        offers = _safely(lambda: list(_own(_workflow_of(ctx), ctx, incomplete)))
        return found + [CompletionItem(value, help=text or None) for value, text in offers]


def options_of(ctx: Any) -> frozenset[str]:
    """The options of the command itself, which come before parameters of the same name."""
    parameters = ctx.command.get_params(ctx)
    return frozenset(name for one in parameters for name in (*one.opts, *one.secondary_opts))


def _own(workflow: Workflow | None, ctx: Any, incomplete: str) -> Iterator[tuple[str, str]]:
    own, args = options_of(ctx), ctx.args
    parameters = [one for one in workflow.parameters if switch_of(one) not in own] if workflow else []
    for parameter in parameters:
        if args and args[-1] == switch_of(parameter) and parameter.type != "boolean":
            yield from ((value, "") for value in _values(parameter) if value.startswith(incomplete))
            return
    for parameter in parameters:
        if switch_of(parameter).startswith(incomplete):
            yield switch_of(parameter), parameter.description


def show_parameters(workflow: Workflow, options: frozenset[str]) -> None:
    """A workflow's own options, in their groups, on standard output.

    `options`: those of the command. A parameter called like one of them is shown as a variable.
    """
    import sys

    from rich.table import Table
    from rich.text import Text

    from samovar.cli.console import make_console

    console = make_console(sys.stdout)
    title = f"{workflow.name}: {workflow.description}" if workflow.description else workflow.name
    console.print(Text(title, style="bold"))
    if not workflow.parameters:
        console.print("It has no options of its own.")
    groups = dict.fromkeys(parameter.group for parameter in workflow.parameters)
    for group in groups:
        console.print(Text(f"\n{group or 'Its own options'}", style="dim"))
        table = Table(box=None, pad_edge=False, show_header=False)
        for parameter in workflow.parameters:
            if parameter.group == group:
                switch = switch_of(parameter)
                written = f"--var {parameter.name}=…" if switch in options else switch
                table.add_row(written, Text(kind_of(parameter)), Text(_about(parameter)))
        console.print(table)


def kind_of(parameter: Parameter) -> str:
    """What may be given, in words."""
    if parameter.choices:
        between = "," if parameter.type == "multi_choice" else "|"
        return between.join(parameter.choices)
    if parameter.type != "number":
        return {"string": "text", "boolean": "true|false", "list": "[…] as JSON", "map": "{…} as JSON"}.get(
            parameter.type, parameter.type
        )
    least = "" if parameter.min is None else f" from {parameter.min:g}"
    most = "" if parameter.max is None else f" to {parameter.max:g}"
    step = "" if parameter.step is None else f" in steps of {parameter.step:g}"
    return ("whole number" if parameter.whole else "number") + least + most + step


def _about(parameter: Parameter) -> str:
    from samovar.values import to_text

    said = [parameter.description]
    if parameter.pattern is not None:
        said.append(f"matches {parameter.pattern}")
    if parameter.condition is not None and parameter.required:
        said.append(f"required if {parameter.condition.text}")
    elif parameter.required and parameter.default is None:
        said.append("required")
    if parameter.default not in (None, ""):
        shown = "***" if parameter.secret else " ".join(to_text(parameter.default).split())
        said.append("default: " + (shown if len(shown) <= 60 else shown[:59] + "…"))
    return " · ".join(part for part in said if part)
