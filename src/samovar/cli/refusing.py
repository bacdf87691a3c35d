"""Errors about the arguments of a command, worded like other errors; and every error as JSON.

Above: `commands.py`, whose commands all refuse by it; it is imported only when something is wrong. Below:
typer, which finds what is wrong; the errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from typer._click import exceptions as typers

from samovar.cli.output import error_object, json_text, write_json
from samovar.cli.terminal import put
from samovar.errors import SamovarError, UsageError, nearest


def refuse_arguments(ctx: Any, written: Sequence[str], error: typers.UsageError) -> NoReturn:
    """Reports mistakes in what was written: with the usage, or as JSON if that is asked for."""
    if isinstance(error, typers.NoArgsIsHelpError):
        raise error
    message = _said(ctx, written, error)
    if "--json" in written or "--events" in written:
        option = getattr(error, "option_name", None)
        name = None
        with suppress(typers.UsageError):  # what else is wrong is not what this is about
            rest = [word for word in written if option is None or word.partition("=")[0] != option]
            name = _read(ctx, rest).get("workflow")
        leave_with_object(ctx, UsageError(message), workflow=name or "", as_events="--json" not in written)
    raise typers.UsageError(message, ctx) from None


def refuse_command(ctx: Any, written: Sequence[str], known: Sequence[str]) -> NoReturn:
    """Says that there is no such command. `written`: the command and what is behind it."""
    message = f"There is no command {written[0][:60]!r}.{nearest(written[0][:60], known)}"
    if "--json" in written or "--events" in written:
        as_events = "--json" not in written
        leave_with_object(ctx, UsageError(message), workflow="", as_events=as_events)
    raise typers.UsageError(message, ctx)


def refuse(ctx: Any, error: SamovarError) -> NoReturn:
    """Ends a command with an error: as JSON if that is asked for."""
    as_json, as_events = (bool(ctx.params.get(name)) for name in ("json", "events"))
    if not as_json and not as_events:
        raise error
    name = ctx.params.get("workflow") or ""
    leave_with_object(ctx, error, workflow=name, as_events=as_events and not as_json)


def leave_with_object(ctx: Any, error: SamovarError, *, workflow: str, as_events: bool) -> NoReturn:
    """Writes the error as the one object, or as the last line, on standard output."""
    wire = error_object(workflow if ctx.command.name == "run" else None, error)
    if as_events:
        put(json_text({"event": "run_refused", **wire}) + "\n")
    else:
        write_json(wire)
    ctx.exit(error.exit_status)
    raise AssertionError("`exit` does not return")


def _said(ctx: Any, written: Sequence[str], error: typers.UsageError) -> str:
    if isinstance(error, typers.NoSuchOption):
        known = [name for one in ctx.command.get_params(ctx) for name in (*one.opts, *one.secondary_opts)]
        return f"There is no option {error.option_name}.{nearest(error.option_name, known)}"
    if isinstance(error, typers.BadOptionUsage):
        takes = "takes no value" if "does not take" in error.message else "needs a value"
        return f"{error.option_name} {takes}."
    if isinstance(error, typers.MissingParameter):
        return f"{_name(error.param)} is missing."
    if isinstance(error, typers.BadParameter) and error.param is not None:
        return _wrong_value(ctx, written, error)
    if "unexpected extra argument" in error.message:
        extra = error.message.rpartition("(")[2].rstrip(").")
        return f"{extra!r} is one argument too many: {ctx.command_path} takes no more."
    return error.format_message()


def _wrong_value(ctx: Any, written: Sequence[str], error: typers.BadParameter) -> str:
    param: Any = error.param
    described = param.type_descriptor
    expected = _expected(described.annotation, described.parameter_info)
    if expected is None:
        return f"{_name(param)}: {error.message}"
    with suppress(typers.UsageError):
        value = _read(ctx, written).get(param.name)
        return f"{_name(param)} cannot be {value!r}: expected {expected}."
    return f"{_name(param)}: expected {expected}."


def _expected(kind: Any, info: Any) -> str | None:
    """What a number may be; None for what is not one."""
    if kind not in (int, float):
        return None
    least = "" if info.min is None else f" from {info.min:g}" if kind is float else f" from {info.min}"
    most = "" if info.max is None else f" to {info.max:g}" if kind is float else f" to {info.max}"
    if least and not most:
        least = f", at least {info.min:g}"
    return f"a {'whole ' if kind is int else ''}number{least}{most}"


def _name(param: Any) -> str:
    if param is None:
        return "An argument"
    return str(param.opts[0] if param.param_type_name == "option" else param.get_error_hint()).strip("'")


def _read(ctx: Any, written: Sequence[str]) -> dict[str, Any]:
    """The arguments by name, as texts."""
    values, _, _ = ctx.command.make_parser(ctx).parse_args(list(written))
    return dict(values)
