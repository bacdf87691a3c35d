"""The program and its commands, which answer `--help` and completion at once.

Above: `__init__.py`, which has the commands. Below: typer. It reads values by pydantic, also
those that nobody gave; importing that takes longer than everything else together.
"""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup


class QuickGroup(TyperGroup):
    """The program: without an option before the command, the command alone is read.

    A command that there is not is refused as wrong arguments are.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_plain = args and not args[0].startswith("-")
        if not is_plain and not (ctx.resilient_parsing and not args):
            return self._read(ctx, args)
        ctx.params.update({one.name: one.default for one in self.params if one.expose_value})
        ctx._protected_args, ctx.args = args[:1], args[1:]
        return args[1:]

    def _read(self, ctx: Any, args: list[str]) -> list[str]:
        from typer._click.exceptions import UsageError

        written = list(args)
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            if ctx.resilient_parsing:
                raise
            from samovar.cli.refusing import refuse_arguments

            refuse_arguments(ctx, written, error)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        from typer._click.exceptions import UsageError

        try:
            return super().resolve_command(ctx, args)
        except UsageError:
            if ctx.resilient_parsing:
                raise
        from samovar.cli.refusing import refuse_command

        refuse_command(ctx, args, self.list_commands(ctx))


class OwnGroup(QuickGroup):
    """A command that has commands of its own, and does something without one of them too.

    Its own options are not for them: each has its own.
    """

    def invoke(self, ctx: Any) -> Any:
        from samovar.errors import SamovarError, UsageError

        try:
            if ctx._protected_args and (given := _given(ctx)):
                raise UsageError(f"Put {given} behind the command: {ctx.command_path} COMMAND … {given}.")
            return super().invoke(ctx)
        except SamovarError as error:
            from samovar.cli.refusing import refuse

            refuse(ctx, error)


def _given(ctx: Any) -> str | None:
    """The first option that was given to a group itself."""
    from typer._click.core import ParameterSource

    is_given = (
        one for one in ctx.command.params if ctx.get_parameter_source(one.name) is ParameterSource.COMMANDLINE
    )
    return next((one.opts[0] for one in is_given), None)


class QuickCommand(TyperCommand):
    """A command that reads no values while a shell only asks what may follow.

    What is wrong is said in our own words, and as JSON if that is asked for.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            return self._read(ctx, args)
        from typer._click.core import ParameterSource

        parser = self.make_parser(ctx)
        given, rest, _ = parser.parse_args(list(args))
        for name, value in given.items():
            ctx.params[name] = value
            if value is not None and value != ():
                ctx.set_parameter_source(name, ParameterSource.COMMANDLINE)
        ctx.args = rest
        ctx._opt_prefixes.update(parser._opt_prefixes)
        return rest

    def _read(self, ctx: Any, args: list[str]) -> list[str]:
        from typer._click.exceptions import UsageError

        written = list(args)
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            from samovar.cli.refusing import refuse_arguments

            refuse_arguments(ctx, written, error)

    def invoke(self, ctx: Any) -> Any:
        from samovar.errors import SamovarError

        try:
            return super().invoke(ctx)
        except SamovarError as error:
            from samovar.cli.refusing import refuse

            refuse(ctx, error)


app = typer.Typer(
    name="samovar",
    cls=QuickGroup,
    help="Workflows of prompts, as Markdown, on a local model that is loaded once.",
    epilog="Start with:  samovar new notes.md  ·  samovar run notes.md  ·  samovar run --help",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from samovar import __version__
        from samovar.cli.terminal import put

        put(f"samovar {__version__}\n")
        raise typer.Exit


def leave(status: int) -> NoReturn:
    """Ends the command with this exit status."""
    raise typer.Exit(status)
